"""One or several data sets as one torch data set that is read a batch at a time.

`CroppedFaces` joins the labels of a data set with its source crops; `ConcatFaces` maps several of
them to one target scheme (or pads them) and fetches a whole batch with one gather from the memory
map per data set, without a Python step per face; `MixSampler` says which faces, in which order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from lit_landmarks.data.batch import SourceBatch
from lit_landmarks.data.counter_rng import permutation
from lit_landmarks.data.crop_boxes import source_affines, source_squares
from lit_landmarks.data.index import FaceIndex
from lit_landmarks.labels import LABEL_TABLE, absent_column, get_label
from lit_landmarks.metrics import NORMS, norm_values
from lit_landmarks.schemes import convention_index, get_map, get_scheme
from lit_landmarks.template import placed_query_points
from lit_landmarks.types import POSE_KINDS, DatasetSpec

_ROWS_AT_ONCE = 8192


@dataclass
class CroppedFaces:
    """One data set in one role: labels, source crops and its place in the `DataSpec`.

    Attributes:
        spec: name, role, scheme it is delivered in, convention.
        own_scheme: scheme it is annotated in.
        index: labels in image pixels.
        crops: (n, S, S, 3) uint8 memory map, or None where only labels are wanted.
        size: S.
        scale: side of a source crop in units of the face box.
        dataset_id: its number in `DataSpec.datasets`.
        weight: how often each face is drawn in an epoch.
        teacher: (n, M, 2) landmarks in image pixels that another model predicts, as delivered.
    """

    spec: DatasetSpec
    own_scheme: str
    index: FaceIndex
    crops: NDArray[np.uint8] | None
    size: int
    scale: float
    dataset_id: int
    weight: float = 1.0
    teacher: NDArray[np.float32] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """For loader processes that are spawned: the file of the crops instead of its bytes."""
        state = dict(self.__dict__)
        if isinstance(self.crops, np.memmap):
            state["crops"] = str(self.crops.filename)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Map the crops again."""
        if isinstance(state["crops"], str):
            state["crops"] = np.load(state["crops"], mmap_mode="r", allow_pickle=False)
        self.__dict__.update(state)

    @cached_property
    def squares(self) -> NDArray[np.int64]:
        """(n, 3) squares of the source crops, image pixels."""
        return source_squares(self.index.box, self.scale)

    @property
    def boxes(self) -> NDArray[np.float64]:
        """(n, 4) face boxes in pixels of the source crops."""
        to_image = source_affines(self.squares, self.size).astype(np.float64)
        return (self.index.box - np.tile(to_image[:, :, 2], 2)) / to_image[:, 0, :1]

    @cached_property
    def norms(self) -> NDArray[np.float32]:
        """(n, K) NME denominators in image pixels, from all points of the set's own scheme."""
        norms = np.empty((len(self.index), len(NORMS)), np.float32)
        for start in range(0, len(norms), _ROWS_AT_ONCE):
            rows = slice(start, start + _ROWS_AT_ONCE)
            points = torch.from_numpy(self.index.points[rows])
            mask = torch.from_numpy(self.index.mask[rows])
            norms[rows] = norm_values(points, mask, get_scheme(self.own_scheme)).numpy()
        return norms

    @cached_property
    def queries(self) -> Tensor:
        """(N, 3) template points of the delivered scheme, NaN where there are none."""
        return placed_query_points(self.spec.scheme)

    def fetch(self, rows: NDArray[np.int64], n_points: int, subsets: tuple[str, ...]) -> Columns:
        """Pixels of some rows and their labels in image pixels, padded to `n_points`."""
        batch = len(rows)
        columns = self._labels(rows, n_points)
        if self._map is not None and self.index.points3d is not None:
            _center_depth(columns["points3d"], columns["mask"])
        query = _padded(self.queries.numpy()[None], n_points, np.nan)
        member = [self._subset(name)[rows] for name in subsets]
        columns |= {
            "frame_to_image": source_affines(self.squares[rows], self.size),
            "norms": self.norms[rows],
            "queries": np.broadcast_to(query, (batch, n_points, 3)),
            "subsets": np.stack(member, 1) if member else np.zeros((batch, 0), bool),
            "dataset_id": np.full(batch, self.dataset_id),
            "convention_id": np.full(batch, convention_index(self.spec.convention)),
            "index": rows,
            "pose_kind": np.full(batch, POSE_KINDS.index("given")),
        }
        teacher = get_label("teacher")
        if self.teacher is None:
            columns["teacher"] = absent_column(teacher, batch, {"N": n_points}).numpy()
        else:
            columns["teacher"] = _padded(self.teacher[rows], n_points, teacher.absent)
        if self.crops is not None:
            columns["image"] = np.asarray(self.crops)[rows]
        else:
            columns["image"] = np.zeros((batch, 0, 0, 3), np.uint8)
        return columns

    def _labels(self, rows: NDArray[np.int64], n_points: int) -> Columns:
        """Label columns of the index in the delivered scheme; `has_*` from what is finite."""
        columns: Columns = {}
        counts = {"N": self.index.points.shape[1]}
        for label in LABEL_TABLE:
            if label.index_shape is None:
                continue
            values = getattr(self.index, label.name)
            column = absent_column(label, len(rows), counts).numpy()
            if values is not None and label.index_shape == label.shape:
                column = values[rows]
            elif values is not None:
                column[..., : values.shape[-1]] = values[rows]
            if label.optional:
                given = values is not None
                present = label.present(torch.from_numpy(column)).numpy()
                columns[f"has_{label.name}"] = present & given
            if "N" in label.shape:
                column = self._in_scheme(column, n_points, label.absent)
            columns[label.name] = column
        return columns

    @cached_property
    def _map(self) -> NDArray[np.int64] | None:
        """Own point number for each delivered point; None if nothing moves."""
        mapping = get_map(self.own_scheme, self.spec.scheme)
        return None if mapping.is_identity else mapping.source_index.numpy()

    def _in_scheme(self, column: NDArray[Any], n_points: int, absent: float) -> NDArray[Any]:
        if self._map is not None:
            column = column[:, self._map.clip(0)]
            column[:, self._map < 0] = absent
        return _padded(column, n_points, absent)

    def _subset(self, name: str) -> NDArray[np.bool_]:
        column = self.index.subsets.get(name)
        return np.zeros(len(self.index), bool) if column is None else column


