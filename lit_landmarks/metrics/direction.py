"""Whether more is better, looked up from the metric classes by key; stated nowhere else."""

from __future__ import annotations

import re

from lit_landmarks.errors import UserError
from lit_landmarks.metrics.classes import (
    AreaUnderCurve,
    ErrorDistribution,
    FailureRate,
    GroupedMetric,
    MeanCost,
    NormalisedMeanError,
    OcclusionScore,
    PoseError,
)

#: Pattern of a metric's name -> the class that computes it.
FAMILIES: tuple[tuple[str, type[GroupedMetric]], ...] = (
    (r"nme(3d)?(_\w+)?", NormalisedMeanError),
    (r"fr[\d.]+_\w+", FailureRate),
    (r"auc[\d.]+_\w+", AreaUnderCurve),
    (r"p\d+_\w+", ErrorDistribution),
    (r"pose_mae(_\w+)?", PoseError),
    (r"occlusion_\w+", OcclusionScore),
    (r"mma(_\w+)?", MeanCost),
)
#: Costs and losses have no metric class; they are minimised wherever they appear.
_MINIMISED = re.compile(r"loss(_\w+)?|parameters|learnable|latency(_\w+)?")


def metric_name(key: str) -> str:
    """The name in a key: `fr10_interocular` of `test/wflw/fr10_interocular/pose`."""
    parts = key.split("/")
    return parts[2] if len(parts) > 2 else parts[-1]


def higher_is_better(key: str) -> bool:
    """Direction of a logged key, from the `higher_is_better` of its metric class.

    Args:
        key: for example `val/nme`, `test/wflw/auc10_interocular/pose` or `compute/mma`.

    Raises:
        UserError: no metric, loss or cost has this name, or it has no direction (`faces`).
    """
    name = metric_name(key)
    for pattern, metric in FAMILIES:
        if re.fullmatch(pattern, name) and metric.higher_is_better is not None:
            return bool(metric.higher_is_better)
    if _MINIMISED.fullmatch(name):
        return False
    raise UserError(
        f"'{key}' has no better direction; monitor a metric such as val/nme or "
        "val/<data set>/auc10_interocular"
    )
