"""The pages for owners of photos: their example is read, their keys are those that are read."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml

from lit_landmarks.cli import main
from lit_landmarks.data import LandmarkDataModule, SyntheticFaces
from lit_landmarks.data.layouts import write_image
from lit_landmarks.data.readers import json_file, json_rows
from lit_landmarks.data.readers.json_faces import JsonFaces
from lit_landmarks.schemes import SCHEMES, declared
from lit_landmarks.weights import find_weights
from tests.test_readme import SHORT, blocks, commands

ROOT = Path(__file__).resolve().parents[2] / "lit_landmarks" / "data"


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    """The scheme that the pages declare."""
    yield
    SCHEMES.pop("five", None)


def keys(heading: str) -> set[str]:
    """Keys in the first column of the table below a heading of the format's page."""
    text = (ROOT / "FACES_JSON.md").read_text(encoding="utf-8")
    section = text.split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = [row.split("|")[1] for row in section.splitlines() if row.startswith("| `")]
    return {key for row in rows for key in re.findall(r"`(\w+)`", row)}


def test_every_key_that_is_read_has_a_row() -> None:
    assert keys("The file") == set(json_file._KEYS)
    assert keys("A scheme") == set(declared._KEYS)
    assert keys("A face") == set(json_rows._KEYS)


@pytest.mark.parametrize("one_line", [False, True])
def test_the_example_of_the_format_is_read(one_line: bool, tmp_path: Path) -> None:
    (block,) = [b for b in blocks(ROOT / "FACES_JSON.md") if b.language == "json"]
    for name in ("anna.jpg", "ben.png"):
        write_image(tmp_path / "images" / name, np.zeros((150, 150, 3), np.uint8))
    text = json.dumps(json.loads(block.text)) if one_line else block.text
    (tmp_path / "faces.json").write_text(text)
    dataset = JsonFaces(root=str(tmp_path))
    index = dataset.index()
    assert (dataset.scheme, dataset.primary_norm) == ("five", "box")
    assert index.points[0].tolist() == [[61, 70], [99, 71], [80, 95], [66, 118], [95, 118]]
    assert index.mask.tolist() == [[True] * 5, [True, True, False, True, True]]
    assert index.box.tolist() == [[61, 70, 99, 118], [22, 18, 104, 121]]
    assert index.visible is not None
    assert index.visible.tolist() == [[-1] * 5, [1, 1, 0, 1, 2]]
    assert SCHEMES["five"].flip == (1, 0, 2, 4, 3)
    assert len(JsonFaces(root=str(tmp_path), split="val").index()) == 1
    if not one_line:
        lines = list(json_file.faces_by_line(tmp_path / "faces.json"))
        assert [face["image"] for face in lines] == ["images/anna.jpg", "images/ben.png"]


def test_the_steps_of_the_page_give_data_that_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    shapes = rng.uniform(20, 180, (30, 68, 2)).round(2)
    write_image(tmp_path / "faces" / "a.png", np.zeros((200, 200, 3), np.uint8))
    faces = [{"image": "a.png", "points": shape.tolist()} for shape in shapes]
    head = {"format": "lit_landmarks faces", "version": 1, "scheme": "ibug68"}
    (tmp_path / "faces" / "faces.json").write_text(json.dumps({**head, "faces": faces}))
    page = list(blocks(ROOT / "OWN_PHOTOS.md"))
    (program,) = [block.text for block in page if block.language == "python"]
    config, rendered, folds = [block.text for block in page if block.language == "yaml"]
    monkeypatch.chdir(tmp_path)
    exec(compile(program, "OWN_PHOTOS.md", "exec"), {})
    arguments = yaml.safe_load(config)["data"]["init_args"]
    sets = {
        role: {"mine": JsonFaces(**arguments[role]["mine"]["init_args"])}
        for role in ("train", "val")
    }
    data = LandmarkDataModule(
        **sets, root=arguments["root"], scheme=arguments["scheme"], cache_dir=str(tmp_path / "c")
    )
    assert [(d.role, d.size) for d in data.spec.datasets] == [("train", 24), ("val", 6)]
    (both,) = yaml.safe_load(folds)["data"]["init_args"]["train"].values()
    assert len(JsonFaces(**both["init_args"]).index()) == 30
    source = yaml.safe_load(rendered)["data"]["init_args"]["train"]["own"]["init_args"]
    assert SyntheticFaces(**{**source, "n": 3}).scheme == "ibug68"
    index = sets["val"]["mine"].index()
    np.testing.assert_allclose(index.points[0, 1], shapes[24, 42:48].mean(0), atol=1e-3)
    np.testing.assert_allclose(index.points[5, 2:], shapes[29, [30, 48, 54]], atol=1e-3)


