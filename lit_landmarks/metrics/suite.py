"""`FaceMetrics`: every metric of every data set and subset of one role."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torchmetrics.metric import jit_distributed_available

from lit_landmarks.errors import UserError
from lit_landmarks.metrics import families
from lit_landmarks.metrics.classes import GroupedMetric, MeanStates
from lit_landmarks.metrics.family import EvaluatedBatch, SuiteLayout
from lit_landmarks.metrics.gathered import ErrorDistribution
from lit_landmarks.metrics.groups import FaceGroups
from lit_landmarks.metrics.norms import NORMS
from lit_landmarks.types import DataSpec, FaceBatch, Prediction, Role

#: NME thresholds (percent) of FR and AUC that the literature uses with each norm: 8 and 10 between
#: the eyes (300W, WFLW), 7 by the box (300W private, COFW-68, MERL-RAV), 4 by its height (SPIGA's
#: code on 300W). By the diagonal there is none; 7 is that of the box.
THRESHOLDS: Mapping[str, tuple[float, ...]] = {
    "interocular": (8.0, 10.0),
    "interpupil": (8.0, 10.0),
    "box": (7.0,),
    "height": (4.0,),
    "diagonal": (7.0,),
}

#: Bits of a face's row in a batch's position; the number of its data set stands above them.
_INDEX_BITS = 40


def suite_layout(
    spec: DataSpec, role: Role, thresholds: Mapping[str, Sequence[float]] = THRESHOLDS
) -> SuiteLayout:
    """What is measured on the data sets of a role.

    Args:
        spec: what the data holds.
        role: train, val or test.
        thresholds: per norm, NME thresholds in percent of FR and AUC.

    Raises:
        UserError: unknown norm, or two data sets of one name.

    Example:
        >>> from lit_landmarks.types import DatasetSpec
        >>> afw = DatasetSpec("afw", "test", "ibug68", "300w", "box", 9)
        >>> spec = DataSpec("ibug68", 68, 128, "tight", (afw,))
        >>> suite_layout(spec, "test", {"box": (7.0,)}).thresholds
        (('box', 7.0),)
    """
    if unknown := set(thresholds) - set(NORMS):
        raise UserError(f"unknown norm '{sorted(unknown)[0]}'; use {', '.join(NORMS)}")
    levels = [(norm, float(level)) for norm in NORMS for level in thresholds.get(norm, ())]
    return SuiteLayout(FaceGroups(spec, role), tuple(levels))


class FaceMetrics(nn.Module):
    """The metrics of one role, fed batch by batch; the README has the keys.

    A child module of a LightningModule: it follows device moves, keeps nothing in checkpoints, and
    its states are merged over processes. Call `update` per batch, `compute` and `reset` per epoch.
    The torchmetrics object of each family is an attribute of the family's name.

    Example:
        >>> from lit_landmarks.types import DatasetSpec
        >>> afw = DatasetSpec("afw", "test", "ibug68", "300w", "box", 9)
        >>> metrics = FaceMetrics(DataSpec("ibug68", 68, 128, "tight", (afw,)), "test")
        >>> metrics.compute()  # before any face
        {'test/nme': nan}
    """

    def __init__(
        self,
        spec: DataSpec,
        role: Role,
        thresholds: Mapping[str, Sequence[float]] = THRESHOLDS,
    ) -> None:
        """Make the states.

        Args:
            spec: what the data holds; only its data sets in `role` are measured.
            role: train, val or test; the first part of every key.
            thresholds: per norm, NME thresholds in percent of FR and AUC.

        Raises:
            UserError: unknown norm, or two data sets of one name.
        """
        super().__init__()
        self.role = role
        self.layout = suite_layout(spec, role, thresholds)
        self.left_out = {d.name for d in spec.in_role(role) if d.chosen_on and role == "test"}
        self.faces = self.layout.faces  # a child module too: its tables follow device moves
        self.families = {family.name: family for family in families.FAMILIES}
        for name, family in self.families.items():
            metric = family.make(self.layout)
            if isinstance(metric, MeanStates):
                metric.ordered = True
            self.add_module(name, metric)

    def metrics(self) -> Iterator[tuple[str, GroupedMetric]]:
        """The torchmetrics children by name."""
        for name in self.families:
            yield name, cast(GroupedMetric, self.get_submodule(name))

    @torch.no_grad()
    def update(self, prediction: Prediction, batch: FaceBatch) -> None:
        """Add a batch. Rows of data sets that do not play this role are not counted.

        With several processes, a batch is added in its place in the order of the faces, and one
        that repeats a face (`index` -1) is not counted.

        Args:
            prediction: points and whatever else was predicted, in crop pixels and degrees.
            batch: the labels, in the same pixels.
        """
        position = 0
        if jit_distributed_available():
            if int(batch.index[0]) < 0:
                return
            position = (int(batch.dataset_id[0]) << _INDEX_BITS) + int(batch.index[0])
        # A step in mixed precision would multiply coordinates by matrices in eight bits.
        with torch.autocast(batch.points.device.type, enabled=False):
            evaluated = EvaluatedBatch(prediction, batch, self.layout)
            for name, metric in self.metrics():
                metric.position = position
                if self.families[name].applies(prediction):
                    self.families[name].update(metric, evaluated)

    def compute(self) -> dict[str, float]:
        """All figures so far, over all processes; keys without any counted face are left out.

        `{role}/nme` is always there (NaN before any face).
        """
        with warnings.catch_warnings():
            # a metric that no prediction fed is normal here, and must still join the reduction
            warnings.filterwarnings("ignore", message="The ``compute`` method of metric")
            tables = {
                name: self.families[name].table(metric, self.layout)
                for name, metric in self.metrics()
            }
        values = {
            group.key(self.role, figure): value
            for row, group in enumerate(self.faces.groups)
            for name, table in tables.items()
            for figure, value in self.families[name].figures(self.layout, group, table[row]).items()
        }
        values[f"{self.role}/nme"] = self._primary(values)
        return values

    def _primary(self, values: Mapping[str, float]) -> float:
        """Unweighted mean over data sets of NME under each one's primary norm.

        Test sets whose faces have chosen the checkpoint are left out.
        """
        means: list[float] = []
        for group in self.faces.groups:
            if group.subset is not None or group.dataset in self.left_out:
                continue
            value = values.get(group.key(self.role, f"nme_{group.primary}"))
            if value is not None:
                means.append(value)
            elif group.key(self.role, "faces") in values:
                warnings.warn(
                    f"{self.role}/{group.dataset}: no face has the primary norm "
                    f"'{group.primary}', so {self.role}/nme leaves the set out",
                    stacklevel=3,
                )
        return sum(means) / len(means) if means else math.nan

    def reset(self) -> None:
        """Forget every face."""
        for _, metric in self.metrics():
            metric.reset()

    def merge(self, other: FaceMetrics) -> None:
        """Add what another suite of the same layout (a shard) has counted."""
        for (_, mine), (_, theirs) in zip(self.metrics(), other.metrics(), strict=True):
            mine.merge_state(theirs)

    def ced(self, dataset: str, subset: str | None = None) -> tuple[Tensor, Tensor]:
        """The cumulative error distribution under the data set's primary norm.

        Args:
            dataset: name of a data set of this role.
            subset: one of its subsets, or None for the whole.

        Returns:
            Thresholds (T,) in percent and the fraction (T,) of faces with NME at most that.

        Raises:
            UserError: no such data set or subset in this role.
        """
        distribution = cast(ErrorDistribution, self.get_submodule("distribution"))
        for row, group in enumerate(self.faces.groups):
            if (group.dataset, group.subset) == (dataset, subset):
                with warnings.catch_warnings():
                    warnings.filterwarnings("ignore", message="The ``compute`` method of metric")
                    ranked = distribution.compute().reshape(len(self.faces), -1)
                return distribution.edges(), distribution.curve(ranked[row : row + 1])[0]
        names = sorted({g.dataset for g in self.faces.groups})
        name = dataset if subset is None else f"{dataset}/{subset}"
        raise UserError(f"no {self.role} data set '{name}'; there are {', '.join(names)}")
