"""Jitter on still faces and flicker on tracks, of predictions whose answer is known."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import Tensor

from lit_landmarks.analysis.stability import (
    Disturbances,
    StillJitter,
    measure_still,
    measure_tracks,
    print_stability,
    write_stability,
)
from lit_landmarks.data import LandmarkDataModule, SyntheticFaces, SyntheticTracks
from lit_landmarks.errors import UserError
from lit_landmarks.schemes import get_scheme
from lit_landmarks.types import FaceBatch, Prediction

SIZE = 64
#: Of a uniform rounding error in both axes, sampled at four places each.
ROUNDING = math.sqrt((1 - 1 / 16) / 6)
CONTOUR = list(get_scheme("ibug68").contour)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> LandmarkDataModule:
    faces = {"visibility": False, "image_size": 96, "max_yaw": 30.0}
    return LandmarkDataModule(
        train={},
        val={"faces": SyntheticFaces(n=12, seed=1, **faces)},  # type: ignore[arg-type]
        test={
            "others": SyntheticFaces(n=3, seed=2, scheme="cofw29", **faces),  # type: ignore[arg-type]
            "tracks": SyntheticTracks(n=24, frames=6, image_size=96, visibility=False),
        },
        scheme=None,
        frame_size=SIZE,
        batch_size=4,
        cache_dir=str(tmp_path_factory.mktemp("cache")),
    )


def truth(faces: FaceBatch) -> Prediction:
    return Prediction(faces.points)


def jitter(data: LandmarkDataModule, points: object, **sizes: float) -> StillJitter:
    """Of the validation faces; `points` is a function from a batch to points."""
    predict = lambda faces: Prediction(points(faces))  # type: ignore[operator]  # noqa: E731
    return measure_still(predict, data, "val", Disturbances(**sizes))["faces"]


def test_a_method_that_is_right_has_no_jitter(data: LandmarkDataModule) -> None:
    still = measure_still(truth, data, "val", Disturbances())["faces"]
    assert still.norm == "interocular"
    assert {kind: values.shape for kind, values in still.jitter.items()} == {
        "shift": (12, 2, 3), "zoom": (12, 2, 3), "noise": (12, 2, 3),
    }  # fmt: skip  # one row
    assert all(values.max() < 1e-3 for values in still.jitter.values())


def test_a_method_that_rounds_jitters_by_its_rounding_error(data: LandmarkDataModule) -> None:
    still = jitter(data, lambda faces: faces.points.round())
    np.testing.assert_allclose(still.jitter["shift"][:, 1], ROUNDING, rtol=1e-3)
    eyes = torch.cat([batch.points[:, [36, 45]] for batch in data.batches("val")])
    norm = (eyes[:, 0] - eyes[:, 1]).norm(dim=-1).numpy()
    expected = 100 * ROUNDING / norm
    np.testing.assert_allclose(still.jitter["shift"][:, 0, 0], expected, rtol=2e-3)
    figures = still.figures()
    assert figures["shift"]["all"]["pixels"]["p95"] == pytest.approx(ROUNDING, rel=1e-3)
    assert figures["shift"]["inner"]["percent"]["mean"] == pytest.approx(expected.mean(), rel=2e-3)
    assert (figures["norm"], figures["faces"]) == ("interocular", 12)
    # Noise moves no label, so that the rounded ones stay.
    assert still.jitter["noise"].max() < 1e-3


def test_groups_of_landmarks(data: LandmarkDataModule) -> None:
    def round_contour(faces: FaceBatch) -> Tensor:
        points = faces.points.clone()
        points[:, CONTOUR] = points[:, CONTOUR].round()
        return points

    values = jitter(data, round_contour).jitter["shift"][:, 1]
    np.testing.assert_allclose(values[:, 2], ROUNDING, rtol=1e-3)
    np.testing.assert_allclose(values[:, 1], 0.0, atol=1e-3)
    np.testing.assert_allclose(values[:, 0], ROUNDING * math.sqrt(17 / 68), rtol=1e-3)


def test_a_method_that_never_moves(data: LandmarkDataModule) -> None:
    """Its points move in the photo as the crop does, by hand."""
    place = torch.full((68, 2), (SIZE - 1) / 2) + torch.tensor([6.0, 8.0])
    still = jitter(data, lambda faces: place.expand(len(faces), 68, 2), shift=2.0, zoom=0.1)
    steps = np.array([-1.5, -0.5, 0.5, 1.5])
    np.testing.assert_allclose(still.jitter["shift"][:, 1], steps.std() * math.sqrt(2), rtol=1e-3)
    # A point 10 pixels from the middle of the crop lies 10 / f of them from it in the photo.
    sizes = 10.0 / 1.1 ** np.linspace(-1, 1, 5)
    np.testing.assert_allclose(still.jitter["zoom"][:, 1], sizes.std(), rtol=1e-3)


def test_noise_has_the_deviation_that_was_asked_for(data: LandmarkDataModule) -> None:
    def read_pixels(faces: FaceBatch) -> Tensor:
        middle = faces.image[:, 1, 24:41, 24:28].flatten(1)  # 68 pixels of skin, green
        return torch.stack([100 * middle, torch.zeros_like(middle)], -1)

    values = jitter(data, read_pixels, noise=0.04).jitter["noise"][:, 1, 0]
    assert np.sqrt((values**2).mean()) == pytest.approx(4.0 * math.sqrt(7 / 8), rel=0.1)
    smaller = jitter(data, read_pixels, noise=0.02).jitter["noise"][:, 1, 0]
    assert np.sqrt((smaller**2).mean()) == pytest.approx(2.0 * math.sqrt(7 / 8), rel=0.1)


def test_predictions_that_are_no_numbers_jitter_without_end(data: LandmarkDataModule) -> None:
    still = jitter(data, lambda faces: faces.points * math.nan)
    assert np.isinf(still.jitter["shift"][:, 1, 0]).all()


def test_other_schemes_and_few_faces(data: LandmarkDataModule) -> None:
    """Rows of 29 points are filled up to 68: what fills them does not count."""

    def scatter(faces: FaceBatch) -> Tensor:
        points = faces.points.round()
        if not bool(faces.mask.all()):
            points[:, 29:] = 1000 * torch.rand(len(points), 39, 2)
        return points

    still = measure_still(
        lambda faces: Prediction(scatter(faces)), data, "test", Disturbances(), faces=2
    )
    assert {name: len(result.jitter["shift"]) for name, result in still.items()} == {
        "others": 2, "tracks": 2,
    }  # fmt: skip  # one row
    np.testing.assert_allclose(still["others"].jitter["shift"][:, 1, 0], ROUNDING, rtol=1e-3)


def test_flicker_of_tracks(data: LandmarkDataModule) -> None:
    right = measure_tracks(truth, data, "test")
    assert right["test/tracks/flicker_interocular"] < 1e-3
    assert right["test/tracks/nmf"] < 0.5  # of 25,600 a face
    assert right["test/tracks/acceleration_interocular/turn"] > 0.001
    assert measure_tracks(truth, data, "val") == {}

    def flip(faces: FaceBatch) -> Prediction:
        """Two pixels of the photo to the right in each second frame."""
        step = faces.frame_to_image[:, 0, 0]
        right = torch.where(faces.time % 2 == 1, 2.0 / step, 0.0)
        return Prediction(faces.points + right[:, None, None] * torch.tensor([1.0, 0.0]))

    wrong = measure_tracks(flip, data, "test")
    index = data.sets["test"]["tracks"].index()
    assert index.time is not None
    points = index.points[index.time > 0].astype(float)  # the norm is that of the later frame
    norm = np.linalg.norm(points[:, 36] - points[:, 45], axis=-1)
    assert wrong["test/tracks/flicker_interocular"] == pytest.approx((200 / norm).mean(), rel=1e-3)
    sides = np.sqrt(np.ptp(points, axis=1).prod(-1)).reshape(4, 5)
    nmf = np.sqrt(((100 * 256 * 2 / sides) ** 2).mean(1)).mean()
    assert wrong["test/tracks/nmf"] == pytest.approx(nmf, rel=1e-3)
    assert "test/tracks/flicker_interocular/blink" in wrong


def test_the_report(data: LandmarkDataModule, tmp_path: Path) -> None:
    still = {"val/faces": jitter(data, lambda faces: faces.points.round())}
    tracks = {"val/tracks/nmf": 1.5}
    write_stability(still, tracks, Disturbances(zoom=0.03), tmp_path)
    report = json.loads((tmp_path / "stability.json").read_text())
    assert report["disturbances"] == {"shift": 0.5, "zoom": 0.03, "noise": 0.02}
    assert report["tracks"] == tracks
    median = report["still"]["val/faces"]["shift"]["contour"]["pixels"]["median"]
    assert median == pytest.approx(ROUNDING, rel=1e-3)
    assert (tmp_path / "stability.png").stat().st_size > 5000
    console = Console(width=120, record=True)
    print_stability(still, tracks, console)
    text = console.export_text()
    assert f"{ROUNDING:.3f}" in text
    assert "val/tracks/nmf" in text


@pytest.mark.parametrize(
    ("size", "value"), [("shift", 0.0), ("shift", math.nan), ("zoom", 0.9), ("noise", -1.0)]
)
def test_disturbances_are_small(size: str, value: float) -> None:
    with pytest.raises(UserError, match=f"--{size} is {value}"):
        Disturbances(**{size: value})
