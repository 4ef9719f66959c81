"""Which entries of a method's tensors belong to which landmarks.

With it, `init_from` carries weights from one scheme to another, landmark by landmark.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lit_landmarks.schemes import LandmarkScheme

#: Names under which schemes have the middle of an eye, right and left.
_EYE_CENTERS = tuple(
    tuple(f"{side}_{name}" for name in ("eye", "pupil", "eye_center", "eye_centre"))
    for side in ("right", "left")
)


@dataclass(frozen=True)
class LandmarkAxis:
    """An axis of a tensor that begins with a block of entries for each landmark.

    Entries behind the blocks belong to no landmark.

    Attributes:
        dim: the axis.
        block: entries of each landmark.
        chosen: name of the buffer that lists the landmarks of the blocks; None: all, in order.
        output: the entries compute coordinates linearly, so that the mean of several landmarks'
            entries computes the mean of these landmarks.
    """

    dim: int
    block: int
    chosen: str | None = None
    output: bool = True


def match_landmarks(
    ours: Sequence[str], theirs: Sequence[str], their_scheme: LandmarkScheme | None
) -> list[tuple[int, ...]]:
    """For each point the points of another scheme that have the same place.

    Names mean the same point in every scheme. The middle of an eye, where the other scheme has no
    such point, is the mean of the points around the eye.

    Args:
        ours: names of the points.
        theirs: names of the other scheme's points.
        their_scheme: the other scheme, if it is a built-in one.

    Returns:
        For each of our points: one point of theirs, several of which it is the mean, or none.

    Example:
        >>> from lit_landmarks.schemes import get_scheme
        >>> ibug68 = get_scheme("ibug68")
        >>> match_landmarks(["nose_tip", "right_eye", "ear"], ibug68.point_names, ibug68)
        [(30,), (36, 37, 38, 39, 40, 41), ()]
    """
    places = {name: index for index, name in enumerate(theirs)}
    matches: list[tuple[int, ...]] = []
    for name in ours:
        side = next((i for i, names in enumerate(_EYE_CENTERS) if name in names), None)
        alike = [
            places[n] for n in (name, *(() if side is None else _EYE_CENTERS[side])) if n in places
        ]
        if alike:
            matches.append((alike[0],))
        elif side is not None and their_scheme is not None:
            matches.append(tuple(their_scheme.pupil_groups[side]))
        else:
            matches.append(())
    return matches
