"""Precisions of the trainer in which labels keep their digits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightning.pytorch.plugins import MixedPrecision, Precision

from lit_landmarks.errors import UserError

#: `trainer.precision` that converts the batch, labels and all, and what it is refused for.
_CONVERTED = {
    "16-true": "rounds coordinates to 16 bits",
    "bf16-true": "rounds coordinates to 16 bits",
    "64": "makes weights double, and faces come in single precision",
    "64-true": "makes weights double, and faces come in single precision",
    "transformer-engine": "rounds coordinates to 16 bits",
    "transformer-engine-float16": "rounds coordinates to 16 bits",
}


def check_precision(arguments: Mapping[str, Any]) -> None:
    """Refuses a precision of the trainer in which labels would be rounded.

    Args:
        arguments: the configured arguments of `Trainer`.

    Raises:
        UserError: such a precision, or a plugin that is one.

    Example:
        >>> check_precision({"precision": "bf16-mixed"})
    """
    precision = str(arguments.get("precision"))
    if reason := _CONVERTED.get(precision):
        raise UserError(
            f"trainer.precision {precision} {reason}; use bf16-mixed, 16-mixed or 32-true"
        )
    plugins = arguments.get("plugins") or ()
    for plugin in plugins if isinstance(plugins, list | tuple) else (plugins,):
        if str(plugin) in _CONVERTED or (
            isinstance(plugin, Precision) and type(plugin) not in (Precision, MixedPrecision)
        ):
            name = plugin if isinstance(plugin, str) else type(plugin).__name__
            raise UserError(
                f"trainer.plugins has {name}, which converts the labels too; remove it and set"
                " trainer.precision to bf16-mixed, 16-mixed or 32-true"
            )
