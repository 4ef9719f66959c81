"""A subset that holds every face of its set is no subset: its figures would be those of the set."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from lit_landmarks.data import FaceIndex, LandmarkDataModule, SyntheticFaces
from lit_landmarks.metrics.suite import FaceMetrics
from lit_landmarks.reports.entries import Entry, drop_repeated_subsets
from lit_landmarks.training.curves import ErrorCurve
from lit_landmarks.types import Prediction


class _Tagged(SyntheticFaces):
    """Six rendered faces with given subsets."""

    def __init__(self, **subsets: list[int]) -> None:
        super().__init__(n=6, image_size=64, visibility=False)
        self._subsets = subsets

    def index(self) -> FaceIndex:
        columns = {name: np.isin(np.arange(6), rows) for name, rows in self._subsets.items()}
        return dataclasses.replace(super().index(), subsets=columns)


_ALL = [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("subsets", "left"),
    [
        ({"indoor": _ALL}, set()),
        ({"indoor": _ALL, "outdoor": []}, {"outdoor"}),
        ({"smile": _ALL, "blur": [1, 3]}, {"blur"}),
        ({"large": [0, 1, 2, 3, 4], "clear": _ALL}, {"large"}),
    ],
    ids=lambda value: "-".join(sorted(value)) or "none",
)
def test_figures_once(subsets: dict[str, list[int]], left: set[str]) -> None:
    data = LandmarkDataModule(
        train={"a": _Tagged(**subsets)}, val={"b": _Tagged(**subsets)}, frame_size=64
    )
    assert {*data.spec.in_role("val")[0].subsets} == left
    metrics = FaceMetrics(data.spec, "val")
    for batch in data.batches("val"):
        metrics.update(Prediction(points=batch.points + 1.0), batch)
    keys = metrics.compute()
    assert keys["val/b/faces"] == 6
    measured = {name for name in left if subsets[name]}
    assert {key.split("/")[3] for key in keys if key.count("/") == 3} == measured
    for name in measured:
        assert keys[f"val/b/faces/{name}"] == len(subsets[name])


def test_a_set_keeps_the_subset_that_covers_another() -> None:
    data = LandmarkDataModule(
        train={"a": _Tagged()},
        val={"whole": _Tagged(dark=_ALL), "part": _Tagged(dark=[2, 4])},
        frame_size=64,
    )
    whole, part = data.spec.in_role("val")
    assert (whole.subsets, part.subsets) == ((), ("dark",))
    metrics = FaceMetrics(data.spec, "val")
    for batch in data.batches("val"):
        metrics.update(Prediction(points=batch.points + 1.0), batch)
    keys = metrics.compute()
    assert keys["val/part/faces/dark"] == 2
    assert "val/whole/faces/dark" not in keys


def test_runs_of_earlier_versions_are_read_without_repetition() -> None:
    whole = {"test/lfpw/faces": 9.0, "test/lfpw/nme_box": 4.0, "test/lfpw/p90_box": 6.5}
    repeated = {f"{key}/lfpw": value for key, value in whole.items()}
    # The same error on fewer faces, and figures that differ, are no repetition.
    chance = {"test/lfpw/faces/dark": 3.0, "test/lfpw/nme_box/dark": 4.0}
    other = {"test/lfpw/faces/blur": 9.0, "test/lfpw/nme_box/blur": 4.1}
    uncounted = {"test/lfpw/nme_box/pose": 4.0}
    curve = ErrorCurve("box", np.array([1.0]), np.array([1.0]))
    entry = Entry(
        "a",
        "",
        metrics={"test/nme": 4.0, **whole, **repeated, **chance, **other, **uncounted},
        curves={name: curve for name in ("test/lfpw", "test/lfpw/lfpw", "test/lfpw/dark")},
    )
    read = drop_repeated_subsets(entry)
    assert read.metrics == {"test/nme": 4.0, **whole, **chance, **other, **uncounted}
    assert set(read.curves) == {"test/lfpw", "test/lfpw/dark"}
