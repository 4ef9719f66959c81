"""torchmetrics classes that keep rows of faces: for figures that no sum over faces can give.

Shards merge by joining their rows; which batch or process a face came in does not matter. Rows of
several processes stand in the order of their batches' `position`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from lit_landmarks.metrics import functional, motion
from lit_landmarks.metrics.classes import GroupedMetric


class GatheredMetric(GroupedMetric):
    """Base of the metrics whose states are lists of rows, joined over batches and processes."""

    places: list[Tensor]

    def __init__(self, groups: int = 1) -> None:
        """Aggregate for `groups` groups of faces."""
        super().__init__(groups)
        self._empty: dict[str, Tensor] = {}
        self._row_state("places", dtype=torch.int64)

    def _row_state(self, name: str, *shape: int, dtype: torch.dtype = torch.float32) -> None:
        self.add_state(name, [], "cat")
        self._empty[name] = torch.empty(0, *shape, dtype=dtype)
        self._begin(name)

    def _begin(self, name: str) -> None:
        # A process without faces must bring rows of the right shape to the gathering.
        getattr(self, name).append(self._empty[name].to(self.device))

    def _add_rows(self, **rows: Tensor) -> None:
        for name, values in rows.items():
            getattr(self, name).append(values.detach().to(self._empty[name].dtype))
        count = len(next(iter(rows.values())))
        self.places.append(torch.full((count,), self.position, device=self.device))

    def _rows(self, name: str) -> Tensor:
        rows: Tensor = dim_zero_cat(getattr(self, name))
        order = dim_zero_cat(self.places).argsort(stable=True)
        return rows[order].cpu()  # what is computed is in double, which MPS does not have

    def _apply(self, fn: Callable[..., Any], exclude_state: Sequence[str] = "") -> Any:
        """Move the rows; to single precision where the device (MPS) has no double."""
        if fn(torch.zeros(1)).device.type == "mps":
            for name, empty in self._empty.items():
                if empty.dtype == torch.float64:
                    self._empty[name] = empty.float()
                    setattr(self, name, [rows.float() for rows in getattr(self, name)])
        return super()._apply(fn, exclude_state)

    def reset(self) -> None:
        """Forget every face."""
        super().reset()
        for name in self._empty:
            self._begin(name)


def _mean_by_group(values: Tensor, members: Tensor) -> Tensor:
    """Mean (G,) of the values (M,) of each group's members (M, G); NaN values are not counted."""
    counted = members & ~values.isnan().unsqueeze(1)
    total = torch.where(counted, values.unsqueeze(1), 0.0).sum(dim=0)
    return total / counted.sum(dim=0)


def _mean_root_by_track(squares: Tensor, tracks: Tensor, members: Tensor) -> Tensor:
    """Mean (G,) over tracks of the root of the mean of each one's squares.

    Args:
        squares: (M,); NaN values are not counted.
        tracks: (M, 2) data set and track.
        members: (M, G) bool.
    """
    unique, numbers = torch.unique(tracks, dim=0, return_inverse=True)
    counted = members & ~squares.isnan().unsqueeze(1)
    shape = (len(unique), members.shape[1])
    total = squares.new_zeros(shape)
    total.index_add_(0, numbers, torch.where(counted, squares.unsqueeze(1), 0.0))
    roots = (total / total.new_zeros(shape).index_add_(0, numbers, counted.to(total.dtype))).sqrt()
    return roots.nanmean(dim=0)


