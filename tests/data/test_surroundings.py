"""Patches of other pictures behind pictures that end within their frames."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from lit_landmarks.data import Augmentation, LandmarkDataModule, SyntheticFaces
from lit_landmarks.data.augment import N_UNIFORM, AugmentationParams, sample_params
from lit_landmarks.data.pixels import TOLERANCE, on_device, on_host
from lit_landmarks.data.surroundings import (
    collect_surroundings,
    content_rectangle,
    content_rectangles,
)
from lit_landmarks.errors import UserError

_SIZE, _SOURCE = 96, 120


def _params(faces: int = 12, **strength: float) -> AugmentationParams:
    u = torch.rand(faces, N_UNIFORM, generator=torch.Generator().manual_seed(3))
    chosen = replace(Augmentation.none(), **strength)
    return sample_params(u, chosen, _SIZE, 1 / 2.7)


def _smooth(faces: int, size: int, seed: int) -> Tensor:
    """(faces, 3, size, size) uint8, nowhere black."""
    coarse = torch.rand(faces, 3, 5, 5, generator=torch.Generator().manual_seed(seed))
    fine = torch.nn.functional.interpolate(coarse, size=size, mode="bicubic").clamp(0, 1)
    return (40 + 200 * fine).round().byte().contiguous(memory_format=torch.channels_last)


def _scene(faces: int = 12) -> tuple[Tensor, Tensor, Tensor]:
    """Source crops that end in black, affines that show them small, and squares."""
    source = _smooth(faces, _SOURCE, 0)
    source[:, :, :10] = 0
    source[:, :, :, 105:] = 0
    warp = torch.tensor([[2.0, 0.3, -45.0], [-0.3, 2.0, -20.0]]).repeat(faces, 1, 1)
    return source, warp, _smooth(5, 32, 1).permute(0, 2, 3, 1).contiguous()


def test_black_edges_are_no_content() -> None:
    source = _scene(3)[0]
    assert content_rectangles(source).tolist() == [[0, 11, 104, 120]] * 3
    crops = source.permute(0, 2, 3, 1).numpy()
    assert content_rectangle(crops[0]) == (0, 11, 104, 120)
    assert content_rectangle(np.zeros_like(crops[0])) == (0, 0, 0, 0)
    assert content_rectangles(torch.zeros_like(source)).tolist() == [[0, 0, 0, 0]] * 3


@pytest.mark.parametrize("margins", [0.0, 0.7])
@pytest.mark.parametrize("surround", [0.0, 0.5, 1.0])
def test_host_and_device_paint_alike(margins: float, surround: float) -> None:
    source, warp, squares = _scene()
    params = _params(margins=margins, surround=surround)
    host = on_host(source, warp, _SIZE, params, 0, squares)
    device = on_device(source, warp, _SIZE, params, 0, squares)
    gap = (host - device).abs().amax(1)
    # At edges of pictures and patches a pixel may fall to either side.
    assert float((gap < TOLERANCE).float().mean()) > 0.97
    assert float(gap.mean()) < TOLERANCE / 4


def test_nothing_black_is_left_and_the_picture_stays() -> None:
    source, warp, squares = _scene()
    plain = on_host(source, warp, _SIZE, None, 0)
    params = _params(surround=1.0)
    frames = on_host(source, warp, _SIZE, params, 0, squares)
    assert float(frames.amax(1).min()) > 0.1
    inside = on_device(torch.full_like(source, 255), warp, _SIZE, None, 0) > 0.999
    bright = (plain.amin(1, keepdim=True) > 0.15) & inside
    eroded = -torch.nn.functional.max_pool2d(-bright.float(), 5, 1, 2)
    assert float((frames - plain).abs()[eroded.expand_as(plain) > 0.5].max()) < 0.005
    # Other patches in each face, and the same ones again.
    corner = frames[:, :, :8, :8].flatten(1)
    assert len(corner.unique(dim=0)) == len(corner)
    assert torch.equal(frames, on_host(source, warp, _SIZE, params, 0, squares))
    # Without squares, and with none drawn, black stays.
    assert torch.equal(on_host(source, warp, _SIZE, params, 0), plain)
    assert torch.equal(on_host(source, warp, _SIZE, _params(surround=1e-9), 0, squares), plain)


def test_ends_of_pictures_show_what_is_behind() -> None:
    source, warp, squares = _scene()
    for surround in (0.0, 1.0):
        params = _params(surround=surround, margins=1.0)
        assert params.window is not None
        frames = on_host(source, warp, _SIZE, params, 0, squares)
        for b, (x0, y0, x1, y1) in enumerate(params.window.tolist()):
            outside = torch.ones(_SIZE, _SIZE, dtype=torch.bool)
            outside[y0:y1, x0:x1] = False
            assert bool((frames[b].amax(0)[outside] > 0.1).all()) == bool(surround)


def test_squares_lie_beside_the_faces() -> None:
    crops = np.full((40, 90, 90, 3), 200, np.uint8)
    crops[:, 30:60, 30:60] = (255, 0, 0)
    boxes = np.tile([[30.0, 30.0, 60.0, 60.0]], (40, 1))
    squares = collect_surroundings([(crops, boxes)])
    assert squares.shape == (40, 128, 128, 3)
    assert (squares == 200).all()
    with pytest.raises(UserError, match=r"beside its face, for augmentation.surround; take a larg"):
        collect_surroundings([(crops, np.tile([[5.0, 5.0, 85.0, 85.0]], (40, 1)))])


def test_a_wide_data_module_gives_squares_to_its_transform(tmp_path: Path) -> None:
    module = LandmarkDataModule(
        train={"heads": SyntheticFaces(n=6, face_scale=4.5, image_size=96, visibility=False)},
        val={},
        frame="wide",
        frame_size=64,
        frame_scale=2.7,
        source_size=96,
        source_scale=3.0,
        augmentation=replace(Augmentation.none(), surround=1.0, scale=1.0),
        batch_size=3,
        cache_dir=str(tmp_path),
    )
    module.setup("fit")
    first, again = (list(module.batches("train", random=True)) for _ in range(2))
    assert module.transform.surroundings is not None
    for one, other in zip(first, again, strict=True):
        assert torch.equal(one.image, other.image)
    assert torch.equal(first[0].points, again[0].points)
