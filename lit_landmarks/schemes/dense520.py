"""520 points spread over the whole face, of which the first 68 are iBUG's.

Two schemes of one size, which share their first 68 points and nothing else:

`dense520` is our own set: symmetric, so that mirroring is a permutation, and farthest-point sampled
(`template.dense`): any first part of the 452 extra points is itself spread over the face.

`dense520_published` is the list of Basak et al. (arXiv 2308.15170), which lies in files of its
owners beside PRNet's maps. Their list is in ascending order of vertex numbers and has no symmetry;
here its 68 come first (`published_order`), and the other entries follow as listed.
"""

from __future__ import annotations

from collections.abc import Sequence

from lit_landmarks.errors import UserError
from lit_landmarks.schemes.base import LandmarkScheme, flip_by_names
from lit_landmarks.schemes.ibug68 import IBUG68_NAMES, IBUG68_POLYLINES, IBUG68_POSE_POINTS

#: Extra points on the midline, and on each side of it: 68 + 12 + 2 * 220 = 520.
N_MIDDLE, N_SIDE = 12, 220
N_DENSE = 68 + N_MIDDLE + 2 * N_SIDE

_NAMES = (
    *IBUG68_NAMES,
    *(f"middle_surface_{i}" for i in range(1, N_MIDDLE + 1)),
    *(f"right_surface_{i}" for i in range(1, N_SIDE + 1)),
    *(f"left_surface_{i}" for i in range(1, N_SIDE + 1)),
)

DENSE520 = LandmarkScheme(
    name="dense520",
    n_points=N_DENSE,
    point_names=_NAMES,
    flip=flip_by_names(_NAMES),
    polylines=IBUG68_POLYLINES,
    eye_corners=(36, 45),
    pupil_groups=(tuple(range(36, 42)), tuple(range(42, 48))),
    contour=tuple(range(17)),
    inner=tuple(range(17, N_DENSE)),
    pose_points=IBUG68_POSE_POINTS,
    source="our own symmetric farthest-point set, after Basak et al., arXiv 2308.15170",
)

DENSE520_PUBLISHED = LandmarkScheme(
    name="dense520_published",
    n_points=N_DENSE,
    point_names=(*IBUG68_NAMES, *(f"published_{i}" for i in range(1, N_DENSE - 67))),
    flip=None,
    polylines=IBUG68_POLYLINES,
    eye_corners=(36, 45),
    pupil_groups=(tuple(range(36, 42)), tuple(range(42, 48))),
    contour=tuple(range(17)),
    inner=tuple(range(17, N_DENSE)),
    pose_points=IBUG68_POSE_POINTS,
    source="Basak et al., arXiv 2308.15170, list of 520 vertices; its 68 moved to the front",
)


def published_order(places_of_68: Sequence[int]) -> tuple[int, ...]:
    """Positions in the published list in the order of `dense520_published`.

    Args:
        places_of_68: for each of iBUG's 68 points its position in the list of 520.

    Returns:
        520 positions: the 68, then all others, ascending.

    Raises:
        UserError: not 68 different positions in 0..519.
    """
    first = [int(place) for place in places_of_68]
    places = set(first)
    if len(first) != 68 or len(places) != 68 or not all(0 <= p < N_DENSE for p in first):
        raise UserError(
            f"{len(places)} different places of {len(first)} for the 68 points in the dense list;"
            f" give 68 different numbers from 0 to {N_DENSE - 1}"
        )
    return (*first, *(place for place in range(N_DENSE) if place not in places))