Columns = dict[str, NDArray[Any]]


def _center_depth(points: NDArray[np.float32], mask: NDArray[np.bool_]) -> None:
    """Count the depth of (B, M, 3) points from their mean again, of those that are labelled."""
    count = mask.sum(1, keepdims=True).clip(1)
    points[..., 2] -= np.where(mask, points[..., 2], 0).sum(1, keepdims=True) / count


def _padded(column: NDArray[Any], n_points: int, value: float) -> NDArray[Any]:
    """(B, M, ...) to (B, n_points, ...)."""
    missing = n_points - column.shape[1]
    if not missing:
        return column
    widths = [(0, 0), (0, missing)] + [(0, 0)] * (column.ndim - 2)
    return np.pad(column, widths, constant_values=value)


class ConcatFaces(Dataset[SourceBatch]):
    """Several prepared data sets, one after the other.

    Item i is face `i % total`, drawn for the `i // total`-th time; the data loader asks for whole
    batches through `__getitems__`. Item -1 is the first face with an `index` of -1: a repeat that
    fills up the share of a process (`shares.EvaluationShare`).

    Args:
        parts: the data sets.
        n_points: N of the batches; smaller schemes are padded and masked.
        subsets: columns of `FaceBatch.subsets`.
    """

    def __init__(
        self, parts: Sequence[CroppedFaces], n_points: int, subsets: tuple[str, ...]
    ) -> None:
        self.parts = tuple(parts)
        self.n_points = n_points
        self.subsets = subsets
        self.ends = np.cumsum([len(p.index) for p in self.parts])

    def __len__(self) -> int:
        """Number of faces of all parts."""
        return int(self.ends[-1])

    def __getitem__(self, item: int) -> SourceBatch:
        """A batch of one face."""
        return self.__getitems__([item])

    def __getitems__(self, items: Sequence[int]) -> SourceBatch:
        """The faces named by `items`, in this order."""
        chosen = np.asarray(items, np.int64)
        repeats = chosen < 0
        draw, face = np.divmod(np.where(repeats, 0, chosen), len(self))
        part_of = np.searchsorted(self.ends, face, side="right")
        used = np.unique(part_of)
        if len(used) == 1:
            columns = self._fetch(int(used[0]), face)
        else:
            places = [np.flatnonzero(part_of == p) for p in used]
            pieces = [self._fetch(int(p), face[w]) for p, w in zip(used, places, strict=True)]
            back = np.argsort(np.concatenate(places))
            columns = {
                name: np.concatenate([piece[name] for piece in pieces])[back]
                for name in pieces[0]
                if name != "image"
            }
            columns["image"] = _join_images([p["image"] for p in pieces], places)
        columns["draw"] = draw
        columns["index"] = np.where(repeats, -1, columns["index"])
        tensors = {f.name: _tensor(columns[f.name]) for f in fields(SourceBatch)}
        tensors["image"] = tensors["image"].permute(0, 3, 1, 2)
        return SourceBatch(**tensors)

    def _fetch(self, part: int, face: NDArray[np.int64]) -> Columns:
        start = self.ends[part] - len(self.parts[part].index)
        return self.parts[part].fetch(face - start, self.n_points, self.subsets)


