"""Dense labels on their way to a batch: crops drawn anew keep depth right, flips keep names."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lit_landmarks.data import Augmentation, LandmarkDataModule, SourceBatch, SyntheticFaces
from lit_landmarks.geometry import euler_to_matrix
from lit_landmarks.schemes import get_scheme
from lit_landmarks.template import mean_face
from lit_landmarks.types import FaceBatch

#: The crop of the published training, drawn on the fly: turned up to 45 degrees, scaled, shifted.
CROPS = replace(Augmentation.none(), rotation=45.0, scale=0.2, shift=0.1, flip=0.5)


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> LandmarkDataModule:
    faces = SyntheticFaces(
        n=8, seed=3, max_yaw=80, image_size=96, scheme="dense520", convention="3d", visibility=False
    )
    return LandmarkDataModule(
        train={"heads": faces},
        cache_dir=str(tmp_path_factory.mktemp("dense")),
        scheme="dense520",
        frame_size=96,
        frame_scale=1.5,
        batch_size=8,
        augmentation=CROPS,
        seed=1,
    )


@pytest.fixture(scope="module")
def source(module: LandmarkDataModule) -> SourceBatch:
    faces = module.faces("train")
    assert faces is not None
    return faces.__getitems__(range(8))


def _epoch(module: LandmarkDataModule, source: SourceBatch, epoch: int) -> FaceBatch:
    return module.transform(source, random=True, epoch=epoch)


def test_a_crop_drawn_anew_scales_depth_with_the_face(
    module: LandmarkDataModule, source: SourceBatch
) -> None:
    """All 3D distances of a face grow by one factor, whatever the angle of the crop."""
    still = module.transform(source, random=False)
    assert still.points3d.shape == (8, 520, 3)
    order = torch.tensor(get_scheme("dense520").flip)
    scales = []
    for epoch in range(3):
        drawn = _epoch(module, source, epoch)
        mirrored = torch.linalg.det(drawn.frame_to_image[:, :, :2]) < 0
        kept = torch.where(mirrored[:, None], order, torch.arange(520))
        before = still.points3d.gather(1, kept[..., None].expand(-1, -1, 3)).double()
        inside, outside = torch.cdist(before, before), torch.cdist(*[drawn.points3d.double()] * 2)
        scale = (outside.sum((1, 2)) / inside.sum((1, 2)))[:, None, None]
        assert float((outside - scale * inside).abs().max()) < 2e-3 * 96
        assert torch.allclose(drawn.points3d[..., :2], drawn.points, atol=1e-2)
        scales.append(scale.flatten())
    # Another crop every epoch: the jitter is not frozen.
    assert float((scales[0] - scales[1]).abs().min()) > 0
    assert float(torch.stack(scales).std(0).max()) > 0.03


def test_flipping_twice_gives_every_point_back(
    module: LandmarkDataModule, source: SourceBatch
) -> None:
    batch = module.transform(source, random=False)
    yes = torch.ones(8, dtype=torch.bool)
    once = module.transform._mirror(batch, yes)
    twice = module.transform._mirror(once, yes)
    assert torch.equal(twice.points3d, batch.points3d)
    assert torch.equal(twice.head3d, batch.head3d)
    # Mirroring a head gives a head whose named points are still those places of the mean face.
    mean = mean_face("dense520")
    for heads in (batch.head3d, once.head3d):
        assert float((heads - mean).norm(dim=-1).mean()) < 0.15


def test_dense_labels_obey_the_known_pose(module: LandmarkDataModule, source: SourceBatch) -> None:
    """Weak perspective: x, y and z are the turned head, up to one scale, within perspective."""
    batch = module.transform(source, random=False)
    assert bool(batch.has_pose.all())
    turned = batch.head3d @ euler_to_matrix(batch.pose[:, :3]).mT
    turned = turned - turned.mean(1, keepdim=True)
    seen = batch.points3d - batch.points3d.mean(1, keepdim=True)
    scale = (seen * turned).sum((1, 2)) / turned.square().sum((1, 2))
    rest = seen - scale[:, None, None] * turned
    assert float((rest.norm(dim=-1).mean(1) / seen.norm(dim=-1).mean(1)).max()) < 0.12
