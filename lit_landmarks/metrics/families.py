"""Every metric that is logged, one family each; the last lines list them.

`FaceMetrics` logs what `FAMILIES` measure; `possible_keys`, `higher_is_better` and the table of the
README are read from the same declarations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, cast

import torch
from torch import Tensor

from lit_landmarks.geometry import affine_scale, transform_points
from lit_landmarks.metrics import classes, functional, gathered
from lit_landmarks.metrics.family import (
    EvaluatedBatch,
    MetricFamily,
    SuiteLayout,
    single_or_double,
)
from lit_landmarks.metrics.groups import POINT_GROUPS, FaceGroup
from lit_landmarks.metrics.norms import NORMS
from lit_landmarks.metrics.over_scheme import AreaOverSchemeFamily, OverSchemeFamily
from lit_landmarks.types import POSE_KINDS, FaceBatch, PoseKind, Prediction

PERCENTILES = (90, 95, 99)
#: Columns kept for methods that refine in stages; fixed so that all shards have one shape.
MAX_STAGES = 16
ALIGNMENTS: tuple[functional.Alignment, ...] = ("rigid", "similarity")


class ErrorFamily(MetricFamily):
    """NME of all points under every norm, of parts of the shape under the primary one."""

    name = "nme"
    metric = classes.NormalizedMeanError
    patterns = ("nme_{norm}", "nme_{primary}_{points}")
    suite_wide = ("nme",)
    meaning = "NME of all points, and of those inside the face and on the contour"

    def make(self, layout: SuiteLayout) -> classes.GroupedMetric:
        """A column for each landmark group and norm."""
        return self.metric(len(POINT_GROUPS) * len(NORMS), len(layout.faces))

    def update(self, metric: classes.GroupedMetric, evaluated: EvaluatedBatch) -> None:
        """Add a batch."""
        metric.update(evaluated.nme.flatten(1), evaluated.members)

    def names(self, layout: SuiteLayout, group: FaceGroup) -> Sequence[str | None]:
        """Landmark group by landmark group, norm by norm."""
        parts = (
            f"nme_{norm}_{part}" if norm == group.primary else None
            for part in POINT_GROUPS[1:]
            for norm in NORMS
        )
        return [*(f"nme_{norm}" for norm in NORMS), *parts]


class ThresholdFamily(MetricFamily):
    """A figure at each NME threshold of each norm; its names begin with that of the family."""

    metric: ClassVar[type[classes.FailureRate | classes.AreaUnderCurve]]

    def make(self, layout: SuiteLayout) -> classes.GroupedMetric:
        """A column for each threshold."""
        return self.metric([level for _, level in layout.thresholds], len(layout.faces))

    def update(self, metric: classes.GroupedMetric, evaluated: EvaluatedBatch) -> None:
        """Add a batch."""
        norms = [norm for norm, _ in evaluated.layout.thresholds]
        metric.update(evaluated.overall_under(norms), evaluated.members)

    def names(self, layout: SuiteLayout, group: FaceGroup) -> Sequence[str | None]:
        """Threshold by threshold."""
        return [f"{self.name}{level:g}_{norm}" for norm, level in layout.thresholds]


class FailureFamily(ThresholdFamily):
    """Failure rates at the NME thresholds of each norm."""

    name = "fr"
    metric = classes.FailureRate
    patterns = ("fr{threshold}_{norm}",)
    meaning = "share of faces with an NME above the threshold, percent"


class AreaFamily(ThresholdFamily):
    """Areas under the CED curve up to the NME thresholds of each norm."""

    name = "auc"
    metric = classes.AreaUnderCurve
    patterns = ("auc{threshold}_{norm}",)
    meaning = "area under the cumulative error distribution up to the threshold, percent"


class DistributionFamily(MetricFamily):
    """Percentiles of NME; its errors are also where CED curves come from."""

    name = "distribution"
    metric = gathered.ErrorDistribution
    patterns = ("p{percent}_{primary}",)
    meaning = "NME that so many percent of the faces do not exceed"

    def update(self, metric: classes.GroupedMetric, evaluated: EvaluatedBatch) -> None:
        """Add a batch, each group under its own primary norm."""
        columns = evaluated.layout.faces.primary_of
        metric.update(evaluated.overall[:, columns], evaluated.members)

    def names(self, layout: SuiteLayout, group: FaceGroup) -> Sequence[str | None]:
        """Percentile by percentile."""
        return [f"p{percent}_{group.primary}" for percent in PERCENTILES]

    def table(self, metric: classes.GroupedMetric, layout: SuiteLayout) -> Tensor:
        """Percentiles of each group, from its errors."""
        ranked: Tensor = metric.compute()
        return cast(gathered.ErrorDistribution, metric).percentiles(PERCENTILES, ranked)


class SideFamily(MetricFamily):
    """On which side of the answers the labels lie."""

    name = "label_shift"
    metric = classes.MeanOffset
    patterns = ("label_shift",)
    meaning = (
        "how far labels lie to the right of the answers in the mean, percent of the longer side of"
        " the face's box; mirrored training cannot learn it (`model.label_shift`)"
    )

    def update(self, metric: classes.GroupedMetric, evaluated: EvaluatedBatch) -> None:
        """Add a batch."""
        predicted = single_or_double(evaluated.prediction.points)
        offset = functional.sideways_offset(predicted, evaluated.truth, evaluated.batch.mask)
        metric.update(offset, evaluated.members)


class StageFamily(MetricFamily):
    """NME after each stage of a cascade."""

    name = "stages"
    metric = classes.NormalizedMeanError
    patterns = ("nme_{primary}_stage{stage}",)
    meaning = "NME after each stage, from 1"
    field = "stages"

    def make(self, layout: SuiteLayout) -> classes.GroupedMetric:
        """A column for each stage that a method may have."""
        return self.metric(MAX_STAGES, len(layout.faces))

    def update(self, metric: classes.GroupedMetric, evaluated: EvaluatedBatch) -> None:
        """Add a batch.

        Raises:
            ValueError: more than `MAX_STAGES` stages.
        """
        stages = cast(Tensor, evaluated.prediction.stages)
        if len(stages) > MAX_STAGES:
            raise ValueError(f"{len(stages)} stages; MAX_STAGES is {MAX_STAGES}")
        norm, mask = evaluated.primary_norm, evaluated.batch.mask
        values = norm.new_full((len(norm), MAX_STAGES), math.nan)
        for stage, points in enumerate(stages):
            values[:, stage] = functional.nme(single_or_double(points), evaluated.truth, norm, mask)
        metric.update(values, evaluated.members)

    def names(self, layout: SuiteLayout, group: FaceGroup) -> Sequence[str | None]:
        """Stage by stage."""
        return [f"nme_{group.primary}_stage{stage}" for stage in range(1, MAX_STAGES + 1)]

    def possible_names(
        self, layout: SuiteLayout, group: FaceGroup, example: Prediction
    ) -> list[str]:
        """Names of the stages that the example has."""
        stages = 0 if example.stages is None else len(example.stages)
        return super().possible_names(layout, group, example)[:stages]


class BinsFamily(MetricFamily):
    """Unweighted mean over bins of yaw, the headline figure of AFLW2000-3D."""

    name = "bins"
    metric = classes.MeanOverBins
    patterns = ("nme_{primary}_yaw_bins",)
    meaning = "unweighted mean of NME over the bins of yaw (`/yaw_0_30` and so on)"
    further_conditions = ("data sets with two bins or more",)

    def make(self, layout: SuiteLayout) -> classes.GroupedMetric:
        """A column for each norm."""
        faces = layout.faces
        bins = [faces.bins_of(group) for group in faces.groups]
        return classes.MeanOverBins(bins, len(NORMS))

    def update(self, metric: classes.GroupedMetric, evaluated: EvaluatedBatch) -> None:
        """Add a batch."""
        metric.update(evaluated.overall, evaluated.members)

    def names(self, layout: SuiteLayout, group: FaceGroup) -> Sequence[str | None]:
        """The primary norm of a data set that has at least two bins."""
        many = len(layout.faces.bins_of(group)) > 1
        name = f"nme_{group.primary}_yaw_bins"
        return [name if many and norm == group.primary else None for norm in NORMS]


class DepthErrorFamily(MetricFamily):
    """NME of 3D points in crop pixels, with both depths centered."""

    name = "nme3d"
    metric = classes.NormalizedMeanError
    patterns = ("nme3d_{primary}",)
    meaning = "NME of 3D points in crop pixels, depths centered, norm measured in 2D"
    field = "points3d"
    label = "points3d"

    def make(self, layout: SuiteLayout) -> classes.GroupedMetric:
        """A column for each norm."""
        return self.metric(len(NORMS), len(layout.faces))

    def update(self, metric: classes.GroupedMetric, evaluated: EvaluatedBatch) -> None:
        """Add a batch."""
        batch = evaluated.batch
        mask = batch.mask & batch.has_points3d.unsqueeze(1)
        predicted, truth = (
            functional.center_depth(single_or_double(cast(Tensor, points)), mask)
            for points in (evaluated.prediction.points3d, batch.points3d)
        )
        values = functional.nme(predicted, truth, evaluated.norms, mask)
        metric.update(values, evaluated.members)

    def names(self, layout: SuiteLayout, group: FaceGroup) -> Sequence[str | None]:
        """The primary norm alone."""
        return [f"nme3d_{norm}" if norm == group.primary else None for norm in NORMS]


class AlignedErrorFamily(MetricFamily):
    """3D error after alignment, in percent of the outer-eye distance in 3D."""

    metric = classes.AlignedError
    prefix: ClassVar[str]

    def make(self, layout: SuiteLayout) -> classes.GroupedMetric:
        """A column for each kind of alignment."""
        return classes.AlignedError(ALIGNMENTS, len(layout.faces))

    def update(self, metric: classes.GroupedMetric, evaluated: EvaluatedBatch) -> None:
        """Add a batch."""
        batch, faces = evaluated.batch, evaluated.layout.faces
        predicted, truth = (
            single_or_double(getattr(side, str(self.field)))
            for side in (evaluated.prediction, batch)
        )
        mask = batch.mask & getattr(batch, f"has_{self.field}").unsqueeze(1)
        norm = faces.outer_eyes(truth, mask, batch)
        metric.update(predicted, truth, norm, mask, evaluated.members)

    def names(self, layout: SuiteLayout, group: FaceGroup) -> Sequence[str | None]:
        """Alignment by alignment."""
        return [f"{self.prefix}_outer_eyes_{alignment}" for alignment in ALIGNMENTS]


class AlignedPointsFamily(AlignedErrorFamily):
    """3D error of points in crop pixels after alignment."""

    name = "aligned_points3d"
    prefix = "nme3d"
    patterns = ("nme3d_outer_eyes_{alignment}",)
    meaning = "mean distance of aligned 3D points, percent of the outer-eye distance in 3D"
    field = "points3d"
    label = "points3d"


class AlignedHeadFamily(AlignedErrorFamily):
    """3D error of points in the head's own frame after alignment."""

    name = "aligned_head3d"
    prefix = "head3d"
    patterns = ("head3d_outer_eyes_{alignment}",)
    meaning = "mean distance of aligned points in the head's own frame, in the same percent"
    field = "head3d"
    label = "head3d"


