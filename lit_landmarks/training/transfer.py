"""Weights of a checkpoint that fit another method, scheme or size: what `init_from` takes.

- A checkpoint of the same method, scheme and sizes is taken whole, but for the thresholds of an
  early exit, which belong to the faces that they were set on.
- Of another one, tensors of the same name and shape are taken; those of a backbone only if it is
  the same architecture, and then from whatever method.
- Tensors with entries for each landmark (`LandmarkModule.landmark_axes`) are taken landmark by
  landmark: points of the same name, and the middle of an eye from the points around it.

The rest stays as it was initialized.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lit_landmarks.errors import UserError
from lit_landmarks.methods.base import LandmarkModule
from lit_landmarks.methods.identity import (
    FORMAT,
    IDENTITY,
    LABEL_SHIFT,
    class_name,
    identity,
    shift_conventions,
)
from lit_landmarks.methods.landmark_axes import LandmarkAxis, match_landmarks
from lit_landmarks.nets.backbone import backbone_tensors
from lit_landmarks.schemes import get_scheme, is_built_in
from lit_landmarks.training.checkpoints import build_method, find_checkpoint, read_checkpoint

#: Fresh tensors that are named in the line; of more the number is given.
_NAMED = 3
#: Thresholds belong to the faces that they were set on.
_EARLY_EXIT = "early_exit."


@dataclass
class Transfer:
    """Weights taken from a checkpoint.

    Attributes:
        whole: names of tensors taken as they are.
        partial: tensors of which entries were taken -> the number of these entries.
        fresh: names of learnable tensors of which nothing was taken.
        sizes: of fresh tensors that the checkpoint has in another size: both sizes.
        unused: tensors of the checkpoint of which nothing was taken.
        tensors, parameters: learnable tensors and their entries, in all.
        taken: learnable entries that were taken.
        source: the checkpoint, its method and scheme.
    """

    source: str
    tensors: int = 0
    parameters: int = 0
    taken: int = 0
    whole: set[str] = field(default_factory=set)
    partial: dict[str, int] = field(default_factory=dict)
    fresh: list[str] = field(default_factory=list)
    sizes: dict[str, str] = field(default_factory=dict)
    unused: int = 0

    def describe(self) -> str:
        """One line for the user."""
        tensors = self.tensors - len(self.partial) - len(self.fresh)
        parts = [f"init_from {self.source}: took {tensors} of {self.tensors} tensors"]
        if self.partial:
            parts.append(f", {len(self.partial)} more in part, by landmark")
        parts.append(f" ({self.taken:,} of {self.parameters:,} parameters)")
        if self.fresh:
            named = self.fresh[:_NAMED]
            names = ", ".join(f"{n} ({self.sizes[n]})" if n in self.sizes else n for n in named)
            more = len(self.fresh) - _NAMED
            parts.append(f"; fresh: {names}" + (f" and {more} more" if more > 0 else ""))
        if self.unused:
            parts.append(f"; {self.unused} tensors of the checkpoint stay unused")
        return "".join(parts)


def transfer_weights(method: LandmarkModule, source: str | Path) -> Transfer:
    """Loads what fits from a checkpoint into a method, in place.

    Args:
        method: the method, newly built.
        source: a checkpoint that `fit` wrote, of any method, a run, or the name of weights.

    Returns:
        What was taken; `method.transferred` holds the names of whole tensors.

    Raises:
        UserError: no such file, not a checkpoint, or nothing in it fits.
    """
    path = find_checkpoint(source)
    content = read_checkpoint(path)
    state: dict[str, Tensor] = content["state_dict"]
    theirs: dict[str, Any] = content[IDENTITY]
    own = method.state_dict()
    label = f"{source} ({class_name(theirs.get('class_path'))}, {theirs.get('scheme')})"
    transfer = Transfer(label)
    _refuse_other_meaning(theirs, method, label)
    if _is_same(theirs, method, state, own):
        thresholds = {n: value for n, value in own.items() if n.startswith(_EARLY_EXIT)}
        merged = {**state, **thresholds}
        transfer.whole = own.keys() - thresholds.keys()
    else:
        merged = _merge(method, own, state, theirs, transfer)
    _count(transfer, method)
    trunk = backbone_tensors(method).keys()
    # Heads of another backbone read features that this one does not compute.
    if not transfer.taken or (trunk and not trunk & transfer.whole):
        raise UserError(
            f"nothing in {label} fits {type(method).__name__}, {method.scheme}, as it is"
            " configured; give model.init_args.init_from a checkpoint of this method, or of one"
            " with the same backbone"
        )
    method.load_state_dict(merged)
    method.transferred = frozenset(transfer.whole)
    return transfer


def _refuse_other_meaning(theirs: Mapping[str, Any], method: LandmarkModule, label: str) -> None:
    """Raises `UserError` where the same weights compute something else in the method."""
    if class_name(theirs.get("class_path")) != type(method).__name__:
        return
    arguments = inspect.signature(type(method)).parameters
    for name in method.settings_of_weights:
        before, now = (
            values.get(name, arguments[name].default)
            for values in (theirs.get("init_args", {}), method.init_args)
        )
        if before != now:
            raise UserError(
                f"{label} was trained with {name} {before}, without which its weights compute"
                f" something else; give model.init_args.{name} {before}, not {now}"
            )


def _is_same(
    theirs: Mapping[str, Any],
    method: LandmarkModule,
    state: Mapping[str, Tensor],
    own: Mapping[str, Tensor],
) -> bool:
    """Whether a checkpoint is of this very method, points and sizes."""
    for key, value in identity(method).items():
        other = theirs.get(key)
        if key == "class_path":
            other, value = class_name(other), class_name(value)
        elif key == LABEL_SHIFT:
            other = shift_conventions(theirs)
        if other != value:
            return False
    if _shapes(state) != _shapes(own):
        return False
    lists = {axis.chosen for axis in method.landmark_axes().values() if axis.chosen is not None}
    return all(torch.equal(state[name].cpu(), own[name].cpu()) for name in lists)


def _merge(
    method: LandmarkModule,
    own: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
    theirs: Mapping[str, Any],
    transfer: Transfer,
) -> dict[str, Tensor]:
    """The method's state with all that fits replaced; `transfer` is filled."""
    names = _counterparts(method, own, state, theirs)
    axes = method.landmark_axes()
    points = _point_names(theirs)
    ours = () if method.scheme is None else get_scheme(method.scheme).point_names
    used: set[str] = set()
    built_in = theirs.get("scheme") if is_built_in(str(theirs.get("scheme"))) else None
    scheme = None if built_in is None else get_scheme(built_in)
    matches = match_landmarks(ours, points, scheme)
    merged = dict(own)
    for name, old in own.items():
        new = state.get(names.get(name, ""))
        if new is None:
            continue
        if (axis := axes.get(name)) is not None:
            blocks = _Blocks(axis, own, state, len(ours), len(points))
            if points != ours or blocks.ours != blocks.theirs:
                entries = _merge_blocks(old, new, blocks, matches)
                if entries is not None:
                    merged[name], transfer.partial[name] = entries
                    used.add(names[name])
                elif new.shape != old.shape:
                    transfer.sizes[name] = f"{_size(new)} there, {_size(old)} here"
                continue
        if new.shape == old.shape:
            merged[name] = new
            transfer.whole.add(name)
            used.add(names[name])
        else:
            transfer.sizes[name] = f"{_size(new)} there, {_size(old)} here"
    # Settings, not weights: they are those of the new run.
    settings = {axis.chosen for axis in axes.values()}
    settings |= {name for name in state if name.startswith(_EARLY_EXIT)}
    transfer.unused = len(state.keys() - used - settings)
    return merged


