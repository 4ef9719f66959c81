"""Copies of a module for counting: on the meta device without data, in the deployed form."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

#: Plain attributes by which a module hangs on a training run; a copy for counting leaves them out.
_HANDLES = ("_trainer", "_fabric")
#: Methods by which re-parameterizable blocks merge their branches in place: timm's, RepVGG's,
#: RepLKNet's.
_MERGES = ("reparameterize", "switch_to_deploy", "merge_kernel")
#: Hooks that compute a weight before each call; deployed, the weight is stored.
_WEIGHT_HOOKS = (WeightNorm, SpectralNorm, BasePruningMethod)


def copy_module(module: nn.Module, device: str) -> nn.Module:
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


def deploy(module: nn.Module) -> nn.Module:
    """Brings re-parameterizable blocks into the form in which they are deployed, in place.

    Blocks that train several branches and run one (RepVGG, MobileOne, FastViT, GhostNetV3 and
    others) tell it by a method `reparameterize`, `switch_to_deploy` or `merge_kernel` without
    arguments; timm's also by `fuse`, which gives a module to put in their place. Weights that are
    computed from others before each call (weight and spectral norm, pruning, whatever is registered
    with `torch.nn.utils.parametrize`) are stored.

    Args:
        module: a copy that will not be trained any more, in eval mode.

    Returns:
        The module, or what takes its place.

    Example:
        >>> import timm
        >>> network = timm.create_model("repvgg_a0").eval()
        >>> before = sum(isinstance(part, nn.Conv2d) for part in network.modules())
        >>> after = sum(isinstance(part, nn.Conv2d) for part in deploy(network).modules())
        >>> before, after
        (44, 22)
    """
    _store_weights(module)
    if (fuse := _get_fuse(module)) is not None and isinstance(merged := fuse(), nn.Module):
        module = merged.eval()
    for name in _MERGES:
        merge: Any = getattr(module, name, None)
        if _takes_nothing(merge):
            merge()
            break
    for name, child in list(module.named_children()):
        deployed = deploy(child)
        if deployed is not child:
            setattr(module, name, deployed)
    return module


def is_mergeable(module: nn.Module) -> bool:
    """Whether some block of a module is deployed in another form than it is trained in."""
    return any(
        _get_fuse(part) is not None
        or parametrize.is_parametrized(part)
        or _find_weight_hooks(part)
        or any(_takes_nothing(getattr(part, name, None)) for name in _MERGES)
        for part in module.modules()
    )


def _store_weights(module: nn.Module) -> None:
    """Puts computed weights of one module into the place of what they are computed from."""
    if parametrize.is_parametrized(module):
        parametrizations: Any = module.parametrizations
        for name in list(parametrizations):
            with torch.enable_grad():  # without, some weights would not count as parameters
                parametrize.remove_parametrizations(module, name, leave_parametrized=True)
    for number, hook in _find_weight_hooks(module).items():
        hook.remove(module)
        del module._forward_pre_hooks[number]


def _find_weight_hooks(module: nn.Module) -> dict[int, Any]:
    hooks = module._forward_pre_hooks.items()
    return {number: hook for number, hook in hooks if isinstance(hook, _WEIGHT_HOOKS)}


def holds_packed_tensors(module: nn.Module) -> bool:
    """Whether the data of a module decides its cost: sparse patterns and packed weights."""
    return any(
        tensor.layout != torch.strided or tensor.is_quantized
        for part in module.modules()
        for tensor in _tensors(part)
    )


def _get_fuse(module: nn.Module) -> Callable[[], Any] | None:
    """The method of timm that gives a merged module; elsewhere the name means many things."""
    fuse = getattr(module, "fuse", None)
    return fuse if type(module).__module__.startswith("timm.") and _takes_nothing(fuse) else None


def _takes_nothing(method: Any) -> bool:
    """Whether this is a method to call without arguments (and no variational sampling)."""
    if not inspect.ismethod(method):
        return False
    return all(
        p.default is not p.empty or p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        for p in inspect.signature(method).parameters.values()
    )


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