class PoseFamily(MetricFamily):
    """Mean absolute error of the head's angles against poses that the data set gives."""

    name = "pose"
    metric = classes.PoseError
    patterns = ("pose_mae_yaw", "pose_mae_pitch", "pose_mae_roll", "pose_mae")
    meaning = "mean absolute error of each angle and of all three, degrees, against given poses"
    field = "pose"
    label: ClassVar[str | None] = "pose"
    kind: ClassVar[PoseKind] = "given"

    def update(self, metric: classes.GroupedMetric, evaluated: EvaluatedBatch) -> None:
        """Add a batch."""
        batch = evaluated.batch
        predicted = single_or_double(cast(Tensor, evaluated.prediction.pose))
        labeled = batch.has_pose & (batch.pose_kind == POSE_KINDS.index(self.kind))
        truth = torch.where(labeled.unsqueeze(1), single_or_double(batch.pose), math.nan)
        metric.update(predicted, truth, evaluated.members)


class PositPoseFamily(PoseFamily):
    """The same against poses that POSIT made from the annotated points."""

    name = "pose_posit"
    patterns = (
        "pose_mae_posit_yaw",
        "pose_mae_posit_pitch",
        "pose_mae_posit_roll",
        "pose_mae_posit",
    )
    meaning = "the same against poses by POSIT, in which each person has the mean face"
    label = None
    further_conditions = ("faces without a given pose",)
    kind = "posit"


