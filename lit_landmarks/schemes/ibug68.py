"""iBUG's 68 points: 300W, HELEN, LFPW, AFW as re-annotated, Menpo, COFW-68, AFLW2000-3D."""

from __future__ import annotations

from lit_landmarks.schemes.base import LandmarkScheme, both_sides, flip_by_names, outline

#: The eye: outer corner, upper lid, inner corner, lower lid back to the outer corner.
_RIGHT_EYE = ("outer", "upper_outer", "upper_inner", "inner", "lower_inner", "lower_outer")
_LEFT_EYE = ("inner", "upper_inner", "upper_outer", "outer", "lower_outer", "lower_inner")

IBUG68_NAMES: tuple[str, ...] = (
    *(f"right_jaw_{i}" for i in range(1, 9)),
    "chin",
    *(f"left_jaw_{i}" for i in range(8, 0, -1)),
    *both_sides(*(f"brow_{i}" for i in range(1, 6))),
    *("nose_bridge_1", "nose_bridge_2", "nose_bridge_3", "nose_tip"),
    *("right_ala", "right_nostril", "subnasale", "left_nostril", "left_ala"),
    *(f"right_eye_{part}" for part in _RIGHT_EYE),
    *(f"left_eye_{part}" for part in _LEFT_EYE),
    *("right_mouth_corner", "right_upper_lip_side", "right_upper_lip_peak", "upper_lip_top"),
    *("left_upper_lip_peak", "left_upper_lip_side", "left_mouth_corner"),
    *("left_lower_lip_side", "left_lower_lip_peak", "lower_lip_bottom"),
    *("right_lower_lip_peak", "right_lower_lip_side"),
    *("right_mouth_inner_corner", "right_upper_lip_inner", "upper_lip_inner"),
    *("left_upper_lip_inner", "left_mouth_inner_corner", "left_lower_lip_inner"),
    *("lower_lip_inner", "right_lower_lip_inner"),
)

IBUG68_POLYLINES = {
    "jaw": outline(0, 16),
    "right_brow": outline(17, 21),
    "left_brow": outline(22, 26),
    "nose_bridge": outline(27, 30),
    "nose_base": outline(31, 35),
    "right_eye": outline(36, 41, closed=True),
    "left_eye": outline(42, 47, closed=True),
    "outer_lip": outline(48, 59, closed=True),
    "inner_lip": outline(60, 67, closed=True),
}

#: Brow ends and middles, eye corners, nose tip and alae, mouth corners, lip middles, chin.
IBUG68_POSE_POINTS = (
    *(17, 19, 21, 22, 24, 26),
    *(36, 39, 42, 45),
    *(30, 31, 35),
    *(48, 51, 54, 57, 8),
)

IBUG68 = LandmarkScheme(
    name="ibug68",
    n_points=68,
    point_names=IBUG68_NAMES,
    flip=flip_by_names(IBUG68_NAMES),
    polylines=IBUG68_POLYLINES,
    eye_corners=(36, 45),
    pupil_groups=(tuple(range(36, 42)), tuple(range(42, 48))),
    contour=tuple(range(17)),
    inner=tuple(range(17, 68)),
    pose_points=IBUG68_POSE_POINTS,
    source="Sagonas et al., 300 Faces in-the-Wild Challenge, ICCVW 2013, Fig. 1 (there from 1)",
)
