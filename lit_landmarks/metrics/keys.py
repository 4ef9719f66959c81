"""Keys of the metric families: which an evaluation may log, and the table that lists them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from lit_landmarks.metrics import families
from lit_landmarks.metrics.family import MetricFamily
from lit_landmarks.metrics.suite import THRESHOLDS, suite_layout
from lit_landmarks.types import DataSpec, Prediction, Role

_DIRECTIONS = {True: "higher", False: "lower", None: ""}


def possible_keys(
    spec: DataSpec,
    role: Role,
    example: Prediction,
    adaptive: bool = False,
    thresholds: Mapping[str, Sequence[float]] = THRESHOLDS,
) -> set[str]:
    """Keys with a direction that `FaceMetrics` can log for a role; labels decide which it does.

    Args:
        spec: what the data holds.
        role: train, val or test.
        example: a prediction of the method; what it leaves out is not measured.
        adaptive: whether the method tells the cost of each face.
        thresholds: of FR and AUC, per norm.

    Example:
        >>> import torch
        >>> from lit_landmarks.types import DatasetSpec
        >>> afw = DatasetSpec("afw", "test", "ibug68", "300w", "box", 9)
        >>> spec = DataSpec("ibug68", 68, 128, "tight", (afw,))
        >>> keys = possible_keys(spec, "test", Prediction(points=torch.zeros(1, 68, 2)))
        >>> "test/afw/p90_box" in keys, "test/afw/pose_mae" in keys
        (True, False)
    """
    layout = suite_layout(spec, role, thresholds)
    if adaptive:
        example = replace(example, mma=example.points.new_zeros(len(example.points)))
    keys = {
        group.key(role, name)
        for group in layout.faces.groups
        for family in families.FAMILIES
        if family.metric.higher_is_better is not None
        for name in family.possible_names(layout, group, example)
    }
    return keys | ({f"{role}/nme"} if layout.faces.groups else set())


def key_table() -> str:
    """A Markdown table of every metric family: names, meaning, condition, direction.

    Example:
        >>> print(key_table().splitlines()[0])
        | name | what it is | where | better |
    """
    rows = ["| name | what it is | where | better |", "| --- | --- | --- | --- |"]
    for family in families.FAMILIES:
        names = ", ".join(f"`{name}`" for name in family.patterns)
        direction = _DIRECTIONS[family.metric.higher_is_better]
        rows.append(f"| {names} | {family.meaning} | {_condition(family)} | {direction} |")
    return "\n".join(rows)


def _condition(family: MetricFamily) -> str:
    """What predictions and labels must have, in words."""
    parts = [f"`Prediction.{family.field}`"] if family.field else []
    parts += [f"label `{family.label}`"] if family.label else []
    return ", ".join([*parts, *family.further_conditions])
