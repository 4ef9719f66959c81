"""A training batch of several data sets, drawn: what a method really sees of a mixture."""

from __future__ import annotations

from typing import Any

from lit_landmarks.data.index import FaceDataset
from lit_landmarks.data.module import LandmarkDataModule
from lit_landmarks.draw import LEGEND, FaceAnnotator, Image, contact_sheet
from lit_landmarks.errors import UserError
from lit_landmarks.schemes import CONVENTIONS
from lit_landmarks.types import DataSpec, FaceBatch

#: Batches that are drawn at most while looking for one that shows every set.
_TRIES = 50


def draw_batch(
    sets: dict[str, FaceDataset], faces: int, settings: dict[str, Any] | None = None
) -> tuple[Image, list[str]]:
    """The first training batch that holds a face of every set, with its labels, as pictures.

    Args:
        sets: name -> training set.
        faces: size of the batch.
        settings: further arguments of `LandmarkDataModule`.

    Returns:
        A contact sheet, sorted by data set, and what is in the batch as text.

    Raises:
        UserError: the batch is smaller than the number of sets, or a set is bad.
    """
    if faces < len(sets):
        raise UserError(f"a batch of {faces} cannot show {len(sets)} data sets; ask for more faces")
    module = LandmarkDataModule(train=sets, **((settings or {}) | {"batch_size": faces}))
    chosen = None
    for number in range(_TRIES):
        batch = next(module.batches("train", random=True, epoch=number))
        chosen = batch if chosen is None else chosen
        if len(set(batch.dataset_id.tolist())) == len(sets):
            chosen = batch
            break
    if chosen is None:
        raise AssertionError("an epoch has a batch")
    chosen = chosen.select(chosen.dataset_id.argsort(stable=True))
    return _sheet(chosen, module.spec), _lines(chosen, module.spec)


def _sheet(batch: FaceBatch, spec: DataSpec) -> Image:
    tiles, titles = [], []
    for row in range(len(batch)):
        own = spec.datasets[int(batch.dataset_id[row])]
        visible = batch.visible[row] if bool(batch.has_visible[row]) else None
        pose = batch.pose[row] if bool(batch.has_pose[row]) else None
        annotator = FaceAnnotator(own.scheme, zoom=max(1, round(200 / spec.frame_size)))
        tiles.append(
            annotator.annotate(
                batch.image[row],
                batch.points[row],
                mask=batch.mask[row],
                visible=visible,
                pose=pose,
            )
        )
        titles.append(f"{own.name} {int(batch.index[row])}")
    return contact_sheet(tiles, columns=8, titles=titles, legend=LEGEND[:1])


def _lines(batch: FaceBatch, spec: DataSpec) -> list[str]:
    lines = [
        f"{len(batch)} faces of {spec.n_points} points, "
        + (f"all in scheme {spec.scheme}" if spec.scheme else "each in its own scheme, padded")
    ]
    for number, own in enumerate(spec.datasets):
        rows = batch.dataset_id == number
        if not bool(rows.any()):
            lines.append(f"  {own.name:<16} no face in this batch ({own.size} in the set)")
            continue
        points = batch.mask[rows].sum(1)
        some = sorted(set(batch.convention_id[rows].tolist()))
        labels = [
            name
            for name in sorted(own.labels | {"pose"})
            if bool(getattr(batch, f"has_{name}")[rows].any())
        ]
        lines.append(
            f"  {own.name:<16}{int(rows.sum()):>4} of {own.size} faces, {own.scheme},"
            f" {int(points.min())} to {int(points.max())} points, convention"
            f" {', '.join(CONVENTIONS[i] for i in some)}, labels: {', '.join(labels) or 'points'}"
        )
    return lines
