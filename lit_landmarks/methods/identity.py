"""Identity of a method in its checkpoints, checked when one is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from lit_landmarks.errors import UserError
from lit_landmarks.nets.component import class_path
from lit_landmarks.nets.correction import SemanticCorrection
from lit_landmarks.nets.label_shift import LabelShift
from lit_landmarks.schemes import get_scheme, is_built_in
from lit_landmarks.types import DataSpec

#: Key under which a checkpoint explains itself.
IDENTITY = "lit_landmarks"
#: Format of that explanation; 1 had class, scheme and frame size only.
FORMAT = 2
#: Key of the trained (not averaged) state in a checkpoint.
RAW_STATE = "raw_state_dict"
#: Key of the scales of tensors that are stored as whole numbers (`training.publishing`).
SCALES = "scales"
#: Key of the conventions whose label shifts a checkpoint has.
LABEL_SHIFT = "label_shift"
#: Beginnings of names in a state before its parts were components -> now.
_RENAMED = {
    "stop_below": "early_exit.exit_thresholds",
    "fail_above": "early_exit.fail_above",
    "network.error.": "error_head.",
}


class Described(Protocol):
    """The part of a method that a checkpoint tells of."""

    scheme: str | None
    frame_size: int
    bound: DataSpec | None

    @property
    def correction(self) -> SemanticCorrection | None:
        """Its weights belong to a list of conventions."""

    @property
    def label_shift(self) -> LabelShift | None:
        """Its shifts belong to a list of conventions."""

    @property
    def init_args(self) -> dict[str, Any]:
        """The arguments that the method was built with."""


def identity(method: Described) -> dict[str, Any]:
    """What a checkpoint must agree on with the method that loads it; plain values only.

    The name of a user's scheme does not say its points, so they are listed; conventions are listed
    where weights belong to them.
    """
    values: dict[str, Any] = {"class_path": class_path(type(method)), "scheme": method.scheme}
    if method.scheme is not None and not is_built_in(method.scheme):
        values["points"] = list(get_scheme(method.scheme).point_names)
    if method.correction is not None:
        values["conventions"] = list(method.correction.conventions)
    if method.label_shift is not None:
        values[LABEL_SHIFT] = list(method.label_shift.options.conventions)
    return values


def shift_conventions(theirs: Mapping[str, Any]) -> list[str] | None:
    """Conventions whose label shifts a checkpoint has, in order; None where it has none.

    Args:
        theirs: what the checkpoint says of itself; before it listed them, its arguments did.
    """
    arguments = theirs.get("init_args", {}).get("label_shift") or {}
    names = theirs.get(LABEL_SHIFT) or arguments.get("conventions")
    return None if names is None else list(names)


def description(method: Described) -> dict[str, Any]:
    """Identity of a method and the arguments that build it again, for a checkpoint."""
    values = {"format": FORMAT, **identity(method), "init_args": method.init_args}
    values["frame_size"] = method.frame_size
    if method.bound is not None:
        values.setdefault("conventions", list(method.bound.conventions))
    return values


def check_identity(theirs: dict[str, Any], method: Described, where: str) -> None:
    """Refuse a checkpoint of another class, scheme, point list or convention list.

    A class is identified by its name: where its module lies may change between versions.

    Args:
        theirs: what the checkpoint says of itself.
        method: the method as it is configured now.
        where: the checkpoint, for the message.

    Raises:
        UserError: naming both sides.
    """
    for key, ours in identity(method).items():
        value = theirs.get(key)
        if key == "class_path":
            key, value, ours = "method", class_name(value), class_name(ours)
        elif key == LABEL_SHIFT:
            value = shift_conventions(theirs)
        if value != ours:
            raise UserError(
                f"{where} has {key} {_text(value)}, but {_text(ours)} is configured; "
                "give a checkpoint of this method and data, or use --run with the run it is from"
            )


def class_name(path: Any) -> str:
    """Name of a class by its dotted path; where its module lies may change between versions."""
    return str(path).rpartition(".")[2]


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "[" + ", ".join(str(item) for item in value) + "]"
    return f"'{value}'"


def widen_state(checkpoint: dict[str, Any]) -> None:
    """Bring weights that are stored in fewer bits to single precision, in place.

    Rows of whole numbers are multiplied by their scales. Tensors in half precision are widened
    where the checkpoint says that it was written so; others belong to a method that computes in it.
    """
    state = checkpoint["state_dict"]
    stored = checkpoint[IDENTITY].get("precision", "float32") != "float32"
    for name, value in state.items():
        if stored and str(value.dtype) == "torch.float16":
            state[name] = value.float()
    for name, scale in checkpoint.pop(SCALES, {}).items():
        state[name] = (state[name].flatten(1).float() * scale[:, None]).view(state[name].shape)


def rename_state(checkpoint: dict[str, Any]) -> None:
    """Bring names in a checkpoint of an older version to today's, in place."""
    for key in ("state_dict", RAW_STATE):
        state = checkpoint.get(key, {})
        for old, new in _RENAMED.items():
            for name in [n for n in state if n.startswith(old)]:
                state[new + name.removeprefix(old)] = state.pop(name)
