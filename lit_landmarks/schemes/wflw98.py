"""WFLW's 98 points: a dense contour, brows with an upper and a lower edge, lids of 8, pupils."""

from __future__ import annotations

from lit_landmarks.schemes.base import LandmarkScheme, flip_by_names, outline
from lit_landmarks.schemes.ibug68 import IBUG68_NAMES

_RIGHT_EYE = (
    *("outer", "upper_outer", "upper_middle", "upper_inner"),
    *("inner", "lower_inner", "lower_middle", "lower_outer"),
)
_LEFT_EYE = (
    *("inner", "upper_inner", "upper_middle", "upper_outer"),
    *("outer", "lower_outer", "lower_middle", "lower_inner"),
)

WFLW98_NAMES: tuple[str, ...] = (
    *(f"right_jaw_{i}" for i in range(1, 17)),
    "chin",
    *(f"left_jaw_{i}" for i in range(16, 0, -1)),
    # The right brow runs along its upper edge to the nose and back below; the left one starts at
    # the nose, runs out along the upper edge and back below.
    *(f"right_brow_upper_{i}" for i in range(1, 6)),
    *(f"right_brow_lower_{i}" for i in range(4, 0, -1)),
    *(f"left_brow_upper_{i}" for i in range(5, 0, -1)),
    *(f"left_brow_lower_{i}" for i in range(1, 5)),
    *IBUG68_NAMES[27:36],
    *(f"right_eye_{part}" for part in _RIGHT_EYE),
    *(f"left_eye_{part}" for part in _LEFT_EYE),
    *IBUG68_NAMES[48:68],
    *("right_pupil", "left_pupil"),
)

WFLW98 = LandmarkScheme(
    name="wflw98",
    n_points=98,
    point_names=WFLW98_NAMES,
    flip=flip_by_names(WFLW98_NAMES),
    polylines={
        "jaw": outline(0, 32),
        "right_brow": outline(33, 41, closed=True),
        "left_brow": outline(42, 50, closed=True),
        "nose_bridge": outline(51, 54),
        "nose_base": outline(55, 59),
        "right_eye": outline(60, 67, closed=True),
        "left_eye": outline(68, 75, closed=True),
        "outer_lip": outline(76, 87, closed=True),
        "inner_lip": outline(88, 95, closed=True),
    },
    eye_corners=(60, 72),
    pupil_groups=((96,), (97,)),
    contour=tuple(range(33)),
    inner=tuple(range(33, 98)),
    pose_points=(
        *(33, 35, 37, 42, 44, 46),
        *(60, 64, 68, 72),
        *(54, 55, 59),
        *(76, 79, 82, 85, 16),
    ),
    source="Wu et al., Look at Boundary, CVPR 2018, and the data set's numbered figure",
)
