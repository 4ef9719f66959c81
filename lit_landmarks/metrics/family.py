"""`MetricFamily`: one place for a metric's class, names, condition and direction.

A family makes one torchmetrics object, feeds it, and names the figures that it computes.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, get_args

import torch
from torch import Tensor

from lit_landmarks.metrics import classes, functional
from lit_landmarks.metrics.groups import POINT_GROUPS, FaceGroup, FaceGroups
from lit_landmarks.metrics.norms import NORMS
from lit_landmarks.types import FaceBatch, Prediction

#: What stands in a family's patterns, as a regular expression.
_PLACEHOLDERS = {
    "norm": "|".join(NORMS),
    "primary": "|".join(NORMS),
    "points": "|".join(POINT_GROUPS[1:]),
    "threshold": r"[\d.]+",
    "percent": r"\d+",
    "stage": r"\d+",
    "alignment": "|".join(get_args(functional.Alignment)),
}


def single_or_double(values: Tensor) -> Tensor:
    """The values in single precision at least: half is too coarse for distances.

    Example:
        >>> single_or_double(torch.zeros(1, dtype=torch.bfloat16)).dtype
        torch.float32
    """
    return values.to(torch.promote_types(values.dtype, torch.float32))


@dataclass(frozen=True)
class SuiteLayout:
    """What a suite measures: groups of faces, and NME thresholds of FR and AUC.

    Attributes:
        faces: the groups of faces of one role.
        thresholds: (norm, NME in percent), the columns of FR and AUC.
    """

    faces: FaceGroups
    thresholds: tuple[tuple[str, float], ...]


class EvaluatedBatch:
    """A batch with its prediction, and the errors that several families share.

    Attributes:
        prediction: what the method says, in crop pixels and degrees.
        batch: the labels, in the same pixels.
        layout: what the suite measures.
        members: (B, G) bool, which face is in which group.
    """

    def __init__(self, prediction: Prediction, batch: FaceBatch, layout: SuiteLayout) -> None:
        """Sort the faces into groups; errors are computed when a family first asks for them."""
        self.prediction, self.batch, self.layout = prediction, batch, layout
        self.members = layout.faces.members(batch)

    @cached_property
    def truth(self) -> Tensor:
        """True points (B, N, 2) in crop pixels."""
        return single_or_double(self.batch.points)

    @cached_property
    def norms(self) -> Tensor:
        """Norms (B, K) in crop pixels, in the order of `NORMS`."""
        return single_or_double(self.batch.norms)

    @cached_property
    def primary_norm(self) -> Tensor:
        """The norm (B,) of each face under which its data set is compared."""
        return self.layout.faces.primary_norm(self.norms, self.members)

    @cached_property
    def nme(self) -> Tensor:
        """NME (B, P, K) in percent: each of `POINT_GROUPS` under each of `NORMS`."""
        predicted = single_or_double(self.prediction.points)
        points = self.layout.faces.points(self.batch)
        return functional.nme(predicted, self.truth, self.norms, self.batch.mask, points)

    @property
    def overall(self) -> Tensor:
        """NME (B, K) of all points."""
        return self.nme[:, 0]

    def overall_under(self, norms: Sequence[str]) -> Tensor:
        """NME (B, len(norms)) of all points, a column for each norm that is named."""
        columns = [self.overall[:, NORMS.index(norm)] for norm in norms]
        return torch.stack(columns, dim=1) if columns else self.overall[:, :0]


class MetricFamily(ABC):
    """One kind of figure: a torchmetrics class, its names, when it applies, and its direction.

    Attributes:
        name: of its torchmetrics object in the suite.
        metric: the torchmetrics class, which states the direction.
        patterns: names that it logs, `{norm}` and the like for what varies.
        meaning: what the figure is, for the table of keys.
        field: the field of `Prediction` that must not be None.
        label: the label (of `types.LABELS`) that a data set must carry.
        further_conditions: what else a face or data set must have, in words.
        suite_wide: names without a data set (`{role}/name`) that share the direction.

    Example:
        The share of the crop's width that a predicted shape spans, added by recipe:

        >>> class Span(classes.GroupedMean):
        ...     higher_is_better = True
        >>> class SpanFamily(MetricFamily):
        ...     name = "span"
        ...     metric = Span
        ...     patterns = ("span",)
        ...     meaning = "width of the predicted shape, percent of the crop"
        ...
        ...     def update(self, metric, evaluated):
        ...         x = evaluated.prediction.points[..., 0]
        ...         width = evaluated.batch.image.shape[-1]
        ...         metric.update(100 * (x.amax(1) - x.amin(1)) / width, evaluated.members)
        >>> SpanFamily().direction_of("span")
        True
    """

    name: ClassVar[str]
    metric: ClassVar[type[classes.GroupedMetric]]
    patterns: ClassVar[tuple[str, ...]]
    meaning: ClassVar[str]
    field: ClassVar[str | None] = None
    label: ClassVar[str | None] = None
    further_conditions: ClassVar[tuple[str, ...]] = ()
    suite_wide: ClassVar[tuple[str, ...]] = ()

    def applies(self, prediction: Prediction) -> bool:
        """Whether the prediction carries what is measured."""
        return self.field is None or getattr(prediction, self.field) is not None

    def make(self, layout: SuiteLayout) -> classes.GroupedMetric:
        """The torchmetrics object, with a row for each group of faces."""
        return self.metric(groups=len(layout.faces))

    @abstractmethod
    def update(self, metric: classes.GroupedMetric, evaluated: EvaluatedBatch) -> None:
        """Add a batch."""

    def names(self, layout: SuiteLayout, group: FaceGroup) -> Sequence[str | None]:
        """Names of the columns of `table` for a group; None where a column is not logged.

        Unless overridden, the patterns themselves.
        """
        return self.patterns

    def table(self, metric: classes.GroupedMetric, layout: SuiteLayout) -> Tensor:
        """Figures so far (G, C), NaN where nothing was counted."""
        values: Tensor = metric.compute()
        if values.dim() < 2:  # torchmetrics makes a scalar of a single value
            values = values.reshape(len(layout.faces), -1)
        return values.cpu()

    def figures(self, layout: SuiteLayout, group: FaceGroup, row: Tensor) -> dict[str, float]:
        """The figures of a group by name, from its row (C,) of `table`."""
        named = zip(self.names(layout, group), row.tolist(), strict=True)
        return {n: value for n, value in named if n is not None and not math.isnan(value)}

    def possible_names(
        self, layout: SuiteLayout, group: FaceGroup, example: Prediction
    ) -> list[str]:
        """Names that a group can log for predictions such as `example`."""
        if not self.applies(example) or (self.label and self.label not in group.labels):
            return []
        return [name for name in self.names(layout, group) if name is not None]

    def direction_of(self, name: str) -> bool | None:
        """Whether more is better of a name of this family; None of one that it does not log."""
        for pattern in (*self.patterns, *self.suite_wide):
            expression = re.escape(pattern).replace(r"\{", "{").replace(r"\}", "}")
            for placeholder, values in _PLACEHOLDERS.items():
                expression = expression.replace(f"{{{placeholder}}}", f"({values})")
            if re.fullmatch(expression, name):
                return self.metric.higher_is_better
        return None
