"""Flip averaging: the mean of what a method predicts for a face and for its mirror image.

Each face is run twice, so that its cost doubles. A point of the mirrored face stands for the point
that the scheme's flip permutation pairs it with; a method that is asked for points is asked for the
mirrored ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from lit_landmarks.errors import UserError
from lit_landmarks.schemes import get_scheme
from lit_landmarks.types import FaceInputs, Prediction

#: Signs of yaw, pitch, roll, tx, ty, tz of a mirrored head.
_POSE_SIGNS = (-1.0, 1.0, -1.0, -1.0, 1.0, 1.0)


def flip_permutation(scheme: str | None) -> list[int] | None:
    """The permutation of the points of a mirrored face; None where points are asked for.

    Args:
        scheme: of a method's points; None for a method of queries.

    Raises:
        UserError: the scheme has no left-right pairs.
    """
    if scheme is None:
        return None
    flip = get_scheme(scheme).flip
    if flip is None:
        raise UserError(
            f"scheme {scheme!r} has no left-right pairs, so that mirrored faces cannot be averaged;"
            ' declare "flip" in its data, or omit flip_average'
        )
    return list(flip)


def average_flipped(
    predict: Callable[[FaceInputs], Prediction], inputs: FaceInputs, scheme: str | None
) -> Prediction:
    """The mean of a prediction and of the mirrored prediction of the mirrored faces.

    Args:
        predict: a method, or what stands for one.
        inputs: of the method.
        scheme: of its points; None for a method of queries.

    Returns:
        Means of points, stages, predicted errors, visibility, 3D, pose (of angles on the circle)
        and focal length. `mma` is the sum of both and `exit_stage` the later one; `crop` is that of
        the faces as they are. Attention, features and `aux` of two passes have no mean: None.

    Raises:
        UserError: the scheme has no left-right pairs.
    """
    flip = flip_permutation(scheme)
    own, other = predict(inputs), predict(_mirror_inputs(inputs, flip))
    mirrored = mirror_prediction(other, inputs.image.shape[-1], flip)
    result = replace(own, attention=None, features=None, aux=None)
    for name in (
        "points",
        "stages",
        "error",
        "log_sigma",
        "visibility",
        "points3d",
        "head3d",
        "focal",
    ):
        one, two = getattr(own, name), getattr(mirrored, name)
        if one is not None:
            setattr(result, name, (one + two) / 2)
    if own.pose is not None:
        assert mirrored.pose is not None
        result.pose = _mean_pose(own.pose, mirrored.pose)
    if own.exit_stage is not None:
        assert mirrored.exit_stage is not None
        result.exit_stage = torch.maximum(own.exit_stage, mirrored.exit_stage)
    if own.mma is not None:
        assert mirrored.mma is not None
        result.mma = own.mma + mirrored.mma
    return result


def mirror_prediction(prediction: Prediction, size: int, flip: list[int] | None) -> Prediction:
    """A prediction in pixels of the mirrored image; crops are left out.

    Args:
        prediction: in pixels of an image.
        size: its side.
        flip: permutation of the points; None leaves their order.

    Example:
        >>> prediction = Prediction(torch.tensor([[[1.0, 2.0], [5.0, 6.0]]]))
        >>> mirror_prediction(prediction, 8, [1, 0]).points
        tensor([[[2., 6.],
                 [6., 2.]]])
    """
    result = replace(prediction, crop=None, first_crops=None)
    for name, axis in (("points", -2), ("stages", -2), ("points3d", -2), ("head3d", -2)):
        value = getattr(prediction, name)
        if value is not None:
            sign = torch.ones(value.shape[-1], dtype=value.dtype, device=value.device)
            sign[0] = -1.0
            moved = _permute(value, flip, axis) * sign
            if name != "head3d":  # pixels count from the other edge, the head from its middle
                moved[..., 0] += size - 1
            setattr(result, name, moved)
    for name in ("log_sigma", "visibility"):
        value = getattr(prediction, name)
        if value is not None:
            setattr(result, name, _permute(value, flip, -1))
    if prediction.pose is not None:
        result.pose = prediction.pose * prediction.pose.new_tensor(_POSE_SIGNS)
    return result


def _mirror_inputs(inputs: FaceInputs, flip: list[int] | None) -> FaceInputs:
    mirrored = replace(inputs, image=inputs.image.flip(-1), mirrored=not inputs.mirrored)
    if inputs.queries is not None and flip is None:
        mirrored.queries = inputs.queries * inputs.queries.new_tensor([-1.0, 1.0, 1.0])
    if inputs.points is not None:
        start = mirror_prediction(Prediction(inputs.points), inputs.image.shape[-1], flip)
        mirrored.points = start.points
    if inputs.pose is not None:
        mirrored.pose = inputs.pose * inputs.pose.new_tensor(_POSE_SIGNS)
    return mirrored


def _permute(value: Tensor, flip: list[int] | None, axis: int) -> Tensor:
    if flip is None:
        return value.clone()
    return value.index_select(axis, torch.tensor(flip, device=value.device))


def _mean_pose(one: Tensor, two: Tensor) -> Tensor:
    """(B, 6) mean pose: of angles on the circle, of translations as they are."""
    first, second = torch.deg2rad(one[:, :3]), torch.deg2rad(two[:, :3])
    sine, cosine = first.sin() + second.sin(), first.cos() + second.cos()
    angles = torch.rad2deg(torch.atan2(sine, cosine))
    return torch.cat([angles, (one[:, 3:] + two[:, 3:]) / 2], 1)
