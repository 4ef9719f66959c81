"""What earlier versions wrote into a run's config.yaml, as it is called now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Classes whose module has moved.
MOVED_CLASSES = {
    "lit_landmarks.methods.mobilenet.module.MobileNetBaseline": (
        "lit_landmarks.methods.asmnet.baseline.MobileNetBaseline"
    ),
    "lit_landmarks.training.optimum.OptimumDistance": (
        "lit_landmarks.methods.asmnet.optimum.OptimumDistance"
    ),
}
#: Methods that had the weight of an error head as `error_weight`; MuSiCa still has a loss so named.
_WITH_ERROR_WEIGHT = ("ASMNet", "MobileNetBaseline")


def rename_settings(class_path: str, init_args: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a method by today's names; those of today stay as they are.

    Args:
        class_path: dotted path or name of the method's class; empty where it is not given.
        init_args: arguments as they were written down.
    """
    values = dict(init_args)
    early_exit = {
        new: values.pop(old)
        for old, new in {"early_stop": "enabled", "target_mma": "target_mma"}.items()
        if old in values
    }
    if early_exit:
        values["early_exit"] = {**(values.get("early_exit") or {}), **early_exit}
    if "error_weight" in values and class_path.rpartition(".")[2] in _WITH_ERROR_WEIGHT:
        weight = values.pop("error_weight")
        if weight:
            values["error_head"] = {"weight": weight}
    return values


def rename_classes(value: Any) -> Any:
    """A tree of settings in which every `class_path` names the class where it is now."""
    if isinstance(value, dict):
        return {
            key: MOVED_CLASSES.get(item, item)
            if key == "class_path" and isinstance(item, str)
            else rename_classes(item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [rename_classes(item) for item in value]
    return value
