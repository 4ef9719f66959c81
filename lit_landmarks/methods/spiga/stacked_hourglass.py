"""The paper's backbone: four stacked hourglasses that learn points, edges and head pose.

Sizes are those of the authors' released model (README: paper, code and our choices apart).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lit_landmarks.errors import UserError
from lit_landmarks.methods.spiga.fields import BackboneFeatures, BackboneLandmarks
from lit_landmarks.nets.heatmaps import mean_places
from lit_landmarks.nets.hourglass import Bottleneck, Coordinates, Hourglass, halve
from lit_landmarks.nets.precision import apply_in_single, full_precision, is_half

#: Side of the smallest maps, which the branch of the pose halves twice.
_SMALLEST = 4
#: Keeps the sum of a map that is 0 everywhere from dividing by 0.
_LEAST_SUM = 1e-6


class AttentionHeads(nn.Module):
    """Maps of points, edges and features, and their product for each landmark (as ADNet).

    Args:
        channels: of the map that is read.
        lines: landmarks of each edge.
        n_points: N.

    Example:
        >>> heads = AttentionHeads(8, lines=[(0, 1)], n_points=3)
        >>> [maps.shape[1] for maps in heads(torch.zeros(1, 8, 4, 4))]
        [3, 3, 1]
    """

    on_edge: Tensor

    def __init__(self, channels: int, lines: Sequence[Sequence[int]], n_points: int) -> None:
        super().__init__()
        self.points = nn.Conv2d(channels, n_points, 1)
        self.edges = nn.Conv2d(channels, len(lines), 1)
        self.features = nn.Conv2d(channels, n_points, 1)
        # A landmark on no edge is let through everywhere: the last map is 1.
        on_edge = torch.zeros(n_points, len(lines) + 1)
        for column, line in enumerate(lines):
            on_edge[list(line), column] = 1.0
        on_edge[:, -1] = (on_edge.sum(1) == 0).float()
        self.register_buffer("on_edge", on_edge, persistent=False)

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Maps of (B, C, h, w): product (B, N, h, w), points (B, N, h, w), edges (B, E, h, w)."""
        points, edges = torch.sigmoid(self.points(maps)), torch.sigmoid(self.edges(maps))
        with_ones = torch.cat((edges, torch.ones_like(edges[:, :1])), 1)
        weights = self.on_edge.to(with_ones.dtype)[:, :, None, None]
        edge_of_landmark = F.conv2d(with_ones, weights).clamp(max=1.0)
        return self.features(maps) * points * edge_of_landmark, points, edges