class FrameMotion(GatheredMetric):
    """Flicker of frame pairs, acceleration over three frames, and NMF.

    `compute` gives (G, 3): `motion.flicker` against the truth, in percent of the norm of the later
    frame; `motion.acceleration` of the prediction, in percent of the norm of the middle one; and
    normalized mean flicker as published (`motion.squared_flicker`), the mean over tracks of the
    root of the mean over frame pairs. Frames may come in any order, batch and process. Kept are the
    points of frames on a track, in single precision: 16 N bytes each.

    Example:
        Three frames, last one first; the prediction is right but for the middle frame. The box of
        the two points has 16 x 64 pixels:

        >>> face = torch.tensor([[0.0, 0.0], [16.0, 64.0]])
        >>> truth = face + torch.tensor([[[4.0, 0.0]], [[2.0, 0.0]], [[0.0, 0.0]]])
        >>> predicted = truth + torch.tensor([[[0.0, 0.0]], [[0.0, 1.0]], [[0.0, 0.0]]])
        >>> frames = torch.tensor([[0, 5, 12], [0, 5, 11], [0, 5, 10]])
        >>> metric = FrameMotion(n_points=2)
        >>> metric.update(predicted, truth, torch.full((3,), 50.0), frames)
        >>> metric.compute()  # 100 / 50, 200 / 50, 100 * 256 / 32
        tensor([[  2.,   4., 800.]], dtype=torch.float64)
    """

    higher_is_better = False

    def __init__(self, n_points: int, groups: int = 1) -> None:
        """Keep frames of `n_points` points."""
        super().__init__(groups)
        self._row_state("predicted", n_points, 2)
        self._row_state("truth", n_points, 2)
        self._row_state("norm")
        self._row_state("frames", 3, dtype=torch.int64)
        self._row_state("members", groups, dtype=torch.uint8)

    def update(
        self,
        predicted: Tensor,
        truth: Tensor,
        norm: Tensor,
        frames: Tensor,
        members: Tensor | None = None,
        counted: Tensor | None = None,
    ) -> None:
        """Add B faces; those without a track or a time are left out.

        Args:
            predicted: (B, N, 2) image pixels: the crop may move from frame to frame.
            truth: (B, N, 2) image pixels, NaN where not annotated.
            norm: (B,) in image pixels.
            frames: (B, 3) int64 data set, track and time; -1 for a still image.
            members: (B, G) bool; None puts every face in every group.
            counted: (B, N) bool, the points that exist; None for all.
        """
        members = self._members(members, len(frames), frames.device)
        broken = ~predicted.isfinite().all(dim=-1, keepdim=True)
        points = torch.where(broken, torch.inf, predicted)
        if counted is not None:
            points = torch.where(counted.unsqueeze(-1), points, torch.nan)
        rows = (frames >= 0).all(dim=1)
        self._add_rows(
            predicted=points[rows],
            truth=truth[rows],
            norm=norm[rows],
            frames=frames[rows],
            members=members[rows],
        )

    def compute(self) -> Tensor:
        """Flicker, acceleration and NMF (G, 3), NaN of a group without such frames."""
        predicted, truth = self._rows("predicted").double(), self._rows("truth").double()
        norm, frames = self._rows("norm").double(), self._rows("frames")
        members, counted = self._rows("members").bool(), ~predicted.isnan().any(dim=-1)
        pairs, runs = (motion.consecutive_frames(frames, length) for length in (2, 3))
        points = predicted[pairs], truth[pairs]
        flicker = motion.flicker(*points, norm[pairs[:, 1]], counted[pairs])
        squared = motion.squared_flicker(*points, counted[pairs])
        acceleration = motion.acceleration(predicted[runs], norm[runs[:, 1]], counted[runs])
        of_pairs = members[pairs].all(dim=1)
        means = (
            _mean_by_group(flicker, of_pairs),
            _mean_by_group(acceleration, members[runs].all(dim=1)),
            _mean_root_by_track(squared, frames[pairs[:, 0], :2], of_pairs),
        )
        return torch.stack(means, dim=1)


