"""The similarity normalizer: its crops, its pyramid, and that landmarks alone teach it."""

from __future__ import annotations

import pytest
import torch

from lit_landmarks.errors import UserError
from lit_landmarks.geometry.crops import similarity, transform_points
from lit_landmarks.nets.normalizer import FACE_CENTER, FACE_SIDE
from lit_landmarks.nets.similarity_normalizer import SimilarityNormalizer
from lit_landmarks.template import mean_face, query_points
from lit_landmarks.types import FaceBatch, FaceInputs


def identity(crop_size: int = 64, **more: object) -> SimilarityNormalizer:
    """A normalizer whose crop is the whole image, whatever it shows."""
    normalizer = SimilarityNormalizer(crop_size=crop_size, thumbnail=32, side=0.999, **more)
    torch.nn.init.zeros_(normalizer.looks[0].linear.weight)
    return normalizer.eval()


def test_box_of_the_mean_face_is_that_of_the_template() -> None:
    face = mean_face("ibug68")[:, :2]
    low, high = face.amin(0), face.amax(0)
    assert float((high - low).max()) == pytest.approx(FACE_SIDE, abs=1e-3)
    assert ((low + high) / 2).tolist() == pytest.approx(FACE_CENTER, abs=1e-3)


def test_first_crop_is_upright_and_in_the_middle() -> None:
    normalizer = SimilarityNormalizer(crop_size=64, thumbnail=32, side=0.5).eval()
    torch.nn.init.zeros_(normalizer.looks[0].linear.weight)
    affine = normalizer.locate(torch.rand(2, 3, 128, 128))
    expected = torch.tensor([[1.0, 0.0, 32.0], [0.0, 1.0, 32.0]]).expand(2, -1, -1)
    torch.testing.assert_close(affine, expected, atol=1e-4, rtol=0)


def test_scale_is_bounded_and_never_mirrored() -> None:
    normalizer = identity()
    for value in (-1e3, 1e3):
        with torch.no_grad():
            normalizer.looks[0].linear.bias[0] = value
        affine = normalizer.locate(torch.rand(1, 3, 64, 64))
        scale = torch.linalg.det(affine[..., :2]).sqrt()
        assert 0.09 < scale.item() < 1.61


def test_crop_of_a_level_shows_the_same_place() -> None:
    """A linear ramp survives any filter away from borders: pixels say where they come from."""
    normalizer = identity(crop_size=32)
    ramp = torch.arange(128.0).expand(1, 3, 128, 128)
    for side in (32.0, 48.0, 90.0):
        scale = torch.tensor([side / 32])
        middle = torch.tensor([[60.0, 64.0]])
        affine = similarity(scale, torch.zeros(1), torch.tensor([[15.5, 15.5]]), middle)
        crop = normalizer.resample(normalizer.resolutions(ramp), affine, 32)[0, 0, 8:24, 8:24]
        columns = 60.0 + (torch.arange(8.0, 24.0) - 15.5) * scale
        torch.testing.assert_close(crop, columns.expand(16, 16), atol=0.02, rtol=0)


def test_shrinking_does_not_alias() -> None:
    """Noise reduced four times: its deviation is near that of an average, far from a sample's."""
    torch.manual_seed(0)
    noise = torch.rand(1, 3, 256, 256)
    affine = similarity(
        torch.tensor([4.0]),
        torch.zeros(1),
        torch.tensor([[31.5, 31.5]]),
        torch.tensor([[127.5] * 2]),
    )
    filtered, sampled = (
        normalizer.resample(normalizer.resolutions(noise), affine, 64).std()
        for normalizer in (identity(), identity(levels=1))
    )
    assert filtered < 0.25 * sampled


