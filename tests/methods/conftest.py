"""Faces made of numbers: batches with every label, small enough to train on within a test."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader

from lit_landmarks.geometry.shape_model import pca
from lit_landmarks.schemes import get_scheme
from lit_landmarks.template import query_points
from lit_landmarks.types import DatasetSpec, DataSpec, FaceBatch, ShapeStatistics
from tests.support.faces import face_batch

SIZE = 64


def blobs(count: int, scheme: str = "ibug68", size: int = SIZE, seed: int = 0) -> FaceBatch:
    """`count` images whose brightness marks where an ellipse of landmarks lies."""
    generator = torch.Generator().manual_seed(seed)
    n = get_scheme(scheme).n_points
    angle = torch.arange(n) * (2 * torch.pi * 5 / n)
    center = size / 2 + (torch.rand(count, 1, 2, generator=generator) - 0.5) * size * 0.3
    radius = size * (0.15 + 0.15 * torch.rand(count, 1, 2, generator=generator))
    points = center + radius * torch.stack([angle.cos(), angle.sin()], dim=-1)
    grid = torch.arange(size).float()
    y = (grid.view(1, size, 1) - center[:, :, 1:]) / radius[:, :, 1:]
    x = (grid.view(1, 1, size) - center[:, :, :1]) / radius[:, :, :1]
    image = torch.exp(-(x**2 + y**2)).unsqueeze(1).repeat(1, 3, 1, 1)
    image = (image + 0.05 * torch.rand(image.shape, generator=generator)).clamp(0, 1)
    return face_batch(
        points,
        scheme,
        image,
        visible=1,
        pose=torch.cat([(center[:, 0] - size / 2), radius[:, 0], torch.zeros(count, 2)], dim=1),
        focal=1.5 * size,
        queries=query_points(scheme).expand(count, -1, -1),
    )


class Blobs(LightningDataModule):
    """The same faces for training, validation and test."""

    def __init__(
        self, count: int = 2, scheme: str = "ibug68", batch_size: int | None = None
    ) -> None:
        super().__init__()
        self.faces = blobs(count, scheme)
        self.batch_size = batch_size or count
        sets = [
            DatasetSpec("blobs", role, scheme, "300w", "interocular", count)
            for role in ("train", "val", "test")
        ]
        n = get_scheme(scheme).n_points
        # Metrics index data sets by `dataset_id`, and all three roles see the same rows.
        self.specs = {d.role: DataSpec(scheme, n, SIZE, "tight", (d,)) for d in sets}
        self.spec = self.specs["val"]
        self.scheme = scheme

    def setup(self, stage: str) -> None:
        """The spec of the role that is evaluated."""
        self.spec = self.specs["test" if stage == "test" else "val"]

    def shape_statistics(self) -> ShapeStatistics:
        """PCA of many such faces."""
        points = blobs(64, self.scheme, seed=1).points
        return pca(((points + 0.5) / SIZE - 0.5).flatten(1))

    def loader(self) -> DataLoader[FaceBatch]:
        """Batches in order."""
        rows = torch.arange(len(self.faces)).split(self.batch_size)
        return DataLoader([self.faces.select(r) for r in rows], batch_size=None)

    train_dataloader = val_dataloader = test_dataloader = predict_dataloader = loader


@pytest.fixture
def make_faces() -> Callable[..., FaceBatch]:
    """Maker of batches."""
    return blobs


@pytest.fixture
def make_data() -> type[Blobs]:
    """Maker of data modules."""
    return Blobs
