"""`FaceMetrics`: every metric of every data set and subset of one role, in a few sum states."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from lit_landmarks.errors import UserError
from lit_landmarks.metrics import functional
from lit_landmarks.metrics.classes import (
    AreaUnderCurve,
    ErrorDistribution,
    FaceCount,
    FailureRate,
    GroupedMetric,
    MeanCost,
    NormalisedMeanError,
    OcclusionScore,
    PoseError,
)
from lit_landmarks.metrics.groups import POINT_GROUPS, FaceGroup, FaceGroups
from lit_landmarks.metrics.normalisers import NORMALISERS
from lit_landmarks.types import DataSpec, FaceBatch, Prediction, Role

#: NME thresholds (percent) of FR and AUC that the literature uses with each normaliser.
THRESHOLDS: Mapping[str, tuple[float, ...]] = {
    "interocular": (8.0, 10.0),
    "interpupil": (8.0, 10.0),
    "box": (7.0,),
    "height": (7.0,),
    "diagonal": (7.0,),
}
PERCENTILES = (90, 95, 99)
POSE_NAMES = ("pose_mae_yaw", "pose_mae_pitch", "pose_mae_roll", "pose_mae")
OCCLUSION_NAMES = (
    "occlusion_precision",
    "occlusion_recall",
    "occlusion_f1",
    "occlusion_accuracy",
)
#: Columns kept for methods that refine in stages; fixed so that all shards have one shape.
MAX_STAGES = 16


class FaceMetrics(nn.Module):
    """The metrics of one role, fed batch by batch; keys are in the package's docstring.

    A child module of a LightningModule: it follows device moves, keeps nothing in checkpoints, and
    its states are reduced by sums over processes. Call `update` per batch, `compute` and `reset`
    per epoch.
    """

    cut_columns: Tensor

    def __init__(
        self,
        spec: DataSpec,
        role: Role,
        thresholds: Mapping[str, Sequence[float]] = THRESHOLDS,
    ) -> None:
        """Lay out the states.

        Args:
            spec: what the data holds; only its data sets in `role` are measured.
            role: train, val or test; the first part of every key.
            thresholds: per normaliser, NME thresholds in percent of FR and AUC.

        Raises:
            UserError: unknown normaliser, or two data sets of one name.
        """
        super().__init__()
        if unknown := set(thresholds) - set(NORMALISERS):
            raise UserError(f"unknown normaliser '{sorted(unknown)[0]}'; use {NORMALISERS}")
        self.role = role
        self.faces = FaceGroups(spec, role)
        self.cuts = [(n, float(t)) for n in NORMALISERS for t in thresholds.get(n, ())]
        cut_columns = torch.tensor([NORMALISERS.index(n) for n, _ in self.cuts], dtype=torch.long)
        self.register_buffer("cut_columns", cut_columns, persistent=False)
        count, levels = len(self.faces), [t for _, t in self.cuts]
        kinds = len(POINT_GROUPS) * len(NORMALISERS)
        self.nme = NormalisedMeanError(kinds, count)
        self.fr = FailureRate(levels, count)
        self.auc = AreaUnderCurve(levels, count)
        self.distribution = ErrorDistribution(count)
        self.stages = NormalisedMeanError(MAX_STAGES, count)
        self.nme3d = NormalisedMeanError(len(NORMALISERS), count)
        self.pose = PoseError(count)
        self.occlusion = OcclusionScore(count)
        self.mma = MeanCost(1, count)
        self.count = FaceCount(len(NORMALISERS), count)

    def metrics(self) -> Iterator[tuple[str, GroupedMetric]]:
        """The torchmetrics children by name."""
        for name, child in self.named_children():
            if isinstance(child, GroupedMetric):
                yield name, child

    @torch.no_grad()
    def update(self, prediction: Prediction, batch: FaceBatch) -> None:
        """Add a batch. Rows of data sets that do not play this role are not counted.

        Args:
            prediction: points and whatever else was predicted, in frame pixels and degrees.
            batch: the labels, in the same frame.
        """
        members, groups = self.faces.members(batch), self.faces.points(batch)
        truth, norms = _wide(batch.points), _wide(batch.norms)
        errors = functional.point_errors(_wide(prediction.points), truth, batch.mask)
        values = functional.normalise(functional.group_means(errors, groups), norms, groups)
        overall = values[:, 0]
        self.count.update(overall, members)
        self.nme.update(values.flatten(1), members)
        self.fr.update(overall[:, self.cut_columns], members)
        self.auc.update(overall[:, self.cut_columns], members)
        self.distribution.update(overall[:, self.faces.primary_of], members)
        self._update_stages(prediction, batch, members)
        self._update_3d(prediction, batch, members)
        if prediction.visibility is not None:
            labelled = torch.where(batch.has_visible.unsqueeze(1), batch.visible, -1)
            self.occlusion.update(prediction.visibility, labelled, members)
        if prediction.mma is not None:
            self.mma.update(prediction.mma, members)

    def _update_stages(self, prediction: Prediction, batch: FaceBatch, members: Tensor) -> None:
        if prediction.stages is None:
            return
        if len(prediction.stages) > MAX_STAGES:
            raise ValueError(f"{len(prediction.stages)} stages; MAX_STAGES is {MAX_STAGES}")
        truth, norms = _wide(batch.points), _wide(batch.norms)
        # each stage of a face in its data set's primary normaliser: of the first group it is in
        first = members.long().argmax(dim=1)
        norm = norms.gather(1, self.faces.primary_of[first].unsqueeze(1)).squeeze(1)
        values = norm.new_full((len(norm), MAX_STAGES), math.nan)
        for stage, points in enumerate(prediction.stages):
            values[:, stage] = functional.nme(_wide(points), truth, norm, batch.mask)
        self.stages.update(values, members)

    def _update_3d(self, prediction: Prediction, batch: FaceBatch, members: Tensor) -> None:
        if prediction.points3d is not None:
            mask = batch.mask & batch.has_points3d.unsqueeze(1)
            predicted = functional.depth_centred(_wide(prediction.points3d), mask)
            truth = functional.depth_centred(_wide(batch.points3d), mask)
            self.nme3d.update(functional.nme(predicted, truth, _wide(batch.norms), mask), members)
        if prediction.pose is not None:
            known = batch.has_pose.unsqueeze(1)
            truth = torch.where(known, _wide(batch.pose), math.nan)
            self.pose.update(_wide(prediction.pose), truth, members)

    def compute(self) -> dict[str, float]:
        """All figures so far, over all processes; keys without any counted face are left out.

        `{role}/nme` is always there (NaN before any face).
        """
        with warnings.catch_warnings():
            # a metric that no prediction fed is normal here, and must still join the reduction
            warnings.filterwarnings("ignore", message="The ``compute`` method of metric")
            # torchmetrics makes a scalar of a single value
            tables = {
                name: metric.compute().cpu().reshape(len(self.faces), -1)
                for name, metric in self.metrics()
            }
        values: dict[str, float] = {}
        for row, group in enumerate(self.faces.groups):
            named = _named(group, {name: table[row] for name, table in tables.items()}, self.cuts)
            self._add_percentiles(named, group, tables["distribution"][row : row + 1])
            values.update(
                (group.key(self.role, name), value)
                for name, value in named.items()
                if not math.isnan(value)
            )
        values[f"{self.role}/nme"] = self._primary(values)
        return values

    def _add_percentiles(self, named: dict[str, float], group: FaceGroup, bins: Tensor) -> None:
        found = self.distribution.percentiles(PERCENTILES, bins)[0].tolist()
        for share, value in zip(PERCENTILES, found, strict=True):
            named[f"p{share}_{group.primary}"] = value

    def _primary(self, values: Mapping[str, float]) -> float:
        """Unweighted mean over data sets of NME under each one's primary normaliser."""
        found: list[float] = []
        for group in self.faces.groups:
            if group.subset is not None:
                continue
            value = values.get(group.key(self.role, f"nme_{group.primary}"))
            if value is not None:
                found.append(value)
            elif group.key(self.role, "faces") in values:
                warnings.warn(
                    f"{self.role}/{group.dataset}: no face has the primary normaliser "
                    f"'{group.primary}', so {self.role}/nme leaves the set out",
                    stacklevel=3,
                )
        return sum(found) / len(found) if found else math.nan

    def reset(self) -> None:
        """Forget every face."""
        for _, metric in self.metrics():
            metric.reset()

    def merge(self, other: FaceMetrics) -> None:
        """Add what another suite of the same layout (a shard) has counted."""
        for (_, mine), (_, theirs) in zip(self.metrics(), other.metrics(), strict=True):
            mine.merge_state(theirs)

    def ced(self, dataset: str, subset: str | None = None) -> tuple[Tensor, Tensor]:
        """The cumulative error distribution under the data set's primary normaliser.

        Args:
            dataset: name of a data set of this role.
            subset: one of its subsets, or None for the whole.

        Returns:
            Thresholds (T,) in percent and the fraction (T,) of faces with NME at most that.

        Raises:
            UserError: no such data set or subset in this role.
        """
        for row, group in enumerate(self.faces.groups):
            if (group.dataset, group.subset) == (dataset, subset):
                with warnings.catch_warnings():
                    warnings.filterwarnings("ignore", message="The ``compute`` method of metric")
                    bins = self.distribution.compute()[row : row + 1].cpu()
                return self.distribution.edges(), self.distribution.curve(bins)[0]
        known = sorted({g.dataset for g in self.faces.groups})
        name = dataset if subset is None else f"{dataset}/{subset}"
        raise UserError(f"no {self.role} data set '{name}'; there are {', '.join(known)}")


