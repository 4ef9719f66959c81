"""A run, or its checkpoint, as a `Landmarker`: the very points that `predict` gives."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from numpy.typing import NDArray

from lit_landmarks.errors import UserError
from lit_landmarks.geometry.crops import whole_box
from lit_landmarks.inference import Landmarker, load
from lit_landmarks.methods import METHODS
from lit_landmarks.types import CropSpec, FaceInputs
from tests.support.toys import OneView


def test_faces_of_a_picture_are_cut_run_and_moved_back() -> None:
    torch.manual_seed(0)
    method = METHODS["MuSiCa"].tiny()
    landmarker = Landmarker(method, CropSpec(64, "tight", 1.6), batch_size=2)
    y, x = np.mgrid[:200, :300]
    waves = np.sin(x / 9) + np.cos(y / 7) + np.sin((x + y) / 23)
    image = np.repeat((127 + 42 * waves)[..., None], 3, axis=2).astype(np.uint8)
    boxes = np.array([[40, 30, 80, 70], [150, 80, 190, 120], [20, 100, 60, 140]]) - 0.5
    faces = landmarker(image, boxes)
    assert [face.points.shape for face in faces] == [(68, 2)] * 3
    for face, box in zip(faces, boxes, strict=True):
        # 64 px of 40 px boxes at scale 1.6: a crop pixel is an image pixel, at whole places.
        x, y = (int(corner - 11.5) for corner in box[:2])
        window = image[max(y, 0) : y + 64, max(x, 0) : x + 64]
        pixels = np.zeros((64, 64, 3), np.uint8)
        pixels[max(-y, 0) :, max(-x, 0) :][: window.shape[0], : window.shape[1]] = window
        crop = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
        with torch.inference_mode():
            points = method(FaceInputs(crop)).points[0].numpy()
        # The source crop between is resized, hence not to the last digit.
        np.testing.assert_allclose(face.points, points + np.array([x, y]), atol=0.1)
        assert face.mma == pytest.approx(method.stage_costs()[-1])
        assert face.error is not None
    assert landmarker(image, []) == []


def test_two_threads_at_once_give_the_same_answers() -> None:
    torch.manual_seed(0)
    landmarker = Landmarker(METHODS["MuSiCa"].tiny(), CropSpec(64, "tight", 1.6))
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (90, 120, 3), np.uint8) for _ in range(12)]

    def locate(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        return landmarker(picture, [[20, 20, 70, 70]])[0].points

    alone = [locate(picture) for picture in pictures]
    with ThreadPoolExecutor(2) as pool:
        for points, expected in zip(pool.map(locate, pictures), alone, strict=True):
            np.testing.assert_array_equal(points, expected)


def test_a_method_is_not_given_crops_of_another_size() -> None:
    with pytest.raises(UserError, match="crops of 96 px for MuSiCa, which takes 64 px"):
        Landmarker(METHODS["MuSiCa"].tiny(), CropSpec(96, "tight", 1.35))


def test_a_run_and_its_checkpoint_give_what_predict_wrote(trained_run: Path) -> None:
    stored = torch.load(trained_run / "checkpoints" / "best.ckpt", weights_only=True)
    said = stored["lit_landmarks"]
    assert said["crop"]["kind"] == "tight"
    assert said["mma"] == pytest.approx(
        json.loads((trained_run / "result.json").read_text())["metrics"]["compute/mma"]
    )
    assert said["command"].startswith("python -m lit_landmarks fit")
    assert set(said["licence"].values()) == {"none needed: made in code, no asset"}
    assert "val/nme" in said["metrics"]
    image = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
    by_run = load(trained_run)(image, [[40, 30, 120, 110]])[0]
    by_file = load(trained_run / "checkpoints" / "best.ckpt")(image, [[40, 30, 120, 110]])[0]
    np.testing.assert_array_equal(by_run.points, by_file.points)


def test_older_checkpoints_load_by_their_runs_config_or_are_refused(
    trained_run: Path, tmp_path: Path
) -> None:
    old = tmp_path / "old"
    (old / "checkpoints").mkdir(parents=True)
    content = torch.load(trained_run / "checkpoints" / "best.ckpt", weights_only=True)
    said = content["lit_landmarks"]
    content["lit_landmarks"] = {key: said[key] for key in ("class_path", "scheme", "frame_size")}
    for state in (content["state_dict"], content.get("raw_state_dict", {})):
        for name in [n for n in state if n.startswith("early_exit.")]:
            new = {"exit_thresholds": "stop_below"}.get(name.partition(".")[2], "fail_above")
            state[new] = state.pop(name)
    torch.save(content, old / "checkpoints" / "best.ckpt")
    tree = yaml.safe_load((trained_run / "config.yaml").read_text())
    tree["model"]["init_args"].pop("early_exit", None)
    tree["model"]["init_args"] |= {"early_stop": True, "target_mma": None}
    (old / "config.yaml").write_text(yaml.safe_dump(tree))
    image = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
    np.testing.assert_array_equal(
        load(old)(image, [[40, 30, 120, 110]])[0].points,
        load(trained_run)(image, [[40, 30, 120, 110]])[0].points,
    )
    with pytest.raises(UserError, match=r"older version .* load the run's folder"):
        load(old / "checkpoints" / "best.ckpt")


def test_what_is_no_run_or_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no checkpoint at"):
        load(tmp_path / "none.ckpt")
    with pytest.raises(UserError, match=r"holds no config\.yaml"):
        load(tmp_path)


def test_a_whole_picture_needs_a_normalizer_and_no_box() -> None:
    image = np.zeros((120, 200, 3), np.uint8)
    spec = CropSpec(64, "wide", 3.0)
    method = METHODS["Dense520"].tiny(scheme="ibug68", normalizer=OneView(crop_size=32, zoom=0.5))
    (face,) = Landmarker(method, spec)(image)
    # The frame is the square about the whole picture; the crop is the middle half of it.
    low, high = face.points.min(0), face.points.max(0)
    assert (low > [49.0, 9.0]).all()
    assert (high < [150.0, 110.0]).all()
    given = Landmarker(method, spec)(image, boxes=[whole_box(200, 120, 3.0)])
    np.testing.assert_array_equal(given[0].points, face.points)
    # Its box is that of the landmarks: the whole picture is no box of a face.
    np.testing.assert_allclose(face.box, [*low, *high], atol=1e-4)
    np.testing.assert_allclose(given[0].box, face.box)
    with pytest.raises(UserError, match="which has no normalizer"):
        Landmarker(METHODS["Dense520"].tiny(scheme="ibug68"), CropSpec(64, "tight", 1.35))(image)
