"""AFLW's points without the ears: brows, eyes, nose, mouth and chin, each by ends and middle."""

from __future__ import annotations

from lit_landmarks.schemes.base import LandmarkScheme, both_sides, flip_by_names

_NAMES = (
    *both_sides("brow_outer", "brow_middle", "brow_inner"),
    *both_sides("eye_outer", "eye_center", "eye_inner"),
    *("right_ala", "nose_tip", "left_ala"),
    *("right_mouth_corner", "mouth_center", "left_mouth_corner"),
    "chin",
)

AFLW19 = LandmarkScheme(
    name="aflw19",
    n_points=19,
    point_names=_NAMES,
    flip=flip_by_names(_NAMES),
    polylines={
        "right_brow": ((0, 1, 2), False),
        "left_brow": ((3, 4, 5), False),
        "right_eye": ((6, 7, 8), False),
        "left_eye": ((9, 10, 11), False),
        "nose": ((12, 13, 14), False),
        "mouth": ((15, 16, 17), False),
    },
    eye_corners=(6, 11),
    pupil_groups=((7,), (10,)),
    contour=(18,),
    inner=tuple(range(18)),
    pose_points=(*(0, 2, 3, 5), *(6, 8, 9, 11), *(12, 13, 14), *(15, 17), 18),
    source="Koestinger et al., Annotated Facial Landmarks in the Wild, ICCVW 2011 (21 points), "
    "without the ears as in Zhu et al., Unconstrained Face Alignment via Cascaded Compositional "
    "Learning, CVPR 2016; pairs as in the HRNet loaders",
)
