"""`LandmarkScheme`: the points of a shape, their names, mirror permutation, polylines and groups.

*Left* and *right* in point names are the subject's own. On a frontal face that is not mirrored,
the subject's right side lies on the image's left, and comes first in every scheme here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lit_landmarks.errors import UserError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

#: Point indices in drawing order, and whether the last joins the first.
Polyline = tuple[tuple[int, ...], bool]


@dataclass(frozen=True)
class LandmarkScheme:
    """The points of a scheme, numbered from 0.

    Attributes:
        name: registry key.
        n_points: N.
        point_names: N unique names in the field's terms.
        flip: permutation such that `points[flip]` of a mirrored image is in this scheme's order
            again; None if there is none.
        polylines: name -> (indices, closed), for drawing and edge maps.
        eye_corners: outer corners of the right and the left eye (interocular distance).
        pupil_groups: indices for the right and the left eye; their means are the pupil points
            (interpupil distance).
        contour: points on the jaw line, whose place depends on the convention.
        inner: all others.
        pose_points: points that hardly move with expression or view: those that POSIT uses
            (the choice of SPIGA's pose labels). All points if empty.
        source: where the numbering is from.
    """

    name: str
    n_points: int
    point_names: tuple[str, ...]
    flip: tuple[int, ...] | None
    polylines: dict[str, Polyline] = field(hash=False)
    eye_corners: tuple[int, int]
    pupil_groups: tuple[tuple[int, ...], tuple[int, ...]]
    contour: tuple[int, ...]
    inner: tuple[int, ...]
    pose_points: tuple[int, ...] = ()
    source: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        """Refuse a description that contradicts itself.

        Raises:
            UserError: names, indices, groups or the permutation do not fit together.
        """
        n = self.n_points
        if len(self.point_names) != n or len(set(self.point_names)) != n:
            raise UserError(f"scheme {self.name!r}: give {n} different point names")
        used = [*self.eye_corners, *self.pupil_groups[0], *self.pupil_groups[1], *self.pose_points]
        used += [index for indices, _ in self.polylines.values() for index in indices]
        if any(not 0 <= index < n for index in used):
            raise UserError(f"scheme {self.name!r}: a point index lies outside 0..{n - 1}")
        if sorted(self.contour + self.inner) != list(range(n)):
            raise UserError(f"scheme {self.name!r}: contour and inner must split 0..{n - 1}")
        flip = self.flip
        if flip is not None and (
            len(flip) != n or any(not 0 <= j < n or flip[j] != i for i, j in enumerate(flip))
        ):
            raise UserError(f"scheme {self.name!r}: flipping twice must give every point back")

    def index(self, point_name: str) -> int:
        """Number of the point with a given name.

        Raises:
            UserError: the scheme has no point of this name.
        """
        if point_name not in self.point_names:
            raise UserError(f"scheme {self.name!r} has no point {point_name!r}")
        return self.point_names.index(point_name)

    def pose_mask(self, device: torch.device | str | None = None) -> Tensor:
        """(N,) bool, True at `pose_points` (everywhere if the scheme names none)."""
        import torch  # schemes are listed and drawn without it

        mask = torch.full((self.n_points,), not self.pose_points, device=device)
        mask[list(self.pose_points)] = True
        return mask


def swap_sides(point_name: str) -> str:
    """The name of the mirrored point: left and right change places."""
    other = {"left": "right", "right": "left"}
    return "_".join(other.get(word, word) for word in point_name.split("_"))


def flip_by_names(point_names: tuple[str, ...]) -> tuple[int, ...]:
    """The left-right permutation that the names imply.

    Raises:
        UserError: a name whose mirror image is missing.
    """
    place = {name: i for i, name in enumerate(point_names)}
    lost = [name for name in point_names if swap_sides(name) not in place]
    if lost:
        raise UserError(f"point {lost[0]!r} needs a partner called {swap_sides(lost[0])!r}")
    return tuple(place[swap_sides(name)] for name in point_names)


def both_sides(*parts: str) -> tuple[str, ...]:
    """Names of a part on the right side, as given, then on the left in mirrored order.

    Every scheme here runs from the image's left to its right on a frontal face, so the left
    half reads backwards.
    """
    right = tuple(f"right_{part}" for part in parts)
    return right + tuple(swap_sides(name) for name in reversed(right))


def outline(first: int, last: int, closed: bool = False) -> Polyline:
    """The polyline through `first`, ..., `last`, both included."""
    return tuple(range(first, last + 1)), closed
