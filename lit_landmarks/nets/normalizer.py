"""Spatial normalizers: learned crops out of a wide frame, one for each face.

Called a spatial transformer in the literature (Jaderberg et al., NeurIPS 2015). Any method takes
one by configuration (`model.init_args.normalizer`). It learns from a loss of its own, and from that
of the landmarks, which reaches it through the affine that takes points back. Pixels pass no
gradient to the crop: a network whose answers move with its crop gives the same landmarks for any
crop, so what comes through the pixels is the negative of what comes through the affine, and both
together teach nothing but noise (measured: the crop learns half as well).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from lit_landmarks.errors import UserError
from lit_landmarks.geometry.crops import (
    from_centered,
    invert_affine,
    sampling_theta,
    transform_points,
)
from lit_landmarks.nets.component import Component
from lit_landmarks.nets.losses import box_side, point_distance
from lit_landmarks.nets.precision import full_precision, is_half
from lit_landmarks.types import FaceBatch, FaceInputs, Prediction

#: Middle, in x and y, and longer side of the box about iBUG's points of the mean face, head frame.
FACE_CENTER, FACE_SIDE = (0.0, 0.457), 1.663


def place_frontal_face(queries: Tensor, share: float) -> Tensor:
    """Where a frontal mean face in the middle of a crop has template points.

    Args:
        queries: (B, N, 3) head frame.
        share: longer side of the face's box in sides of the crop.

    Returns:
        (B, N, 2) sides of the crop from its middle.
    """
    return (queries[..., :2] - queries.new_tensor(FACE_CENTER)) * (share / FACE_SIDE)


@dataclass(frozen=True)
class NormalizedCrop:
    """The crop of each input that a normalizer chose, as pixels and affine.

    Attributes:
        inputs: the inputs of the method behind it: the crop, and all else in the crop's pixels.
        to_input: (B, 2, 3) affine from crop pixels to input pixels.
        earlier: the same of the looks before the last.
    """

    inputs: FaceInputs
    to_input: Tensor
    earlier: tuple[Tensor, ...] = ()

    def place_back(self, prediction: Prediction, sizes: tuple[int, int]) -> Prediction:
        """A prediction in the crop in pixels of the input; see `Prediction.transform`."""
        prediction = prediction.transform(self.to_input, sizes)
        if self.earlier:
            prediction.first_crops = torch.stack(self.earlier)
        return prediction


class SpatialNormalizer(Component):
    """Chooses a similarity of the input image for each face and resamples it.

    Args:
        crop_size: side of the crop in pixels, what the method behind it receives.
        share: longer side of the face's points in the crop, as a share of its side; where methods
            that start at a mean shape put it.
        weight: of the loss `normalizer`, the distance of the landmarks from the mean face in the
            middle of the crop, in box sides; 0 learns from the losses of the method alone.
    """

    def __init__(self, *, crop_size: int = 64, share: float = 0.7, weight: float = 20.0) -> None:
        super().__init__()
        if crop_size < 32:
            raise UserError(f"normalizer.crop_size is {crop_size}; a crop has at least 32 pixels")
        if not 0.0 < share <= 1.0:
            raise UserError(f"normalizer.share is {share}; give a share of the crop's side, to 1")
        if not 0.0 <= weight < float("inf"):
            raise UserError(f"normalizer.weight is {weight}; give a number from 0")
        self.crop_size = crop_size
        self.share = share
        self.weight = weight

    @abstractmethod
    def locate(self, image: Tensor) -> Tensor:
        """Predict the crop.

        Args:
            image: (B, 3, S, S) RGB in [0, 1].

        Returns:
            (B, 2, 3) similarities from crop pixels to pixels of `image`, without a mirror.
        """

    def resolutions(self, image: Tensor) -> Sequence[Tensor]:
        """The image (B, 3, S, S) and smaller ones of it, which looks and crops are cut from."""
        return (image,)

    def locate_in_looks(self, images: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The crop after each look at an image, as `locate`, which gives the last.

        Args:
            images: of `resolutions`.
        """
        return (self.locate(images[0]),)

    def resample(self, images: Sequence[Tensor], to_input: Tensor, size: int) -> Tensor:
        """Pixels (B, 3, size, size) of a crop.

        Args:
            images: of `resolutions`.
            to_input: (B, 2, 3) from pixels of the crop to those of the first image.
            size: side of the crop in pixels.
        """
        return self.sample(images[0], to_input, size)

    @staticmethod
    def sample(image: Tensor, to_input: Tensor, size: int) -> Tensor:
        """(B, 3, size, size) bilinear samples of `image` (B, 3, S, S) under (B, 2, 3) affines."""
        theta = sampling_theta(to_input, image.shape[-1], size)
        shape = (image.shape[0], image.shape[1], size, size)
        grid = F.affine_grid(theta, list(shape), align_corners=False)
        return F.grid_sample(image, grid, align_corners=False, padding_mode="zeros")

    def forward(self, inputs: FaceInputs) -> NormalizedCrop:
        """The crop of each face, and the way back; a pose from outside is not passed on."""
        with full_precision(inputs.image.device):
            images = self.resolutions(inputs.image)
        *earlier, to_input = self.locate_in_looks(images)
        with full_precision(inputs.image.device):
            to_input = to_input.float() if is_half(to_input) else to_input
            points = inputs.points
            if points is not None:
                points = transform_points(invert_affine(to_input), points)
            image = self.resample(images, to_input.detach(), self.crop_size)
        crop = replace(inputs, image=image, points=points, pose=None)
        return NormalizedCrop(crop, to_input, tuple(earlier))

    def loss(self, to_input: Tensor, batch: FaceBatch) -> Tensor:
        """Distance of the landmarks from the mean face in the middle of the crop.

        The crop is an estimate of the landmarks itself: those of the mean face at its place in it.
        So the landmarks alone teach where a crop lies, how large it is and how it is turned.

        Args:
            to_input: (B, 2, 3) from crop pixels to input pixels.
            batch: the labels; points without a place on the template are left out.

        Returns:
            Mean L1 distance in sides of the face's box; 0 without points.
        """
        template = from_centered(place_frontal_face(batch.queries, self.share), self.crop_size)
        mask = batch.mask & template.isfinite().all(-1)
        expected = transform_points(to_input, template.nan_to_num())
        side = box_side(batch.points, mask)
        return point_distance(expected / side, batch.points / side, mask, "l1")
