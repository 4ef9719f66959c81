"""Maps between schemes, where the points of one are points of the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lit_landmarks.errors import UserError
from lit_landmarks.schemes.registry import get_scheme

if TYPE_CHECKING:
    from torch import Tensor

#: WFLW's point for each of iBUG's 68: every second contour point, the upper edge of the brows, the
#: lids without their middles. The contours agree only roughly: WFLW spaces its points evenly.
_WFLW98_FOR_IBUG68 = (
    *range(0, 33, 2),
    *range(33, 38),
    *range(42, 47),
    *range(51, 60),
    *(60, 61, 63, 64, 65, 67),
    *(68, 69, 71, 72, 73, 75),
    *range(76, 96),
)

#: iBUG's points for COFW's 29: brow ends and the middle of the upper edge, eye corners, nose, mouth
#: and chin. iBUG has no lower edge of the brow, no middle of a lid and no pupil.
_IBUG68_FOR_COFW29 = (
    *(17, 26, 21, 22),
    *(19, -1, 24, -1),
    *(36, 45, 39, 42),
    *(-1, -1, -1, -1),
    *(-1, -1),
    *(31, 35, 30, 33),
    *(48, 54),
    *(51, 62, 66, 57),
    8,
)
#: iBUG's points for AFLW's 19; it has no eye centres and no mouth centre.
_IBUG68_FOR_AFLW19 = (
    *(17, 19, 21, 22, 24, 26),
    *(36, -1, 39, 42, -1, 45),
    *(31, 30, 35),
    *(48, -1, 54),
    8,
)
#: COFW's points for AFLW's 19: the pupils stand for the eye centres; no brow or mouth centre.
_COFW29_FOR_AFLW19 = (
    *(0, -1, 2, 3, -1, 1),
    *(8, 16, 10, 11, 17, 9),
    *(18, 20, 19),
    *(22, -1, 23),
    28,
)


def _compose_maps(first: tuple[int, ...], second: tuple[int, ...]) -> tuple[int, ...]:
    """The map that applies `first` and then `second`."""
    return tuple(-1 if i < 0 else first[i] for i in second)


#: As from iBUG's 68, and the pupils.
_SYNTHETICS70_FOR_COFW29 = (*_IBUG68_FOR_COFW29[:16], 68, 69, *_IBUG68_FOR_COFW29[18:])
#: WFLW has the middles of the lids and the pupils too.
_WFLW98_FOR_COFW29 = (
    *_compose_maps(_WFLW98_FOR_IBUG68, _IBUG68_FOR_COFW29[:12]),
    *(62, 66, 70, 74, 96, 97),
    *_compose_maps(_WFLW98_FOR_IBUG68, _IBUG68_FOR_COFW29[18:]),
)
#: LaPa's points in the order of WFLW: all but the sides of the nose and the eye centres.
_LAPA106_FOR_WFLW98 = (
    *range(55),
    *range(58, 63),
    *range(66, 74),
    *range(75, 83),
    *range(84, 106),
)
#: AFLW's eye centres are points of their own here.
_LAPA106_FOR_AFLW19 = tuple(
    {7: 74, 10: 83}.get(k, -1 if i < 0 else _LAPA106_FOR_WFLW98[i])
    for k, i in enumerate(_compose_maps(_WFLW98_FOR_COFW29, _COFW29_FOR_AFLW19))
)
_WFLW98_FOR_LAPA106 = tuple(
    _LAPA106_FOR_WFLW98.index(i) if i in _LAPA106_FOR_WFLW98 else -1 for i in range(106)
)


@dataclass(frozen=True, eq=False)
class SchemeMap:
    """Map from the points of one scheme to those of another.

    Attributes:
        source, target: scheme names.
        source_index: (M_target,) int64, the source's number for each target point; -1 for none.

    Example:
        >>> import torch
        >>> ibug68 = get_map("wflw98", "ibug68")
        >>> points, mask = ibug68.apply(torch.zeros(2, 98, 2))
        >>> points.shape
        torch.Size([2, 68, 2])
    """

    source: str
    target: str
    source_index: Tensor

    @property
    def is_identity(self) -> bool:
        """True when both schemes are the same."""
        return self.source == self.target

    def apply(self, values: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Labels in the target's order.

        Args:
            values: (B, N_source, ...) points or any other label per point.
            mask: (B, N_source) bool, or None if all points are annotated.

        Returns:
            (B, N_target, ...) labels, 0 where the target has no counterpart, and
            (B, N_target) bool, False there.
        """
        index = self.source_index.to(values.device)
        mapped = index >= 0
        if mask is None:
            mask = values.new_ones(values.shape[:2]).bool()
        moved = values[:, index.clamp_min(0)]
        shape = (1, -1) + (1,) * (values.ndim - 2)
        moved = moved.masked_fill(~mapped.view(shape), 0)
        return moved, mask[:, index.clamp_min(0)] & mapped


