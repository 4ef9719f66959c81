"""The recipe of a new data set on disk: one file, and every verb knows it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from lit_landmarks.cli import main
from lit_landmarks.data import DATASETS, readers
from lit_landmarks.data.recognize import walk

_READER = '''
"""Reader for toy faces: `<name>.toy`, 68 rows `x y`, beside `<name>.png`."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from lit_landmarks.data.index import FilePattern
from lit_landmarks.data.readers.common import tight_box
from lit_landmarks.data.readers.listed import FaceRow, ListedFaces
from lit_landmarks.data.readers.text import number_rows, read_lines


class ToyFaces(ListedFaces[Path]):
    """Toy faces.

    Args:
        root: folder of the data set.
        split: "train" or "val".
        subset: keep only this subset.
    """

    scheme: str = "ibug68"
    convention: str = "custom"
    primary_norm: str = "box"
    source: ClassVar[str] = "made by a test"
    licence: ClassVar[str] = "none"
    files: ClassVar[tuple[FilePattern, ...]] = (FilePattern(("*/*.toy",)),)
    subset_names: ClassVar[tuple[str, ...]] = ("even",)

    def __init__(
        self, root: str, split: Literal["train", "val"] = "train", subset: str | None = None
    ) -> None:
        super().__init__(root, subset)
        self.split = split

    def _entries(self, root: Path) -> list[Path]:
        return sorted((root / self.split).glob("*.toy"))

    def _face(self, entry: Path) -> FaceRow:
        points = number_rows(read_lines(entry), 68, entry)
        return FaceRow(
            points=points,
            box=tight_box(points, str(entry)),
            image=entry.with_suffix(".png"),
            subsets=("even",) if int(entry.stem) % 2 == 0 else (),
        )
'''


def _write(root: Path) -> None:
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        (root / split).mkdir(parents=True)
        for k in range(5):
            image = rng.integers(0, 256, (64, 64, 3), np.uint8)
            cv2.imwrite(str(root / split / f"{k}.png"), image)
            points = rng.uniform(15, 50, (68, 2))
            text = "".join(f"{x:.2f} {y:.2f}\n" for x, y in points)
            (root / split / f"{k}.toy").write_text(text, encoding="ascii")


@pytest.fixture
def toy(tmp_path: Path) -> Iterator[Path]:
    """A folder of toy faces, and their reader as one more module of the readers' package."""
    modules = tmp_path / "readers"
    modules.mkdir()
    (modules / "toy_faces.py").write_text(_READER.lstrip(), encoding="utf-8")
    _write(tmp_path / "data" / "toys")
    readers.__path__.append(str(modules))
    try:
        readers.import_readers()
        yield tmp_path / "data"
    finally:
        readers.__path__.remove(str(modules))
        sys.modules.pop("lit_landmarks.data.readers.toy_faces", None)
        DATASETS.pop("ToyFaces", None)


def test_one_file_adds_a_data_set(
    toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(list((tmp_path / "readers").glob("*.py"))) == 1, "the count that the recipe states"
    assert "ToyFaces" in DATASETS
    sets = dict(walk(toy))
    assert list(sets) == ["toys_train", "toys_val"]
    assert {name: len(dataset.index()) for name, dataset in sets.items()} == {
        "toys_train": 5,
        "toys_val": 5,
    }
    assert sets["toys_val"].index().subsets["even"].tolist() == [True, False] * 2 + [True]

    (toy / "toys" / "val" / "3.png").unlink()
    assert main(["data", "check", "--all", str(toy), "--sheet", str(tmp_path / "sheets")]) == 2
    text = capsys.readouterr().out
    assert "ToyFaces: 5 faces, ibug68, convention custom" in text
    assert "subset even: 3" in text
    assert "no image, " in text
    assert (tmp_path / "sheets" / "toys_train.png").is_file()


def test_it_is_trained_for_a_step(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lit_landmarks.data.module._SHAPES", 100)
    config = tmp_path / "toy.yaml"
    config.write_text(
        f"""
seed_everything: 0
model: {{class_path: MobileNetBaseline, init_args: {{backbone: mobilenetv3_small_050}}}}
data:
  class_path: LandmarkDataModule
  init_args:
    root: {toy}
    cache_dir: {tmp_path / "cache"}
    frame_size: 32
    batch_size: 4
    train: {{toys: {{class_path: ToyFaces, init_args: {{root: toys, subset: even}}}}}}
    val: {{toys: {{class_path: ToyFaces, init_args: {{root: toys, split: val}}}}}}
trainer: {{accelerator: cpu, max_epochs: 1, limit_train_batches: 1, enable_progress_bar: false}}
wandb: {{mode: disabled}}
""",
        encoding="utf-8",
    )
    run = tmp_path / "run"
    assert main(["fit", "--config", str(config), "--run", str(run)]) == 0
    assert (run / "result.json").is_file()
