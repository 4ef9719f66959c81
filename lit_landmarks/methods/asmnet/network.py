"""The network of ASMNet: a MobileNetV2 cut after block 15, read at six depths (paper, figure 2).

image -> stem -> block 0 ... block 15                (Keras numbering, 16 inverted residuals)
|taps at 1, 3, 6, 10, 13, 15, each pooled over the whole map
v
24 + 32 + 64 + 96 + 160 + 160 = 536 -> dropout -> landmarks 2n
-> yaw, pitch, roll
"""

from __future__ import annotations

from itertools import chain
from typing import Literal

import torch
from timm.models import EfficientNet
from torch import Tensor, nn

from lit_landmarks.errors import UserError
from lit_landmarks.nets.backbone import InputNorm, InputScale, create_backbone, set_batch_norm
from lit_landmarks.nets.precision import apply_in_single

#: Blocks (Keras numbering) whose output is pooled into the feature vector.
TAPS = (1, 3, 6, 10, 13, 15)
#: Blocks kept of the 17; the last (320 channels) and the 1280-channel layer are left out.
KEPT_BLOCKS = 16
#: Length of the concatenated vector at full width.
FEATURES = 536
#: timm's MobileNetV2 of each width; the paper's is 1.
WIDTHS = {
    1.0: "mobilenetv2_100",
    0.75: "mobilenetv2_075",
    0.5: "mobilenetv2_050",
    0.35: "mobilenetv2_035",
}

LastTap = Literal["sum", "batch_norm"]


def _tap_channels(blocks: nn.ModuleList) -> int:
    """Channels of the blocks in `TAPS`: what their last batch norms give out."""
    norms = [[m for m in blocks[tap].modules() if isinstance(m, nn.BatchNorm2d)] for tap in TAPS]
    return sum(layers[-1].num_features for layers in norms)


class ASMNetwork(nn.Module):
    """Image to raw landmarks and pose.

    Args:
        n_points: landmarks n; the first head has 2n outputs.
        pose: with the second head (yaw, pitch, roll)?
        dropout: on the 536 features (authors' code: 0.3).
        last_tap: block 15 is read after its residual "sum" (the code; the natural block output) or
            at its last "batch_norm", before the sum (the figure).
        bn_eps: batch-norm epsilon (Keras: 1e-3).
        bn_momentum: torch's momentum (Keras: 0.001, too slow for short runs).
        input_scale: the authors only divide by 255: "unit".
        width: factor on all channels, one of `WIDTHS` (ours; the paper's is 1).

    Attributes:
        num_features: length of the concatenated vector.

    Raises:
        UserError: a width that timm has no MobileNetV2 of.

    Example:
        >>> network = ASMNetwork(68, width=0.35).eval()
        >>> landmarks, pose, features = network(torch.zeros(1, 3, 64, 64))
        >>> landmarks.shape
        torch.Size([1, 136])
    """

    def __init__(
        self,
        n_points: int,
        *,
        pose: bool = True,
        dropout: float = 0.3,
        last_tap: LastTap = "sum",
        bn_eps: float = 1e-3,
        bn_momentum: float = 0.1,
        input_scale: InputScale = "unit",
        width: float = 1.0,
    ) -> None:
        super().__init__()
        if width not in WIDTHS:
            raise UserError(f"model.width is {width}; choose one of {list(WIDTHS)}")
        mobilenet = create_backbone(WIDTHS[width])
        assert isinstance(mobilenet, EfficientNet)
        self.normalize = InputNorm(input_scale)
        self.stem = nn.Sequential(mobilenet.conv_stem, mobilenet.bn1)
        self.blocks = nn.ModuleList(list(chain(*mobilenet.blocks))[:KEPT_BLOCKS])
        self.architecture = WIDTHS[width]
        places = [
            f"blocks.{stage}.{number}"
            for stage, blocks in enumerate(mobilenet.blocks)
            for number, _ in enumerate(blocks.children())
        ]
        self.timm_parts = {"stem.0": "conv_stem", "stem.1": "bn1"} | {
            f"blocks.{number}": place for number, place in enumerate(places[:KEPT_BLOCKS])
        }
        self.last_tap = last_tap
        self.dropout = nn.Dropout(dropout)
        self.num_features = _tap_channels(self.blocks)
        self.landmarks = nn.Linear(self.num_features, 2 * n_points)
        self.pose = nn.Linear(self.num_features, 3) if pose else None
        set_batch_norm(self, eps=bn_eps, momentum=bn_momentum)

    def features(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) RGB in [0, 1] to the (B, 536) concatenation."""
        x = self.stem(self.normalize(image))
        pooled = []
        for number, block in enumerate(self.blocks):
            before, x = x, block(x)
            if number in TAPS:
                branch_only = number == TAPS[-1] and self.last_tap == "batch_norm"
                pooled.append((x - before if branch_only else x).mean(dim=(2, 3)))
        return torch.cat(pooled, dim=1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        """Landmarks (B, 2n), order x0, y0, x1, ...; pose (B, 3) or None; their features (B, C)."""
        features = self.dropout(self.features(image))
        pose = None if self.pose is None else apply_in_single(self.pose, features)
        return apply_in_single(self.landmarks, features), pose, features
