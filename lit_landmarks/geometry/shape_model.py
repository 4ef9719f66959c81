"""PCA shape model of training labels, and the smooth shapes of ASMNet.

ASM(x) = mean + V^T clip(V (x - mean), +-3 sqrt(lambda)) over the modes that explain a share of the
variance (Fard et al., ASMNet, CVPRW 2021, §3; Cootes et al., CVIU 1995, Eq. 10 for the limits). As
in ASMNet there is no alignment before PCA: scale, place and roll of the face are modes themselves.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lit_landmarks.errors import UserError
from lit_landmarks.types import ShapeStatistics

#: Limit of each mode in standard deviations (ASMNet; Cootes et al.).
CLAMP = 3.0


def pca(shapes: Tensor) -> ShapeStatistics:
    """Mean and all modes of flattened shapes.

    Args:
        shapes: (M, 2N) with M >= 2, interleaved x0, y0, x1, ... in centred frame units.

    Returns:
        Statistics in float32, computed in float64; variances as of M - 1 degrees of freedom. Of the
        two signs of a mode, the one that makes its largest coordinate positive.

    Raises:
        UserError: fewer than two shapes, or coordinates that are not finite.

    Example:
        >>> pca(torch.tensor([[0.0, 1.0], [2.0, 1.0]])).variances
        tensor([2., 0.])
    """
    if shapes.ndim != 2 or len(shapes) < 2:
        raise UserError(
            f"shape statistics need at least 2 shapes in rows, got {tuple(shapes.shape)}; "
            "give the training set more faces"
        )
    data = shapes.double()
    if not bool(data.isfinite().all()):
        raise UserError("shape statistics need finite points; mask or drop incomplete faces first")
    mean = data.mean(0)
    centered = data - mean
    covariance = centered.mT @ centered / (len(data) - 1)
    variances, vectors = torch.linalg.eigh(covariance)
    components = vectors.mT.flip(0)
    largest = components.gather(1, components.abs().argmax(1, keepdim=True))
    components = components * largest.sign()
    variances = variances.flip(0).clamp_min(0.0)
    return ShapeStatistics(mean.float(), components.float(), variances.float(), len(data))


class ShapeModel(nn.Module):
    """Shape statistics as buffers, whose sizes the number of points alone fixes.

    A model without statistics can be built, counted and exported, and reloads strictly from any
    checkpoint of the same scheme; `smooth` asks for statistics.

    Attributes:
        mean: (2N,) centred frame units.
        components: (2N, 2N), one mode per row, by falling variance.
        variances: (2N,).
        count: () int64, the number of shapes measured; 0 before `set_statistics`.

    Example:
        >>> shapes = torch.tensor([[-1.0, 0.0], [1.0, 0.0], [0.0, 0.1], [0.0, -0.1]])
        >>> model = ShapeModel(1)
        >>> model.set_statistics(pca(shapes))
        >>> model.smooth(torch.tensor([[0.5, 3.0]]))  # the first mode explains 99 %
        tensor([[0.5000, 0.0000]])
    """

    mean: Tensor
    components: Tensor
    variances: Tensor
    count: Tensor

    def __init__(self, n_points: int) -> None:
        """An empty model of N points."""
        super().__init__()
        size = 2 * n_points
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("components", torch.eye(size))
        self.register_buffer("variances", torch.zeros(size))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self._has_statistics = False

    def set_statistics(self, statistics: ShapeStatistics) -> None:
        """Copy statistics into the buffers.

        Raises:
            UserError: they are of another number of points.
        """
        if statistics.mean.shape != self.mean.shape:
            raise UserError(
                f"shape statistics of {len(statistics.mean) // 2} points do not fit a model of "
                f"{len(self.mean) // 2}; measure them in the model's landmark scheme"
            )
        self.mean.copy_(statistics.mean)
        self.components.copy_(statistics.components)
        self.variances.copy_(statistics.variances)
        self.count.fill_(statistics.count)

    @property
    def ready(self) -> bool:
        """True once statistics are there (waits for the device until then)."""
        self._has_statistics = self._has_statistics or bool(self.count > 0)
        return self._has_statistics

    def _select_modes(self, explained_variance: float) -> Tensor:
        """(2N,) bool: the leading modes that explain the share `explained_variance`.

        A mode is selected if those before it fall short: the rule of scikit-learn's
        `PCA(n_components=explained_variance)`, without reading a number back from the device.
        """
        if not 0.0 < explained_variance <= 1.0:
            raise UserError(
                f"share of variance is {explained_variance}; give a number above 0 and up to 1"
            )
        if explained_variance == 1.0:
            return torch.ones_like(self.variances, dtype=torch.bool)
        ratio = self.variances / self.variances.sum()
        return ratio.cumsum(0) - ratio <= explained_variance

    def count_modes(self, explained_variance: float) -> int:
        """Number of modes that explain `explained_variance` of the variance (all of them for 1)."""
        return int(self._select_modes(explained_variance).sum())

    def smooth(self, x: Tensor, explained_variance: float = 0.9, clamp: float = CLAMP) -> Tensor:
        """The nearest plausible shapes: projected on the leading modes, each mode limited.

        Args:
            x: (B, 2N) shapes in centred frame units.
            explained_variance: share of the variance that the modes explain.
            clamp: limit of each mode in standard deviations.

        Returns:
            (B, 2N), on the device and in the dtype of `x`.

        Raises:
            UserError: no statistics, or an explained variance outside (0, 1].
        """
        if not self.ready:
            raise UserError("the shape model holds no statistics; fit it on training shapes first")
        components = self.components.to(x.dtype)
        limit = (clamp * self.variances.sqrt() * self._select_modes(explained_variance)).to(x.dtype)
        weights = (x - self.mean.to(x.dtype)) @ components.mT
        weights = torch.minimum(torch.maximum(weights, -limit), limit)
        return self.mean.to(x.dtype) + weights @ components
