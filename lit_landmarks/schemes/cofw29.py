"""COFW's 29 points (those of LFPW): corners and middles only, pairs side by side, pupils, chin."""

from __future__ import annotations

from lit_landmarks.schemes.base import LandmarkScheme, flip_by_names

_NAMES = (
    *("right_brow_outer", "left_brow_outer", "right_brow_inner", "left_brow_inner"),
    *("right_brow_upper", "right_brow_lower", "left_brow_upper", "left_brow_lower"),
    *("right_eye_outer", "left_eye_outer", "right_eye_inner", "left_eye_inner"),
    *("right_eye_upper", "right_eye_lower", "left_eye_upper", "left_eye_lower"),
    *("right_pupil", "left_pupil"),
    *("right_ala", "left_ala", "nose_tip", "subnasale"),
    *("right_mouth_corner", "left_mouth_corner"),
    *("upper_lip_top", "upper_lip_inner", "lower_lip_inner", "lower_lip_bottom"),
    "chin",
)

COFW29 = LandmarkScheme(
    name="cofw29",
    n_points=29,
    point_names=_NAMES,
    flip=flip_by_names(_NAMES),
    polylines={
        "right_brow": ((0, 4, 2, 5), True),
        "left_brow": ((1, 6, 3, 7), True),
        "right_eye": ((8, 12, 10, 13), True),
        "left_eye": ((9, 14, 11, 15), True),
        "nose": ((18, 20, 19, 21), True),
        "upper_lip": ((22, 24, 23, 25), True),
        "lower_lip": ((22, 26, 23, 27), True),
    },
    eye_corners=(8, 9),
    pupil_groups=((16,), (17,)),
    contour=(28,),
    inner=tuple(range(28)),
    pose_points=(*(0, 1, 2, 3), *(8, 9, 10, 11), *(18, 19, 20), *(22, 23, 24, 27), 28),
    source="Burgos-Artizzu et al., Robust Face Landmark Estimation under Occlusion, ICCV 2013; "
    "pairs as in the HRNet (Wang et al., TPAMI 2020) and edges as in the STAR (CVPR 2023) loaders",
)
