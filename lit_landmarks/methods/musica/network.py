"""MuSiCa's network: a cascade over image scales that looks at small patches around each landmark.

Shapira, Levy, Goldin, Jevnisek, "Knowing When to Quit: Selective Cascaded Regression with Patch
Attention for Real-Time Face Alignment", ACM MM 2021 (arXiv 2108.00377). Layer sizes follow the
authors' released configuration; the README keeps paper, code and our choices apart.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lit_landmarks.exportable import add_scaled
from lit_landmarks.nets.cascade_stages import CascadeStages
from lit_landmarks.nets.precision import apply_in_single
from lit_landmarks.nets.windows import Sampling, Windows

#: Side of a patch at every scale (paper, caption of figure 3).
PATCH = 14
#: Channels of both convolutions, and what a patch becomes (authors' code).
CHANNELS, FEATURES = 32, 256
#: Width of the Gaussian before halving, in pixels of the finer level (authors' code: 2 / 3).
SIGMA = 2.0 / 3.0

Init = Literal["kaiming", "authors"]


class Pyramid(nn.Module):
    """Gaussian pyramid of the standardized image.

    Fixed filters: their multiply-adds are counted apart.

    Args:
        levels: number of images, the first of full size.

    Example:
        >>> [image.shape[-1] for image in Pyramid(3)(torch.rand(1, 3, 64, 64))]
        [64, 32, 16]
    """

    is_preprocess = True

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.levels = levels
        # Pixel i of the coarser level lies between pixels 2 i and 2 i + 1 of the finer one. The
        # filter is symmetric: three weights, each for a pixel on both sides.
        weights = [math.exp(-(at**2) / (2 * SIGMA**2)) for at in (2.5, 1.5, 0.5)]
        self.taps = [weight / (2 * sum(weights)) for weight in weights]

    def forward(self, image: Tensor) -> list[Tensor]:
        """(B, 3, S, S) in [0, 1] to images of side S, S / 2, S / 4, ..., the finest first."""
        flat = image.flatten(1)
        centered = flat - flat.mean(1, keepdim=True)
        # The norm is several times as fast as `std`.
        std = torch.linalg.vector_norm(centered, dim=1, keepdim=True) / flat.shape[1] ** 0.5
        images = [(centered / (std + 1e-3)).view_as(image)]
        for _ in range(self.levels - 1):
            padded = F.pad(images[-1], (2, 2, 2, 2), mode="replicate")
            images.append(self._halve(self._halve(padded, 2), 3))
        return images

    def _halve(self, padded: Tensor, dim: int) -> Tensor:
        """Filter and halve one dimension, from size 2 n + 4 to n.

        Sums of slices: several times as fast as a convolution of one channel each.
        """
        shape = padded.shape
        even, odd = padded.view(*shape[:dim], -1, 2, *shape[dim + 1 :]).unbind(dim + 1)
        count = even.shape[dim] - 2
        pairs = (even, 0, odd, 2), (odd, 0, even, 2), (even, 1, odd, 1)
        sums = [a.narrow(dim, i, count) + b.narrow(dim, j, count) for a, i, b, j in pairs]
        total = sums[0] * self.taps[0]
        for both, tap in zip(sums[1:], self.taps[1:], strict=True):
            total = add_scaled(total, both, tap)
        return total

    def multiply_adds(self, image: Tensor) -> int:
        """Multiply-adds of one call, with each filter counted as a convolution of six taps."""
        batch, channels, height, width = image.shape
        count = 0
        for _ in range(self.levels - 1):
            # Rows first, of the padded width; then columns.
            height //= 2
            count += 6 * height * (width + 4)
            width //= 2
            count += 6 * height * width
        return batch * channels * count


class PatchNet(nn.Module):
    """One patch to 256 features, with one weight for each of them (local patch attention).

    Two 3 x 3 convolutions; the middle 2 x 2 of the second's output stands beside its max-pool.

    Example:
        >>> features, weights = PatchNet()(torch.zeros(2, 3, PATCH, PATCH))
        >>> features.shape
        torch.Size([2, 256])
    """

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, CHANNELS, 3)
        self.second = nn.Conv2d(CHANNELS, CHANNELS, 3)
        self.gate = nn.Linear(FEATURES, FEATURES)

    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        """(K, 3, 14, 14) to attended features and their weights, (K, 256) each."""
        # The largest of a window is the same before and after ReLU, which then has a quarter to do.
        x = F.relu(F.max_pool2d(self.first(patches), 2))
        x = self.second(x)
        both = F.relu(torch.cat([x[..., 1:3, 1:3], F.max_pool2d(x, 2)], 1)).flatten(1)
        weight = torch.sigmoid(self.gate(both))
        return both * weight, weight


class Stage(nn.Module):
    """One stage of the cascade, with weights of its own.

    Args:
        n_points: landmarks N.
        n_patches: patches M.
        hidden: length of the state.
        rank: features of a patch that reach the recurrent layer; None for all 256 (the paper).
        scale: factor on the input of the recurrent layer (1: as published). Adam's step size does
            not shrink with the number of inputs, so with thousands of them one step can carry the
            pre-activation out of tanh's linear range; 0.1 slows this layer tenfold. The initial
            weights are divided by the factor, which leaves the initial function unchanged.
    """

    def __init__(
        self, n_points: int, n_patches: int, hidden: int, rank: int | None, scale: float = 1.0
    ) -> None:
        super().__init__()
        self.scale = scale
        self.n_points = n_points
        self.patches = PatchNet()
        self.reduce = nn.Linear(FEATURES, rank) if rank else None
        self.recurrent = nn.Linear(n_patches * (rank or FEATURES) + hidden, hidden)
        self.head = nn.Linear(hidden, 2 * n_points + 1)

    def forward(self, patches: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Advance the state by one stage, and predict displacements and error from it.

        Args:
            patches: (B, M, 3, 14, 14).
            state: (B, H).

        Returns:
            state (B, H), offsets (B, N, 2) in pixels of the level, error (B,), attention (B, M).
        """
        features, weights = self.patches(patches.flatten(0, 1))
        if self.reduce is not None:
            features = self.reduce(features)
        batch, count = patches.shape[:2]
        descriptor = features.unflatten(0, (batch, count)).flatten(1)
        state = torch.tanh(self.recurrent(torch.cat([descriptor, state], 1) * self.scale))
        out = apply_in_single(self.head, state)
        attention = weights.mean(1).unflatten(0, (batch, count))
        return state, torch.unflatten(out[:, :-1], 1, (self.n_points, 2)), out[:, -1], attention


