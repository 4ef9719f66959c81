"""The cascade of SPIGA: regressors of graph attention that move all landmarks, from coarse to fine.

Each step cuts a window around every landmark out of the feature map, adds where the landmark stands
among the others, lets the landmarks exchange messages, and moves each by at most half a window.
Sizes are those of the authors' released model (README: paper, code and our choices apart).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lit_landmarks.errors import UserError, check_literals
from lit_landmarks.nets.attention import AttentionForm, AttentionKind, LandmarkAttention
from lit_landmarks.nets.cascade_stages import CascadeStages
from lit_landmarks.nets.precision import apply_in_single
from lit_landmarks.nets.windows import sample_windows

Squash = Literal["hardtanh", "tanh", "arctan"]


@dataclass(frozen=True)
class CascadeOptions:
    """Sizes of the cascade; the defaults are those of the authors' code.

    Attributes:
        windows: side of the windows of each step, in sides of the crop; as many steps, or none.
        samples: samples along each side of a window.
        nodes: features of a landmark before the first layer of attention.
        width: features behind it.
        layers: layers of attention in a step.
        heads: heads of attention.
        attention: see `nets.attention.LandmarkAttention`.
        form: of the attention; the same function.
        position: encode where a landmark stands among the others.
        position_width: width of the two hidden layers of that encoding.
        decoder: widths of the hidden layers from a node to the move of its landmark.
        squash: limits a move to half a window.
        detach: keep the gradient of a step away from the landmarks that it starts from (the
            authors let it through).
    """

    windows: Sequence[float] = (0.25, 0.125, 0.0625)
    samples: int = 7
    nodes: int = 512
    width: int = 256
    layers: int = 4
    heads: int = 4
    attention: AttentionKind = "dot"
    form: AttentionForm = "dense"
    position: bool = True
    position_width: int = 256
    decoder: Sequence[int] = (256, 128, 64, 32)
    squash: Squash = "hardtanh"
    detach: bool = False

    def __post_init__(self) -> None:
        """Refuse sizes that make no cascade."""
        check_literals(self, "cascade")
        if not all(0.0 < window <= 1.0 for window in self.windows):
            raise UserError(
                f"cascade.windows is {list(self.windows)}; give shares of the crop's side, to 1"
            )
        for name, least in (
            ("samples", 2),
            ("nodes", 1),
            ("width", 1),
            ("layers", 1),
            ("heads", 1),
            ("position_width", 1),
        ):
            if getattr(self, name) < least:
                raise UserError(f"cascade.{name} is {getattr(self, name)}; give {least} or more")

    def check_map(self, side: int) -> None:
        """Refuse windows whose samples fall together.

        Args:
            side: of the feature map, pixels.

        Raises:
            UserError: a window of at most one pixel of the map.
        """
        for window in self.windows:
            if window * side <= 1.0:
                raise UserError(
                    f"a window of {window} of the crop is {window * side:g} pixels of a feature "
                    f"map of {side}; take a larger window, frame_size or a finer stride"
                )


class NodeNorm(nn.BatchNorm1d):
    """Batch norm over the features of all landmarks of all faces, (B, N, C)."""

    def forward(self, nodes: Tensor) -> Tensor:
        """(B, N, C) as it came."""
        flat: Tensor = super().forward(nodes.flatten(0, 1))
        return flat.view_as(nodes)


def perceptron(sizes: Sequence[int]) -> nn.Sequential:
    """Linear layers with batch norm and ReLU between them, for (B, N, C) nodes."""
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes[:-1]):
        layers += [nn.Linear(before, after), NodeNorm(after), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.Linear(sizes[-2], sizes[-1]))


class GraphLayer(nn.Module):
    """One layer of attention: messages, and a perceptron on a node beside what reached it.

    Args:
        inputs: features of a node in.
        outputs: out.
        options: see `CascadeOptions`.
    """

    def __init__(self, inputs: int, outputs: int, options: CascadeOptions) -> None:
        super().__init__()
        self.attention = LandmarkAttention(
            inputs, heads=options.heads, kind=options.attention, form=options.form
        )
        self.merge = nn.Linear(inputs, inputs)
        self.update = perceptron((2 * inputs, 2 * inputs, outputs))
        self.skip = nn.Identity() if inputs == outputs else nn.Linear(inputs, outputs)

    def forward(self, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """(B, N, inputs) to (B, N, outputs), and the weights (B, heads, N, N)."""
        messages, weights = self.attention(nodes)
        update = self.update(torch.cat((nodes, self.merge(messages)), -1))
        return self.skip(nodes) + update, weights


class Step(nn.Module):
    """One step of the cascade, with weights of its own.

    Args:
        n_points: N.
        channels: of the feature map.
        window: side of the windows in sides of the crop.
        options: see `CascadeOptions`.
    """

    def __init__(
        self, n_points: int, channels: int, window: float, options: CascadeOptions
    ) -> None:
        super().__init__()
        self.window, self.samples, self.squash = window, options.samples, options.squash
        self.encode = nn.Linear(channels * options.samples**2, options.nodes)
        self.position: nn.Sequential | None = None
        if options.position:
            between = [options.position_width] * 2
            self.position = perceptron((2 * (n_points - 1), *between, options.nodes))
        sizes = [options.nodes, *[options.width] * options.layers]
        self.layers = nn.ModuleList(
            GraphLayer(before, after, options) for before, after in pairwise(sizes)
        )
        self.decode = perceptron((options.width, *options.decoder, 2))
        last = self.decode[-1]
        assert isinstance(last, nn.Linear)
        with torch.no_grad():  # the first answer is nearly the start
            last.weight.mul_(0.1)
            last.bias.zero_()

    def forward(self, maps: Tensor, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Move the landmarks of each face.

        Args:
            maps: (B, C, h, h).
            points: (B, N, 2) sides of the crop, from its top-left corner.

        Returns:
            The points moved; the nodes (B, N, width) behind; the weights (layers, B, heads, N, N).
        """
        # As the windows lie in memory: a call of `encode` would copy them first.
        samples = self.cut(maps, points).permute(0, 2, 3, 4, 1).flatten(1, 3)
        weight = self.encode.weight.expand(points.shape[0], -1, -1)
        nodes = torch.baddbmm(self.encode.bias[:, None], weight, samples).mT
        if self.position is not None:
            nodes = nodes + self.position(self.displacements(points))
        weights: list[Tensor] = []
        for layer in self.layers:
            nodes, of_layer = layer(nodes)
            weights.append(of_layer)
        moves = apply_in_single(self.decode, nodes)
        return points + self.window / 2 * squash(moves, self.squash), nodes, torch.stack(weights)

    def cut(self, maps: Tensor, points: Tensor) -> Tensor:
        """(B, N, C, samples, samples) windows; their outer samples are a pixel less apart."""
        side = maps.shape[-1]
        step = (self.window * side - 1) / (self.samples - 1)
        return sample_windows(maps, points * side - 0.5, self.samples, step, padding="border")

    def displacements(self, points: Tensor) -> Tensor:
        """(B, N, 2 (N - 1)) from all other landmarks to each, in sides of the crop."""
        count = points.shape[1]
        difference = (points[:, :, None] - points[:, None]).flatten(1, 2)
        # Without the first, each row of N + 1 ends with a displacement of a landmark to itself.
        rows = difference[:, 1:].view(-1, count - 1, count + 1, 2)
        return rows[:, :, :-1].reshape(-1, count, 2 * (count - 1))


