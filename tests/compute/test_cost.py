"""Multiply-adds against counts worked out by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import pytest
import timm
import torch
from torch import Tensor, nn

from lit_landmarks.compute import Cost, count_mma
from lit_landmarks.compute import cost as cost_module
from lit_landmarks.compute.copies import copy_module
from lit_landmarks.metrics import FaceMetrics
from lit_landmarks.types import DatasetSpec, DataSpec

IMAGE = torch.zeros(1, 3, 32, 32)
M = 1_000_000


def mma(module: nn.Module, *inputs: Tensor) -> int:
    """Multiply-adds, not in millions."""
    return round(count_mma(module, inputs).mma * M)


@pytest.mark.parametrize(
    ("module", "shape", "expected"),
    [
        (nn.Conv2d(3, 8, 3, padding=1), (1, 3, 32, 32), 32 * 32 * 8 * 3 * 9),
        (nn.Conv2d(8, 8, 5, stride=2, padding=2, groups=8), (1, 8, 32, 32), 16 * 16 * 8 * 25),
        (nn.Conv2d(8, 16, 1, groups=4, bias=False), (1, 8, 4, 4), 4 * 4 * 16 * 2),
        (nn.ConvTranspose2d(8, 4, 2, stride=2), (1, 8, 5, 5), 5 * 5 * 8 * 4 * 4),
        (nn.Conv1d(6, 10, 1), (1, 6, 68), 68 * 6 * 10),
        (nn.Linear(20, 30), (1, 20), 600),
        (nn.Linear(20, 30, bias=False), (1, 7, 20), 4200),
        (nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.AvgPool2d(2)), (1, 3, 32, 32), 0),
        (nn.GRUCell(4, 5), (1, 4), 3 * 5 * (4 + 5)),
        (nn.GRU(4, 5, batch_first=True), (1, 6, 4), 6 * 3 * 5 * (4 + 5)),
    ],
)
def test_layers_by_hand(module: nn.Module, shape: tuple[int, ...], expected: int) -> None:
    assert mma(module, torch.zeros(shape)) == expected


class Products(nn.Module):
    """Products that are easily forgotten: matrix by vector, dot, einsum, batched."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(5, 7))
        self.plain = torch.ones(7)  # neither parameter nor buffer

    def forward(self, x: Tensor) -> Tensor:
        row = x[0] * self.plain
        vector = self.weight @ row + torch.addmv(vector_zero(row), self.weight, row)
        pairs = torch.einsum("bi,bj->bij", x, x)
        return vector.sum() + torch.dot(row, row) + (pairs @ pairs).sum()


def vector_zero(like: Tensor) -> Tensor:
    return like.new_zeros(5)


def test_products_by_hand() -> None:
    # two matrix-vector products, a dot product, a 7 x 7 x 7 matrix product; none for the outer one
    assert mma(Products(), torch.zeros(1, 7)) == 35 + 35 + 7 + 343


@pytest.mark.parametrize("training", [True, False])
def test_attention_by_hand(training: bool) -> None:
    width, heads, n = 16, 4, 10
    layer = nn.TransformerEncoderLayer(width, heads, 32, batch_first=True).train(training)
    attention = 4 * n * width * width + 2 * n * n * width
    assert mma(layer, torch.zeros(1, n, width)) == attention + 2 * n * width * 32
    query = torch.zeros(1, n, width)
    self_attention = nn.MultiheadAttention(width, heads, batch_first=True).train(training)
    assert mma(self_attention, query, query, query) == attention


def test_known_networks() -> None:
    image = torch.zeros(1, 3, 224, 224)
    # the papers print 300 (MobileNetV2) and 56 (MobileNetV3-small)
    assert count_mma(timm.create_model("mobilenetv2_100"), image).mma == pytest.approx(
        300, rel=0.01
    )
    small = count_mma(timm.create_model("mobilenetv3_small_100"), image)
    assert small.mma == pytest.approx(56, rel=0.015)
    assert small.parameters == pytest.approx(2.54 * M, rel=0.01)


@pytest.mark.parametrize("name", ["mobilenetv3_small_050", "vit_tiny_patch16_224", "resnet18"])
def test_meta_counts_what_the_cpu_counts(name: str) -> None:
    model = timm.create_model(name, **({"img_size": 64} if "vit" in name else {}))
    image = torch.zeros(1, 3, 64, 64)
    real = cost_module._count_variants(copy_module(model, "cpu"), (image,))
    assert mma(model, image) == real[0].products


