"""Faces of a role, batch by batch with a progress bar, for analyses."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from rich.markup import escape
from rich.progress import track

from lit_landmarks.data import LandmarkDataModule, SourceBatch
from lit_landmarks.errors import UserError
from lit_landmarks.types import FaceBatch, Role


def iterate_crops(
    data: LandmarkDataModule,
    role: Role,
    device: torch.device | str = "cpu",
    *,
    title: str = "",
    most: int | None = None,
    tracks: bool = False,
) -> Iterator[tuple[str, SourceBatch]]:
    """Name of the data set and source crops on the device; no batch has faces of two sets.

    Args:
        data: the data module.
        role: whose faces.
        device: where the crops go.
        title: of the progress bar; empty for that of the role.
        most: faces of each set, spread evenly over it; None for all.
        tracks: only the sets that are video.

    Raises:
        UserError: no data set in the role.
    """
    faces = data.faces(role)
    if faces is None:
        raise UserError(f"no data set in data.init_args.{role}; name one")
    items: list[tuple[str, list[int]]] = []
    for end, part in zip(faces.ends.tolist(), faces.parts, strict=True):
        count = len(part.index)
        if tracks and part.index.track is None:
            continue
        few = np.linspace(0, count - 1, min(count, most or count)).round().astype(int)
        rows = [end - count + int(row) for row in few]
        size = data.eval_batch_size
        items += [(part.spec.name, rows[k : k + size]) for k in range(0, len(rows), size)]
    title = escape(title) or f"faces of {role}"
    for name, rows in track(items, title, transient=True, disable=not items):
        yield name, faces.__getitems__(rows).to(torch.device(device))


def iterate_faces(
    data: LandmarkDataModule, role: Role, device: torch.device | str = "cpu", *, title: str = ""
) -> Iterator[tuple[str, FaceBatch]]:
    """Name of the data set and faces as in validation; see `iterate_crops`."""
    for name, crops in iterate_crops(data, role, device, title=title):
        yield name, data.transform(crops, random=False)
