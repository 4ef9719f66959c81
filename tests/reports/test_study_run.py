"""The W&B run of a study, read back from its offline file by W&B's own reader, and the pictures."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import pytest

from lit_landmarks.errors import UserError
from lit_landmarks.reports.entries import StudyRecord
from lit_landmarks.reports.study_run import (
    draw_study,
    make_study_tables,
    summarize_record,
    track_study,
)
from lit_landmarks.training.wandb_logging import WandbOptions
from tests.support.wandb_server import WandbServer

from .conftest import study_of, trial_of


def records(folder: Path) -> list[dict[str, Any]]:
    """What `wandb leet inspect` reads in an offline run."""
    words = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(folder)]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=120)
    return [json.loads(line) for line in done.stdout.splitlines()]


def offline_runs(study: StudyRecord) -> list[Path]:
    return sorted((Path(study.folder) / "wandb").glob("offline-run-*"))


@pytest.fixture
def placed(study: StudyRecord, tmp_path: Path) -> StudyRecord:
    return replace(study, folder=str(tmp_path / "study"))


def test_the_offline_run_holds_everything(placed: StudyRecord) -> None:
    track_study(placed, WandbOptions(project="p", tags=["t"]), {"sweep": {"name": "small"}})
    (folder,) = offline_runs(placed)
    found = records(folder)
    run = next(r["run"] for r in found if r["type"] == "run")
    assert run["config"]["update"]["sweep"] == {"name": "small"}
    assert (run["run_group"], run["job_type"]) == ("small", "study")
    assert run["display_name"] == "small-study"
    summary: dict[str, Any] = {}
    for record in found:
        summary |= record.get("summary", {}).get("update", {})
    fine = [t for t in placed.trials if t["value"] and t["feasible"]]
    best = min(fine, key=lambda t: t["value"])
    assert summary["best"]["trial"] == best["number"]
    assert summary["best"]["hp"]["width"] == best["params"]["model.init_args.width"]
    assert summary["trials"]["all"] == 24
    history = [r["history"]["item"] for r in found if r["type"] == "history"]
    assert [row["trial"] for row in history if "trial" in row and "_step" in row][:24] == [
        *range(24)
    ]
    last = [row["study/best"] for row in history if "study/best" in row][-1]
    assert last == pytest.approx(best["value"])
    names = {f["path"].rpartition("/")[2].split("_")[0]
             for r in found if r["type"] == "files" for f in r["files"]["files"]}  # fmt: skip
    assert {"trials", "pareto", "importance", "history"} <= names
    (table,) = folder.glob("files/media/table/study/trials_*.json")
    content = json.loads(table.read_text())
    assert len(content["data"]) == 24
    row = dict(zip(content["columns"], content["data"][best["number"]], strict=True))
    assert row["val/nme"] == pytest.approx(best["value"])
    assert row["violation of compute/mma <= 100"] < 0
    assert row["model.init_args.width"] == best["params"]["model.init_args.width"]
    assert len(list(folder.glob("files/media/images/study/plots/*.png"))) == 3


def test_a_study_that_goes_on_continues_its_run(placed: StudyRecord) -> None:
    shorter = replace(placed, trials=placed.trials[:12])
    track_study(shorter, WandbOptions(), {})
    track_study(placed, WandbOptions(), {})
    identity = (Path(placed.folder) / "wandb" / "run_id").read_text().strip()
    runs = offline_runs(placed)
    assert len(runs) == 2
    assert all((path / f"run-{identity}.wandb").is_file() for path in runs)
    # W&B appends the rows of a part that is synced, as they are.
    rows = [r["history"]["item"] for r in records(runs[-1]) if r["type"] == "history"]
    assert [row["trial"] for row in rows[:-1]] == list(range(12, 24))
    assert [row["_step"] for row in rows] == list(range(13, 26))
    assert rows[-1]["study/trials.nrows"] == 24, "tables are always whole"


def test_online_only_new_trials_are_added(placed: StudyRecord, wandb_server: WandbServer) -> None:
    options = WandbOptions(mode="online")
    track_study(replace(placed, trials=placed.trials[:12]), options, {})
    track_study(placed, options, {})
    (run,) = wandb_server.runs.values()
    numbers = [row["trial"] for row in run.history if "study/trials" not in row]
    assert numbers == list(range(24))
    assert run.history[-1]["study/trials"]["nrows"] == 24, "tables are always whole"
    assert (run.sent["jobType"], run.sent["tags"]) == ("study", ["small"])


def test_disabled_tracks_nothing_and_refusals_are_one_line(
    placed: StudyRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    track_study(placed, WandbOptions(mode="disabled"), {})
    assert not Path(placed.folder).exists()

    def refuse(**_: Any) -> None:
        raise OSError("no network\nsecond row")

    monkeypatch.setattr("lit_landmarks.training.wandb_logging.wandb.init", refuse)
    with pytest.raises(UserError, match=r"offline run: no network; use .* disabled"):
        track_study(placed, WandbOptions(mode="online"), {})


def test_pictures_in_the_folder(placed: StudyRecord) -> None:
    paths = draw_study(placed)
    assert [p.name for p in paths] == ["pareto.png", "history.png", "importance.png"]
    for path in paths:
        picture = cv2.imread(str(path))
        assert picture is not None
        assert picture.std() > 5


def test_a_study_without_any_figure(tmp_path: Path) -> None:
    trials = [trial_of(n, None, 150.0 + n, state="infeasible", feasible=False) for n in range(2)]
    study = study_of(trials, folder=str(tmp_path), importance={}, importance_note="too few")
    assert draw_study(study) == []
    summary = summarize_record(study)
    assert "best" not in summary
    assert summary["trials"] == {"all": 2, "wanted": 24, "within_limits": 0, "infeasible": 2}
    tables = make_study_tables(study)
    assert tables["pareto"][1] == tables["importance"][1] == []
    track_study(study, WandbOptions(), {})
    assert offline_runs(study)


def test_conditional_parameters_leave_gaps() -> None:
    study = study_of([trial_of(0, 5.0, 10.0, params={"method": "a", "a:x": [1, 2]}),
                      trial_of(1, 6.0, 10.0, params={"method": "b"})])  # fmt: skip
    heads, rows = make_study_tables(study)["trials"]
    place = heads.index("a:x")
    assert [row[place] for row in rows] == ["[1, 2]", None]