def _counterparts(
    method: LandmarkModule,
    own: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
    theirs: Mapping[str, Any],
) -> dict[str, str]:
    """Name of each tensor -> its name in the checkpoint; without those that must not be taken."""
    # Lists of landmarks are settings.
    barred = {axis.chosen for axis in method.landmark_axes().values()}
    names = {n: n for n in own if n not in barred and not n.startswith(_EARLY_EXIT)}
    if method.correction is not None:
        same = theirs.get("conventions") == list(method.correction.conventions)
        names = {n: n for n in names if same or not n.startswith("correction.")}
    if method.label_shift is not None:
        same = shift_conventions(theirs) == list(method.label_shift.options.conventions)
        names = {n: n for n in names if same or not n.startswith("label_shift.")}
    backbone = backbone_tensors(method)
    source = _backbone_of(theirs, method) if backbone else {}
    if source:
        place = {original: name for name, original in source.items() if name in state}
        names = {n: s for n, s in names.items() if n not in backbone and s not in source}
        names |= {n: place[original] for n, original in backbone.items() if original in place}
    return names


def _backbone_of(theirs: Mapping[str, Any], method: LandmarkModule) -> dict[str, tuple[str, str]]:
    """`backbone_tensors` of the method that wrote a checkpoint; empty where it cannot be built.

    It is built for our scheme: theirs may be one that only its data declares, and a backbone does
    not depend on it.
    """
    if theirs.get("format", 1) < FORMAT:
        return {}
    arguments = {**theirs["init_args"], "scheme": method.scheme, "init_from": None}
    with torch.random.fork_rng():  # what is built here draws nothing from the run's generators
        try:
            return backbone_tensors(build_method(theirs["class_path"], arguments))
        except UserError:
            return {}