def _labeled_visibility(batch: FaceBatch) -> Tensor:
    """Visibility (B, N), -1 where the data set has no such label."""
    return torch.where(batch.has_visible.unsqueeze(1), batch.visible, -1)


class OcclusionFamily(MetricFamily):
    """Detection of occluded points at a visibility of one half."""

    name = "occlusion"
    metric = classes.OcclusionScore
    patterns = (
        "occlusion_precision",
        "occlusion_recall",
        "occlusion_f1",
        "occlusion_accuracy",
    )
    meaning = "detection of occluded points at a visibility below one half, percent"
    field = "visibility"
    label = "visible"

    def update(self, metric: classes.GroupedMetric, evaluated: EvaluatedBatch) -> None:
        """Add a batch."""
        visibility = cast(Tensor, evaluated.prediction.visibility)
        metric.update(visibility, _labeled_visibility(evaluated.batch), evaluated.members)


class VisibilityFamily(MetricFamily):
    """Ranking of visible before occluded points."""

    name = "visibility"
    metric = gathered.VisibilityAUROC
    patterns = ("visibility_auroc",)
    meaning = "how often a visible point has a higher visibility than an occluded one, percent"
    field = "visibility"
    label = "visible"

    def make(self, layout: SuiteLayout) -> classes.GroupedMetric:
        """Rows of as many points as the data has."""
        return gathered.VisibilityAUROC(layout.faces.n_points, len(layout.faces))

    def update(self, metric: classes.GroupedMetric, evaluated: EvaluatedBatch) -> None:
        """Add a batch."""
        visibility = cast(Tensor, evaluated.prediction.visibility)
        metric.update(visibility, _labeled_visibility(evaluated.batch), evaluated.members)