class Peeking(nn.Module):
    """Reads a value, which no meta tensor has."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) if float(x.sum()) >= 0 else x


def test_a_module_that_reads_values_is_counted_on_the_cpu() -> None:
    assert mma(Peeking(), torch.zeros(1, 4)) == 12


class Blurred(nn.Module):
    """Fixed filters in front, inside a wrapper that also says so."""

    is_preprocess = True

    def __init__(self) -> None:
        super().__init__()
        inner = nn.Conv2d(3, 3, 5, padding=2, groups=3)
        inner.is_preprocess = True  # type: ignore[assignment]
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


def test_preprocessing_is_counted_apart_and_once() -> None:
    network = nn.Sequential(Blurred(), nn.Conv2d(3, 2, 1))
    cost = count_mma(network, IMAGE)
    assert cost.mma_preprocess * M == 32 * 32 * 3 * 25
    assert cost.mma * M == 32 * 32 * 6


class Exits(nn.Module):
    """May leave after one, two or three layers."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(10, 10) for _ in range(3))

    def forward(self, x: Tensor, stages: int | None = None) -> Tensor:
        for layer in list(self.layers)[: int(x.sum()) if stages is None else stages]:
            x = layer(x)
        return x

    def cost_variants(self) -> Sequence[Callable[[Tensor], Tensor]]:
        return [partial(self.forward, stages=s) for s in (1, 2, 3)]


def test_an_adaptive_module_has_a_range() -> None:
    cost = count_mma(Exits(), torch.zeros(1, 10))
    assert cost.mma_min is not None
    assert (cost.mma_min * M, cost.mma * M) == (100, 300)
    assert cost.mma_max == cost.mma
    assert count_mma(nn.Linear(10, 10), torch.zeros(1, 10)).mma_min is None


def test_parameters_all_and_learnable() -> None:
    network = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    network[0].requires_grad_(False)
    network.append(network[1])  # shared, counted once
    cost = count_mma(nn.Sequential(network[0], network[1]), torch.zeros(1, 4))
    assert (cost.parameters, cost.learnable) == (15 + 8, 8)
    assert cost.record() == {
        "compute/mma": 18 / M,
        "compute/mma_preprocess": 0.0,
        "compute/mma_elementwise": 0.0,
        "compute/parameters": 23,
        "compute/learnable": 8,
    }


def test_the_module_and_the_switches_are_left_alone() -> None:
    network = nn.Sequential(nn.BatchNorm1d(4), nn.MultiheadAttention(4, 2), Peeking())[:1].train()
    frozen = nn.Sequential(network, nn.Dropout(0.5).eval())
    before = {name: value.clone() for name, value in frozen.state_dict().items()}
    frozen.register_buffer("late", torch.ones(2))
    handle = frozen.__dict__["_trainer"] = object()
    for switch in (True, False):
        torch.backends.mha.set_fastpath_enabled(switch)
        count_mma(frozen, torch.ones(1, 4))
        assert torch.backends.mha.get_fastpath_enabled() is switch
    torch.backends.mha.set_fastpath_enabled(True)
    assert torch.backends.cuda.math_sdp_enabled()
    assert torch.backends.cuda.flash_sdp_enabled()
    assert frozen.training
    assert network.training
    assert not frozen[1].training
    assert frozen.__dict__["_trainer"] is handle
    assert all(value.device.type == "cpu" for value in frozen.state_dict().values())
    for name, value in before.items():
        torch.testing.assert_close(frozen.state_dict()[name], value)
    assert not frozen._forward_hooks
    assert not network[0]._forward_hooks


def test_a_method_that_carries_its_metrics_is_counted() -> None:
    data = DatasetSpec("a", "val", "ibug68", "300w", "box", 1)
    metrics = FaceMetrics(DataSpec("ibug68", 68, 32, "tight", (data,)), "val")
    network = Peeking()  # counted on the meta device first, then on the CPU
    network.metrics = nn.ModuleDict({"val": metrics})
    assert mma(network, torch.zeros(1, 4)) == 12
    assert metrics.nme.total.device.type == "cpu"
    twin = copy_module(network, "meta")
    assert {p.device.type for p in twin.parameters()} == {"meta"}
    assert twin.metrics["val"].nme.total.device.type == "meta"


def test_bad_examples_are_refused() -> None:
    with pytest.raises(ValueError, match="batch size 1"):
        count_mma(nn.Linear(2, 2), torch.zeros(2, 2))
    with pytest.raises(ValueError, match="batch size 1"):
        count_mma(nn.Linear(2, 2), ())
    with pytest.raises(ValueError, match="lazy layer"):
        count_mma(nn.LazyLinear(2), torch.zeros(1, 2))
    with pytest.raises(RuntimeError, match="shapes"):  # an error of the module itself comes through
        count_mma(nn.Linear(2, 2), torch.zeros(1, 3))
    assert isinstance(count_mma(nn.Identity(), torch.zeros(1, 3)), Cost)
