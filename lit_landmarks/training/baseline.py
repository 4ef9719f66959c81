"""Error of the mean shape: what is scored without looking at a picture, beside every result.

The mean of the training shapes, each in the crop that a method receives, is put into the crop of
each evaluated face. A model that does not beat it has learnt nothing from the pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from torch import Tensor

from lit_landmarks.data import LandmarkDataModule
from lit_landmarks.data.batch import SourceBatch
from lit_landmarks.data.framing import place_crops
from lit_landmarks.labels import get_label
from lit_landmarks.metrics.functional import nme
from lit_landmarks.types import NORMS, DataSpec, Role

#: Name of the figure: `val/nme_mean_shape`, and `val/<data set>/nme_mean_shape`.
MEAN_SHAPE = "nme_mean_shape"
#: Enough shapes for a mean; of more faces as many are taken at equal steps.
_SHAPES = 20_000
_LABEL_BATCH = 1024


def mean_shapes(data: LandmarkDataModule) -> dict[str, Tensor]:
    """Mean of the training shapes of each scheme, in crops without augmentation.

    Args:
        data: its labels are read, its pictures are not.

    Returns:
        scheme -> (N, 2) crop pixels; NaN for a point that no training face has.
    """
    sums: dict[str, Tensor] = {}
    counts: dict[str, Tensor] = {}
    for batch, points, _ in _crops(data, "train", _SHAPES):
        for dataset in set(batch.dataset_id.tolist()):
            scheme = data.spec.datasets[dataset].scheme
            rows = batch.dataset_id == dataset
            mask = batch.mask[rows]
            shapes = points[rows].double().masked_fill(~mask[..., None], 0.0)
            sums[scheme] = sums.get(scheme, 0.0) + shapes.sum(0)
            counts[scheme] = counts.get(scheme, 0) + mask.sum(0)
    return {scheme: sums[scheme] / counts[scheme][:, None] for scheme in sums}


def measure_mean_shape(
    data: LandmarkDataModule, role: Role, means: Mapping[str, Tensor]
) -> dict[str, float]:
    """NME in percent of the mean shape on the data sets of a role, each under its primary norm.

    Args:
        data: the data module.
        role: val or test.
        means: from `mean_shapes`.

    Returns:
        `{role}/{data set}/nme_mean_shape`, and the mean over those data sets that `{role}/nme`
        counts as `{role}/nme_mean_shape`; a set whose scheme or norm leaves nothing to measure is
        left out.
    """
    totals: dict[str, tuple[float, int]] = {}
    for batch, points, norms in _crops(data, role):
        for number in set(batch.dataset_id.tolist()):
            spec = data.spec.datasets[number]
            if spec.scheme not in means:
                continue
            rows = batch.dataset_id == number
            shape = means[spec.scheme]
            mask = batch.mask[rows] & shape.isfinite().all(1)
            norm = norms[rows, NORMS.index(spec.primary_norm)]
            errors = nme(shape.nan_to_num().expand(len(mask), -1, -1), points[rows], norm, mask)
            errors = errors[~errors.isnan()]
            total, count = totals.get(spec.name, (0.0, 0))
            totals[spec.name] = total + float(errors.sum()), count + len(errors)
    figures = {
        f"{role}/{name}/{MEAN_SHAPE}": total / count
        for name, (total, count) in totals.items()
        if count
    }
    left_out = {d.name for d in data.spec.in_role(role) if role == "test" and d.chosen_on}
    counted = [v for k, v in figures.items() if k.split("/")[1] not in left_out]
    if counted:
        figures[f"{role}/{MEAN_SHAPE}"] = sum(counted) / len(counted)
    return figures


def describe_unbeaten(metrics: Mapping[str, float | None], spec: DataSpec) -> str | None:
    """One line naming the data sets on which a model is no better than the mean shape.

    Args:
        metrics: final metrics.
        spec: of the data, for the names and norms of the sets.

    Returns:
        The line, or None where every set is better.
    """
    unbeaten: list[str] = []
    for dataset in spec.datasets:
        place = f"{dataset.role}/{dataset.name}"
        mean = metrics.get(f"{place}/{MEAN_SHAPE}")
        if mean is None:
            continue
        own = metrics.get(f"{place}/nme_{dataset.primary_norm}")
        if own is None or math.isnan(own) or own >= mean:
            figure = "no number" if own is None or math.isnan(own) else f"{own:.2f} %"
            unbeaten.append(f"{place} ({figure}, mean shape {mean:.2f} %)")
    if not unbeaten:
        return None
    return (
        f"warning: no better than the mean shape of the training faces on {', '.join(unbeaten)}; "
        "check the labels (`data check`), train for more epochs, or start from trained weights "
        "(model.init_args.init_from)"
    )


def _crops(
    data: LandmarkDataModule, role: Role, most: int | None = None
) -> Iterator[tuple[SourceBatch, Tensor, Tensor]]:
    """Labels of a role without pixels, with points (B, N, 2) and norms (B, K) in crop pixels."""
    faces = data.faces(role, pixels=False)
    if faces is None:
        return
    step = 1 if most is None else math.ceil(len(faces) / most)
    items = range(0, len(faces), step)
    for start in range(0, len(items), _LABEL_BATCH):
        batch = faces.__getitems__(items[start : start + _LABEL_BATCH])
        placement = place_crops(batch.box, batch.frame_to_image, data.crop, None)
        norms = placement.move(get_label("norms"), batch.norms)
        yield batch, placement.to_crop(batch.points), norms
