"""Labels that a shape model does not believe, so that a user looks at the worst first.

All shapes are aligned to their Procrustes mean. A Gaussian over the aligned coordinates says for
each point where it should lie, given all other points of the face: with precision P and deviation
d, the conditional residual of point i is inv(P_ii) (P d)_i with covariance inv(P_ii) (Rasmussen and
Williams, Gaussian Processes for Machine Learning, 2006, A.3). The model of a face is that of all
*other* faces, exactly: taking one face out of the scatter matrix is a rank-one change, which
Sherman and Morrison's formula carries through the inverse (Golub and Van Loan, Matrix Computations,
2.1.4).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lit_landmarks.geometry import (
    affine_scale,
    invert_affine,
    procrustes,
    procrustes_mean,
    transform_points,
)

#: Fewer faces make no shape model.
FEWEST = 30
#: Faces that the model is fitted to, and those that the mean is found from; more change little.
_MOST, _MOST_FOR_MEAN = 20_000, 2_000
#: Filling in missing points is slow, and it converges slowly.
_MOST_INCOMPLETE, _ROUNDS_TO_FILL = 2_000, 20
#: Annotation noise that is assumed at least, in RMS radii of the face (about 1 % of the eye
#: distance); it also keeps the inverse defined for few faces.
_NOISE = 0.01
#: Share of the faces that is left out of the model after a first look.
_TRIMMED = 0.02
_CHUNK = 2048


@dataclass(frozen=True)
class LabelOutliers:
    """How well each face fits the others.

    Attributes:
        score: (n,) distance of the least likely point from where the others put it, in standard
            deviations of that point; 0 for a face without enough points.
        point: (n,) its number.
        residual: (n,) the same distance in percent of the longer side of the face box.
        expected: (n, 2) where it should be, image pixels.
    """

    score: NDArray[np.float64]
    point: NDArray[np.int64]
    residual: NDArray[np.float64]
    expected: NDArray[np.float64]

    def worst(self, count: int) -> NDArray[np.int64]:
        """Rows by falling score, at most so many."""
        return np.argsort(-self.score, kind="stable")[:count]


def label_outliers(
    points: NDArray[np.float32], mask: NDArray[np.bool_], box: NDArray[np.float32]
) -> LabelOutliers | None:
    """Score every face of one data set.

    Args:
        points: (n, N, 2) image pixels.
        mask: (n, N) annotated points.
        box: (n, 4) face boxes.

    Returns:
        None if fewer than `FEWEST` faces have a shape (three points or more).
    """
    usable = mask.sum(1) >= 3
    if usable.sum() < FEWEST:
        return None
    rows = np.flatnonzero(usable)
    most = _MOST if mask[rows].all() else _MOST_INCOMPLETE
    chosen = rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), most)).astype(int))]
    mean, in_mean = _mean(points[chosen], mask[chosen])
    shapes, annotated, _ = _aligned(points[chosen], mask[chosen], mean, in_mean)
    model = _Model.of(shapes, annotated)
    residuals = model.scores(shapes, annotated, inside=True)[0].amax(1)
    usual_rows = residuals <= residuals.quantile(1 - _TRIMMED)
    model = _Model.of(shapes[usual_rows], annotated[usual_rows])
    inside = np.zeros(len(points), bool)
    inside[chosen[usual_rows.numpy()]] = True
    n = len(points)
    outliers = LabelOutliers(np.zeros(n), np.zeros(n, np.int64), np.zeros(n), np.zeros((n, 2)))
    for start in range(0, len(rows), _CHUNK):
        some = rows[start : start + _CHUNK]
        for part in (some[inside[some]], some[~inside[some]]):
            if len(part):
                _score(
                    outliers, part, model, mean, in_mean, points, mask, box, bool(inside[part[0]])
                )
    return outliers


def _score(
    outliers: LabelOutliers,
    rows: NDArray[np.int64],
    model: _Model,
    mean: Tensor,
    in_mean: Tensor,
    points: NDArray[np.float32],
    mask: NDArray[np.bool_],
    box: NDArray[np.float32],
    inside: bool,
) -> None:
    """Fill the rows of `outliers`."""
    shapes, annotated, affine = _aligned(points[rows], mask[rows], mean, in_mean)
    scores, residuals = model.scores(shapes, annotated, inside)
    score, point = scores.max(1)
    pick = point[:, None, None].expand(-1, 1, 2)
    expected = transform_points(invert_affine(affine), (shapes - residuals).gather(1, pick))[:, 0]
    length = residuals.gather(1, pick)[:, 0].norm(dim=1) / affine_scale(affine)
    side = torch.from_numpy(box[rows, 2:] - box[rows, :2]).double().amax(1)
    outliers.score[rows] = score.numpy()
    outliers.point[rows] = point.numpy()
    outliers.residual[rows] = (100 * length / side).numpy()
    outliers.expected[rows] = expected.numpy()


def _mean(points: NDArray[np.float32], mask: NDArray[np.bool_]) -> tuple[Tensor, Tensor]:
    """(N, 2) mean shape and (N,) which points any of the faces has."""
    order = np.argsort(-mask.sum(1), kind="stable")[:_MOST_FOR_MEAN]
    annotated = torch.from_numpy(mask[order])
    return procrustes_mean(torch.from_numpy(points[order]).double(), annotated), annotated.any(0)


def _aligned(
    points: NDArray[np.float32], mask: NDArray[np.bool_], mean: Tensor, in_mean: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """(n, N, 2) aligned shapes, 0 where not annotated; (n, N) mask; (n, 2, 3) image -> aligned."""
    annotated = torch.from_numpy(mask) & in_mean
    shapes = torch.from_numpy(points).double().masked_fill(~annotated[..., None], 0.0)
    affine = procrustes(shapes, mean, annotated)
    aligned = transform_points(affine, shapes).masked_fill(~annotated[..., None], 0.0)
    return aligned, annotated, affine


@dataclass
class _Model:
    """Mean (2N,), inverse scatter (2N, 2N) and number of the faces it was fitted to."""

    mean: Tensor
    inverse: Tensor
    count: int

    @classmethod
    def of(cls, shapes: Tensor, annotated: Tensor) -> _Model:
        """Fit to (n, N, 2) aligned shapes; missing points are filled with what is most likely."""
        number = annotated.sum(0).clamp_min(1)[:, None]
        mean = (shapes.sum(0) / number).flatten()
        filled = torch.where(annotated[..., None], shapes, mean.view(-1, 2)).flatten(1)
        complete = bool(annotated.all())
        for turn in range(1 if complete else _ROUNDS_TO_FILL):
            mean = filled.mean(0)
            offset = filled - mean
            scatter = offset.mT @ offset
            scatter.diagonal().add_(len(shapes) * _NOISE**2)
            model = cls(mean, torch.linalg.inv(scatter), len(shapes))
            if not complete and turn + 1 < _ROUNDS_TO_FILL:
                filled = mean + model._filled(filled - mean, annotated)
        return model

    def _filled(self, offset: Tensor, annotated: Tensor) -> Tensor:
        """(n, 2N) deviations with the most likely values at points that are not annotated."""
        missing = ~annotated.repeat_interleave(2, 1)
        if not bool(missing.any()):
            return offset
        result = offset.masked_fill(missing, 0.0)
        patterns, which = torch.unique(missing, dim=0, return_inverse=True)
        for number, gone in enumerate(patterns):
            if not bool(gone.any()):
                continue
            rows = which == number
            # The minimum of d' P d over the missing coordinates.
            block, cross = self.inverse[gone][:, gone], self.inverse[gone][:, ~gone]
            values = -torch.linalg.solve(block, cross @ result[rows][:, ~gone].mT).mT
            part = result[rows]
            part[:, gone] = values
            result[rows] = part
        return result

    def scores(self, shapes: Tensor, annotated: Tensor, inside: bool) -> tuple[Tensor, Tensor]:
        """How far each point lies from where the other points and the other faces put it.

        Args:
            shapes: (n, N, 2) aligned.
            annotated: (n, N).
            inside: True if the model was fitted to these faces too; each is then taken out.

        Returns:
            (n, N) distances in standard deviations and (n, N, 2) residuals in aligned units.
        """
        n, k = shapes.shape[:2]
        offset = self._filled(shapes.flatten(1) - self.mean, annotated)
        pulled = offset @ self.inverse
        blocks = torch.stack([self.inverse[2 * i : 2 * i + 2, 2 * i : 2 * i + 2] for i in range(k)])
        count = self.count
        if inside:
            # Without face i the mean moves to m - d / (M - 1), the scatter loses M / (M - 1) d d'.
            share = count / (count - 1)
            rest = (1 - share * (offset * pulled).sum(1)).clamp_min(1e-9)
            pairs = pulled.view(n, k, 2)
            outer = pairs[..., :, None] * pairs[..., None, :]
            blocks = blocks + share * outer / rest[:, None, None, None]
            pulled, count = share * pulled / rest[:, None], count - 1
        residual = torch.linalg.solve(blocks.expand(n, k, 2, 2), pulled.view(n, k, 2, 1))[..., 0]
        power = (residual * pulled.view(n, k, 2)).sum(-1) * count
        hidden = ~annotated
        score = power.clamp_min(0).sqrt().masked_fill(hidden, 0.0)
        return score, residual.masked_fill(hidden[..., None], 0.0)