def _tensor(column: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.require(column, requirements=["C", "W"]))


def _join_images(
    pieces: list[NDArray[np.uint8]], places: list[NDArray[np.intp]]
) -> NDArray[np.uint8]:
    """Crops of several sets in batch order, copied once."""
    joined = np.empty((sum(map(len, pieces)), *pieces[0].shape[1:]), np.uint8)
    for piece, place in zip(pieces, places, strict=True):
        joined[place] = piece
    return joined


class MixSampler(Sampler[int]):
    """The order of faces in an epoch, from (seed, epoch) alone.

    A weight says how often each face of a set is drawn per epoch: 2 draws all twice, 0.25 a random
    quarter, 1.5 all once and a random half again. Nothing is drawn twice before all were drawn.

    Args:
        faces: the mixed data sets; each part has its weight.
        seed: seed of the run.
    """

    def __init__(self, faces: ConcatFaces, seed: int) -> None:
        self.faces = faces
        self.seed = seed
        self.epoch = 0
        self._counts = [max(1, round(p.weight * len(p.index))) for p in faces.parts]

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; the trainer calls this."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Draws per epoch."""
        return sum(self._counts)

    def __iter__(self) -> Iterator[int]:
        """Items for `ConcatFaces`, shuffled over all sets."""
        drawn: list[Tensor] = []
        total = len(self.faces)
        for number, (part, count) in enumerate(zip(self.faces.parts, self._counts, strict=True)):
            n = len(part.index)
            start = int(self.faces.ends[number]) - n
            for draw in range(-(-count // n)):
                order = permutation(n, self.seed, self.epoch, part.dataset_id, draw)
                drawn.append(order[: count - draw * n] + start + draw * total)
        items = torch.cat(drawn)
        # Far from the counters above: -1 is no dataset_id.
        return iter(items[permutation(len(items), self.seed, self.epoch, -1)].tolist())


def identity_collate(batch: SourceBatch) -> SourceBatch:
    """The batch itself: collate function for `ConcatFaces`, which hands out whole batches."""
    return batch
