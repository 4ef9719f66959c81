"""Stability of landmarks: jitter on still faces; flicker, acceleration and NMF on tracks.

A still face is cut again and again with small, exact changes that leave the face as it is: shifts
by parts of a pixel, zooms, noise. Landmarks are mapped back to the image, where they should stay;
jitter is the root mean square of their distance from their own mean. The warp that cuts the crops
adds up to 1/64 pixel of its own on a CPU, where OpenCV interpolates at 1/32 pixel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from lit_landmarks.analysis.batches import iterate_crops
from lit_landmarks.analysis.records import Array
from lit_landmarks.console import print_figures
from lit_landmarks.data import AugmentationParams, LandmarkDataModule, SourceBatch
from lit_landmarks.data.counter_rng import uniform
from lit_landmarks.draw.plots import bar_plot, save_figure
from lit_landmarks.errors import UserError
from lit_landmarks.geometry import affine_scale, transform_points
from lit_landmarks.metrics.families import MotionFamily
from lit_landmarks.metrics.family import EvaluatedBatch
from lit_landmarks.metrics.functional import group_means, percentiles
from lit_landmarks.metrics.groups import POINT_GROUPS, FaceGroups
from lit_landmarks.metrics.suite import suite_layout
from lit_landmarks.training.run_directory import write_json
from lit_landmarks.types import FaceBatch, Prediction, Role

#: What a method says of the faces of a batch, in pixels of their crops.
Predict = Callable[[FaceBatch], Prediction]

#: Crops of each face: shifts along each axis, zooms, draws of noise.
_SHIFTS, _ZOOMS, _NOISES = 4, 5, 8
_UNITS = ("percent", "pixels")


@dataclass(frozen=True)
class Disturbances:
    """Small changes of a crop that leave the face as it is.

    Attributes:
        shift: in pixels of the crop. Shifts lie at the middles of the 4 x 4 cells of a square that
            reaches so far to each side. With half a pixel they sample the pixel evenly: a method
            that rounds to whole pixels then jitters by sqrt((1 - 1/16) / 6) of one.
        zoom: largest relative change of size; five sizes, evenly in the logarithm.
        noise: standard deviation of Gaussian noise in units of white; eight draws.

    Raises:
        UserError: a size is out of range.
    """

    shift: float = 0.5
    zoom: float = 0.01
    noise: float = 0.02

    def __post_init__(self) -> None:
        """Refuse sizes that are not small."""
        for name, most in (("shift", 16.0), ("zoom", 0.5), ("noise", 1.0)):
            value = getattr(self, name)
            if not (math.isfinite(value) and 0 < value <= most):
                raise UserError(f"--{name} is {value}; give a number above 0, at most {most:g}")

    def crops(self, batch: SourceBatch, size: int) -> dict[str, list[AugmentationParams]]:
        """The crops of B faces under each kind of disturbance.

        Args:
            batch: the faces, by which noise is drawn.
            size: of a crop in pixels.
        """
        still = AugmentationParams.neutral(len(batch), batch.image.device)
        steps = [(2 * k + 1 - _SHIFTS) / _SHIFTS * self.shift / size for k in range(_SHIFTS)]
        sizes = torch.linspace(-1.0, 1.0, _ZOOMS).mul(math.log1p(self.zoom)).exp().tolist()
        starts = uniform(0, 0, batch.dataset_id, batch.index, _NOISES)
        sigma = torch.full_like(still.noise, self.noise)
        return {
            "shift": [
                replace(still, shift=still.shift + still.shift.new_tensor([x, y]))
                for x in steps
                for y in steps
            ],
            "zoom": [replace(still, scale=still.scale * factor) for factor in sizes],
            "noise": [replace(still, noise=sigma, noise_start=start) for start in starts.unbind(1)],
        }


@dataclass(frozen=True)
class StillJitter:
    """RMS jitter of F faces of one data set, each over its crops and landmarks.

    Attributes:
        norm: the data set's primary norm.
        jitter: kind of disturbance -> (F, 2, P) in percent of the norm and in pixels of the
            undisturbed crop, by `POINT_GROUPS`; NaN where the scheme has no such landmarks.
    """

    norm: str
    jitter: Mapping[str, Array]

    def figures(self) -> dict[str, Any]:
        """Mean, median and 95th percentile over faces, by kind, landmarks and unit."""
        faces = len(next(iter(self.jitter.values())))
        kinds = {
            kind: {
                group: {unit: summarize(values[:, row, column]) for row, unit in enumerate(_UNITS)}
                for column, group in enumerate(POINT_GROUPS)
                if not np.isnan(values[:, :, column]).all()
            }
            for kind, values in self.jitter.items()
        }
        return {"norm": self.norm, "faces": faces, **kinds}


def summarize(values: Array) -> dict[str, float]:
    """Mean, median and 95th percentile of the values that are not NaN.

    Example:
        >>> summarize(np.array([1.0, 2.0, np.nan, 6.0]))
        {'mean': 3.0, 'median': 2.0, 'p95': 5.6}
    """
    measured = np.sort(values[~np.isnan(values)])
    if not len(measured):
        return dict.fromkeys(("mean", "median", "p95"), math.nan)
    median, p95 = percentiles(torch.from_numpy(measured)[None], (50, 95))[0].tolist()
    return {"mean": float(measured.mean()), "median": median, "p95": p95}


def measure_still(
    predict: Predict,
    data: LandmarkDataModule,
    role: Role,
    disturbances: Disturbances,
    faces: int = 200,
    device: torch.device | str = "cpu",
) -> dict[str, StillJitter]:
    """Jitter of landmarks on the faces of a role, by data set.

    Args:
        predict: the method.
        data: the data module.
        role: train, val or test.
        disturbances: of the crops.
        faces: at most so many of each data set, spread evenly over it.
        device: where to run.
    """
    groups = FaceGroups(data.spec, role).to(device)
    parts: dict[str, dict[str, list[Array]]] = {}
    with torch.no_grad():
        title = f"jitter on faces of {role}"
        for name, crops in iterate_crops(data, role, device, title=title, most=faces):
            for kind, values in _jitter(predict, data, crops, groups, disturbances).items():
                parts.setdefault(name, {}).setdefault(kind, []).append(values)
    norms = {entry.name: entry.primary_norm for entry in data.spec.in_role(role)}
    return {
        name: StillJitter(norms[name], {k: np.concatenate(v) for k, v in kinds.items()})
        for name, kinds in parts.items()
    }


def _jitter(
    predict: Predict,
    data: LandmarkDataModule,
    batch: SourceBatch,
    groups: FaceGroups,
    disturbances: Disturbances,
) -> dict[str, Array]:
    """Kind -> (B, 2, P) of the faces of one batch."""
    still = data.transform(batch, random=False)
    members = groups.members(still)
    norm = groups.primary_norm(still.norms, members)
    if bool(norm.isnan().any()):  # a face without the labels that it needs
        own = groups.norms_of(predict(still).points.float(), still)
        norm = torch.where(norm.isnan(), groups.primary_norm(own, members), norm)
    to_pixels = 1.0 / affine_scale(still.frame_to_image.double())
    units = torch.stack([100.0 * to_pixels / norm, to_pixels], 1)
    results: dict[str, Array] = {}
    for kind, crops in disturbances.crops(batch, data.crop.size).items():
        placed = []
        for params in crops:
            faces = data.transform(batch, random=False, params=params)
            affine = faces.frame_to_image.double()
            placed.append(transform_points(affine, predict(faces).points.double()))
        points = torch.stack(placed)
        spread = (points - points.mean(0)).square().sum(-1).mean(0)
        spread = torch.where(spread.isnan(), torch.inf, spread)  # a prediction that is no number
        spread = torch.where(groups.scheme_points(still), spread, torch.nan)
        jitter = group_means(spread, groups.points(still)).sqrt()
        results[kind] = (units[:, :, None] * jitter[:, None]).cpu().numpy()
    return results


def measure_tracks(
    predict: Predict, data: LandmarkDataModule, role: Role, device: torch.device | str = "cpu"
) -> dict[str, float]:
    """Flicker, acceleration and NMF of the data sets that are video, under their usual keys.

    Args:
        predict: the method.
        data: the data module.
        role: train, val or test.
        device: where to run.

    Returns:
        Key -> figure, as in result.json; empty without tracks.
    """
    layout, family = suite_layout(data.spec, role), MotionFamily()
    layout.faces.to(device)
    metric = family.make(layout).to(device)
    measured = False
    with torch.no_grad():
        title = f"tracks of {role}"
        for _, crops in iterate_crops(data, role, device, title=title, tracks=True):
            faces = data.transform(crops, random=False)
            family.update(metric, EvaluatedBatch(predict(faces), faces, layout))
            measured = True
    if not measured:
        return {}
    table = family.table(metric, layout)
    return {
        group.key(role, name): value
        for group, row in zip(layout.faces.groups, table, strict=True)
        for name, value in family.figures(layout, group, row).items()
    }


def print_stability(
    still: Mapping[str, StillJitter], tracks: Mapping[str, float], console: Console
) -> None:
    """Prints the median jitter of each data set and kind, and the figures of tracks."""
    rows = []
    for name, result in still.items():
        for kind, values in result.jitter.items():
            percent = [summarize(column)["median"] for column in values[:, 0].T]
            pixels = summarize(values[:, 1, 0])["median"]
            rows.append((name, kind, *(f"{figure:.3f}" for figure in (*percent, pixels))))
    title = "RMS jitter of still faces, median over faces"
    figures = ("% of the norm", *POINT_GROUPS[1:], "pixels of the crop")
    print_figures(title, ("data set", "disturbed by", *figures), rows, labels=2, console=console)
    if tracks:
        motion = [(key, f"{value:.3f}") for key, value in tracks.items()]
        print_figures("tracks", ("figure", "value"), motion, console=console)


def write_stability(
    still: Mapping[str, StillJitter],
    tracks: Mapping[str, float],
    disturbances: Disturbances,
    folder: Path,
) -> None:
    """Writes stability.json, and stability.png with the median jitter by data set and kind."""
    write_json(
        folder / "stability.json",
        {
            "disturbances": vars(disturbances),
            "still": {name: result.figures() for name, result in still.items()},
            "tracks": dict(tracks),
        },
    )
    kinds = dict.fromkeys(kind for result in still.values() for kind in result.jitter)
    series = {
        kind: [summarize(result.jitter[kind][:, 0, 0])["median"] for result in still.values()]
        for kind in kinds
    }
    figure = bar_plot(list(still), series, "median RMS jitter, % of the norm", "still faces")
    save_figure(figure, folder / "stability.png")
