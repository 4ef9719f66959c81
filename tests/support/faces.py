"""Batches of faces from points and the labels that a test is about."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lit_landmarks.metrics import norm_values
from lit_landmarks.types import FaceBatch


def face_batch(
    points: Tensor, scheme: str = "ibug68", image: Tensor | None = None, **labels: Any
) -> FaceBatch:
    """Faces in the order of their rows, with the denominators of NME of their scheme.

    Args:
        points: (B, N, 2) in pixels; not annotated where not finite.
        scheme: by whose points the denominators are taken.
        image: (B, 3, H, W); black, 8 x 8, if it is not given.
        **labels: columns by name, see `FaceBatch.of`; the others are absent.
    """
    count = len(points)
    mask = labels.get("mask", points.isfinite().all(dim=-1))
    labels = {"norms": norm_values(points, mask, scheme), "index": torch.arange(count), **labels}
    return FaceBatch.of(torch.zeros(count, 3, 8, 8) if image is None else image, points, **labels)
