"""How far the labels of data sets lie to one side of where mirror images agree."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from rich.console import Console
from torch import Tensor

from lit_landmarks.analysis.batches import iterate_faces
from lit_landmarks.console import print_figures
from lit_landmarks.data import LandmarkDataModule
from lit_landmarks.geometry.crops import affine_scale
from lit_landmarks.methods.base import LandmarkModule
from lit_landmarks.methods.mirroring import average_flipped
from lit_landmarks.metrics.functional import sideways_offset
from lit_landmarks.nets.losses import box_side
from lit_landmarks.types import Role


@dataclass(frozen=True)
class SidewaysShift:
    """Mean over the faces of a data set, to the right in the images.

    Attributes:
        percent: of the longer side of the face's box.
        error: standard error of `percent`.
        pixels: of the image files.
        faces: number of faces.
    """

    percent: float
    error: float
    pixels: float
    faces: int


def measure_label_shift(
    method: LandmarkModule,
    data: LandmarkDataModule,
    role: Role,
    device: torch.device | str = "cpu",
) -> dict[str, SidewaysShift]:
    """How far labels lie to the right of the mean answer for a face and its mirror image.

    That mean prefers no side, whatever the network has learned.

    Args:
        method: weights loaded; its own `label_shift` is left out.
        data: whose faces.
        role: of the sets.
        device: where to run.

    Returns:
        name of the data set -> shift.

    Raises:
        UserError: the method's scheme has no left-right pairs.
    """
    method.to(device).eval()
    parts: dict[str, list[Tensor]] = {}
    with torch.inference_mode(), _without_shift(method):
        for name, batch in iterate_faces(data, role, device):
            answer = average_flipped(method, batch.inputs, method.scheme).points
            share = sideways_offset(answer, batch.points, batch.mask)
            side = box_side(batch.points, batch.mask).flatten()
            pixels = share / 100.0 * side * affine_scale(batch.frame_to_image)
            rows = torch.stack((share, pixels), 1)[share.isfinite()]
            parts.setdefault(name, []).append(rows.double().cpu())
    shifts = {}
    for name, values in parts.items():
        rows = torch.cat(values)
        percent, distance = (float(column.mean()) for column in rows.unbind(1))
        error = float(rows[:, 0].std()) / math.sqrt(max(len(rows), 1))
        shifts[name] = SidewaysShift(percent, error, distance, len(rows))
    return shifts


@contextmanager
def _without_shift(method: LandmarkModule) -> Iterator[None]:
    """Within, the method answers where mirror images agree."""
    part, method.label_shift = method.label_shift, None
    try:
        yield
    finally:
        method.label_shift = part


def print_label_shift(shifts: Mapping[str, SidewaysShift], console: Console) -> None:
    """A row for each data set."""
    rows = [
        (name, shift.faces, f"{shift.percent:.2f}", f"{shift.error:.2f}", f"{shift.pixels:.2f}")
        for name, shift in shifts.items()
    ]
    title = "labels lie to the right of where mirror images agree"
    print_figures(
        title, ("data set", "faces", "% of the box", "±", "pixels"), rows, console=console
    )