def _wide(values: Tensor) -> Tensor:
    """Half precision is too coarse for distances; double stays double."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _named(
    group: FaceGroup, rows: Mapping[str, Tensor], cuts: Sequence[tuple[str, float]]
) -> dict[str, float]:
    """The figures of one group of faces by metric name, NaN where nothing was counted."""
    named: dict[str, float] = {}
    nme = rows["nme"].reshape(len(POINT_GROUPS), len(NORMALISERS))
    for column, normaliser in enumerate(NORMALISERS):
        named[f"nme_{normaliser}"] = float(nme[0, column])
    primary = NORMALISERS.index(group.primary)
    for row, kind in enumerate(POINT_GROUPS[1:], start=1):
        named[f"nme_{group.primary}_{kind}"] = float(nme[row, primary])
    for stage, value in enumerate(rows["stages"].tolist(), start=1):
        named[f"nme_{group.primary}_stage{stage}"] = value
    named[f"nme3d_{group.primary}"] = float(rows["nme3d"][primary])
    for (normaliser, level), fr, auc in zip(cuts, rows["fr"], rows["auc"], strict=True):
        named[f"fr{level:g}_{normaliser}"] = float(fr)
        named[f"auc{level:g}_{normaliser}"] = float(auc)
    named |= dict(zip(POSE_NAMES, rows["pose"].tolist(), strict=True))
    named |= dict(zip(OCCLUSION_NAMES, rows["occlusion"].tolist(), strict=True))
    named["mma"] = float(rows["mma"][0])
    named |= _counts(group, rows["count"])
    return named


def _counts(group: FaceGroup, row: Tensor) -> dict[str, float]:
    """Faces met, and faces that a normaliser left out (the primary's always)."""
    faces = float(row[0])
    if faces == 0:
        return {}
    named = {"faces": faces}
    for normaliser, left_out in zip(NORMALISERS, row[1:].tolist(), strict=True):
        if normaliser == group.primary or 0 < left_out < faces:
            named[f"skipped_{normaliser}"] = left_out
    return named
