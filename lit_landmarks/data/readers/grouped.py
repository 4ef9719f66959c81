"""Faces from single points that an annotation tool keeps apart: named by label, joined by group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from lit_landmarks.data.readers.imported import AnnotatedFace, Place
from lit_landmarks.errors import UserError

Box = tuple[float, float, float, float]


@dataclass
class Marks:
    """The points and boxes of one picture.

    Attributes:
        points: label, place, group and whether it is occluded, in the order of the file.
        boxes: group and x0, y0, x1, y1.
    """

    points: list[tuple[str, Place, str | None, bool]] = field(default_factory=list)
    boxes: list[tuple[str | None, Box]] = field(default_factory=list)


def group_marks(
    marks: Marks, image: str, where: str, size: tuple[int, int] | None, states: bool
) -> list[AnnotatedFace]:
    """The faces of one picture: the points of each group, or all points where there is no group.

    Points of a group that all have one label are numbered in the order of the file.

    Args:
        marks: of the picture.
        image: its name.
        where: file and row.
        size: width and height of the picture, as the file says.
        states: whether the file says which points are occluded.

    Raises:
        UserError: two points of a group have the same label.
    """
    groups = list(dict.fromkeys(group for _, _, group, _ in marks.points))
    faces = []
    for group in groups:
        points = [(label, place, hidden) for label, place, g, hidden in marks.points if g == group]
        if len(points) > 1 and len({label for label, _, _ in points}) == 1:
            points = [(str(k), place, hidden) for k, (_, place, hidden) in enumerate(points)]
        face = AnnotatedFace(image, where, {}, size=size, states=states)
        for label, place, hidden in points:
            if label in face.points:
                cure = "give the points of each face a group" if group is None else "correct it"
                raise UserError(f"two points {label[:40]!r} in one face, {where}; {cure}")
            face.points[label] = place
            if hidden:
                face.hidden.add(label)
        face.box = _box_of(marks, group, len(groups))
        faces.append(face)
    return faces


def _box_of(marks: Marks, group: str | None, n_groups: int) -> Box | None:
    """The one box of a group; where there is one face and one box they belong together."""
    boxes = [box for g, box in marks.boxes if g == group]
    if n_groups == 1 and len(marks.boxes) == 1:
        return marks.boxes[0][1]
    return boxes[0] if group is not None and len(boxes) == 1 else None


def common_count(counts: Sequence[int]) -> int:
    """The most frequent number, the larger of two; 0 for none."""
    return max(counts, key=lambda n: (counts.count(n), n)) if counts else 0