def test_landmark_loss_finds_the_crop() -> None:
    """The least loss is at the crop in which the mean face lies on the landmarks."""
    queries = query_points("ibug68")[None]
    normalizer = identity()
    true = similarity(
        torch.tensor([1.7]),
        torch.tensor([25.0]),
        torch.tensor([[31.5] * 2]),
        torch.tensor([[80.0, 50.0]]),
    )
    pixels = normalizer.crop_size * normalizer.share / FACE_SIDE
    points = (queries[..., :2] - torch.tensor(FACE_CENTER)) * pixels + 31.5
    batch = FaceBatch.of(
        torch.zeros(1, 3, 128, 128), transform_points(true, points), queries=queries
    )
    assert normalizer.loss(true, batch).item() == pytest.approx(0.0, abs=1e-6)
    for row, column, step in ((0, 2, 3.0), (1, 2, -3.0), (0, 0, 0.2)):
        other = true.clone()
        other[:, row, column] += step
        assert normalizer.loss(other, batch).item() > 0.01


def test_second_look_begins_at_the_crop_of_the_first() -> None:
    """Whatever the first look says, a second one that has learned nothing leaves it alone."""
    normalizer = SimilarityNormalizer(crop_size=64, thumbnail=32, side=0.5, looks=2).eval()
    torch.nn.init.normal_(normalizer.looks[0].linear.weight, std=0.3)
    torch.nn.init.zeros_(normalizer.looks[1].linear.weight)
    first, second = normalizer.locate_in_looks(normalizer.resolutions(torch.rand(3, 3, 128, 128)))
    assert (first[0] - first[1]).abs().max() > 0.1
    torch.testing.assert_close(second, first, atol=1e-3, rtol=0)


def test_second_look_sees_what_lies_about_the_crop_of_the_first() -> None:
    normalizer = SimilarityNormalizer(crop_size=64, thumbnail=32, side=0.5, looks=2).eval()
    views = []
    normalizer.looks[1].register_forward_pre_hook(lambda _, inputs: views.append(inputs[0]))
    with torch.no_grad():
        normalizer.looks[0].linear.weight.zero_()
        normalizer.looks[0].linear.bias[2] = 0.1  # middle 12.8 px to the right
    ramp = torch.arange(128.0).expand(1, 3, 128, 128)
    normalizer.locate_in_looks(normalizer.resolutions(ramp))
    # Twice as wide as the crop of 64 px, which is half of the image: a pixel for 4 of the image.
    columns = 63.5 + 12.8 + (torch.arange(4.0, 24.0) - 15.5) * 4.0
    torch.testing.assert_close(views[0][0, 0, 10, 4:24], columns, atol=0.1, rtol=0)


def test_pyramid_is_built_once_for_all_looks() -> None:
    normalizer = SimilarityNormalizer(crop_size=64, thumbnail=32, looks=3).eval()
    calls = []
    normalizer.pyramid.register_forward_hook(lambda *_: calls.append(1))
    normalizer(FaceInputs(torch.rand(2, 3, 128, 128)))
    assert calls == [1]


def test_looks_learn_by_themselves() -> None:
    """The landmark loss on the last crop does not reach the network of the first."""
    normalizer = SimilarityNormalizer(crop_size=64, thumbnail=32, looks=2)
    first, second = normalizer.locate_in_looks(normalizer.resolutions(torch.rand(2, 3, 64, 64)))
    second.sum().backward(retain_graph=True)
    assert normalizer.looks[0].linear.weight.grad is None
    assert normalizer.looks[1].linear.weight.grad is not None
    first.sum().backward()
    assert normalizer.looks[0].linear.weight.grad is not None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"thumbnail": 40}, "multiple of 16"),
        ({"side": 2.0}, "share of the image"),
        ({"levels": 0}, "levels is 0"),
        ({"looks": 0}, "looks is 0"),
        ({"weight": -1.0}, "weight is -1"),
        ({"weight": 0.0, "looks": 2}, "weight is 0 with 2 looks"),
    ],
)
def test_options_that_mean_nothing_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        SimilarityNormalizer(**options)


def test_image_that_the_thumbnail_does_not_divide_is_refused() -> None:
    with pytest.raises(UserError, match="does not divide an image of 80 pixels"):
        identity().locate(torch.zeros(1, 3, 80, 80))
