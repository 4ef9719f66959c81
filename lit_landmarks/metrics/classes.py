"""torchmetrics classes over the kernels whose states are sums, so any number of shards can merge.

All of them aggregate for G groups of faces at once (data sets and their subsets): a face may belong
to several, so the value of a whole is by construction the count-weighted mean of disjoint parts.
Figures that no sum can give (pairs of frames, ranks) are in `gathered`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.distributed import gather_all_tensors

from lit_landmarks.metrics import functional


class GroupedMetric(Metric):
    """Base of every metric here: states for G groups of faces.

    A subclass states `higher_is_better`; it is the only place where a direction stands.

    Attributes:
        position: place of the next batch among all batches; with several processes, batches are
            put together in this order.
    """

    is_differentiable = False
    full_state_update = False
    position: int = 0

    def __init__(self, groups: int = 1) -> None:
        """Aggregate for `groups` groups of faces."""
        super().__init__()
        self.groups = groups

    def _sum_state(self, name: str, *shape: int) -> None:
        # float64: a sum over a million faces keeps the printed digits, whatever the order of shards
        self.add_state(name, torch.zeros(self.groups, *shape, dtype=torch.float64), "sum")

    def _apply(self, fn: Callable[..., Any], exclude_state: Sequence[str] = "") -> Any:
        """Move the states; to single precision where the device (MPS) has no double.

        Casts of the module around it (`.half()`, `.to(torch.bfloat16)`) do not reach the sums.
        """
        probe = fn(torch.zeros(1))
        if probe.device.type == "mps":
            for name, default in self._defaults.items():
                if isinstance(default, Tensor):
                    self._defaults[name] = default.float()
                    setattr(self, name, getattr(self, name).float())
        cast = probe.dtype != torch.float32
        return super()._apply((lambda t: t.to(probe.device)) if cast else fn, exclude_state)

    def _members(self, members: Tensor | None, faces: int, device: torch.device) -> Tensor:
        if members is None:
            return torch.ones(faces, self.groups, dtype=torch.bool, device=device)
        return members


class MeanStates(GroupedMetric):
    """Means of per-face values: (G, C) for G groups of faces and C columns.

    A sum of floats depends on its order. If `ordered`, several processes keep the sum of each
    batch and add them by `position`, which gives the sum of one process to the last bit.

    Attributes:
        ordered: each batch gets its `position` before it is added, in every process.
    """

    total: Tensor
    count: Tensor
    ordered: bool = False

    def __init__(self, columns: int = 1, groups: int = 1) -> None:
        """Aggregate `columns` values per face."""
        super().__init__(groups)
        self.columns = columns
        self._batches: list[tuple[int, Tensor]] = []
        self._sum_state("total", columns)
        self._sum_state("count", columns)

    def add(self, values: Tensor, members: Tensor | None = None) -> None:
        """Add B faces.

        Args:
            values: (B,) or (B, C), NaN where a face is not counted.
            members: (B, G) bool; None puts every face in every group.
        """
        values = values.reshape(len(values), self.columns).to(self.total.dtype)
        inside = self._members(members, len(values), values.device).unsqueeze(-1)
        counted = inside & ~values.isnan().unsqueeze(1)
        # `where` and not a matrix product: an infinite error must stay in its own group
        batch = torch.where(counted, values.unsqueeze(1), 0.0).sum(dim=0)
        self.total = self.total + batch
        self.count = self.count + counted.sum(dim=0)
        if self.ordered and self.distributed_available_fn():
            self._batches.append((self.position, batch))

    def reset(self) -> None:
        """Forget every face."""
        super().reset()
        self._batches = []

    def _sync_dist(
        self,
        dist_sync_fn: Callable[..., list[Tensor]] = gather_all_tensors,
        process_group: Any | None = None,
    ) -> None:
        """Sum over processes; the batches of an ordered metric one by one, by their position."""
        device = self.total.device
        super()._sync_dist(dist_sync_fn, process_group)
        if not self.ordered:
            return
        places = torch.tensor([place for place, _ in self._batches], dtype=torch.int64)
        none = self.total.new_zeros(0, *self.total.shape)
        sums = torch.stack([batch for _, batch in self._batches]) if self._batches else none
        order = torch.cat(dist_sync_fn(places.to(device), process_group)).argsort(stable=True)
        total = torch.zeros_like(self.total)
        for batch in torch.cat(dist_sync_fn(sums, process_group))[order]:
            total = total + batch
        self.total = total

    def compute(self) -> Tensor:
        """Means (G, C), NaN where nothing was counted; a single one comes as a scalar."""
        return self.total / self.count


class GroupedMean(MeanStates):
    """A mean whose per-face values are passed in as they are.

    Example:
        Two groups of faces; the second holds the second face only:

        >>> metric = GroupedMean(groups=2)
        >>> metric.update(torch.tensor([2.0, 4.0]), torch.tensor([[True, False], [True, True]]))
        >>> metric.compute()
        tensor([[3.],
                [4.]], dtype=torch.float64)
    """

    def update(self, values: Tensor, members: Tensor | None = None) -> None:
        """Add B faces; arguments as in `add`."""
        self.add(values, members)


class NormalizedMeanError(GroupedMean):
    """Mean over faces of NME in percent (`functional.nme`).

    Example:
        >>> metric = NormalizedMeanError()
        >>> metric.update(torch.tensor([2.0, 4.0, torch.nan]))
        >>> metric.compute()
        tensor(3., dtype=torch.float64)
    """

    higher_is_better = False


class MeanOffset(GroupedMean):
    """Mean over faces of a signed distance, of which neither sign is better.

    Example:
        >>> metric = MeanOffset()
        >>> metric.update(torch.tensor([-1.0, 2.0]))
        >>> metric.compute()
        tensor(0.5000, dtype=torch.float64)
    """

    higher_is_better = None


class MeanOverBins(MeanStates):
    """Unweighted mean over bins of faces of the mean NME in each (`functional.mean_over_bins`).

    Bins are groups of faces, so the mean of one bin is that of `NormalizedMeanError`.

    Example:
        Group 0 is a data set, whose bins are the groups 1 (two faces) and 2 (one face):

        >>> metric = MeanOverBins([[1, 2], [], []])
        >>> frontal, profile = [True, True, False], [True, False, True]
        >>> members = torch.tensor([frontal, frontal, profile])
        >>> metric.update(torch.tensor([2.0, 4.0, 9.0]), members)
        >>> metric.compute()[0]
        tensor([6.], dtype=torch.float64)
    """

    higher_is_better = False
    bins: Tensor

    def __init__(self, bins: Sequence[Sequence[int]], columns: int = 1) -> None:
        """The numbers of the groups that are the bins of each of the G groups."""
        groups = len(bins)
        super().__init__(columns, groups)
        table = torch.zeros(groups, groups, dtype=torch.bool)
        for row, parts in enumerate(bins):
            table[row, list(parts)] = True
        self.register_buffer("bins", table, persistent=False)

    def update(self, errors: Tensor, members: Tensor) -> None:
        """Add the NME of B faces, (B,) or (B, C) percent, and their groups (B, G) bool."""
        self.add(errors, members)

    def compute(self) -> Tensor:
        """Means over bins (G, C), NaN of a group without bins or with an empty one."""
        return functional.mean_over_bins(self.total / self.count, self.bins)


class AlignedError(MeanStates):
    """Mean 3D distance after rigid and after similarity alignment (`functional.aligned_nme`).

    Example:
        A prediction of twice the size is right but for its scale:

        >>> truth = torch.tensor([[[1.0, 0, 0], [-1.0, 0, 0], [0, 2.0, 0], [0, -2.0, 0]]])
        >>> metric = AlignedError(("rigid", "similarity"))
        >>> metric.update(2 * truth, truth, torch.tensor([10.0]), torch.tensor([[True] * 4]))
        >>> metric.compute().round(decimals=3).abs()
        tensor([[15.,  0.]], dtype=torch.float64)
    """

    higher_is_better = False

    def __init__(self, alignments: Sequence[functional.Alignment], groups: int = 1) -> None:
        """One column for each kind of alignment, `rigid` or `similarity`."""
        super().__init__(len(alignments), groups)
        self.alignments = tuple(alignments)

    def update(
        self,
        predicted: Tensor,
        truth: Tensor,
        norm: Tensor,
        mask: Tensor,
        members: Tensor | None = None,
    ) -> None:
        """Add B faces; arguments as in `functional.aligned_nme`."""
        columns = [
            functional.aligned_nme(predicted, truth, norm, mask, kind) for kind in self.alignments
        ]
        self.add(torch.stack(columns, dim=1), members)


class FailureRate(MeanStates):
    """Percentage of faces whose NME lies above a threshold, one threshold per column.

    Example:
        >>> metric = FailureRate([8.0])
        >>> metric.update(torch.tensor([2.0, 4.0, 9.0, 10.0]))
        >>> metric.compute()
        tensor(50., dtype=torch.float64)
    """

    higher_is_better = False
    thresholds: Tensor

    def __init__(self, thresholds: Sequence[float], groups: int = 1) -> None:
        """Thresholds in percent, one per column of errors."""
        super().__init__(len(thresholds), groups)
        self.register_buffer("thresholds", torch.tensor(thresholds), persistent=False)

    def update(self, errors: Tensor, members: Tensor | None = None) -> None:
        """Add the NME of B faces, (B, C) percent."""
        errors = errors.reshape(len(errors), self.columns)
        self.add(functional.failure_indicator(errors, self.thresholds), members)


class AreaUnderCurve(MeanStates):
    """Area under the CED curve up to a threshold, in percent of the full rectangle.

    Example:
        >>> metric = AreaUnderCurve([8.0])
        >>> metric.update(torch.tensor([2.0, 6.0, 9.0, 10.0]))
        >>> metric.compute()
        tensor(25., dtype=torch.float64)
    """

    higher_is_better = True
    thresholds: Tensor

    def __init__(self, thresholds: Sequence[float], groups: int = 1) -> None:
        """Thresholds in percent, one per column of errors."""
        super().__init__(len(thresholds), groups)
        self.register_buffer("thresholds", torch.tensor(thresholds), persistent=False)

    def update(self, errors: Tensor, members: Tensor | None = None) -> None:
        """Add the NME of B faces, (B, C) percent."""
        errors = errors.reshape(len(errors), self.columns)
        self.add(functional.auc_contribution(errors, self.thresholds), members)


class PoseError(MeanStates):
    """Mean absolute error of yaw, pitch, roll and the mean of the three, in degrees.

    Example:
        >>> metric = PoseError()
        >>> metric.update(torch.tensor([[10.0, 0.0, 179.0]]), torch.tensor([[13.0, 1.0, -179.0]]))
        >>> metric.compute()
        tensor([[3., 1., 2., 2.]], dtype=torch.float64)
    """

    higher_is_better = False

    def __init__(self, groups: int = 1) -> None:
        """Four columns: yaw, pitch, roll, mean."""
        super().__init__(4, groups)

    def update(self, predicted: Tensor, truth: Tensor, members: Tensor | None = None) -> None:
        """Add B faces: (B, >= 3) predicted and true angles, degrees; NaN truth is not counted."""
        errors = functional.angle_errors(predicted[:, :3], truth[:, :3])
        self.add(torch.cat([errors, errors.mean(dim=1, keepdim=True)], dim=1), members)


class MeanCost(GroupedMean):
    """Mean multiply-adds (MMA, millions per face) of methods whose cost depends on the face.

    Example:
        >>> metric = MeanCost()
        >>> metric.update(torch.tensor([20.0, 60.0]))
        >>> metric.compute()
        tensor(40., dtype=torch.float64)
    """

    higher_is_better = False


class FaceCount(GroupedMetric):
    """How many faces were evaluated, and how many of them each column left out.

    Example:
        >>> metric = FaceCount(columns=1)
        >>> metric.update(torch.tensor([[2.0], [torch.nan]]))
        >>> metric.compute()
        tensor([[2., 1.]], dtype=torch.float64)
    """

    higher_is_better = None
    faces: Tensor
    counted: Tensor

    def __init__(self, columns: int, groups: int = 1) -> None:
        """Count for `columns` values per face."""
        super().__init__(groups)
        self._sum_state("faces", 1)
        self._sum_state("counted", columns)

    def update(self, values: Tensor, members: Tensor | None = None) -> None:
        """Add B faces: values (B, C), NaN where a face is not counted."""
        inside = self._members(members, len(values), values.device)
        valid = inside.unsqueeze(-1) & ~values.isnan().unsqueeze(1)
        self.faces = self.faces + inside.sum(dim=0).unsqueeze(-1)
        self.counted = self.counted + valid.sum(dim=0)

    def compute(self) -> Tensor:
        """(G, 1 + C): faces met, then faces left out of each column."""
        return torch.cat([self.faces, self.faces - self.counted], dim=1)


class OcclusionScore(GroupedMetric):
    """Detection of occluded landmarks at a threshold; *occluded* is the positive class.

    `compute` gives (G, 4) percent: precision, recall, F1 and accuracy over labeled landmarks.

    Example:
        >>> metric = OcclusionScore()
        >>> visible = torch.tensor([[0, 1, 2, 1]])  # 0 and 2 are occluded
        >>> metric.update(torch.tensor([[0.1, 0.2, 0.8, 0.9]]), visible)
        >>> metric.compute()
        tensor([[50., 50., 50., 50.]], dtype=torch.float64)
    """

    higher_is_better = True
    cells: Tensor

    def __init__(self, groups: int = 1, threshold: float = 0.5) -> None:
        """Call a point occluded when its visibility is below `threshold`."""
        super().__init__(groups)
        self.threshold = threshold
        self._sum_state("cells", 4)

    def update(self, visibility: Tensor, visible: Tensor, members: Tensor | None = None) -> None:
        """Add B faces; arguments as in `functional.occlusion_counts`."""
        cells = functional.occlusion_counts(visibility, visible, self.threshold)
        inside = self._members(members, len(cells), cells.device).unsqueeze(-1)
        self.cells = self.cells + torch.where(inside, cells.unsqueeze(1), 0).sum(dim=0)

    def compute(self) -> Tensor:
        """Precision, recall, F1, accuracy (G, 4) in percent; NaN where undefined."""
        tp, fp, fn, tn = self.cells.unbind(dim=1)
        scores = (
            functional.percentage(tp, tp + fp),
            functional.percentage(tp, tp + fn),
            functional.percentage(2 * tp, 2 * tp + fp + fn),
            functional.percentage(tp + tn, tp + fp + fn + tn),
        )
        return torch.stack(scores, dim=1)