class VisibilityAUROC(GatheredMetric):
    """Area under the ROC curve of predicted visibility, in percent (`functional.auroc`).

    *Visible* is the positive class, occluded and self-occluded points are the negative one, and
    points of unknown visibility are left out. 50 is chance. All landmarks of a group of faces are
    ranked together. Kept are faces with a label: 5 N bytes each.

    Example:
        >>> metric = VisibilityAUROC(n_points=5)
        >>> visible = torch.tensor([[1, 1, 0, 2, -1]])
        >>> metric.update(torch.tensor([[0.9, 0.4, 0.4, 0.6, 0.1]]), visible)
        >>> metric.compute()
        tensor(62.5000, dtype=torch.float64)
    """

    higher_is_better = True

    def __init__(self, n_points: int, groups: int = 1) -> None:
        """Keep faces of `n_points` points."""
        super().__init__(groups)
        self._row_state("scores", n_points)
        self._row_state("visible", n_points, dtype=torch.int8)
        self._row_state("members", groups, dtype=torch.uint8)

    def update(self, visibility: Tensor, visible: Tensor, members: Tensor | None = None) -> None:
        """Add B faces.

        Args:
            visibility: (B, N) probability that the point is visible.
            visible: (B, N) int8: -1 unknown, 0 occluded, 1 visible, 2 self-occluded.
            members: (B, G) bool; None puts every face in every group.
        """
        members = self._members(members, len(visible), visible.device)
        rows = (visible >= 0).any(dim=1)
        self._add_rows(scores=visibility[rows], visible=visible[rows], members=members[rows])

    def compute(self) -> Tensor:
        """AUROC (G, 1) in percent, NaN where a class is empty; a single one comes as a scalar."""
        scores, visible = self._rows("scores"), self._rows("visible")
        members, labeled = self._rows("members").bool(), visible >= 0
        areas: list[Tensor] = []
        for group in range(self.groups):
            chosen = labeled & members[:, group].unsqueeze(1)
            areas.append(functional.auroc(scores[chosen], visible[chosen] == 1))
        return torch.stack(areas).unsqueeze(1)


class ErrorDistribution(GatheredMetric):
    """The NME of every face, from which the CED curve and percentiles are read, both exactly.

    Kept are 8 G bytes for each face.

    Example:
        >>> metric = ErrorDistribution(upper=4.0, n_bins=4)
        >>> metric.update(torch.tensor([0.5, 1.5, 1.7, 9.0]))
        >>> metric.curve()
        tensor([[0.2500, 0.7500, 0.7500, 0.7500]], dtype=torch.float64)
        >>> metric.percentiles([50])
        tensor([[1.6000]], dtype=torch.float64)
    """

    higher_is_better = False

    def __init__(self, groups: int = 1, upper: float = 50.0, n_bins: int = 5000) -> None:
        """Draw curves up to `upper` percent in `n_bins` steps."""
        super().__init__(groups)
        self.upper, self.n_bins = upper, n_bins
        self._row_state("errors", groups, dtype=torch.float64)

    def update(self, errors: Tensor, members: Tensor | None = None) -> None:
        """Add B faces.

        Args:
            errors: (B,), or (B, G) where groups measure under different norms; percent.
            members: (B, G) bool.
        """
        errors = errors.unsqueeze(1).expand(-1, self.groups) if errors.dim() == 1 else errors
        inside = self._members(members, len(errors), errors.device)
        self._add_rows(errors=torch.where(inside, errors, torch.nan))

    def compute(self) -> Tensor:
        """Errors (G, M) of each group in rising order; NaN fills up the rows of smaller groups."""
        return self._rows("errors").double().T.contiguous().sort(dim=1).values  # NaN last

    def curve(self, ranked: Tensor | None = None) -> Tensor:
        """Fraction (G, n_bins) of faces with an error of at most each of `edges`."""
        ranked = self._ranked(ranked)
        edges = self.edges().expand(len(ranked), -1).contiguous()
        reached = torch.searchsorted(ranked.nan_to_num(torch.inf), edges, right=True)
        return reached.double() / (~ranked.isnan()).sum(dim=1, keepdim=True)

    def edges(self) -> Tensor:
        """Errors (n_bins,) in percent at which the curve is drawn."""
        return torch.arange(1, self.n_bins + 1, dtype=torch.float64) * (self.upper / self.n_bins)

    def percentiles(self, percents: Sequence[float], ranked: Tensor | None = None) -> Tensor:
        """Errors (G, len(percents)) that the given percentages of faces do not exceed.

        Linear between the two nearest faces, as NumPy's default and SPIGA's code have it; NaN for
        an empty group.
        """
        ranked = self._ranked(ranked)
        return functional.percentiles(ranked, percents)

    def _ranked(self, ranked: Tensor | None) -> Tensor:
        ranked = self.compute() if ranked is None else ranked
        return ranked.cpu() if ranked.dim() == 2 else ranked.cpu().reshape(self.groups, -1)
