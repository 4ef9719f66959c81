"""Settings of methods that earlier versions wrote into config.yaml, as they are called now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def rename_settings(class_path: str, init_args: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a method by today's names; those of today stay as they are.

    Args:
        class_path: dotted path or name of the method's class.
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
    # MuSiCa has a loss of that name, whose weight is not renamed.
    if "error_weight" in values and class_path.rpartition(".")[2] != "MuSiCa":
        weight = values.pop("error_weight")
        if weight:
            values["error_head"] = {"weight": weight}
    return values
