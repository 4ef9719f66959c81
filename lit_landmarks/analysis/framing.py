"""What a spatial normalizer undoes: spread of landmarks in its crops against that in its inputs.

Each face is shown shifted, zoomed and rolled by exact amounts. In the wide inputs its landmarks lie
elsewhere each time; in the crops of a good normalizer they lie in one place.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from rich.console import Console
from torch import Tensor

from lit_landmarks.analysis.batches import iterate_crops
from lit_landmarks.console import print_figures
from lit_landmarks.data import AugmentationParams, LandmarkDataModule, SourceBatch
from lit_landmarks.data.counter_rng import uniform
from lit_landmarks.errors import UserError
from lit_landmarks.geometry import invert_affine, to_centered, transform_points
from lit_landmarks.methods.base import LandmarkModule
from lit_landmarks.types import Role


@dataclass(frozen=True)
class Placements:
    """How faces are moved in their inputs.

    Attributes:
        shift: largest shift along each axis, in sides of the input.
        zoom: a face grows or shrinks by up to this factor, log-uniformly.
        roll: largest turn in degrees.
        count: placements of each face.

    Raises:
        UserError: a value is out of range.
    """

    shift: float = 0.1
    zoom: float = 1.4
    roll: float = 20.0
    count: int = 8

    def __post_init__(self) -> None:
        """Refuse placements outside of a picture, and fewer than two of them."""
        ranges = {"shift": (0.0, 0.5), "zoom": (1.0, 4.0), "roll": (0.0, 180.0), "count": (2, 99)}
        for name, (least, most) in ranges.items():
            value = getattr(self, name)
            if not (math.isfinite(value) and least <= value <= most):
                raise UserError(f"--{name} is {value}; give a number from {least:g} to {most:g}")

    def params(self, batch: SourceBatch) -> list[AugmentationParams]:
        """`count` placements of each face of a batch; the same for the same faces."""
        still = AugmentationParams.neutral(len(batch), batch.image.device)
        draws = 2 * uniform(0, 0, batch.dataset_id, batch.index, 4 * self.count) - 1
        placements = []
        for x, y, size, turn in draws.view(len(batch), self.count, 4).permute(1, 2, 0):
            placements.append(
                replace(
                    still,
                    shift=self.shift * torch.stack((x, y), 1),
                    scale=torch.exp(size * math.log(self.zoom)),
                    rotation=self.roll * turn,
                )
            )
        return placements


@dataclass(frozen=True)
class Spread:
    """Spread of the labelled landmarks of a data set over the placements of each face.

    Attributes:
        inputs, crops: mean variance of a coordinate, in squares of the face's radius there (the
            root mean square distance of its landmarks from their middle).
        faces: number of faces.
    """

    inputs: float
    crops: float
    faces: int

    @property
    def ratio(self) -> float:
        """How many times smaller the variance is in the crops."""
        return self.inputs / self.crops if self.crops else math.inf


def measure_spread(
    method: LandmarkModule,
    data: LandmarkDataModule,
    role: Role,
    placements: Placements,
    device: torch.device | str = "cpu",
) -> dict[str, Spread]:
    """Spread of landmarks in inputs and crops, by data set.

    Measured in radii of the face, in either: crops that show all faces smaller gain nothing.

    Args:
        method: weights loaded, with a normalizer.
        data: whose faces.
        role: of the sets.
        placements: of each face.
        device: where to run.

    Raises:
        UserError: the method has no normalizer.
    """
    normalizer = method.normalizer
    if normalizer is None:
        raise UserError(
            f"the {type(method).__name__} has no normalizer; give a run with model.normalizer"
        )
    method.to(device).eval()
    parts: dict[str, list[Tensor]] = {}
    size = data.crop.size
    with torch.inference_mode():
        for name, batch in iterate_crops(data, role, device):
            placed: list[tuple[Tensor, Tensor]] = []
            for params in placements.params(batch):
                shown = data.transform(batch, random=False, params=params)
                crop = normalizer(shown.inputs).to_input
                inside = transform_points(invert_affine(crop), shown.points)
                placed.append(
                    (to_centered(shown.points, size), to_centered(inside, method.crop_size))
                )
            mask = batch.mask
            pair = [_variances(torch.stack(points), mask) for points in zip(*placed, strict=True)]
            parts.setdefault(name, []).append(torch.stack(pair, 1).cpu())
    spread = {}
    for name, values in parts.items():
        means = torch.cat(values).double().mean(0).tolist()
        spread[name] = Spread(means[0], means[1], sum(map(len, values)))
    return spread


def _variances(points: Tensor, mask: Tensor) -> Tensor:
    """(B,) mean variance of coordinates over placements, in squares of the faces' mean size.

    Args:
        points: (K, B, N, 2) in each placement, sides of the image.
        mask: (B, N) bool.
    """
    points = torch.where(mask[None, :, :, None], points, 0.0)
    count = mask.sum(1).clamp(min=1)
    middle = points.sum(2, keepdim=True) / count[None, :, None, None]
    away = torch.where(mask[None, :, :, None], points - middle, 0.0)
    radius = (away.square().sum((2, 3)) / count).sqrt().mean(0)
    spread = points.var(0, correction=0).sum((1, 2)) / (2 * count)
    return spread / radius.square()


def print_spread(results: Mapping[str, Spread], console: Console) -> None:
    """A row for each data set."""
    rows = [
        (name, spread.faces, f"{spread.inputs:.4f}", f"{spread.crops:.4f}", f"{spread.ratio:.1f}")
        for name, spread in results.items()
    ]
    title = "variance of landmarks over placements, in squares of the face's radius"
    columns = ("data set", "faces", "inputs", "crops", "times smaller")
    print_figures(title, columns, rows, console=console)
