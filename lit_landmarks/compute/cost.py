"""Multiply-adds of a module, counted once on a meta device without touching the module.

The count is FLOPs / 2 of matrix products, convolutions and their kind (`operators` has the tables);
products of single numbers are a figure of their own, fixed filters and resampling another.
Additions, activations and normalization are in none, as is usual when MMA are quoted. An operator
that no table knows is refused by name. Traps that this file steps around:

* Fused attention kernels count as 0 on some devices: attention runs on the math backend with the
  transformer fast path off, and both switches are put back.
* Blocks that train with several branches and are deployed with one are counted, parameters too, as
  they are deployed (`copies.deploy`).
* Messages along the edges of a graph (torch_geometric) are elementwise products; a graph layer in
  its dense form, messages as matrix products over all pairs, has them in `mma`.
* What a module computes outside of PyTorch, in NumPy for example, no counter sees.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from lit_landmarks.compute.copies import copy_module, deploy, holds_packed_tensors, is_mergeable
from lit_landmarks.compute.counter import count_operators
from lit_landmarks.compute.formulas import Work
from lit_landmarks.compute.operators import UncountedOperator
from lit_landmarks.types import FaceInputs

#: Inputs of one face: an image, a method's inputs, or several tensors.
Example = Tensor | FaceInputs | Sequence[Tensor]

MILLION = 1_000_000
#: Share of the whole above which elementwise products are told.
_NOTABLE_SHARE = 0.1


@dataclass(frozen=True)
class Cost:
    """Multiply-adds and parameters for one face.

    Attributes:
        mma: multiply-adds in millions, fixed filters and resampling apart. For an adaptive module
            this is `mma_max` until an evaluation gives the mean over faces.
        mma_preprocess: those of submodules that declare `is_preprocess = True`, and of resampling
            operators (`grid_sample`, `interpolate`).
        mma_elementwise: products of single numbers, `x * w`, in millions, whether a sum follows
            them or not; on the dearest path of an adaptive module.
        parameters: all parameters, in the form in which the module is deployed.
        learnable: parameters with `requires_grad`, in the form in which it is trained.
        mma_min, mma_max: lowest and highest cost of a path through an adaptive module, else None.
    """

    mma: float
    mma_preprocess: float
    mma_elementwise: float
    parameters: int
    learnable: int
    mma_min: float | None = None
    mma_max: float | None = None

    def record(self) -> dict[str, float]:
        """The figures under their logged names `compute/...`, without those that are None."""
        return {f"compute/{k}": v for k, v in asdict(self).items() if v is not None}

    def notice(self) -> str | None:
        """A line that says so if more than a tenth of all products are elementwise ones."""
        share = self.mma_elementwise / max(self.mma + self.mma_elementwise, 1 / MILLION)
        if share <= _NOTABLE_SHARE:
            return None
        return (
            f"{self.mma_elementwise:.1f} MMA of elementwise products, {100 * share:.0f} % of the "
            "whole, are not in compute/mma; limit compute/mma_elementwise too"
        )


@runtime_checkable
class Adaptive(Protocol):
    """A module whose cost depends on the face."""

    def cost_variants(self) -> Sequence[Callable[..., Any]]:
        """Callables like `forward` that force one exit each, from the first to the last.

        None for a module that has a single way through after all. They run on a copy on
        the meta device, so they must not read tensor values.
        """
        ...


@runtime_checkable
class Filters(Protocol):
    """A module of preprocessing whose multiply-adds are no convolutions or matrix products."""

    def multiply_adds(self, *inputs: Any) -> int:
        """Multiply-adds of one call with such inputs, beside the counted operations."""
        ...


def count_parameters(module: nn.Module) -> tuple[int, int]:
    """All and learnable parameters; shared ones count once.

    Raises:
        ValueError: a lazy layer has no size yet.

    Example:
        >>> count_parameters(nn.Linear(4, 3))
        (15, 15)
    """
    parameters = list(module.parameters())
    if any(isinstance(p, nn.parameter.UninitializedParameter) for p in parameters):
        raise ValueError("a lazy layer has no size yet; run the module once before counting")
    return (
        sum(p.numel() for p in parameters),
        sum(p.numel() for p in parameters if p.requires_grad),
    )


def as_inputs(example: Example) -> tuple[Tensor | FaceInputs, ...]:
    """Convert an example to the positional arguments of `forward`."""
    return (example,) if isinstance(example, Tensor | FaceInputs) else tuple(example)


def _face_count(value: Tensor | FaceInputs) -> int:
    """Batch size; 1 for a scalar."""
    return len(value) if isinstance(value, FaceInputs) or value.dim() > 0 else 1


def count_mma(module: nn.Module, example: Example) -> Cost:
    """Count multiply-adds and parameters of a module.

    The module is copied without its data to the meta device and put in eval mode and into its
    deployed form there; the original keeps its device, mode and gradients. A module that no meta
    device can run (it reads values of tensors, or calls NumPy) is counted on a copy on the CPU,
    with the same result, and one that cannot be copied as it is.

    Where the way through a module depends on pixels, the count is that of the way which the
    example takes; an image without any contrast in `FaceInputs` is replaced by noise, since a
    constant one may take a way that no picture takes.

    Args:
        module: any module; submodules with `is_preprocess = True` are counted apart, and a module
            with `cost_variants` (see `Adaptive`) is counted once per variant.
        example: the inputs of one face (a method's `example()`), batch size 1; on the meta device
            only shapes and types matter.

    Returns:
        The cost of one face.

    Raises:
        ValueError: the batch size of the example is not 1.
        UncountedOperator: an operator whose multiply-adds are unknown (a `UserError`).

    Example:
        >>> count_mma(nn.Conv2d(3, 16, 3, padding=1), torch.zeros(1, 3, 64, 64)).mma
        1.769472
    """
    _, learnable = count_parameters(module)
    ways, parameters = _count_ways(module, example)
    dearest = max(ways)
    adaptive = isinstance(module, Adaptive) and len(module.cost_variants()) > 0
    return Cost(
        mma=dearest.products / MILLION,
        mma_preprocess=dearest.preprocess / MILLION,
        mma_elementwise=dearest.elementwise / MILLION,
        parameters=parameters,
        learnable=learnable,
        mma_min=min(ways).products / MILLION if adaptive else None,
        mma_max=dearest.products / MILLION if adaptive else None,
    )


def count_stages(module: nn.Module, example: Example) -> list[float]:
    """Millions of multiply-adds of each exit of a module, cheapest first.

    Args:
        module: as in `count_mma`; one without `cost_variants` has a single way.
        example: as in `count_mma`.
    """
    return [way.products / MILLION for way in _count_ways(module, example)[0]]


class _Way(NamedTuple):
    """Multiply-adds of one way through a module; ways compare by their products first."""

    products: float
    preprocess: float
    elementwise: float


def _count_ways(module: nn.Module, example: Example) -> tuple[list[_Way], int]:
    """Every way through the module, and its parameters in the deployed form.

    Raises:
        ValueError: the batch size of the example is not 1.
        UncountedOperator: an operator whose multiply-adds are unknown.
    """
    inputs = as_inputs(example)
    if not inputs or any(_face_count(x) != 1 for x in inputs):
        raise ValueError("cost is per face: give example inputs of batch size 1")
    if not holds_packed_tensors(module):
        try:
            return _count_copy(module, "meta", inputs)
        except UncountedOperator:
            raise
        except Exception:
            # Whatever a meta device cannot do: the module's own mistakes show on the CPU again.
            pass
    inputs = tuple(_add_contrast(x) for x in inputs)
    try:
        twin = _deployed_copy(module, "cpu")
    except Exception:
        return _count_in_place(module, inputs), count_parameters(module)[0]
    return _count_variants(twin, tuple(x.to("cpu") for x in inputs)), count_parameters(twin)[0]


def _count_copy(
    module: nn.Module, device: str, inputs: tuple[Tensor | FaceInputs, ...]
) -> tuple[list[_Way], int]:
    twin = _deployed_copy(module, device)
    return _count_variants(twin, tuple(x.to(device) for x in inputs)), count_parameters(twin)[0]


def _deployed_copy(module: nn.Module, device: str) -> nn.Module:
    twin = copy_module(module, device)
    if not is_mergeable(twin):
        return twin
    with torch.no_grad(), torch.device(device):  # merging makes layers
        return deploy(twin)


def _add_contrast(value: Tensor | FaceInputs) -> Tensor | FaceInputs:
    """Inputs whose image is noise if it was constant; other tensors as they are."""
    if isinstance(value, Tensor) or value.image.amax() > value.image.amin():
        return value
    noise = torch.rand(value.image.shape, generator=torch.Generator().manual_seed(0))
    return replace(value, image=noise.to(value.image))


def _count_in_place(module: nn.Module, inputs: tuple[Tensor | FaceInputs, ...]) -> list[_Way]:
    """Counts a module that cannot be copied, on its device; modes and buffers are put back."""
    modes = [(part, part.training) for part in module.modules()]
    buffers = [(buffer, buffer.clone()) for buffer in module.buffers()]
    device = next((t.device for t in (*module.parameters(), *module.buffers())), "cpu")
    module.eval()
    try:
        return _count_variants(module, tuple(x.to(device) for x in inputs))
    finally:
        for part, mode in modes:
            part.training = mode
        for buffer, before in buffers:
            buffer.copy_(before)


def _count_variants(module: nn.Module, inputs: tuple[Tensor | FaceInputs, ...]) -> list[_Way]:
    ways = (module.cost_variants() if isinstance(module, Adaptive) else []) or [module]
    return [_count(module, way, inputs) for way in ways]


def _count(
    module: nn.Module, run: Callable[..., Any], inputs: tuple[Tensor | FaceInputs, ...]
) -> _Way:
    """Counts one way; what runs in modules of preprocessing is taken out of the rest."""
    preprocess = 0.0
    befores: list[Work] = []

    def enter(*_: Any) -> None:
        befores.append(counter.work)

    def leave(part: nn.Module, given: tuple[Any, ...], _: Any) -> None:
        nonlocal preprocess
        before = befores.pop()
        own = counter.work.minus(before)
        counter.work = before
        preprocess += own.products + own.resampling
        if isinstance(part, Filters):  # knows its elementwise ones better
            preprocess += part.multiply_adds(*given)
        else:
            preprocess += own.elementwise

    hooks = []
    for part in module.modules():
        if getattr(part, "is_preprocess", False):
            hooks += [part.register_forward_pre_hook(enter), part.register_forward_hook(leave)]
    try:
        with count_operators() as counter:
            run(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
    work = counter.work
    return _Way(work.products, preprocess + work.resampling, work.elementwise)
