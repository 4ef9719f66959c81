"""The fused map: projecting before interpolating, strides."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lit_landmarks.nets.fused_map import FusedMap


def test_projecting_before_interpolating_is_the_same_function() -> None:
    torch.manual_seed(0)
    network = FusedMap("mobilenetv3_small_050", strides=(8, 16, 32), channels=16).eval()
    image = torch.rand(2, 3, 64, 64)
    maps, vector = network.maps(image)
    summed: Tensor | None = None
    for index, stride in enumerate(network.maps.strides):
        grown = maps[stride]
        for _ in range(index):
            size = [2 * n for n in grown.shape[-2:]]
            grown = F.interpolate(grown, size=size, mode="bilinear")
        part = network.project[index](grown)
        summed = part if summed is None else summed + part
    assert summed is not None
    fused, pooled = network(image)
    assert torch.allclose(fused, F.relu(network.norm(summed)), atol=1e-5)
    assert torch.equal(pooled, vector)


def test_the_finest_stride_is_that_of_the_result() -> None:
    network = FusedMap("mobilenetv3_small_050", strides=(32, 4, 8), channels=8).eval()
    fused, _ = network(torch.rand(1, 3, 64, 96))
    assert network.stride == 4
    assert fused.shape == (1, 8, 16, 24)


def test_blocks_change_nothing_until_they_learn() -> None:
    torch.manual_seed(0)
    plain = FusedMap("mobilenetv3_small_050", strides=(8, 32), channels=16).eval()
    network = FusedMap("mobilenetv3_small_050", strides=(8, 32), channels=16, blocks=2).eval()
    lacking = network.load_state_dict(plain.state_dict(), strict=False)
    assert {key.split(".")[0] for key in lacking.missing_keys} == {"blocks"}
    image = torch.rand(1, 3, 64, 64)
    assert torch.equal(network(image)[0], plain(image)[0])
    for block in network.blocks:
        torch.nn.init.ones_(block.layers[-1].weight)
    assert not torch.allclose(network(image)[0], plain(image)[0], atol=1e-3)