_MAPS: dict[tuple[str, str], tuple[int, ...]] = {
    ("wflw98", "ibug68"): _WFLW98_FOR_IBUG68,
    ("wflw98", "face_synthetics70"): (*_WFLW98_FOR_IBUG68, 96, 97),
    ("lapa106", "wflw98"): _LAPA106_FOR_WFLW98,
    ("wflw98", "lapa106"): _WFLW98_FOR_LAPA106,
    ("lapa106", "ibug68"): _compose_maps(_LAPA106_FOR_WFLW98, _WFLW98_FOR_IBUG68),
    ("lapa106", "face_synthetics70"): (
        *_compose_maps(_LAPA106_FOR_WFLW98, _WFLW98_FOR_IBUG68),
        *(104, 105),
    ),
    ("lapa106", "cofw29"): _compose_maps(_LAPA106_FOR_WFLW98, _WFLW98_FOR_COFW29),
    ("lapa106", "aflw19"): _LAPA106_FOR_AFLW19,
    ("face_synthetics70", "ibug68"): tuple(range(68)),
    ("ibug68", "face_synthetics70"): (*range(68), -1, -1),
    ("ibug68", "cofw29"): _IBUG68_FOR_COFW29,
    ("ibug68", "aflw19"): _IBUG68_FOR_AFLW19,
    ("cofw29", "aflw19"): _COFW29_FOR_AFLW19,
    ("wflw98", "cofw29"): _WFLW98_FOR_COFW29,
    ("wflw98", "aflw19"): _compose_maps(_WFLW98_FOR_COFW29, _COFW29_FOR_AFLW19),
    ("face_synthetics70", "cofw29"): _SYNTHETICS70_FOR_COFW29,
    ("face_synthetics70", "aflw19"): _compose_maps(_SYNTHETICS70_FOR_COFW29, _COFW29_FOR_AFLW19),
    ("dense520", "ibug68"): tuple(range(68)),
    ("dense520_published", "ibug68"): tuple(range(68)),
    ("ibug68", "dense520"): (*range(68), *[-1] * 452),
    ("ibug68", "dense520_published"): (*range(68), *[-1] * 452),
}


def has_map(source: str, target: str) -> bool:
    """True if there is a map between the two schemes."""
    return source == target or (source, target) in _MAPS


def get_map(source: str, target: str) -> SchemeMap:
    """The map from one scheme to another; the identity if they are the same.

    Raises:
        UserError: an unknown scheme, or no map is defined between the two.
    """
    n_source = get_scheme(source).n_points
    get_scheme(target)
    if not has_map(source, target):
        targets = ", ".join([*sorted(b for a, b in _MAPS if a == source), f"{source} itself"])
        raise UserError(f"no map from scheme {source!r} to {target!r}; it has maps to: {targets}")
    index = range(n_source) if source == target else _MAPS[source, target]
    import torch  # schemes are listed and drawn without it

    return SchemeMap(source, target, torch.tensor(list(index), dtype=torch.int64))


def register_map(source: str, target: str, source_index: tuple[int, ...]) -> None:
    """Define a map at run time.

    Args:
        source: scheme of the labels.
        target: scheme that they become.
        source_index: for each target point the source's number, or -1.

    Raises:
        UserError: an unknown scheme, a wrong length or number, or the map exists with other points.
    """
    n_source, n_target = get_scheme(source).n_points, get_scheme(target).n_points
    if len(source_index) != n_target or not all(-1 <= i < n_source for i in source_index):
        raise UserError(
            f"map {source!r} to {target!r}: give {n_target} numbers from -1 to {n_source - 1}"
        )
    if source == target or _MAPS.setdefault((source, target), source_index) != source_index:
        raise UserError(f"the map from {source!r} to {target!r} exists already")
