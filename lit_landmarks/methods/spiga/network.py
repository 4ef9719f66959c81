"""SPIGA's network: a backbone, a start from the head pose, and a cascade of graph attention.

Prados-Torreblanca, Buenaposada, Baumela, "Shape Preserving Facial Landmarks with Graph Attention
Networks", BMVC 2022 (arXiv 2210.07233). The README keeps paper, code and our choices apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from lit_landmarks.errors import UserError
from lit_landmarks.geometry.camera import POSE_FOCAL, to_camera
from lit_landmarks.geometry.rotations import euler_to_matrix
from lit_landmarks.methods.spiga.cascade import CascadeOptions, GraphCascade, Refinement
from lit_landmarks.methods.spiga.fields import BackboneFeatures
from lit_landmarks.methods.spiga.light import LightBackbone
from lit_landmarks.methods.spiga.stacked_hourglass import StackedHourglass
from lit_landmarks.nets.precision import full_precision
from lit_landmarks.types import TIGHT_SCALE

Start = Literal["pose", "heatmaps", "mean"]

#: Points nearer to the camera than this many head units are put there: a pose that is not learnt
#: yet may place the head behind it.
_NEAREST = 0.5


@dataclass(frozen=True)
class SPIGAOutput:
    """Features of the backbone, and the landmarks that the cascade refined."""

    field: BackboneFeatures
    refinement: Refinement


class SPIGANet(nn.Module):
    """Image to landmarks.

    Args:
        backbone: gives the field.
        cascade: sizes of the cascade.
        n_points: N.
        start: where the cascade begins: the mean face in the predicted pose (the paper), the
            backbone's own answer, or the mean face looking ahead.
        template: (N, 3) mean face in the head frame; None only with a start at the heat maps.

    Example:
        >>> from lit_landmarks.template import mean_face
        >>> backbone = LightBackbone("mobilenetv3_small_050", 68, strides=(8, 32), channels=8)
        >>> small = CascadeOptions(nodes=8, width=8, layers=1, position_width=8, decoder=[8])
        >>> network = SPIGANet(backbone, small, 68, "pose", mean_face("ibug68")).eval()
        >>> network(torch.zeros(2, 3, 64, 64)).refinement.points.shape
        torch.Size([4, 2, 68, 2])
    """

    template: Tensor | None
    first_pose: Tensor

    def __init__(
        self,
        backbone: StackedHourglass | LightBackbone,
        cascade: CascadeOptions,
        n_points: int,
        start: Start,
        template: Tensor | None,
    ) -> None:
        super().__init__()
        self.backbone, self.start = backbone, start
        self.cascade = GraphCascade(n_points, backbone.channels, cascade)
        self.register_buffer("template", template, persistent=False)
        pose = torch.zeros(6) if template is None else _frontal_pose(template)
        self.register_buffer("first_pose", pose, persistent=False)
        with torch.no_grad():
            backbone.pose.weight.mul_(0.1)
            backbone.pose.bias.copy_(pose)

    def forward(
        self,
        image: Tensor,
        *,
        start: Tensor | None = None,
        pose: Tensor | None = None,
        steps: int | None = None,
        stop: Tensor | None = None,
        estimate: Callable[[Tensor], Tensor] | None = None,
    ) -> SPIGAOutput:
        """Landmarks of every stage.

        Args:
            image: (B, 3, S, S) RGB in [0, 1].
            start: (B, N, 2) sides of the crop from its top-left corner, instead of the network's.
            pose: (B, 6) in the axes of the pose camera, instead of the network's where finite.
            steps: see `GraphCascade.forward`.
            stop: see there.
            estimate: see there.
        """
        field: BackboneFeatures = self.backbone(image)
        if start is None:
            start = self._begin(field, pose)
        refinement = self.cascade(
            field.features, field.vector, start, steps=steps, stop=stop, estimate=estimate
        )
        return SPIGAOutput(field, refinement)

    def _begin(self, field: BackboneFeatures, pose: Tensor | None) -> Tensor:
        """(B, N, 2) where the cascade begins, sides of the crop from its top-left corner."""
        if pose is None and self.start == "heatmaps":
            return self.backbone.answer(field, last=True)[-1].points
        if self.template is None:
            raise UserError(
                "a pose places the mean face, and the scheme has none; give points to start from"
            )
        own = field.pose if self.start == "pose" else self.first_pose.expand_as(field.pose)
        if pose is None:
            return project_face(self.template, own)
        # A method or a tracker may know the angles alone.
        placed = pose.isfinite().all(-1, keepdim=True)
        return project_face(self.template, torch.where(placed, pose, own))


def project_face(template: Tensor, pose: Tensor) -> Tensor:
    """Image of the mean face in the pose camera.

    Args:
        template: (N, 3) head frame.
        pose: (B, 6) yaw, pitch, roll in degrees and translation, in the axes of the camera.

    Returns:
        (B, N, 2) sides of the crop, from its top-left corner.
    """
    with full_precision(pose.device):
        head = to_camera(template, euler_to_matrix(pose[:, :3]), pose[:, 3:])
        return head[..., :2] / head[..., 2:].clamp(min=_NEAREST) * POSE_FOCAL + 0.5


def _frontal_pose(template: Tensor) -> Tensor:
    """(6,) the pose in which the mean face looks ahead from the middle of a tight crop."""
    low, high = template.amin(0), template.amax(0)
    depth = POSE_FOCAL * TIGHT_SCALE * float((high - low)[:2].max())
    center = (low + high) / 2
    return torch.cat((torch.zeros(3), -center[:2], (depth - template[:, 2].mean())[None]))
