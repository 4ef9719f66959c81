"""The pages for owners of photos: their example is read, their keys are those that are read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml

from lit_landmarks.data import LandmarkDataModule, SyntheticFaces
from lit_landmarks.data.layouts import write_image
from lit_landmarks.data.readers import json_file, json_rows
from lit_landmarks.data.readers.json_faces import JsonFaces
from lit_landmarks.schemes import SCHEMES, declared
from tests.test_readme import blocks

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
    config, rendered = [block.text for block in page if block.language == "yaml"]
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
    source = yaml.safe_load(rendered)["data"]["init_args"]["train"]["own"]["init_args"]
    assert SyntheticFaces(**{**source, "n": 3}).scheme == "ibug68"
    index = sets["val"]["mine"].index()
    np.testing.assert_allclose(index.points[0, 1], shapes[24, 42:48].mean(0), atol=1e-3)
    np.testing.assert_allclose(index.points[5, 2:], shapes[29, [30, 48, 54]], atol=1e-3)
