"""`recommend` on data of one's own: what was measured nearest to it, within a budget."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml

from lit_landmarks.cli import main
from lit_landmarks.cli.recommend import read_evidence
from lit_landmarks.data.layouts import write_image
from lit_landmarks.schemes import SCHEMES

NAMES = ["right_eye", "left_eye", "nose_tip", "right_mouth_corner", "left_mouth_corner"]


@pytest.fixture
def mine(tmp_path: Path) -> Iterator[Path]:
    """Thirty faces of five points, and the config of the page for own photos."""
    rng = np.random.default_rng(0)
    faces = []
    for number in range(30):
        name, split = f"{number}.png", "train" if number < 24 else "val"
        write_image(tmp_path / "faces" / name, rng.integers(0, 256, (64, 64, 3), np.uint8))
        points = np.array([[20, 24], [44, 24], [32, 36], [24, 46], [40, 46]]) + rng.uniform(0, 3)
        faces.append({"image": name, "points": points.round(2).tolist(), "split": split})
    scheme = {"name": "recommended5", "points": NAMES, "flip": "names"}
    head = {"format": "lit_landmarks faces", "version": 1, "primary_normaliser": "box"}
    text = json.dumps({**head, "scheme": scheme, "faces": faces})
    (tmp_path / "faces" / "faces.json").write_text(text)
    sets = {
        role: {"mine": {"class_path": "JsonFaces", "init_args": {"root": "faces", "split": role}}}
        for role in ("train", "val")
    }
    tree = {"data": {"init_args": {"root": "./", "scheme": "recommended5", **sets}}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(tree))
    yield tmp_path / "mine.yaml"
    SCHEMES.pop("recommended5", None)


@pytest.fixture
def few_recipes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures on few faces alone: each recipe that is looked at is built."""
    entries = [entry for entry in read_evidence() if entry.faces in (24, 240)]
    monkeypatch.setattr("lit_landmarks.cli.recommend.read_evidence", lambda: entries)


def test_few_faces_get_the_config_that_was_measured_on_as_many(
    mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["recommend", str(mine)]) == 0
    text = capsys.readouterr().out
    assert (
        "data: 24 training and 6 validation faces, recommended5 (5 points), annotated boxes" in text
    )
    assert "measured after training on 24 faces (mine), test/sixty/nme_box in percent" in text
    # The figures are those of the results file.
    (entry,) = [e for e in read_evidence() if e.faces == 24 and not e.pretrained]
    assert f"{entry.mean('test/sixty/nme_box'):.2f}" in text
    assert "start from own_photos" in text
    assert re.search(r"started from rendered faces it had 5\.73 instead of 6\.12 %", text)
    unmeasured = next(line for line in text.splitlines() if line.startswith("no test figure of: "))
    assert "spiga" in unmeasured
    assert "musica_helen" not in unmeasured
    words = shlex.split(text.strip().splitlines()[-1])
    assert words == [
        "python",
        "-m",
        "lit_landmarks",
        "fit",
        "--config=own_photos",
        f"--config={mine}",
    ]


@pytest.mark.slow
def test_a_budget_rules_out_what_costs_more(
    mine: Path, few_recipes: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["recommend", str(mine), "--mma", "1"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert text.count("MMA are over 1") == 2  # of 24 faces, then of 240
    assert "none of the measured configs fits your data and budget" in text


@pytest.mark.slow
def test_minutes_are_measured_here(
    mine: Path, few_recipes: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["recommend", str(mine), "--minutes", "600"]) == 0
    text = capsys.readouterr().out
    assert re.search(r"time: \d+ min for 40 epochs here \(\d+ ms a step\)", text)
    assert main(["recommend", str(mine), "--minutes", "0.001"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "; 0.001 min are fewer than 300 steps" in text


def test_what_is_no_data_is_refused(mine: Path, complaint: Callable[..., str]) -> None:
    assert "leave `model` out of it" in complaint("recommend", "musica")
    assert "no such file: nowhere.yaml" in complaint("recommend", "nowhere.yaml")
    assert "--mma is -3.0" in complaint("recommend", mine, "--mma", "-3")
