"""LaPa's 106 points: WFLW's, and three more on each side of the nose and both eye centres."""

from __future__ import annotations

from lit_landmarks.schemes.base import LandmarkScheme, flip_by_names, outline
from lit_landmarks.schemes.wflw98 import WFLW98_NAMES

LAPA106_NAMES: tuple[str, ...] = (
    *WFLW98_NAMES[:55],
    # The nose from the right inner eye corner down, along the base, and up on the left.
    *("right_nose_root", "right_nose_side", "right_ala_upper"),
    *WFLW98_NAMES[55:60],
    *("left_ala_upper", "left_nose_side", "left_nose_root"),
    *WFLW98_NAMES[60:68],
    "right_eye_center",
    *WFLW98_NAMES[68:76],
    "left_eye_center",
    *WFLW98_NAMES[76:98],
)

LAPA106 = LandmarkScheme(
    name="lapa106",
    n_points=106,
    point_names=LAPA106_NAMES,
    flip=flip_by_names(LAPA106_NAMES),
    polylines={
        "jaw": outline(0, 32),
        "right_brow": outline(33, 41, closed=True),
        "left_brow": outline(42, 50, closed=True),
        "nose_bridge": outline(51, 54),
        "nose_base": outline(55, 65),
        "right_eye": outline(66, 73, closed=True),
        "left_eye": outline(75, 82, closed=True),
        "outer_lip": outline(84, 95, closed=True),
        "inner_lip": outline(96, 103, closed=True),
    },
    eye_corners=(66, 79),
    pupil_groups=((104,), (105,)),
    contour=tuple(range(33)),
    inner=tuple(range(33, 106)),
    pose_points=(
        *(33, 35, 37, 42, 44, 46),
        *(66, 70, 75, 79),
        *(54, 58, 62),
        *(84, 87, 90, 93, 16),
    ),
    source="Liu et al., A New Dataset and Boundary-Attention Semantic Segmentation for Face "
    "Parsing, AAAI 2020, the data set's numbered figure; pairs as published with its loaders. "
    "Which of the two points in an eye is its centre and which the pupil is not stated",
)
