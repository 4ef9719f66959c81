"""Flip averaging against answers that are known: what is mirrored twice is as it was."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

import pytest
import torch
from torch import Tensor

from lit_landmarks.errors import UserError
from lit_landmarks.inference import Landmarker
from lit_landmarks.methods import METHODS
from lit_landmarks.methods.mirroring import average_flipped, flip_permutation, mirror_prediction
from lit_landmarks.nets.head3d import Head3dOptions
from lit_landmarks.schemes import get_scheme
from lit_landmarks.template import query_points
from lit_landmarks.types import CropSpec, FaceInputs, Prediction

FLIP = flip_permutation("ibug68")


def spots(inputs: FaceInputs) -> Prediction:
    """68 points on a row through the brightest pixel, each 3 px too far right: a constant bias."""
    flat = inputs.image[:, 0].flatten(1).argmax(1)
    size = inputs.image.shape[-1]
    place = torch.stack([flat % size, flat // size], -1).float()
    points = place[:, None].expand(-1, 68, -1).clone()
    points[..., 0] += 3.0
    return Prediction(points)


def test_a_bias_to_one_side_cancels() -> None:
    image = torch.zeros(2, 3, 32, 32)
    image[0, :, 10, 4] = 1.0
    image[1, :, 20, 25] = 1.0
    points = average_flipped(spots, FaceInputs(image), "ibug68").points
    assert torch.equal(points[:, 5], torch.tensor([[4.0, 10.0], [25.0, 20.0]]))


def everything(batch: int = 2) -> Prediction:
    """A prediction with a number of its own in every place."""
    torch.manual_seed(0)
    return Prediction(
        points=torch.rand(batch, 68, 2) * 64,
        stages=torch.rand(3, batch, 68, 2) * 64,
        error=torch.rand(3, batch),
        exit_stage=torch.tensor([0, 2]),
        mma=torch.tensor([5.0, 9.0]),
        crop=torch.rand(batch, 2, 3),
        log_sigma=torch.rand(batch, 68),
        visibility=torch.rand(batch, 68),
        points3d=torch.rand(batch, 68, 3) * 64,
        head3d=torch.rand(batch, 68, 3),
        pose=torch.rand(batch, 6) * 40,
        focal=torch.rand(batch),
        attention=torch.rand(batch, 4),
    )


def test_every_part_of_a_mirrored_prediction_comes_back() -> None:
    own = everything()
    again = mirror_prediction(mirror_prediction(own, 64, FLIP), 64, FLIP)
    for f in fields(Prediction):
        value = getattr(own, f.name)
        if isinstance(value, Tensor) and f.name != "crop":
            torch.testing.assert_close(getattr(again, f.name), value, msg=f.name)
    assert again.crop is None
    once = mirror_prediction(own, 64, FLIP)
    right, left = 36, 45  # outer corners of the eyes
    assert once.points[0, right].tolist() == pytest.approx(
        [63 - float(own.points[0, left, 0]), float(own.points[0, left, 1])]
    )
    assert once.visibility is not None
    assert own.visibility is not None
    assert once.visibility[1, right] == own.visibility[1, left]
    assert once.head3d is not None
    assert own.head3d is not None
    assert once.head3d[0, right, 0] == -own.head3d[0, left, 0]
    assert once.pose is not None
    assert own.pose is not None
    signs = torch.tensor([-1.0, 1.0, -1.0, -1.0, 1.0, 1.0])
    assert torch.equal(once.pose, own.pose * signs)


def test_the_average_of_two_runs_counts_both() -> None:
    own = everything()
    straight = {f.name: getattr(own, f.name) for f in fields(Prediction)}
    calls: list[Any] = []

    def predict(inputs: FaceInputs) -> Prediction:
        calls.append(inputs)
        if len(calls) == 1:
            return Prediction(**straight)
        mirrored = mirror_prediction(own, 64, FLIP)
        mirrored.exit_stage = torch.tensor([1, 1])
        return mirrored

    image = torch.rand(2, 3, 64, 64)
    result = average_flipped(predict, FaceInputs(image), "ibug68")
    assert torch.equal(calls[1].image, image.flip(-1))
    for name in ("points", "stages", "error", "visibility", "points3d", "head3d", "focal"):
        torch.testing.assert_close(getattr(result, name), straight[name], msg=name)
    torch.testing.assert_close(result.pose, own.pose, rtol=1e-4, atol=1e-4)
    assert result.mma is not None
    assert result.mma.tolist() == [10.0, 18.0]
    assert result.exit_stage is not None
    assert result.exit_stage.tolist() == [1, 2]
    assert result.attention is None
    assert result.crop is straight["crop"]


def test_angles_are_averaged_on_the_circle() -> None:
    pose = torch.full((1, 6), math.nan)
    pose[0, :3] = torch.tensor([10.0, 4.0, 179.0])
    other = pose.clone()
    other[0, :3] = torch.tensor([-20.0, 6.0, 177.0])  # mirrored: yaw 20, roll -177

    def predict(inputs: FaceInputs) -> Prediction:
        first = bool(inputs.image[0, 0, 0, 0] == 1)
        return Prediction(torch.zeros(1, 68, 2), pose=pose if first else other)

    image = torch.zeros(1, 3, 8, 8)
    image[..., 0] = 1.0
    mean = average_flipped(predict, FaceInputs(image), "ibug68").pose
    assert mean is not None
    torch.testing.assert_close(mean[0, :2], torch.tensor([15.0, 5.0]))
    # Halfway between 179 and -177 lies 181, not 1.
    assert float(mean[0, 2]) % 360 == pytest.approx(181.0, abs=1e-3)
    assert bool(mean[0, 3:].isnan().all())


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow) if n == "SPIGA" else n for n in METHODS],
)
def test_a_method_agrees_with_itself_in_the_mirror(name: str) -> None:
    torch.manual_seed(0)
    extra: dict[str, Any] = {} if name == "Infinite3D" else {"head3d": Head3dOptions()}
    try:
        method = METHODS[name].tiny(**extra).eval()
    except UserError:  # a method without pooled features has no 3D head
        method = METHODS[name].tiny().eval()
    inputs = method.example(2)
    inputs.image = torch.rand_like(inputs.image)

    def both(faces: FaceInputs) -> Prediction:
        return average_flipped(method, faces, method.scheme)

    with torch.inference_mode():
        straight = both(inputs)
        flipped = FaceInputs(inputs.image.flip(-1), inputs.queries, inputs.convention)
        flip = flip_permutation(method.scheme)
        if inputs.queries is not None and flip is None:
            flipped.queries = inputs.queries * torch.tensor([-1.0, 1.0, 1.0])
        size = method.frame_size
        mirrored = mirror_prediction(both(flipped), size, flip)
    # The mean does not depend on which of the two images is called the mirrored one.
    for key in ("points", "points3d", "pose", "error", "visibility"):
        one, two = getattr(straight, key), getattr(mirrored, key)
        assert (one is None) == (two is None)
        if one is not None:
            torch.testing.assert_close(one, two, rtol=1e-3, atol=2e-2, equal_nan=True)


def test_points_that_are_asked_for_are_mirrored_in_the_question() -> None:
    asked: list[Tensor] = []

    def predict(inputs: FaceInputs) -> Prediction:
        assert inputs.queries is not None
        asked.append(inputs.queries)
        return Prediction(inputs.queries[..., :2] * 10 + 15.5)  # where a frontal head has them

    queries = query_points("ibug68").expand(1, -1, -1)
    image = torch.zeros(1, 3, 32, 32)
    result = average_flipped(predict, FaceInputs(image, queries=queries), None)
    assert torch.equal(asked[1], queries * torch.tensor([-1.0, 1.0, 1.0]))
    torch.testing.assert_close(result.points, queries[..., :2] * 10 + 15.5)


def test_points_without_pairs_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    method = METHODS["MuSiCa"].tiny()
    lost = get_scheme("ibug68")
    monkeypatch.setitem(vars(lost), "flip", None)
    landmarker = Landmarker(method, CropSpec(64, "tight", 1.35))
    for refused in (method.average_flips, landmarker.average_flips):
        with pytest.raises(UserError, match="'ibug68' has no left-right pairs"):
            refused()
    assert not method.flip_average
    assert not landmarker.flip_average


def test_a_landmarker_counts_both_runs() -> None:
    method = METHODS["MuSiCa"].tiny()
    plain = Landmarker(method, CropSpec(64, "tight", 1.35), {"mma": 12.5})
    both = plain.average_flips()
    assert both.notes["mma"] == 25.0
    assert plain.notes["mma"] == 12.5
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(3, 90, 120, generator=generator)
    boxes = [[30.0, 20.0, 79.0, 69.0]]
    (one,), (two,) = plain(image, boxes), both(image, boxes)
    (mirrored,) = plain(image.flip(-1), [[40.0, 20.0, 89.0, 69.0]])
    assert one.mma is not None
    assert two.mma == pytest.approx(2 * one.mma)
    back = mirrored.points[FLIP] * [-1, 1] + [119, 0]
    assert abs(two.points - (one.points + back) / 2).max() < 0.05