def squash(values: Tensor, kind: Squash) -> Tensor:
    """Values brought into [-1, 1]: cut off, or bent by the hyperbolic or the arc tangent."""
    if kind == "hardtanh":
        return F.hardtanh(values)
    return torch.tanh(values) if kind == "tanh" else torch.atan(values) * (2.0 / math.pi)


@dataclass(frozen=True)
class Refinement:
    """Landmarks after the start and after each of T steps.

    Attributes:
        points: (T + 1, B, N, 2) sides of the crop; a face that left keeps its last shape.
        error: (T + 1, B) predicted error, a fraction of the norm; None without an estimate.
        features: (T + 1, B, D + width) the pooled vector beside the mean node; 0 at the start.
        attention: (T, B, N) mean weight that a landmark has for all, 1 where all are alike; NaN
            where a step did not run.
        exits: (B,) int64 index of the last stage that ran; 0 is the start.
    """

    points: Tensor
    error: Tensor | None
    features: Tensor
    attention: Tensor
    exits: Tensor


class GraphCascade(nn.Module):
    """Steps of graph attention from a start to the landmarks.

    Args:
        n_points: N.
        channels: C of the feature map.
        options: see `CascadeOptions`.

    Example:
        >>> small = CascadeOptions(nodes=8, width=8, layers=1, position_width=8, decoder=[8])
        >>> cascade = GraphCascade(5, 4, small).eval()
        >>> start = torch.full((2, 5, 2), 0.5)
        >>> cascade(torch.zeros(2, 4, 16, 16), torch.zeros(2, 6), start).points.shape
        torch.Size([4, 2, 5, 2])
    """

    def __init__(self, n_points: int, channels: int, options: CascadeOptions) -> None:
        super().__init__()
        self.detach, self.width = options.detach, options.width
        self.steps = nn.ModuleList(
            Step(n_points, channels, window, options) for window in options.windows
        )

    def forward(
        self,
        maps: Tensor,
        vector: Tensor,
        start: Tensor,
        *,
        steps: int | None = None,
        stop: Tensor | None = None,
        estimate: Callable[[Tensor], Tensor] | None = None,
    ) -> Refinement:
        """Refine the start.

        Args:
            maps: (B, C, h, h).
            vector: (B, D) pooled features.
            start: (B, N, 2) sides of the crop, from its top-left corner.
            steps: how many are taken; None for all.
            stop: (T,) a face leaves after stage i if its predicted error is below `stop[i]`;
                (B, T) has the limits of each face; None: no face leaves.
            estimate: predicts the error from features (K, D + width).
        """
        batch, count = start.shape[:2]
        stages = CascadeStages(batch, start.device)

        def add(points: Tensor, features: Tensor, received: Tensor | None = None) -> None:
            errors = {} if estimate is None else {"error": estimate(features)}
            stages.add(received, points=points, features=features, **errors)

        rest = torch.zeros((batch, self.width), dtype=vector.dtype, device=vector.device)
        add(start, torch.cat((vector, rest), 1))
        wanted = list(self.steps)[:steps]
        for index, step in enumerate(wanted):
            if stop is not None and not stages.let_leave(stop[..., index]):
                break
            before = stages.last("points")
            points, nodes, weights = step(
                stages.pick(maps), before.detach() if self.detach else before
            )
            features = torch.cat((stages.pick(vector), nodes.mean(1)), 1)
            add(points, features, weights.mean((0, 2, 3)) * count)
        missing = len(wanted) + 1 - len(stages.columns["points"])
        stages.repeat(missing)
        # Where all faces left at the start, no step has shown the attention's shape.
        absent = [start.new_full((batch, count), torch.nan)] * (len(wanted) - len(stages.attention))
        attention = stages.attention + absent
        columns = {name: torch.stack(column) for name, column in stages.columns.items()}
        return Refinement(
            points=columns["points"],
            error=columns.get("error"),
            features=columns["features"],
            attention=torch.stack(attention) if attention else start.new_zeros((0, batch, count)),
            exits=stages.exits,
        )
