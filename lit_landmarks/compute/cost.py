"""Multiply-adds of a module, counted once on a meta device without touching the module.

The count is FLOPs / 2 of `torch.utils.flop_counter`: convolutions and matrix products, nothing
else. Additions, activations, normalisation and resampling are not in it, as is usual when MMA are
quoted. Traps that this file steps around:

* Fused attention kernels count as 0 on some devices: attention runs on the math backend with the
  transformer fast path off, and both switches are put back.
* Matrix-vector and dot products are not in PyTorch's table; they are added here.
* Message passing by gather and scatter (torch_geometric) counts as 0 beyond its linear maps: a
  graph layer is to be counted in its dense form, messages as matrix products over all pairs.
* Products without a sum (outer products, gates) are elementwise and counted by no one.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from lit_landmarks.types import FaceInputs

#: Inputs of one face: an image, a method's inputs, or several tensors.
Example = Tensor | FaceInputs | Sequence[Tensor]

MILLION = 1_000_000
#: Plain attributes by which a module hangs on a training run; a copy for counting leaves them out.
_HANDLES = ("_trainer", "_fabric")


@dataclass(frozen=True)
class Cost:
    """Multiply-adds and parameters for one face.

    Attributes:
        mma: multiply-adds in millions, fixed filters and resampling apart. For an adaptive module
            this is `mma_max` until an evaluation gives the mean over faces.
        mma_preprocess: those of submodules that declare `is_preprocess = True`.
        parameters: all parameters.
        learnable: parameters with `requires_grad`.
        mma_min, mma_max: lowest and highest cost of a path through an adaptive module, else None.
    """

    mma: float
    mma_preprocess: float
    parameters: int
    learnable: int
    mma_min: float | None = None
    mma_max: float | None = None

    def record(self) -> dict[str, float]:
        """The figures under their logged names `compute/...`, without those that are None."""
        return {f"compute/{k}": v for k, v in asdict(self).items() if v is not None}


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

    The module is copied without its data to the meta device and put in eval mode there; the
    original keeps its device, mode and gradients. Modules that read tensor values in `forward` (no
    meta device can run them) are counted on a copy on the CPU instead, with the same result.

    Args:
        module: any module; submodules with `is_preprocess = True` are counted apart, and a module
            with `cost_variants` (see `Adaptive`) is counted once per variant.
        example: the inputs of one face (a method's `example()`), batch size 1; only shapes and
            types matter.

    Returns:
        The cost of one face.

    Raises:
        ValueError: the batch size of the example is not 1.

    Example:
        >>> count_mma(nn.Conv2d(3, 16, 3, padding=1), torch.zeros(1, 3, 64, 64)).mma
        1.769472
    """
    parameters, learnable = count_parameters(module)
    counts = _count_ways(module, example)
    totals = [total for total, _ in counts]
    dearest = max(counts)
    adaptive = isinstance(module, Adaptive) and len(module.cost_variants()) > 0
    return Cost(
        mma=dearest[0] / MILLION,
        mma_preprocess=dearest[1] / MILLION,
        parameters=parameters,
        learnable=learnable,
        mma_min=min(totals) / MILLION if adaptive else None,
        mma_max=max(totals) / MILLION if adaptive else None,
    )


def count_stages(module: nn.Module, example: Example) -> list[float]:
    """Millions of multiply-adds of each exit of a module, cheapest first.

    Args:
        module: as in `count_mma`; one without `cost_variants` has a single way.
        example: as in `count_mma`.
    """
    return [total / MILLION for total, _ in _count_ways(module, example)]


def _count_ways(module: nn.Module, example: Example) -> list[tuple[float, float]]:
    """(multiply-adds, those of preprocessing) of every way through the module.

    Raises:
        ValueError: the batch size of the example is not 1.
    """
    inputs = as_inputs(example)
    if not inputs or any(_face_count(x) != 1 for x in inputs):
        raise ValueError("cost is per face: give example inputs of batch size 1")
    try:
        return _count_variants(_copy(module, "meta"), tuple(x.to("meta") for x in inputs))
    except (NotImplementedError, RuntimeError):
        return _count_variants(_copy(module, "cpu"), tuple(x.to("cpu") for x in inputs))


def _count_variants(
    module: nn.Module, inputs: tuple[Tensor | FaceInputs, ...]
) -> list[tuple[float, float]]:
    ways = (module.cost_variants() if isinstance(module, Adaptive) else []) or [module]
    return [_count(module, way, inputs) for way in ways]


def _count(
    module: nn.Module, run: Callable[..., Any], inputs: tuple[Tensor | FaceInputs, ...]
) -> tuple[float, float]:
    counter = FlopCounterMode(display=False, custom_mapping=_EXTRA)
    apart = declared = 0
    depth = 0

    def enter(*_: Any) -> None:
        nonlocal apart, depth
        if depth == 0:
            apart -= counter.get_total_flops()
        depth += 1

    def leave(part: nn.Module, given: tuple[Any, ...], _: Any) -> None:
        nonlocal apart, declared, depth
        depth -= 1
        if depth == 0:
            apart += counter.get_total_flops()
        if isinstance(part, Filters):
            declared += part.multiply_adds(*given)

    hooks = []
    for part in module.modules():
        if getattr(part, "is_preprocess", False):
            hooks += [part.register_forward_pre_hook(enter), part.register_forward_hook(leave)]
    try:
        with torch.no_grad(), plain_attention(), counter:
            run(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return (counter.get_total_flops() - apart) / 2, apart / 2 + declared


@contextlib.contextmanager
def plain_attention() -> Iterator[None]:
    """Attention on the math backend with fast paths off; the switches are put back."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _copy(module: nn.Module, device: str) -> nn.Module:
    """A copy in eval mode. On the meta device no weight is copied, not even for a moment."""
    memo: dict[int, Any] = {}
    for part in module.modules():
        for name in _HANDLES:
            handle = part.__dict__.get(name)
            if handle is not None:
                memo[id(handle)] = _Detached()
        if device == "meta":
            for tensor in _tensors(part):
                memo[id(tensor)] = _meta(tensor)
    twin: nn.Module = copy.deepcopy(module, memo)
    for part in twin.modules():
        for name in _HANDLES:
            if isinstance(part.__dict__.get(name), _Detached):
                part.__dict__[name] = None
    return twin.to(device).eval()


class _Detached:
    """Stands in for a handle while copying: `deepcopy` takes a memo entry None for none at all."""


def _tensors(part: nn.Module) -> Iterator[Tensor]:
    """Parameters, buffers and tensors held as plain attributes of one module."""
    yield from part.parameters(recurse=False)
    yield from part.buffers(recurse=False)
    yield from (value for value in part.__dict__.values() if isinstance(value, Tensor))


def _meta(tensor: Tensor) -> Tensor:
    empty = torch.empty_like(tensor, device="meta", requires_grad=False)
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(empty, requires_grad=tensor.requires_grad)
    return empty


def _matrix_vector(matrix: Sequence[int], vector: Sequence[int], *_: Any, **__: Any) -> int:
    return 2 * matrix[0] * matrix[1]


def _add_matrix_vector(_: Any, matrix: Sequence[int], *__: Any, **___: Any) -> int:
    return 2 * matrix[0] * matrix[1]


def _dot(left: Sequence[int], *_: Any, **__: Any) -> int:
    return 2 * left[0]


#: Products that PyTorch's own table lacks.
_EXTRA: dict[Any, Any] = {
    torch.ops.aten.mv: _matrix_vector,
    torch.ops.aten.addmv: _add_matrix_vector,
    torch.ops.aten.dot: _dot,
}
