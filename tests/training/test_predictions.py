"""Files of predictions: every key and shape, and figures that agree with those of an evaluation."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import yaml

from lit_landmarks import Task
from lit_landmarks.cli import main
from tests.support.configs import quick_config, tiny_config
from tests.support.images import smooth_noise, write_image, write_pts


def train(folder: Path, tree: dict[str, object], data: dict[str, object]) -> Path:
    tree["trainer"] |= {"max_epochs": 1, "callbacks": []}  # type: ignore[operator]
    tree["data"]["init_args"] |= data  # type: ignore[index]
    file = folder / "fit.yaml"
    file.write_text(yaml.safe_dump(tree))
    assert main(["fit", "--config", str(file), "--run", str(folder / "run")]) == 0
    assert main(["predict", "--run", str(folder / "run")]) == 0
    return folder / "run"


def test_predictions_of_faces_on_disk(tmp_path: Path, few_shapes: None) -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform(20, 44, (5, 68, 2)).round(2)
    for number in range(5):
        write_image(tmp_path / "own" / "b" / f"f{number}.png", smooth_noise(rng, 64, 64))
        write_pts(tmp_path / "own" / "b" / f"f{number}.pts", points[number])
    own = {"class_path": "Ibug300W", "init_args": {"root": "own"}}
    sets = {
        "root": str(tmp_path),
        "train": {"faces": own},
        "val": {"faces": own},
        "test": {
            "faces": {"class_path": "Ibug300W", "init_args": {"root": "own", "first": 2}},
            "more": {"class_path": "Ibug300W", "init_args": {"root": "own", "last": 2}},
        },
    }
    run = train(tmp_path, quick_config(), sets)
    with np.load(run / "predictions.npz", allow_pickle=False) as file:
        columns = dict(file)
    assert columns["sets"].tolist() == ["test/faces", "test/more"]
    assert columns["datasets"].tolist() == ["faces", "more"]
    assert columns["images"].tolist() == [f"own/b/f{k}.png" for k in (0, 1, 3, 4)]
    assert columns["dataset_id"].tolist() == [0, 0, 1, 1]
    assert columns["index"].tolist() == [0, 1, 0, 1]
    assert columns["points"].shape == (4, 68, 2)
    expected = points[[0, 1, 3, 4]]
    assert np.abs(columns["truth"] - expected).max() < 1e-3
    low, high = expected.min(1), expected.max(1)
    assert np.allclose(columns["boxes"], np.concatenate([low, high], 1), atol=1e-3)
    # NME by hand: outer eye corners are points 36 and 45.
    eyes = np.linalg.norm(expected[:, 36] - expected[:, 45], axis=1)
    errors = np.linalg.norm(columns["points"] - expected, axis=2).mean(1) / eyes * 100
    assert columns["norms"].tolist() == ["interocular"] * 2
    assert columns["nme"] == pytest.approx(errors, rel=1e-4)
    metrics = Task.from_run(run, verb="test").measure()
    assert columns["nme"][:2].mean() == pytest.approx(
        metrics["test/faces/nme_interocular"], rel=1e-5
    )
    assert not {"predicted_error", "exit_stage", "pose", "visibility"} & columns.keys()
    with (run / "predictions.csv").open(newline="") as text:
        rows = list(csv.DictReader(text))
    assert [(r["role"], r["dataset"], r["index"], r["image"]) for r in rows][2] == (
        "test", "more", "0", "own/b/f3.png",
    )  # fmt: skip
    assert [float(r["nme"]) for r in rows] == pytest.approx(columns["nme"], abs=1e-4)
    last = [float(rows[3][f"{axis}67"]) for axis in "xy"]
    assert last == pytest.approx(columns["points"][3, 67], abs=1e-4)
    assert float(rows[0]["box_x0"]) == pytest.approx(low[0, 0], abs=1e-3)


def test_predictions_of_a_cascade_of_rendered_faces(tmp_path: Path, few_shapes: None) -> None:
    tree = tiny_config()
    tree["model"] = {
        "class_path": "MuSiCa",
        "init_args": {"patches": 6, "hidden": 16, "rank": 4},
    }
    run = train(tmp_path, tree, {})
    with np.load(run / "predictions.npz", allow_pickle=False) as file:
        columns = dict(file)
    assert columns["sets"].tolist() == ["val/faces"]
    assert columns["images"].tolist() == [""] * 4
    assert columns["predicted_error"].shape == columns["exit_stage"].shape == (4,)
    assert (columns["exit_stage"] == columns["exit_stage"].max()).all()
    header = (run / "predictions.csv").read_text().splitlines()[0].split(",")
    assert header[8:12] == ["norm", "nme", "predicted_error", "exit_stage"]
    assert header[12:14] == ["x0", "y0"]


def test_no_face_is_an_empty_file(tmp_path: Path) -> None:
    """As a trainer that was limited to no batch leaves it."""
    config = tmp_path / "fit.yaml"
    config.write_text(yaml.safe_dump(quick_config()))
    run = tmp_path / "run"
    fit = ["fit", "--config", str(config), "--run", str(run), "--trainer.max_epochs=1"]
    assert main(fit) == 0
    assert main(["predict", "--run", str(run), "--trainer.limit_predict_batches=0"]) == 0
    with np.load(run / "predictions.npz", allow_pickle=False) as file:
        assert file["sets"].tolist() == ["val/faces"]
        assert "points" not in file
