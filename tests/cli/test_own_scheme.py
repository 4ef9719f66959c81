"""Points of one's own, declared in the data: each command begins without knowing them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from torch.utils.data import DataLoader

from lit_landmarks.cli import main
from lit_landmarks.data import LandmarkDataModule
from lit_landmarks.data.layouts import write_image
from lit_landmarks.data.readers.json_faces import JsonFaces
from lit_landmarks.schemes import SCHEMES
from lit_landmarks.training.checkpoints import read_checkpoint

POINTS = ["right_spot", "left_spot", "tip", "right_end", "left_end"]
PLACES = np.array([[20, 24], [44, 24], [32, 34], [24, 46], [40, 46]])


def write_faces(folder: Path, **scheme: Any) -> None:
    """Eight faces of five bright points; six of them are for training."""
    rng = np.random.default_rng(0)
    faces = []
    for number in range(8):
        points = PLACES + rng.integers(-3, 4, (5, 2))
        image = np.full((64, 64, 3), 90, np.uint8)
        image[points[:, 1], points[:, 0]] = 255
        write_image(folder / f"{number}.png", image)
        split = "train" if number < 6 else "val"
        faces.append({"image": f"{number}.png", "points": points.tolist(), "split": split})
    declared = {"name": "mine5", "points": POINTS, "flip": "names"} | scheme
    head = {"format": "lit_landmarks faces", "version": 1, "scheme": declared}
    (folder / "faces.json").write_text(json.dumps(head | {"faces": faces}))


def write_config(folder: Path, method: str) -> Path:
    """One epoch of one step, and few units."""
    sizes = {"width": 0.35} if method == "ASMNet" else {"hidden": 16, "rank": 4}
    sets = {
        role: {"mine": {"class_path": "JsonFaces", "init_args": {"root": "faces", "split": role}}}
        for role in ("train", "val")
    }
    arguments = {"root": "./", "scheme": "mine5", "frame_size": 32, "batch_size": 4, **sets}
    path = folder / f"{method}.yaml"
    path.write_text(yaml.safe_dump({
        "model": {"class_path": method, "init_args": sizes},
        "data": {"init_args": arguments},
        "trainer": {"accelerator": "cpu", "max_epochs": 1, "enable_progress_bar": False},
        "wandb": {"mode": "disabled"},
    }))  # fmt: skip
    return path


@pytest.fixture(autouse=True)
def command(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., int]]:
    """Runs a command as a new process would: the scheme is not known before."""

    def run(*arguments: object) -> int:
        SCHEMES.pop("mine5", None)
        return main([str(a) for a in arguments])

    monkeypatch.setattr("lit_landmarks.data.module._SHAPES", 30)
    yield run
    SCHEMES.pop("mine5", None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Faces, and a config for each method."""
    write_faces(tmp_path / "faces")
    for method in ("ASMNet", "MuSiCa"):
        write_config(tmp_path, method)
    return tmp_path


@pytest.mark.parametrize("method", ["ASMNet", "MuSiCa"])
def test_fit_validate_predict_and_profile(
    method: str, folder: Path, command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    run = folder / "run"
    assert command("fit", "--config", folder / f"{method}.yaml", "--run", run) == 0
    # Only ASMNet has a pose head, and nothing says what the pose of these points is.
    assert ("note: no training set has the label pose" in capsys.readouterr().out) == (
        method == "ASMNet"
    )
    fitted = json.loads((run / "result.json").read_text())
    assert fitted["scheme"] == "mine5"
    told = folder / "told.json"
    assert command("validate", "--run", run, "--output", told) == 0
    again = json.loads(told.read_text())["metrics"]["val/nme"]
    assert again == pytest.approx(fitted["metrics"]["val/nme"], rel=1e-4)
    assert command("predict", "--run", run) == 0
    with np.load(run / "predictions.npz") as found:
        assert found["points"].shape == (2, 5, 2)
    assert command("fit", "--resume", run, "--trainer.max_epochs", 2) == 0
    # The run knows its scheme even where its data is gone.
    (folder / "faces").rename(folder / "gone")
    capsys.readouterr()
    assert command("profile", "--run", run, "--repeats", 0, "--json") == 0
    profiled = json.loads(capsys.readouterr().out)
    assert profiled["scheme"] == "mine5"
    cost = "compute/parameters"
    assert profiled[cost] == fitted["metrics"][cost]


def test_a_config_is_profiled_with_the_declaration_of_its_data(
    folder: Path, command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("profile", "--config", folder / "MuSiCa.yaml", "--repeats", 0, "--json")
    assert command(*words) == 0
    assert json.loads(capsys.readouterr().out)["scheme"] == "mine5"
    (folder / "faces").rename(folder / "elsewhere")
    assert command(*words) == 2
    missing = re.escape(str(folder / "faces" / "faces.json"))
    assert re.fullmatch(rf"error: no file {missing}; .*\n", capsys.readouterr().err)


@pytest.mark.parametrize("verb", ["fit", "sweep"])
def test_a_bad_declaration_is_one_line_with_the_file(
    verb: str, folder: Path, command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    write_faces(folder / "faces", flip=[0, 2, 1, 9, 3])
    config, words = folder / "ASMNet.yaml", ["fit", "--config"]
    if verb == "sweep":
        config, words = folder / "sweep.yaml", ["sweep", "run"]
        config.write_text(yaml.safe_dump({
            "name": "s", "base": ["ASMNet.yaml"], "objective": "val/nme", "trials": 1,
            "space": {"model.init_args.dropout": {"float": [0.0, 0.5]}},
        }))  # fmt: skip
    assert command(*words, config) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "flip: there is no point '9'" in line
    assert str(folder / "faces" / "faces.json") in line


def test_the_same_name_with_other_points_is_refused(
    folder: Path, command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    run, config = folder / "run", folder / "MuSiCa.yaml"
    assert command("fit", "--config", config, "--run", run) == 0
    best = run / "checkpoints" / "best.ckpt"
    assert read_checkpoint(best)["lit_landmarks"]["points"] == POINTS
    write_faces(folder / "faces", points=[*POINTS[:2], "peak", *POINTS[3:]])
    capsys.readouterr()
    assert command("validate", "--run", run) == 2
    assert "scheme 'mine5' was declared otherwise when" in capsys.readouterr().err
    assert command("validate", "--ckpt_path", best, "--config", config) == 2
    assert "has points [right_spot, left_spot, tip, right_end," in capsys.readouterr().err
    (run / "schemes.json").write_text("{}")
    assert command("profile", run) == 2
    assert "schemes.json is damaged; remove it" in capsys.readouterr().err


def test_a_method_of_fixed_points_says_where_to_name_the_scheme(
    folder: Path, command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("fit", "--config", folder / "ASMNet.yaml", "--data.init_args.scheme=null") == 2
    expected = "error: ASMNet predicts fixed points; set data.init_args.scheme\n"
    assert capsys.readouterr().err == expected
    assert command("fit", "--config", folder / "ASMNet.yaml", "--data.init_args.scheme=ibug68") == 2
    assert "it has maps to: mine5 itself" in capsys.readouterr().err


def test_loader_processes_that_are_spawned_are_told(folder: Path) -> None:
    faces = JsonFaces(root=str(folder / "faces"), split="train")
    module = LandmarkDataModule(
        train={"mine": faces}, scheme="mine5", frame_size=32, batch_size=4, num_workers=1
    )
    assert module.own_schemes() == ("mine5",)
    loader = module.train_dataloader()
    assert isinstance(loader, DataLoader)
    loader.multiprocessing_context = "spawn"
    assert len(next(iter(loader))) == 4
