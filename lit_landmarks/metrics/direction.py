"""Whether more is better of a logged key, looked up from the metric families."""

from __future__ import annotations

import re

from lit_landmarks.errors import UserError
from lit_landmarks.metrics import families

#: Costs and losses have no metric family; they are minimized wherever they appear.
_MINIMIZED = re.compile(r"loss(_\w+)?|parameters|learnable|(onnx_)?latency(_\w+)?|mma_\w+")


def metric_name(key: str) -> str:
    """The name in a key.

    Example:
        >>> metric_name("test/wflw/fr10_interocular/pose")
        'fr10_interocular'
    """
    parts = key.split("/")
    return parts[2] if len(parts) > 2 else parts[-1]


def higher_is_better(key: str) -> bool:
    """Direction of a logged key, from the `higher_is_better` of its metric class.

    Args:
        key: for example `val/nme`, `test/wflw/auc10_interocular/pose` or `compute/mma`.

    Raises:
        UserError: no metric, loss or cost has this name, or it has no direction (`faces`).

    Example:
        >>> higher_is_better("val/nme"), higher_is_better("test/wflw/auc10_interocular/pose")
        (False, True)
    """
    name = metric_name(key)
    for family in families.FAMILIES:
        if (higher := family.direction_of(name)) is not None:
            return higher
    if _MINIMIZED.fullmatch(name):
        return False
    raise UserError(
        f"'{key}' has no better direction; monitor a metric such as val/nme or "
        "val/<data set>/auc10_interocular"
    )
