"""Dense landmarks for training: rendered heads teach all points in 3D, photos the 68 in 2D."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from lit_landmarks.errors import UserError
from lit_landmarks.geometry.crops import (
    affine_scale,
    from_centered,
    invert_affine,
    to_centered,
    transform_points,
)
from lit_landmarks.geometry.procrustes import fit_rotation
from lit_landmarks.geometry.rotations import matrix_to_euler
from lit_landmarks.methods.base import LandmarkModule
from lit_landmarks.methods.dense520.loss import (
    DenseLossOptions,
    average_coordinates,
    faithful_loss,
    measure_distance,
)
from lit_landmarks.methods.dense520.network import DenseRegressor, Pooling
from lit_landmarks.methods.landmark_axes import LandmarkAxis
from lit_landmarks.nets.backbone import ColorOrder, InputScale
from lit_landmarks.nets.precision import full_precision
from lit_landmarks.schemes import CONVENTIONS, get_map, get_scheme, has_map
from lit_landmarks.template import has_mean_face, mean_face
from lit_landmarks.template.fitted_points import fitted_offsets
from lit_landmarks.types import TIGHT_SCALE, FaceBatch, FaceInputs, Needs, Prediction

DEFAULT_LOSS = DenseLossOptions()
#: Conventions whose jaw line follows the visible contour; that of 3D labels is fixed to the skull.
VISIBLE_CONTOUR = frozenset(CONVENTIONS) - {
    "300w_lp",
    "face_synthetics",
    "position_map",
    "synthetic_3d",
}
#: More points than this tell a pose without those of jaw, brows and nose.
_ENOUGH = 200


class Dense520(LandmarkModule):
    """Dense 3D landmarks by one linear layer on a MobileNet (Basak et al., arXiv 2308.15170).

    Args:
        loss: the loss, and what faces with 2D labels only teach.
        backbone: timm's name of the architecture (paper: mobilenetv2_100).
        colors: order of the channels (authors' code: "bgr").
        input_scale: normalisation of the input (authors' code: "unit").
        pooling: "average" over the last feature map, as the authors, or "spatial_softmax", which
            adds where in the picture features were, and learns in fewer steps.
        **base: see `LandmarkModule`; `scheme` is dense520, dense520_published, or any other with a
            place on the template head.
    """

    template_inverse: Tensor | None
    sparse: Tensor
    contour: Tensor
    contour_side: Tensor
    visible_contour: Tensor

    settings_of_weights: ClassVar[tuple[str, ...]] = ("colors",)

    def __init__(
        self,
        *,
        loss: DenseLossOptions = DEFAULT_LOSS,
        backbone: str = "mobilenetv2_100",
        colors: ColorOrder = "rgb",
        input_scale: InputScale = "unit",
        pooling: Pooling = "average",
        **base: Any,
    ) -> None:
        super().__init__(**base)
        if self.scheme is None:
            raise UserError("Dense520 predicts fixed points; set data.init_args.scheme dense520")
        scheme = get_scheme(self.scheme)
        self.loss = loss
        self.network = DenseRegressor(
            scheme.n_points,
            backbone=backbone,
            colors=colors,
            input_scale=input_scale,
            pooling=pooling,
        )
        sparse = list(range(scheme.n_points))
        if self.scheme != "ibug68" and has_map(self.scheme, "ibug68"):
            sparse = get_map(self.scheme, "ibug68").source_index.tolist()
        visible = [name in VISIBLE_CONTOUR for name in CONVENTIONS]
        # Constants of the scheme, not state: a checkpoint does not carry them.
        for name, value in (
            ("sparse", torch.tensor(sparse)),
            ("contour", torch.tensor(scheme.contour, dtype=torch.int64)),
            ("contour_side", torch.tensor([_side(scheme.point_names[k]) for k in scheme.contour])),
            ("visible_contour", torch.tensor(visible)),
        ):
            self.register_buffer(name, value, persistent=False)
        template = mean_face(self.scheme) if has_mean_face(self.scheme) else None
        inverse = None if template is None else self._invert(template)
        self.register_buffer("template_inverse", inverse, persistent=False)
        if template is not None:
            self._start_at(template)
        self.attach(features=self.network.num_features)

    def _invert(self, template: Tensor) -> Tensor:
        """(3, N) least-squares inverse of the mean face, for the head pose of its points.

        Points that conventions place differently have no share in it where there are others.
        """
        rows = torch.ones(len(template), dtype=torch.bool)
        if len(template) > _ENOUGH:
            rows[self.sparse[torch.from_numpy(fitted_offsets().any(1))]] = False
        inverse = torch.zeros(3, len(template))
        inverse[:, rows] = torch.linalg.pinv(template[rows] - template[rows].mean(0))
        return inverse

    def _start_at(self, template: Tensor) -> None:
        """Lets the first prediction be the mean face in the middle of the crop."""
        outline = template[self.sparse]
        low, high = outline.amin(0), outline.amax(0)
        side = (high - low)[:2].max() * TIGHT_SCALE
        center = (low + high) / 2
        center[2] = template[:, 2].mean()
        with torch.no_grad():
            self.network.landmarks.weight.mul_(0.1)
            self.network.landmarks.bias.copy_(((template - center) / side).flatten())

    # ---- prediction ------------------------------------------------------------------------

    @property
    def needs(self) -> Needs:
        """Faces cut tight, or a wide frame for a normalizer."""
        return Needs(frame=self.tight_frame)

    @classmethod
    def tiny(cls, **more: Any) -> Self:
        """Timm's smallest MobileNetV3, for 64 px."""
        return cls(**{"frame_size": 64, "backbone": "mobilenetv3_small_050", **more})

    def predict(self, inputs: FaceInputs) -> Prediction:
        """See `LandmarkModule.predict`; only the image is used, the pose is that of the points."""
        solid, features = self.network(inputs.image)
        points = from_centered(solid[..., :2], inputs.size)
        depth = solid[..., 2:] - solid[..., 2:].mean(1, keepdim=True)
        prediction = Prediction(
            points=points,
            points3d=torch.cat((points, depth * inputs.size), -1),
            features=features,
        )
        if self.template_inverse is not None:
            with full_precision(inputs.image.device):
                rotation = fit_rotation(solid.detach().float(), self.template_inverse)
                angles = matrix_to_euler(rotation)
            prediction.pose = nn.functional.pad(angles, (0, 3), value=torch.nan)
        return prediction

    def landmark_axes(self) -> Mapping[str, LandmarkAxis]:
        """See `LandmarkModule.landmark_axes`: three outputs of the head for each landmark."""
        head = "network.landmarks"
        return {f"{head}.{name}": LandmarkAxis(0, 3) for name in ("weight", "bias")}

    # ---- learning --------------------------------------------------------------------------

    def losses(self, prediction: Prediction, batch: FaceBatch) -> dict[str, Tensor]:
        """`dense` and `sparse` of faces with 3D labels, `photos` of the others."""
        assert prediction.points3d is not None
        # The points are the final ones: a correction need not know of the third dimension.
        solid = torch.cat((prediction.points, prediction.points3d[..., 2:]), -1)
        predicted = self._in_crop(solid, prediction.crop)
        depth = torch.where(batch.has_points3d[:, None, None], batch.points3d[..., 2:], 0.0)
        # Labels that are absent become numbers; a prediction that is none shall spoil the loss.
        labels = torch.cat((batch.points, depth), -1).nan_to_num()
        target = self._in_crop(labels, prediction.crop)
        annotated = batch.mask & batch.has_points3d[:, None]
        # Depth has no origin: it counts from the mean of the points that are compared.
        predicted, target = (_center_depth(points, annotated) for points in (predicted, target))
        distance, sparse = self.loss.distance, self.sparse
        values = measure_distance(predicted, target, distance)
        photos = average_coordinates(values[..., :2], self.photo_mask(batch))
        if distance == "faithful":
            return {
                "dense": faithful_loss(predicted, target, sparse, annotated),
                "photos": photos,
            }
        return {
            "dense": average_coordinates(values, annotated),
            "sparse": average_coordinates(values[:, sparse], annotated[:, sparse]),
            "photos": photos,
        }

    def loss_weights(self) -> dict[str, float]:
        """See `DenseLossOptions`."""
        options = self.loss
        if options.distance == "faithful":  # its own weights are in it
            return {"dense": 1.0, "photos": options.photo_weight}
        weights = {"dense": options.dense_weight, "sparse": options.sparse_weight}
        return {**weights, "photos": options.photo_weight}

    def photo_mask(self, batch: FaceBatch) -> Tensor:
        """(B, N) bool: points that faces with 2D labels only teach, by the rule for the contour."""
        mask = batch.mask & ~batch.has_points3d[:, None]
        if self.loss.contour == "as_labeled":
            return mask
        apart = self.visible_contour[batch.convention_id][:, None]
        if self.loss.contour != "ignore":
            yaw = batch.pose[:, :1]
            # Turned to the right of the picture, the subject's left half of the jaw is far.
            turned = yaw * self.contour_side if self.loss.contour == "near" else yaw.abs()
            apart = apart & (~batch.has_pose[:, None] | (turned > self.loss.frontal))
        jaw = torch.zeros_like(mask)
        jaw[:, self.contour] = apart.expand(-1, len(self.contour))
        return mask & ~jaw

    def _in_crop(self, solid: Tensor, crop: Tensor | None) -> Tensor:
        """(B, N, 3) input pixels in sides of the crop, from its center."""
        points, depth = solid[..., :2], solid[..., 2:]
        if crop is not None:
            inverse = invert_affine(crop.detach())
            points = transform_points(inverse, points)
            depth = depth * affine_scale(inverse)[:, None, None]
        return torch.cat((to_centered(points, self.crop_size), depth / self.crop_size), -1)


def _center_depth(points: Tensor, mask: Tensor) -> Tensor:
    """(B, N, 3) with depths from the mean of the masked points."""
    total = torch.where(mask, points[..., 2], 0.0).sum(1)
    mean = total / mask.sum(1).clamp(min=1)
    return torch.cat((points[..., :2], points[..., 2:] - mean[:, None, None]), -1)


def _side(name: str) -> float:
    """1 for a point of the subject's left, -1 of the right, 0 of the middle."""
    return {"left": 1.0, "right": -1.0}.get(name.partition("_")[0], 0.0)
