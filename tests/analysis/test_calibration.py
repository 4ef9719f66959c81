"""Calibration of records whose thresholds and figures can be worked out by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lit_landmarks.analysis.calibration import (
    Goal,
    calibrate,
    choose_report_folder,
    count_stages_by_group,
)
from lit_landmarks.analysis.records import FaceRecords, split_by_set
from lit_landmarks.analysis.thresholds import measure_thresholds
from lit_landmarks.schemes import get_scheme


def two_stages() -> FaceRecords:
    """Four faces of two sets: the first two are as good after stage 1, and the method knows it."""
    error = np.array([[2.0, 3.0, 9.0, 20.0], [2.0, 3.0, 4.0, 12.0]])
    return FaceRecords(
        sets=("a", "empty", "b"),
        dataset=np.array([0, 0, 2, 2]),
        row=np.array([0, 1, 0, 1]),
        error=error,
        predicted=error + 0.5,
        costs=np.array([10.0, 30.0]),
        pose=np.array([[0.0, 0, 0], [-20.0, 0, 0], [40.0, 0, 0], [np.nan, 0, 0]]),
        truth=np.zeros((4, 3, 2)),
        points=np.zeros((2, 4, 3, 2)),
    )


def test_records_are_split_by_set_and_select_keeps_every_column() -> None:
    sets = split_by_set({"val": two_stages(), "test": two_stages()})
    assert list(sets) == ["val/a", "val/b", "test/a", "test/b"]
    part = sets["val/b"]
    assert part.error.tolist() == [[9.0, 20.0], [4.0, 12.0]]
    assert part.predicted.tolist() == [[9.5, 20.5], [4.5, 12.5]]
    assert part.row.tolist() == [0, 1]
    assert part.points.shape == (2, 2, 3, 2)
    assert len(part) == 2


@pytest.mark.parametrize(
    ("goal", "exits", "mma"),
    [
        (Goal(mma=20.0), [0.5, 0.5], 20.0),
        (Goal(nme=5.25), [0.5, 0.5], 20.0),
        (Goal(slack=0.0), [0.5, 0.5], 20.0),
        (Goal(slack=1000.0), [1.0, 0.0], 10.0),
    ],
)
def test_goals(goal: Goal, exits: list[float], mma: float) -> None:
    records = two_stages()
    point = goal.choose(records)
    assert list(point.exit_shares) == exits
    assert point.mma == mma
    assert point == measure_thresholds(records, point.thresholds)


def test_calibration_is_written_with_figures_of_each_set(tmp_path: Path) -> None:
    calibration = calibrate({"val": two_stages()}, Goal(mma=20.0, shared=True), failure=10.0)
    report, picture = calibration.write(tmp_path, Path("x.ckpt"))
    content = json.loads(report.read_text())
    assert content["checkpoint"] == "x.ckpt"
    assert content["shared"] is True
    assert content["chosen_on_val"]["exits"] == [0.5, 0.5]
    assert list(content["chosen_on_val"]) == ["thresholds", "nme", "mma", "exits"]
    assert content["failure_detection_on_val"] == {
        "fail_above": 8.5, "failure": 10.0, "failures": 1, "flagged": 1,
        "precision": 1.0, "recall": 1.0,
    }  # fmt: skip
    first = content["sets"]["val/a"]
    assert (first["faces"], first["nme"], first["mma"]) == (2, 2.5, 10.0)
    assert first["nme_by_stage"] == [2.5, 2.5]
    assert first["stops"] == {
        "yaw 0-15": {"faces": 1, "stages": 1.0, "stopped_early": 1.0},
        "yaw 15-30": {"faces": 1, "stages": 1.0, "stopped_early": 1.0},
    }
    assert picture.stat().st_size > 5000


def test_faces_without_labels_or_pose_are_in_no_group_that_asks_for_them() -> None:
    """Closed and frontal, closed and turned, of an unlabelled mouth, and without a pose."""
    names = get_scheme("ibug68").point_names
    truth = np.zeros((4, 68, 2))
    truth[:, names.index("left_eye_outer")] = [100.0, 0.0]
    truth[2, names.index("upper_lip_inner")] = np.nan
    pose = np.array([[3.0, 0, 0], [-40.0, 0, 0], [5.0, 0, 0], [np.nan, 0, 0]])
    records = replace(two_stages(), truth=truth, pose=pose)
    groups = count_stages_by_group(records, (5.0,), "ibug68")
    faces = {name: group["faces"] for name, group in groups.items()}
    assert faces == {
        "yaw 0-15": 2, "yaw 30-45": 1, "mouth closed": 3, "frontal and neutral": 1, "all others": 1,
    }  # fmt: skip


def test_without_early_exit_only_the_detector_is_calibrated(tmp_path: Path) -> None:
    calibration = calibrate({"val": two_stages()}, None, failure=10.0)
    content = json.loads(calibration.write(tmp_path, Path("x.ckpt"))[0].read_text())
    assert content["thresholds"] == []
    assert content["chosen_on_val"] is None
    assert "mma" not in content["sets"]["val/a"]


def test_reports_lie_in_the_run_or_beside_the_checkpoint(tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    best = run / "checkpoints" / "best.ckpt"
    assert choose_report_folder(best) == run / "checkpoints", "no run without its config"
    (run / "config.yaml").touch()
    assert choose_report_folder(best) == run
    assert choose_report_folder(tmp_path / "x.ckpt") == tmp_path
