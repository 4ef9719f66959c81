"""The label table: every column of labels is declared here, once.

`types.FaceBatch.of` fills absent columns from it, `data.FaceIndex` takes its shapes and types,
collate its fill values, and `data.BatchTransform` how each column moves under the warp.

Adding a label: a row in `LABEL_TABLE` and an attribute of `types.FaceBatch` (with `has_<name>` if
it is optional) and, if data sets give it, of `data.FaceIndex`. A test holds them together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

#: "N" points of a face, "K" denominators of NME (`types.NORMS`), "S" subsets.
Axis = int | Literal["N", "K", "S"]
Shape = tuple[Axis, ...]


@dataclass(frozen=True)
class Label:
    """One column of labels.

    Attributes:
        name: attribute of `FaceBatch`.
        shape: of one face.
        dtype: of the column.
        unit: "px" (pixels), "deg" (angles; translations beside them in face units), "head" (head
            frame) or "" (none).
        absent: value of a face without this label; an affine that is absent is the identity.
        similarity: change when the pixels of a face go through a similarity. "points": x and y
            through it, a third coordinate (depth) by its scale; "length": by its scale; "crop": it
            is the affine of the crop itself; "pose": the head turns with the image; "fixed": none.
        mirror: further change when the similarity mirrors. "permute": rows change places as the
            scheme's flip permutation says; "permute_negate_x": so, and x of the head frame changes
            its sign; "fixed": none.
        optional: a data set may lack it; `FaceBatch` then has a column `has_<name>`.
        index_shape: of one face in `FaceIndex`; None for what a data set does not give. Where it
            is smaller than `shape`, it is the first part of the last axis.
        loader_only: no column of `FaceBatch`, only of what the data loader hands out.

    Example:
        >>> get_label("mask").shape
        ('N',)
    """

    name: str
    shape: Shape
    dtype: torch.dtype
    unit: Literal["px", "deg", "head", ""]
    absent: float
    similarity: Literal["points", "length", "crop", "pose", "fixed"] = "fixed"
    mirror: Literal["permute", "permute_negate_x", "fixed"] = "fixed"
    optional: bool = False
    index_shape: Shape | None = None
    loader_only: bool = False

    def sizes(self, counts: Mapping[str, int]) -> tuple[int, ...]:
        """`shape` in numbers, given the length of each named axis."""
        return sizes(self.shape, counts)

    def present(self, values: Tensor) -> Tensor:
        """(B,) bool, which faces have the label: an int that is not `absent`, or finite floats.

        Args:
            values: (B, *shape) or (B, *index_shape); of the former only the part that `FaceIndex`
                has is looked at (for pose the angles).
        """
        if not self.dtype.is_floating_point:
            return (values != self.absent).flatten(1).any(1)
        last = self.index_shape[-1] if self.index_shape else None
        finite = values.isfinite() if last is None else values[..., : int(last)].isfinite()
        return finite.reshape(len(values), -1).all(1)


def sizes(shape: Shape, counts: Mapping[str, int]) -> tuple[int, ...]:
    """A shape in numbers, given the length of each named axis."""
    return tuple(counts[axis] if isinstance(axis, str) else axis for axis in shape)


_F, _I, _NAN = torch.float32, torch.int64, float("nan")

LABEL_TABLE: tuple[Label, ...] = (
    Label("frame_to_image", (2, 3), _F, "px", 0, "crop"),
    Label("points", ("N", 2), _F, "px", 0, "points", "permute", index_shape=("N", 2)),
    Label("mask", ("N",), torch.bool, "", 0, mirror="permute", index_shape=("N",)),
    Label(
        "visible", ("N",), torch.int8, "", -1, mirror="permute", optional=True, index_shape=("N",)
    ),
    Label(
        "points3d", ("N", 3), _F, "px", 0, "points", "permute", optional=True, index_shape=("N", 3)
    ),
    Label(
        "head3d",
        ("N", 3),
        _F,
        "head",
        0,
        mirror="permute_negate_x",
        optional=True,
        index_shape=("N", 3),
    ),
    Label("pose", (6,), _F, "deg", 0, "pose", optional=True, index_shape=(3,)),
    Label("pose_kind", (), _I, "", 0),
    Label("focal", (), _F, "px", _NAN, "length", optional=True, index_shape=()),
    Label("norms", ("K",), _F, "px", _NAN, "length"),
    Label("dataset_id", (), _I, "", 0),
    Label("convention_id", (), _I, "", 0),
    Label("subsets", ("S",), torch.bool, "", 0),
    Label("queries", ("N", 3), _F, "head", _NAN),
    Label("teacher", ("N", 2), _F, "px", _NAN, "points", "permute"),
    Label("track", (), _I, "", -1, index_shape=()),
    Label("time", (), _I, "", -1, index_shape=()),
    Label("index", (), _I, "", -1),
    Label("box", (4,), _F, "px", _NAN, index_shape=(4,), loader_only=True),
    Label("draw", (), _I, "", 0, loader_only=True),
)
_BY_NAME = {label.name: label for label in LABEL_TABLE}

#: Labels beside the points that a data set may carry; each has a `has_*` column in `FaceBatch`.
LABELS = tuple(label.name for label in LABEL_TABLE if label.optional)

#: Columns of `FaceBatch` with an entry for each point.
POINT_LABELS = tuple(label.name for label in LABEL_TABLE if "N" in label.shape)


def get_label(name: str) -> Label:
    """The row of `LABEL_TABLE` with this name.

    Raises:
        KeyError: there is none.
    """
    return _BY_NAME[name]


def absent_column(
    label: Label, faces: int, counts: Mapping[str, int], dtype: torch.dtype | None = None
) -> Tensor:
    """A column (faces, *shape) of faces that lack a label.

    Args:
        label: the row of the table.
        faces: B.
        counts: length of each named axis.
        dtype: instead of the label's own.

    Example:
        >>> absent_column(get_label("convention_id"), 2, {})
        tensor([0, 0])
    """
    dtype = dtype or label.dtype
    if label.similarity == "crop":
        return torch.eye(2, 3, dtype=dtype).repeat(faces, 1, 1)
    return torch.full((faces, *label.sizes(counts)), label.absent, dtype=dtype)


def complete_columns(
    image: Tensor, points: Tensor, labels: Mapping[str, Tensor], counts: Mapping[str, int]
) -> dict[str, Tensor]:
    """Every label column of a `FaceBatch`, from those that are given.

    Args:
        image: (B, 3, H, W).
        points: (B, N, 2); floating-point columns take its type.
        labels: some columns and `has_*` columns by name; a number stands for all faces.
        counts: length of the axes "K" and "S".

    Raises:
        ValueError: a name is unknown, or a column has another shape than its row says.
    """
    if points.ndim != 3 or points.shape[2] != 2 or image.ndim != 4 or len(image) != len(points):
        raise ValueError(
            f"image {tuple(image.shape)} and points {tuple(points.shape)} are not (B, 3, H, W) and"
            " (B, N, 2); give as many images as faces"
        )
    table = [label for label in LABEL_TABLE if not label.loader_only and label.name != "points"]
    names = {label.name for label in table} | {f"has_{name}" for name in LABELS}
    if unknown := sorted(set(labels) - names):
        raise ValueError(f"no label {unknown[0]!r}; there are: {', '.join(sorted(names))}")
    faces, counts = len(points), {**counts, "N": points.shape[1]}

    def column(name: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        values = torch.as_tensor(labels[name], device=points.device).to(dtype)
        values = values.expand(faces, *shape) if not values.ndim else values
        if values.shape != (faces, *shape):
            raise ValueError(
                f"{name} is {tuple(values.shape)}, not {(faces, *shape)}; give one row per face"
            )
        return values

    columns = {"image": image, "points": points}
    for label in table:
        dtype = points.dtype if label.dtype.is_floating_point else label.dtype
        if label.name in labels:
            columns[label.name] = column(label.name, label.sizes(counts), dtype)
        else:
            columns[label.name] = absent_column(label, faces, counts, dtype).to(points.device)
        if label.optional:
            name = f"has_{label.name}"
            no = torch.zeros(faces, dtype=torch.bool, device=points.device)
            here = label.present(columns[label.name]) if label.name in labels else no
            columns[name] = column(name, (), torch.bool) if name in labels else here
    annotated = points.isfinite().all(-1)
    columns["mask"] = columns["mask"] & annotated if "mask" in labels else annotated
    return columns
