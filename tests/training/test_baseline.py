"""NME of the mean training shape, computed again by hand from the files of JSON faces."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lit_landmarks.data import DATASETS, LandmarkDataModule
from lit_landmarks.data.layouts import write_image
from lit_landmarks.metrics import higher_is_better
from lit_landmarks.schemes import SCHEMES
from lit_landmarks.training import fitting
from lit_landmarks.training.baseline import describe_unbeaten, mean_shapes, measure_mean_shape
from lit_landmarks.types import DatasetSpec, DataSpec

JsonFaces = DATASETS["JsonFaces"]


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    """Schemes that the files declare."""
    yield
    for name in ("square4", "row3"):
        SCHEMES.pop(name, None)


def write(folder: Path, scheme: str, shapes: Any, norm: str) -> None:
    """A file of faces; points are NaN where they are not annotated."""
    write_image(folder / "a.png", np.zeros((200, 200, 3), np.uint8))
    names = [f"p{i}" for i in range(len(shapes[0]))]
    faces = [
        {
            "image": "a.png",
            "points": [None if np.isnan(p).any() else list(map(float, p)) for p in shape],
            "split": "val" if row % 2 else "train",
        }
        for row, shape in enumerate(shapes)
    ]
    head = {"format": "lit_landmarks faces", "version": 1, "primary_normaliser": norm}
    declared = {"name": scheme, "points": names}
    (folder / "faces.json").write_text(json.dumps({**head, "scheme": declared, "faces": faces}))


def by_hand(shapes: Any, norm: str) -> float:
    """Each shape in units of its box (longer side 1, middle 0), the mean placed and measured."""

    def frame(shape: Any) -> tuple[Any, float]:
        low, high = np.nanmin(shape, 0), np.nanmax(shape, 0)
        return (low + high) / 2, float((high - low).max())

    units = [(s - frame(s)[0]) / frame(s)[1] for s in shapes[::2]]
    mean = np.nanmean(units, 0)
    errors = []
    for shape in shapes[1::2]:
        middle, side = frame(shape)
        distance = np.linalg.norm(mean * side + middle - shape, axis=1)
        width, height = np.nanmax(shape, 0) - np.nanmin(shape, 0)
        length = {"box": np.sqrt(width * height), "diagonal": np.hypot(width, height)}[norm]
        errors.append(100 * np.nanmean(distance) / length)
    return float(np.mean(errors))


@pytest.mark.parametrize("frame", ["tight", "wide"])
@pytest.mark.parametrize(("norm", "missing"), [("box", False), ("diagonal", True)])
def test_it_is_the_error_of_the_mean_shape_in_the_box_of_each_face(
    norm: str, missing: bool, frame: Any, tmp_path: Path
) -> None:
    rng = np.random.default_rng(3)
    shapes = np.array([[60, 60], [140, 60], [150, 140], [50, 130]]) + rng.normal(0, 9, (12, 4, 2))
    if missing:
        shapes[2, 1] = shapes[5, 3] = np.nan
    write(tmp_path, "square4", shapes, norm)
    data = LandmarkDataModule(
        train={"mine": JsonFaces(root=str(tmp_path), split="train")},
        val={"mine": JsonFaces(root=str(tmp_path), split="val")},
        scheme="square4",
        frame_size=48,
        frame=frame,
        cache_dir=str(tmp_path / "cache"),
    )
    figures = measure_mean_shape(data, "val", mean_shapes(data))
    expected = pytest.approx(by_hand(shapes, norm), rel=1e-4)
    assert figures == {"val/mine/nme_mean_shape": expected, "val/nme_mean_shape": expected}
    assert measure_mean_shape(data, "test", mean_shapes(data)) == {}
    assert not list(tmp_path.rglob("*.npy")), "pictures were read"


def test_each_scheme_has_its_mean_where_a_batch_mixes_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    base = {
        "square4": [[60, 60], [140, 60], [150, 140], [50, 130]],
        "row3": [[9, 9], [70, 20], [99, 90]],
    }
    shapes = {
        name: np.array(value) + rng.normal(0, 4, (8, len(value), 2)) for name, value in base.items()
    }
    for name, norm in (("square4", "box"), ("row3", "diagonal")):
        write(tmp_path / name, name, shapes[name], norm)

    def sets(role: str) -> dict[str, Any]:
        return {name: JsonFaces(root=str(tmp_path / name), split=role) for name in base}

    data = LandmarkDataModule(
        train=sets("train"), val=sets("val"), scheme=None, cache_dir=str(tmp_path / "cache")
    )
    figures = measure_mean_shape(data, "val", mean_shapes(data))
    first, second = by_hand(shapes["square4"], "box"), by_hand(shapes["row3"], "diagonal")
    assert figures["val/square4/nme_mean_shape"] == pytest.approx(first, rel=1e-4)
    assert figures["val/row3/nme_mean_shape"] == pytest.approx(second, rel=1e-4)
    assert figures["val/nme_mean_shape"] == pytest.approx((first + second) / 2, rel=1e-4)


def test_a_test_set_that_chose_the_checkpoint_is_left_out_of_the_mean(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    base = np.array([[60, 60], [140, 60], [150, 140], [50, 130]])
    for name in ("a", "b"):
        write(tmp_path / name, "square4", base + rng.normal(0, 6, (8, 4, 2)), "box")
    sets = {name: JsonFaces(root=str(tmp_path / name), split="val") for name in ("a", "b")}
    train = {"a": JsonFaces(root=str(tmp_path / "a"), split="train")}
    data = LandmarkDataModule(train, test=sets, scheme="square4", cache_dir=str(tmp_path / "c"))
    before = measure_mean_shape(data, "test", mean_shapes(data))
    alone = [before[f"test/{name}/nme_mean_shape"] for name in ("a", "b")]
    assert before["test/nme_mean_shape"] == pytest.approx(sum(alone) / 2)
    marked = [replace(d, chosen_on=d.name == "b") for d in data.spec.datasets]
    data.spec = replace(data.spec, datasets=tuple(marked))
    figures = measure_mean_shape(data, "test", mean_shapes(data))
    assert figures == {**before, "test/nme_mean_shape": alone[0]}


def spec(*names: str) -> DataSpec:
    """Data sets of one role, compared by the box."""
    sets = (DatasetSpec(name, "val", "ibug68", "300w", "box", 3) for name in names)
    return DataSpec("ibug68", 68, 64, "tight", tuple(sets))


@pytest.mark.parametrize(
    ("own", "says"),
    [(14.01, "val/a (14.01 %, mean shape 14.00 %)"), (14.0, "val/a (14.00 %"), (None, "no number")],
)
def test_a_set_on_which_the_model_is_no_better_is_named(own: float | None, says: str) -> None:
    metrics = {"val/a/nme_box": own, "val/a/nme_mean_shape": 14.0}
    metrics |= {"val/b/nme_box": 2.0, "val/b/nme_mean_shape": 9.0}
    line = describe_unbeaten(metrics, spec("a", "b"))
    assert line is not None
    assert says in line
    assert "val/b" not in line
    assert "\n" not in line


def test_no_word_where_every_set_is_better_or_has_no_baseline() -> None:
    metrics = {"val/a/nme_box": 13.9, "val/a/nme_mean_shape": 14.0, "val/b/nme_box": 50.0}
    assert describe_unbeaten(metrics, spec("a", "b")) is None


def test_it_is_no_goal_of_a_search() -> None:
    for key in ("val/nme_mean_shape", "val/mine/nme_mean_shape"):
        with pytest.raises(Exception, match="no better direction"):
            higher_is_better(key)


def test_a_final_evaluation_computes_the_mean_shapes_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calls: list[str] = []

    def measure_mean_shape(data: Any, role: str, means: Any) -> dict[str, float]:
        assert means == "means"
        calls.append(role)
        return {f"{role}/nme_mean_shape": 9.0}

    def mean_shapes(data: Any) -> str:
        calls.append("means")
        return "means"

    monkeypatch.setattr(fitting, "mean_shapes", mean_shapes)
    monkeypatch.setattr(fitting, "measure_mean_shape", measure_mean_shape)
    monkeypatch.setattr(fitting, "measure", lambda *args: {})
    monkeypatch.setattr(fitting, "collect_curves", lambda *args: {})
    parts: Any = SimpleNamespace(
        best=tmp_path, is_global_zero=False, spec=SimpleNamespace(in_role=lambda role: ("a",))
    )
    figures = fitting.evaluate(parts, parts, parts, parts)
    assert calls == ["means", "val", "test"]
    assert figures == {"test/nme_mean_shape": 9.0, "val/nme_mean_shape": 9.0}
