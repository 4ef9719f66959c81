"""`data synthesize`, `data check --all` and `--batch`: what is written is found and read."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lit_landmarks.cli import main
from lit_landmarks.data import DATASETS, SyntheticFaces, check_dataset
from lit_landmarks.errors import UserError

Captured = pytest.CaptureFixture[str]


def _synthesize(folder: Path, layout: str, n: int = 3) -> int:
    words = ["data", "synthesize", str(folder), "--layout", layout, "--n", str(n)]
    return main([*words, "--image_size", "96", "--workers", "1"])


def test_every_set_below_a_folder_is_found(tmp_path: Path, capsys: Captured) -> None:
    for layout in ("ibug", "wflw", "merl_rav"):
        assert _synthesize(tmp_path / "data" / "deep" / f"my_{layout}", layout, 6) == 0
    (tmp_path / "data" / "notes").mkdir()
    assert "6 rendered now" in capsys.readouterr().out
    sheets = tmp_path / "sheets"
    assert main(["data", "check", "--all", str(tmp_path / "data"), "--sheet", str(sheets)]) == 0
    told = capsys.readouterr().out
    assert "Ibug300W: 6 faces, ibug68" in told
    assert "Wflw: " in told
    assert "MerlRav: " in told
    assert "== notes\nno faces that a reader knows" in told
    assert (sheets / "deep_my_ibug.png").is_file()


def test_a_set_that_cannot_be_read_does_not_hide_the_others(
    tmp_path: Path, capsys: Captured
) -> None:
    for layout in ("cofw", "wflw"):
        assert _synthesize(tmp_path / "data" / layout, layout, 4) == 0
    (tmp_path / "data" / "cofw" / "COFW_train_color.mat").write_bytes(b"cut")
    words = ["--all", str(tmp_path / "data"), "--sheet", str(tmp_path / "sheets")]
    assert main(["data", "check", *words]) == 2
    told = capsys.readouterr()
    assert "== cofw_train\nnot readable: no readable HDF5 file" in told.out
    assert "Wflw: 3 faces" in told.out
    assert "1 bad rows" in told.err


def test_suspects_are_ranked_in_a_table(tmp_path: Path, capsys: Captured) -> None:
    assert _synthesize(tmp_path / "faces", "ibug", 40) == 0
    sheets = tmp_path / "sheets"
    words = ["--root", str(tmp_path / "faces"), "--sheet", str(sheets)]
    assert main(["data", "check", *words]) == 0
    rows = list(csv.DictReader((sheets / "ibug300w_labels.csv").open()))
    assert len(rows) == 40
    scores = [float(row["standard_deviations"]) for row in rows]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("padded", [False, True])
def test_a_mixed_batch_is_drawn(tmp_path: Path, capsys: Captured, padded: bool) -> None:
    assert _synthesize(tmp_path / "w", "wflw", 8) == 0
    config = tmp_path / "mixed.yaml"
    config.write_text(
        f"""
data:
  class_path: LandmarkDataModule
  init_args:
    scheme: ibug68
    cache_dir: {tmp_path / "cache"}
    frame_size: 64
    train:
      w: {{class_path: Wflw, init_args: {{root: {tmp_path / "w"}}}}}
      s: {{class_path: SyntheticFaces, init_args: {{n: 6, image_size: 96}}}}
"""
    )
    words = ["--config", str(config), "--batch", "8", "--sheet", str(tmp_path / "sheets")]
    assert main(["data", "check", *words, *(["--padded"] if padded else [])]) == 0
    told = capsys.readouterr().out
    assert f"8 faces of {98 if padded else 68} points" in told
    assert "98 to 98 points" in told if padded else "98 to 98 points" not in told
    assert "convention wflw" in told
    assert "convention synthetic_visible" in told
    assert (tmp_path / "sheets" / "batch.png").is_file()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["data", "chek"], "unknown part of data 'chek'; known: check, convert, synthesize; did"),
        (["data", "synthesize", "x", "--layout", "ibg"], "unknown layout 'ibg'"),
        (["data", "synthesize", "x", "--n", "0"], "--n and --workers must be 1 or more"),
        (["data", "synthesize", "x", "--scheme", "wflw98"], "the layout fixes scheme"),
        (["data", "synthesize", "x", "--source", "Wflw"], "unknown source of rendered faces"),
        (["data", "check", "--all", "/no/such/folder"], "no folder /no/such/folder"),
        (["data", "check", "--all", "{empty}"], "no data set in "),
        (["data", "check"], "Ibug300W needs root; give --root DIR"),
        (["data", "convert", "Ibug300W", "--to", "x"], "Ibug300W needs root; give --root DIR"),
        (["data", "check", "--batch", "4"], "--batch N needs --config"),
    ],
)
def test_mistakes_are_one_line(
    words: list[str], told: str, tmp_path: Path, capsys: Captured
) -> None:
    assert main([word.format(empty=tmp_path) for word in words]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


def test_a_sheet_that_cannot_be_written_is_told_first(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "file").touch()
    words = ["data", "check", "--dataset", "SyntheticFaces", "--n", "2", "--sheet"]
    for place in (tmp_path / "file", tmp_path / "file" / "deeper", Path("/proc/nothere")):
        assert main([*words, str(place)]) == 2
        told = capsys.readouterr()
        assert f"error: cannot write to {place}" in told.err
        assert told.err.count("\n") == 1
        assert not told.out


_HEADER: dict[str, object] = {"format": "lit_landmarks faces", "version": 1, "scheme": "ibug68"}


@pytest.mark.parametrize(
    ("faces", "words", "told"),
    [
        ([], [], "no face in {root}/faces.json;"),
        (
            [{"image": "x"}],
            [],
            "1 bad rows; fix each as described above, first: a face needs image",
        ),
        ([{"image": "x"}], [], "{root}/faces.json:faces[0]"),
        ([], ["--rows", "-5"], "--rows -5: give 0 or more"),
    ],
)
def test_what_is_bad_is_counted_once_and_named(
    faces: list[object], words: list[str], told: str, tmp_path: Path, capsys: Captured
) -> None:
    (tmp_path / "faces.json").write_text(json.dumps({**_HEADER, "faces": faces}))
    words = [*words, "--dataset", "JsonFaces", "--root", str(tmp_path)]
    assert main(["data", "check", *words, "--sheet", str(tmp_path / "sheets")]) == 2
    error = capsys.readouterr().err
    assert told.format(root=tmp_path) in error
    assert error.count("\n") == 1


def test_an_argument_that_spoils_every_face_is_told_once() -> None:
    class Broken(SyntheticFaces):
        def load(self, rows: Sequence[int]) -> list[NDArray[np.uint8]]:
            raise UserError("no backgrounds, folder; add some")

    DATASETS.pop("Broken")
    report = check_dataset(Broken(n=3))
    assert report.problems == ["no backgrounds, folder; add some"]
    assert report.faces == 0