@dataclass(frozen=True)
class Cascade:
    """Landmarks, predicted errors and attention after each of the T stages of the cascade.

    Attributes:
        points: (T, B, N, 2) frame pixels; a face that left keeps its last shape.
        error: (T, B) predicted error, a fraction of the norm; a face that left keeps its last one.
        attention: (T, B, M) mean weight of each patch; NaN where a stage did not run.
        exits: (B,) int64 index of the last stage that ran.
        states: (B, H) recurrent state after it.
    """

    points: Tensor
    error: Tensor
    attention: Tensor
    exits: Tensor
    states: Tensor


class MuSiCaNet(nn.Module):
    """Cascade of T stages that refine the mean shape with patches around the landmarks.

    Args:
        n_points: landmarks N.
        patches: the landmarks that get a patch, M numbers.
        levels: for each of T stages, how often its image is halved.
        hidden: length of the recurrent state.
        rank, recurrent_scale: see `Stage`.
        sampling: how patches are cut.
        detach_points: cut the gradient from a stage into the landmarks that it starts from.
        init: "kaiming" (ours) or "authors": normal of 0.01, cut at two deviations, no bias.

    Attributes:
        mean: (N, 2) where every face starts, centred frame units.

    Example:
        >>> network = MuSiCaNet(5, (0, 2), levels=(1, 0), hidden=8)
        >>> network(torch.rand(1, 3, 32, 32)).points.shape  # (stages, faces, landmarks, 2)
        torch.Size([2, 1, 5, 2])
    """

    mean: Tensor
    chosen: Tensor

    def __init__(
        self,
        n_points: int,
        patches: tuple[int, ...],
        *,
        levels: tuple[int, ...] = (2, 1, 0),
        hidden: int = 512,
        rank: int | None = None,
        recurrent_scale: float = 1.0,
        sampling: Sampling = "integer",
        detach_points: bool = True,
        init: Init = "kaiming",
    ) -> None:
        super().__init__()
        self.hidden = hidden
        self.sampling: Sampling = sampling
        self.levels, self.detach_points = levels, detach_points
        self.pyramid = Pyramid(max(levels) + 1)
        self.register_buffer("mean", torch.zeros(n_points, 2))
        self.register_buffer("chosen", torch.tensor(patches))
        self.iterations = nn.ModuleList(
            Stage(n_points, len(patches), hidden, rank, recurrent_scale) for _ in levels
        )
        self._initialize(init)

    def _initialize(self, init: Init) -> None:
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                if init == "authors":
                    nn.init.trunc_normal_(layer.weight, std=0.01, a=-0.02, b=0.02)
                elif isinstance(layer, nn.Conv2d):
                    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                else:
                    nn.init.xavier_normal_(layer.weight)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        for stage in self.iterations:
            assert isinstance(stage, Stage)
            with torch.no_grad():
                stage.recurrent.weight.div_(stage.scale)
            if init == "kaiming":
                nn.init.trunc_normal_(stage.head.weight, std=0.01)  # starts at the mean face

    def forward(
        self,
        image: Tensor,
        count: int | None = None,
        stop: Tensor | None = None,
        estimate: Callable[[Tensor], Tensor] | None = None,
    ) -> Cascade:
        """Landmarks and predicted errors of every stage.

        Args:
            image: (B, 3, S, S) RGB in [0, 1].
            count: number of stages to run; None for all.
            stop: (T - 1,) a face leaves after stage i if its predicted error is below
                `stop[i]`; (B, T - 1) has the limits of each face; None: no face leaves. Faces that
                left cost nothing from then on.
            estimate: predicts the error from states (K, H) in place of the network's own output.
        """
        images = self.pyramid(image)
        windows: dict[int, Windows] = {}
        batch, size = image.shape[0], image.shape[-1]
        points = ((self.mean + 0.5) * size - 0.5).expand(batch, -1, -1)
        state = image.new_zeros(batch, self.hidden)
        record = CascadeStages(batch, image.device)
        stages = list(self.iterations)[:count]
        for index, stage in enumerate(stages):
            if index:
                if stop is not None and not record.let_leave(stop[..., index - 1]):
                    record.repeat(len(stages) - index)
                    break
                points, state = record.last("points"), record.last("state")
            level = self.levels[index]
            if level not in windows:
                windows[level] = Windows(images[level], PATCH)
            before = points.detach() if self.detach_points else points
            centers = (before.detach()[:, self.chosen] + 0.5) / 2**level - 0.5
            patches = windows[level].extract(centers, record.active, self.sampling)
            state, offsets, predicted, attention = stage(patches, state)
            record.add(
                attention,
                points=before + offsets * 2**level,
                error=predicted if estimate is None else estimate(state),
                state=state,
            )
        columns = record.columns
        return Cascade(
            points=torch.stack(columns["points"]),
            error=torch.stack(columns["error"]),
            attention=torch.stack(record.attention),
            exits=record.exits,
            states=columns["state"][-1],
        )
