"""Modules are counted as they are deployed, and wherever a copy can run."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from timm.utils.model import reparameterize_model
from torch import Tensor, nn

from lit_landmarks.compute import count_mma
from lit_landmarks.types import FaceInputs

M = 1_000_000


@pytest.mark.parametrize("name", ["repghostnet_050", "levit_128s", "mobileone_s1", "fastvit_t8"])
def test_backbones_are_counted_as_deployed(name: str) -> None:
    model = timm.create_model(name)
    size = model.default_cfg["input_size"]
    image = torch.zeros(1, *size)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    cost = count_mma(model, image)
    deployed = reparameterize_model(model.eval())
    plain = count_mma(deployed, image)
    assert cost.mma == plain.mma
    assert cost.parameters == sum(p.numel() for p in deployed.parameters())
    assert cost.learnable == sum(p.numel() for p in model.parameters()) > cost.parameters
    assert before.keys() == model.state_dict().keys()


class TwoBranches(nn.Module):
    """A block of its own that merges a 3 x 3 and a 1 x 1 convolution, as RepVGG's code does."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.narrow = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(2, 4, 1)
        self.merged: nn.Module | None = None

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.wide(x) + self.narrow(x) if self.merged is None else self.merged(x)
        return out

    def switch_to_deploy(self) -> None:
        self.merged = nn.Conv2d(2, 4, 3, padding=1)
        self.merged.weight.data.copy_(self.wide.weight)
        self.merged.weight.data[..., 1, 1] += self.narrow.weight[..., 0, 0]
        del self.wide, self.narrow


class Sampling(nn.Module):
    """Has methods of such names that mean something else."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def reparameterize(self, mean: Tensor, log_sigma: Tensor) -> Tensor:
        return mean + log_sigma.exp()

    def fuse(self) -> None:
        raise AssertionError("not to be called")

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(x)
        return out


def test_blocks_of_ones_own_are_merged() -> None:
    cost = count_mma(nn.Sequential(TwoBranches(), nn.ReLU()), torch.zeros(1, 2, 5, 5))
    assert cost.mma * M == pytest.approx(25 * 4 * 2 * 9)
    assert (cost.parameters, cost.learnable) == (4 * 18 + 4, 4 * 18 + 4 + 4 * 2 + 4)
    assert count_mma(TwoBranches(), torch.zeros(1, 2, 5, 5)).mma == cost.mma  # as the root
    assert count_mma(Sampling(), torch.zeros(1, 4)).mma * M == 12


class Refusing(nn.Module):
    """Ends with an error of choice on the meta device."""

    def __init__(self, error: type[Exception]) -> None:
        super().__init__()
        self.layer, self.error = nn.Linear(4, 3), error

    def forward(self, x: Tensor) -> Tensor:
        if x.is_meta:
            raise self.error("no data")
        out: Tensor = self.layer(x)
        return out


class Uncopyable(Sampling):
    """Holds a thing that no `deepcopy` takes, and a buffer that each call changes."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = (row for row in range(3))
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(x)


@pytest.mark.parametrize("error", [TypeError, ValueError, AssertionError, KeyError])
def test_what_the_meta_device_cannot_run_is_counted_on_the_cpu(error: type[Exception]) -> None:
    assert count_mma(Refusing(error), torch.zeros(1, 4)).mma * M == 12


def test_scripted_numpy_and_uncopyable_modules_are_counted() -> None:
    example = torch.zeros(1, 4)
    layers = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))
    for module in (torch.jit.script(layers), torch.jit.trace(layers.eval(), example)):
        assert count_mma(module, example).mma * M == 18

    class Through(Sampling):
        def forward(self, x: Tensor) -> Tensor:
            return torch.from_numpy(super().forward(x).numpy())

    assert count_mma(Through(), example).mma * M == 12
    stubborn = Uncopyable().train()
    assert count_mma(stubborn, example).mma * M == 12
    assert stubborn.training
    assert stubborn.calls == 0


class Contrast(nn.Module):
    """Does more for an image that is none."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(12, 2)

    def forward(self, inputs: FaceInputs) -> Any:
        flat = inputs.image.flatten(1)
        return self.layer(flat) if float(flat.std()) > 0.1 else self.layer(self.layer(flat) @ flat)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_way_chosen_by_pixels_is_that_of_a_picture(value: float) -> None:
    constant = FaceInputs(torch.full((1, 3, 2, 2), value))
    assert count_mma(Contrast(), constant).mma * M == 24


def test_own_values_choose_the_way() -> None:
    class Bright(Sampling):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) if float(x.mean()) > 0.5 else x

    assert count_mma(Bright(), torch.ones(1, 4)).mma * M == 12
    assert count_mma(Bright(), torch.zeros(1, 4)).mma == 0


class _LowRank(nn.Module):
    """A weight with a product of two thin matrices added to it."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Parameter(torch.ones(4, 2)), nn.Parameter(torch.ones(2, 3))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.left @ self.right


def _add_low_rank(layer: nn.Module) -> nn.Module:
    nn.utils.parametrize.register_parametrization(layer, "weight", _LowRank())
    return layer


@pytest.mark.filterwarnings("ignore")  # the older forms are deprecated
@pytest.mark.parametrize(
    "wrap",
    [
        nn.utils.parametrizations.weight_norm,
        nn.utils.parametrizations.spectral_norm,
        nn.utils.parametrizations.orthogonal,
        nn.utils.weight_norm,
        nn.utils.spectral_norm,
        lambda layer: nn.utils.prune.l1_unstructured(layer, "weight", 2),
        _add_low_rank,
    ],
)
def test_computed_weights_are_stored_when_deployed(wrap: Any) -> None:
    layer = wrap(nn.Linear(3, 4))
    before = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    cost = count_mma(layer, torch.zeros(1, 3))
    assert (cost.mma * M, cost.mma_elementwise, cost.parameters) == (12, 0, 16)
    assert layer.state_dict().keys() == before.keys()  # the module itself trains on
    assert all(torch.equal(layer.state_dict()[name], before[name]) for name in before)