class MotionFamily(MetricFamily):
    """Flicker, acceleration and NMF of points on video tracks."""

    name = "motion"
    metric = gathered.FrameMotion
    patterns = ("flicker_{primary}", "acceleration_{primary}", "nmf")
    meaning = (
        "motion between consecutive frames of a track that the truth does not have, second "
        "difference of the prediction over three frames (no truth needed), and normalized mean "
        "flicker as published (root mean square, hundredths of a pixel of a face of 256 px)"
    )
    further_conditions = ("faces with `track` and `time`",)

    def make(self, layout: SuiteLayout) -> classes.GroupedMetric:
        """Rows of as many points as the data has."""
        return gathered.FrameMotion(layout.faces.n_points, len(layout.faces))

    def update(self, metric: classes.GroupedMetric, evaluated: EvaluatedBatch) -> None:
        """Add the faces that are on a track, in image pixels, since crops move with the face.

        Where a face has no labels, the norm is measured on its predicted points.
        """
        batch, faces = evaluated.batch, evaluated.layout.faces
        frames = torch.stack([batch.dataset_id, batch.track, batch.time], dim=1)
        if not bool((frames >= 0).all(dim=1).any()):
            return
        to_image = single_or_double(batch.frame_to_image)
        predicted = single_or_double(evaluated.prediction.points)
        own = faces.primary_norm(faces.norms_of(predicted, batch), evaluated.members)
        norm = torch.where(evaluated.primary_norm.isnan(), own, evaluated.primary_norm)
        metric.update(
            transform_points(to_image, predicted),
            transform_points(to_image, evaluated.truth).masked_fill(
                ~batch.mask.unsqueeze(-1), math.nan
            ),
            norm * affine_scale(to_image),
            frames,
            evaluated.members,
            faces.scheme_points(batch),
        )

    def names(self, layout: SuiteLayout, group: FaceGroup) -> Sequence[str | None]:
        """Flicker, acceleration, NMF."""
        return [f"flicker_{group.primary}", f"acceleration_{group.primary}", "nmf"]


class CostFamily(MetricFamily):
    """Mean cost of methods whose cost depends on the face."""

    name = "mma"
    metric = classes.MeanCost
    patterns = ("mma",)
    meaning = "multiply-adds per face where they depend on it, in millions"
    field = "mma"

    def update(self, metric: classes.GroupedMetric, evaluated: EvaluatedBatch) -> None:
        """Add a batch."""
        metric.update(cast(Tensor, evaluated.prediction.mma), evaluated.members)


class CountFamily(MetricFamily):
    """Faces that were evaluated, and those that a norm left out (the primary one's always)."""

    name = "count"
    metric = classes.FaceCount
    patterns = ("faces", "skipped_{norm}")
    meaning = "faces, and those of them without that norm"

    def make(self, layout: SuiteLayout) -> classes.GroupedMetric:
        """A column for each norm, behind the number of faces."""
        return classes.FaceCount(len(NORMS), len(layout.faces))

    def update(self, metric: classes.GroupedMetric, evaluated: EvaluatedBatch) -> None:
        """Add a batch."""
        metric.update(evaluated.overall, evaluated.members)

    def names(self, layout: SuiteLayout, group: FaceGroup) -> Sequence[str | None]:
        """The count, then norm by norm."""
        return ["faces", *(f"skipped_{norm}" for norm in NORMS)]

    def figures(self, layout: SuiteLayout, group: FaceGroup, row: Tensor) -> dict[str, float]:
        """Nothing without faces; of the norms the primary one, and others that some faces lack."""
        faces = float(row[0])
        every = super().figures(layout, group, row) if faces else {}
        primary = f"skipped_{group.primary}"
        return {n: v for n, v in every.items() if n in ("faces", primary) or 0 < v < faces}


#: What a suite measures. A new family is an entry here.
FAMILIES: tuple[MetricFamily, ...] = (
    ErrorFamily(),
    FailureFamily(),
    AreaFamily(),
    DistributionFamily(),
    OverSchemeFamily(),
    AreaOverSchemeFamily(),
    SideFamily(),
    StageFamily(),
    BinsFamily(),
    DepthErrorFamily(),
    AlignedPointsFamily(),
    AlignedHeadFamily(),
    PoseFamily(),
    PositPoseFamily(),
    OcclusionFamily(),
    VisibilityFamily(),
    MotionFamily(),
    CostFamily(),
    CountFamily(),
)