class _Blocks:
    """Landmarks of the blocks of a tensor, here and in a checkpoint."""

    def __init__(
        self,
        axis: LandmarkAxis,
        own: Mapping[str, Tensor],
        state: Mapping[str, Tensor],
        n_own: int,
        n_theirs: int,
    ) -> None:
        self.axis = axis
        self.ours = self._landmarks(own, n_own)
        self.theirs = self._landmarks(state, n_theirs)

    def _landmarks(self, state: Mapping[str, Tensor], count: int) -> list[int]:
        if self.axis.chosen is None:
            return list(range(count))
        chosen = state.get(self.axis.chosen)
        return [] if chosen is None else [int(index) for index in chosen]


def _merge_blocks(
    old: Tensor, new: Tensor, blocks: _Blocks, matches: Sequence[tuple[int, ...]]
) -> tuple[Tensor, int] | None:
    """A tensor with the blocks of matching landmarks replaced, and the number of new entries.

    Returns:
        None where the tensors are of other sizes beside the blocks.
    """
    axis = blocks.axis
    if old.ndim != new.ndim:
        return None
    result, source = old.movedim(axis.dim, 0).clone(), new.movedim(axis.dim, 0)
    start, begin = axis.block * len(blocks.ours), axis.block * len(blocks.theirs)
    if result[start:].shape != source[begin:].shape:
        return None
    result[start:] = source[begin:]
    taken = result[start:].numel()
    place = {landmark: block for block, landmark in enumerate(blocks.theirs)}
    for block, landmark in enumerate(blocks.ours):
        alike = [place[other] for other in matches[landmark] if other in place]
        if not alike or len(alike) < len(matches[landmark]):
            continue
        if len(alike) > 1 and not axis.output:
            continue
        rows = [source[axis.block * at : axis.block * (at + 1)] for at in alike]
        target = result[axis.block * block : axis.block * (block + 1)]
        target.copy_(torch.stack(rows).mean(0))
        taken += target.numel()
    return result.movedim(0, axis.dim).contiguous(), taken


def _count(transfer: Transfer, method: LandmarkModule) -> None:
    """Counts learnable tensors and entries."""
    for name, parameter in method.named_parameters():
        transfer.tensors += 1
        transfer.parameters += parameter.numel()
        if name in transfer.whole:
            transfer.taken += parameter.numel()
        elif transfer.partial.get(name):
            transfer.taken += transfer.partial[name]
        else:
            transfer.partial.pop(name, None)
            transfer.fresh.append(name)


def _point_names(theirs: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the points that a checkpoint predicts; empty for queries."""
    name = theirs.get("scheme")
    if name is None:
        return ()
    if is_built_in(name):
        return get_scheme(name).point_names
    return tuple(theirs.get("points", ()))


def _size(value: Tensor) -> str:
    return " x ".join(map(str, value.shape)) or "1"


def _shapes(state: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in state.items()}
