"""FaceSynthetics' 70 points: the 68 of iBUG, then the right and the left pupil."""

from __future__ import annotations

from lit_landmarks.schemes.base import LandmarkScheme, flip_by_names
from lit_landmarks.schemes.ibug68 import IBUG68_NAMES, IBUG68_POLYLINES, IBUG68_POSE_POINTS

_NAMES = (*IBUG68_NAMES, "right_pupil", "left_pupil")

FACE_SYNTHETICS70 = LandmarkScheme(
    name="face_synthetics70",
    n_points=70,
    point_names=_NAMES,
    flip=flip_by_names(_NAMES),
    polylines=IBUG68_POLYLINES,
    eye_corners=(36, 45),
    pupil_groups=((68,), (69,)),
    contour=tuple(range(17)),
    inner=tuple(range(17, 70)),
    pose_points=IBUG68_POSE_POINTS,
    source="Wood et al., Fake It Till You Make It, ICCV 2021 (public data set)",
)