#: Name of the weights that the page starts from, and its training in seconds.
_SHIPPED = "musica-68-synthetic"
_QUICK = {
    "fit": [*SHORT["fit"], "--data.batch_size=2", "--data.frame_size=64", "--wandb.mode=disabled"],
    "validate": SHORT["validate"],
    "predict": SHORT["predict"],
    "weights": ["--commit=0123456789"],
}


@pytest.mark.slow
def test_every_command_of_the_page_runs_in_its_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = list(blocks(ROOT / "OWN_PHOTOS.md"))
    monkeypatch.chdir(tmp_path)
    for block in page:
        if block.language == "yaml":
            name = block.text.split()[1].rstrip(",:")
            (tmp_path / name).write_text(
                block.text.replace("n: 1000", "n: 6").replace("n: 60", "n: 4")
            )
    _annotate(tmp_path, next(b.text for b in page if b.language == "python"))
    if find_weights(_SHIPPED) is None:
        _register(tmp_path / "own", monkeypatch)
    done = []
    for block in page:
        for command in commands(block.text) if block.language == "bash" else ():
            words = shlex.split(command)[3:]
            more = [] if words[:2] == ["weights", "list"] else _QUICK.get(words[0], [])
            assert main([*words, *more]) == 0, command
            done.append(words[0])
            if words[:2] == ["data", "convert"]:
                _say_splits(tmp_path / "faces" / "faces.json")
    assert done == [
        "data",
        "data",
        "recommend",
        "fit",
        "list",
        *["fit"] * 4,
        "validate",
        "predict",
        "weights",
        "export",
    ]
    printed = capsys.readouterr().out
    assert "start from own_photos" in printed
    assert f"init_from {_SHIPPED} (MuSiCa, ibug68): took" in printed
    assert "more in part, by landmark" in printed
    assert re.search(r"val/nme [\d.]+ ± [\d.]+ over 5 folds", printed)
    monkeypatch.setenv("LIT_LANDMARKS_WEIGHTS", str(tmp_path / "registry"))
    entry = find_weights("mine")
    assert entry is not None
    assert (entry.scheme, entry.trained_on) == ("five", ("CocoKeypoints",))


def _annotate(folder: Path, program: str) -> None:
    """Thirty rendered photos with five points, as an annotation tool exports them."""
    layout = ["--layout", "json", "--image_size", "96", "--visibility", "false", "--n", "30"]
    assert main(["data", "synthesize", "faces", *layout]) == 0
    exec(compile(program, "OWN_PHOTOS.md", "exec"), {})
    export = ["--root", "faces", "--to", "exported", "--layout", "coco"]
    assert main(["data", "convert", "JsonFaces", *export]) == 0
    (folder / "faces").rename(folder / "originals")


def _say_splits(path: Path) -> None:
    content = json.loads(path.read_text())
    for number, face in enumerate(content["faces"]):
        face["split"] = "train" if number < 24 else "val"
    path.write_text(json.dumps(content))


def _register(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights of a small MuSiCa under the name of those that the page starts from."""
    few = "--data.init_args.train.own.init_args.n=4"
    config = ["--config", "own_photos", few, "--model.init_args.patches=[30, 36, 45, 48, 54]"]
    assert main(["fit", *config, "--run", str(folder / "run"), *_QUICK["fit"]]) == 0
    to = ["--name", _SHIPPED, "--to", str(folder / "registry"), *_QUICK["weights"]]
    assert main(["weights", "add", str(folder / "run"), *to]) == 0
    monkeypatch.setenv("LIT_LANDMARKS_WEIGHTS", str(folder / "registry"))
