"""NME, FR and AUC that divide by every point of the scheme, as published for MERL-RAV.

Kumar et al. (LUVLi, CVPR 2020) and the code of SPIGA sum the errors of the annotated points of a
face and divide by 68, however many are annotated: a point without a label counts as one without
error.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from lit_landmarks.metrics import classes, functional
from lit_landmarks.metrics.family import EvaluatedBatch, MetricFamily, SuiteLayout
from lit_landmarks.metrics.groups import FaceGroup
from lit_landmarks.metrics.norms import NORMS


class OverScheme(classes.GroupedMean):
    """Mean of errors or failures over the scheme, and the share of faces that lack points.

    Example:
        >>> metric = OverScheme(columns=2)
        >>> metric.update(torch.tensor([[2.0, 0.0], [4.0, 1.0]]))
        >>> metric.compute()
        tensor([[3.0000, 0.5000]], dtype=torch.float64)
    """

    higher_is_better = False


class AreaOverScheme(OverScheme):
    """The same of areas under the CED curve.

    Example:
        >>> metric = AreaOverScheme(columns=2)
        >>> metric.update(torch.tensor([[50.0, 1.0]]))
        >>> metric.compute()
        tensor([[50.,  1.]], dtype=torch.float64)
    """

    higher_is_better = True


class OverSchemeFamily(MetricFamily):
    """NME and failure rates over the scheme; nothing where every face has all its points."""

    name = "over_scheme"
    metric: ClassVar[type[classes.GroupedMean]] = OverScheme
    patterns: ClassVar[tuple[str, ...]] = (
        "nme_{primary}_over_scheme",
        "fr{threshold}_{primary}_over_scheme",
    )
    meaning = (
        "NME and failure rate with the sum of errors divided by all points of the scheme, "
        "annotated or not: as published for MERL-RAV"
    )
    further_conditions = ("sets with faces that lack points",)

    def make(self, layout: SuiteLayout) -> classes.GroupedMetric:
        """The columns of `names`."""
        columns = len(self._column_names(layout))
        return self.metric(columns, len(layout.faces))

    def _column_names(self, layout: SuiteLayout) -> list[tuple[str, str]]:
        """(norm, name) of each column; the last has the share of faces that lack points."""
        means = [(norm, f"nme_{norm}_over_scheme") for norm in NORMS]
        levels = [(norm, f"fr{level:g}_{norm}_over_scheme") for norm, level in layout.thresholds]
        return [*means, *levels, ("", "")]

    def update(self, metric: classes.GroupedMetric, evaluated: EvaluatedBatch) -> None:
        """Add a batch."""
        points = evaluated.layout.faces.scheme_points(evaluated.batch)
        annotated = evaluated.batch.mask & points & evaluated.truth.isfinite().all(dim=-1)
        share = annotated.sum(dim=1) / points.sum(dim=1)
        errors = evaluated.overall * share.unsqueeze(1)
        lacking = (share < 1).to(errors.dtype).unsqueeze(1)
        metric.update(
            torch.cat([*self._columns(errors, evaluated.layout), lacking], dim=1), evaluated.members
        )

    def _columns(self, errors: Tensor, layout: SuiteLayout) -> list[Tensor]:
        """Columns from the errors (B, K) of faces under each norm."""
        levels = [
            functional.failure_indicator(errors[:, NORMS.index(norm)], level).unsqueeze(1)
            for norm, level in layout.thresholds
        ]
        return [errors, *levels]

    def names(self, layout: SuiteLayout, group: FaceGroup) -> Sequence[str | None]:
        """Those under the primary norm."""
        return [
            name if norm == group.primary else None for norm, name in self._column_names(layout)
        ]

    def figures(self, layout: SuiteLayout, group: FaceGroup, row: Tensor) -> dict[str, float]:
        """Nothing if no face lacks points: the figures are then those of NME."""
        return super().figures(layout, group, row) if row[-1] > 0 else {}


class AreaOverSchemeFamily(OverSchemeFamily):
    """Areas under the CED curve over the scheme."""

    name = "auc_over_scheme"
    metric = AreaOverScheme
    patterns = ("auc{threshold}_{primary}_over_scheme",)
    meaning = "area under the curve of that NME"

    def _column_names(self, layout: SuiteLayout) -> list[tuple[str, str]]:
        levels = [(norm, f"auc{level:g}_{norm}_over_scheme") for norm, level in layout.thresholds]
        return [*levels, ("", "")]

    def _columns(self, errors: Tensor, layout: SuiteLayout) -> list[Tensor]:
        return [
            functional.auc_contribution(errors[:, NORMS.index(norm)], level).unsqueeze(1)
            for norm, level in layout.thresholds
        ]