class Stack(nn.Module):
    """One hourglass, its output map, and its branch of the pose.

    Args:
        channels: C of all maps.
        depth: halvings in the hourglass.
    """

    def __init__(self, channels: int, depth: int) -> None:
        super().__init__()
        self.hourglass = Hourglass(channels, depth)
        self.output = nn.Sequential(
            Bottleneck(channels, channels),
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
        )
        self.pose = nn.Sequential(
            Bottleneck(channels, channels),
            halve(channels, channels),
            Bottleneck(channels, channels),
            halve(channels, channels),
        )

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, h, w) to the output map of that shape, and a vector (B, C)."""
        if self.training and maps.shape[0] == 1:
            raise UserError(
                "hourglasses cannot learn from one face at a time, which a batch norm of 1 x 1 "
                "pixels has no spread of; set data.init_args.batch_size to 2 or more"
            )
        low, innermost = self.hourglass(maps)
        return self.output(low), self.pose(innermost).mean((2, 3))


class StackedHourglass(nn.Module):
    """Image to a feature map of stride 4 and a head pose, by stacked hourglasses.

    Args:
        n_points: N.
        lines: landmarks of each edge.
        size: side S of the images, 256 in the paper; each hourglass halves its map until it has a
            side of 4 to 7 pixels.
        stacks: number of hourglasses.
        channels: C of all maps, a multiple of 4.

    Raises:
        UserError: an image that cannot be halved so often.

    Attributes:
        channels: of the map.
        num_features: length of the vector.
        stride: of the map.

    Example:
        >>> network = StackedHourglass(3, [(0, 1)], size=64, stacks=1, channels=8).eval()
        >>> network(torch.zeros(1, 3, 64, 64)).features.shape
        torch.Size([1, 8, 16, 16])
    """

    stride = 4

    def __init__(
        self,
        n_points: int,
        lines: Sequence[Sequence[int]],
        *,
        size: int = 256,
        stacks: int = 4,
        channels: int = 256,
    ) -> None:
        super().__init__()
        self.channels = self.num_features = channels
        if not lines:
            raise UserError(
                "hourglasses learn edges, and the scheme has no lines; take a timm backbone"
            )
        if stacks < 1 or channels < 4 or channels % 4:
            raise UserError(
                f"{stacks} hourglasses of {channels} channels; give 1 or more and a multiple of 4"
            )
        depth = max(int(math.log2(size / (self.stride * _SMALLEST))), 0)
        if depth < 1 or size % (self.stride * 2**depth):
            raise UserError(
                f"hourglasses cannot halve the maps of a crop of {size} pixels; set frame_size to "
                "64, 96, 128, 192 or 256"
            )
        quarter, half = channels // 4, channels // 2
        self.stem = nn.Sequential(
            Coordinates(),
            nn.Conv2d(6, quarter, 7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(quarter),
            nn.ReLU(inplace=True),
            Bottleneck(quarter, half),
            halve(half, half),
            Bottleneck(half, half),
            Bottleneck(half, channels),
        )
        self.stacks = nn.ModuleList(Stack(channels, depth) for _ in range(stacks))
        # The last is for learning alone: nothing reads its maps.
        self.heads = nn.ModuleList(AttentionHeads(channels, lines, n_points) for _ in range(stacks))
        self.from_heads = nn.ModuleList(
            nn.Conv2d(n_points, channels, 1, bias=False) for _ in range(stacks - 1)
        )
        self.from_output = nn.ModuleList(
            nn.Conv2d(channels, channels, 1, bias=False) for _ in range(stacks - 1)
        )
        self.pose = nn.Linear(channels, 6)

    def forward(self, image: Tensor) -> BackboneFeatures:
        """Features and pose of (B, 3, S, S) RGB in [0, 1]."""
        maps = self.stem(image)
        stacks: list[tuple[Tensor, Tensor]] = []
        for index, stack in enumerate(self.stacks):
            stacks.append(stack(maps))
            if index < len(self.from_heads):
                output = stacks[-1][0]
                product, _, _ = self.heads[index](output)
                maps = maps + self.from_heads[index](product) + self.from_output[index](output)
        return BackboneFeatures(tuple(stacks), apply_in_single(self.pose, stacks[-1][1]))

    def answer(
        self, field: BackboneFeatures, *, last: bool = False
    ) -> tuple[BackboneLandmarks, ...]:
        """Landmarks of each stack by its own heads, or of the last alone; in single precision."""
        answers: list[BackboneLandmarks] = []
        pairs = list(zip(self.heads, field.stacks, strict=True))
        for heads, (output, vector) in pairs[-1:] if last else pairs:
            with full_precision(output.device):
                product, points, edges = heads(output.float() if is_half(output) else output)
                places = expected_places(product)
            pose = apply_in_single(self.pose, vector)
            answers.append(BackboneLandmarks(places, points, pose, edges))
        return tuple(answers)


def expected_places(maps: Tensor) -> Tensor:
    """Mean places of normalized maps, negative values cut off (as ADNet: Huang et al., ICCV 2021).

    Args:
        maps: (B, N, h, w).

    Returns:
        (B, N, 2) sides of the map, from its top-left corner.

    Example:
        >>> maps = torch.zeros(1, 1, 4, 4)
        >>> maps[..., 1, 2] = 9.0
        >>> expected_places(maps)
        tensor([[[0.6250, 0.3750]]])
    """
    weights = F.relu(F.instance_norm(maps))
    weights = weights / weights.sum((2, 3), keepdim=True).clamp(min=_LEAST_SUM)
    height, width = maps.shape[-2:]
    places = mean_places(weights, first=0.5)
    return places / places.new_tensor([width, height])
