"""`compare` on real runs and a real study of seconds, and what a study leaves when it ends."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest
import yaml

from lit_landmarks.cli import main
from lit_landmarks.cli.compare import gather
from lit_landmarks.cli.study_end import read_tracking_options
from lit_landmarks.search import StudyFolder, read_sweep
from tests.support.configs import quick_config

Complaint = Callable[..., str]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study with a trained trial and one that is too dear, tracked offline."""
    folder = tmp_path_factory.mktemp("compared")
    (folder / "quick.yaml").write_text(yaml.safe_dump(quick_config()))
    asked = {
        "name": "tiny", "base": ["quick.yaml"], "trials": 3, "constraints": ["compute/mma <= 0.5"],
        "space": {"data.init_args.frame_size": {"choice": [32, 160]},
                  "model.init_args.dropout": {"float": [0.0, 0.5]}},
        "settings": {"trainer.max_epochs": 2, "wandb.mode": "offline"},
        "sampler": {"class": "RandomSampler", "arguments": {"seed": 0}},
    }  # fmt: skip
    (folder / "sweep.yaml").write_text(yaml.safe_dump(asked))
    root = folder / "study"
    sweep = read_sweep(folder / "sweep.yaml")
    StudyFolder(root).create(sweep)
    first = StudyFolder(root).open(sweep)
    for size in (32, 160, 32):
        first.enqueue_trial({"data.init_args.frame_size": size})
    assert main(["sweep", "resume", str(root)]) == 0
    return root


def test_an_ended_study_has_pictures_and_a_run_of_its_own(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("pareto.png", "history.png"):
        picture = cv2.imread(str(study / name))
        assert picture is not None
        assert picture.std() > 5
    (file,) = (study / "wandb").glob("offline-run-*/run-*.wandb")
    identity = (study / "wandb" / "run_id").read_text().strip()
    assert file.name == f"run-{identity}.wandb"
    # Gone on with, it is the same run; nothing is left to train.
    assert main(["sweep", "resume", str(study)]) == 0
    told = capsys.readouterr().out
    assert f"drawn: {study}/pareto.png" in told
    assert f"W&B run, offline: {study}/wandb" in told
    assert (study / "wandb" / "run_id").read_text().strip() == identity


def test_study_and_run_on_one_page(
    study: Path, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "comparison"
    assert main(["compare", str(study), str(finished), "--output", str(output)]) == 0
    told = capsys.readouterr().out
    assert "Pareto front: " in told
    assert "settings that differ" in told
    assert f"comparison: {output}/index.html" in told
    pictures = {path.stem for path in output.glob("*.png")}
    assert {"pareto", "learning", "ced-val-faces", "history-tiny"} <= pictures
    with (output / "table.csv").open(newline="") as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    assert len(rows) == 4
    result = json.loads((finished / "result.json").read_text())
    assert float(rows["run"]["val/nme"]) == pytest.approx(result["metrics"]["val/nme"])
    dear = rows["tiny-0001"]
    assert (dear["state"], dear["within_limits"], dear["val/nme"]) == ("infeasible", "False", "")
    assert float(dear["compute/mma"]) > 0.5
    plain = json.loads((output / "table.json").read_text())
    assert plain["studies"][0]["limits"] == ["compute/mma <= 0.5"]
    assert "<svg" in (output / "index.html").read_text()


def test_a_trial_that_is_named_beside_its_study_is_one_row(study: Path) -> None:
    trial = str(study / "trials" / "0000")
    for what in ([str(study), trial], [trial, str(study)]):
        entries, _ = gather(what)
        assert [e.name for e in entries] == ["tiny-0000", "tiny-0001", "tiny-0002"]


def test_a_single_file_and_further_columns(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "a" / "page.html"
    words = ["--column", "val/faces/nme_box", "--title", "one & only"]
    assert main(["compare", str(finished), "--output", str(page), *words]) == 0
    assert "one &amp; only" in page.read_text()
    assert "val/faces/nme_box" in capsys.readouterr().out
    for ending in ("csv", "json"):
        table = tmp_path / f"table.{ending}"
        assert main(["compare", str(finished), "--output", str(table)]) == 0
        assert "val/nme" in table.read_text()


def test_bad_input_is_one_line(finished: Path, tmp_path: Path, complaint: Complaint) -> None:
    assert "needs runs" in complaint("compare")
    assert "no run directory" in complaint("compare", tmp_path / "none")
    assert "holds no config.yaml" in complaint("compare", tmp_path)
    told = complaint("compare", "no-such/project")
    assert told.startswith("error: no folder no-such/project; and as a W&B project: WANDB_MODE")
    assert "is given twice" in complaint("compare", finished, finished)
    assert "give 1 to 7" in complaint("compare", finished, "--curves", 8)
    assert "no run has the figure" in complaint("compare", finished, "--column", "val/afw/nme_box")
    assert "give a .html" in complaint("compare", finished, "--output", tmp_path / "a.pdf")
    assert "write entity/project" in complaint("compare", finished, "--wandb", "faces")
    half = tmp_path / "half"
    shutil.copytree(finished, half)
    (half / "result.json").unlink()
    assert f"--resume {half}" in complaint("compare", half)
    (half / "result.json").write_text("{")
    assert "is not JSON" in complaint("compare", half)
    (half / "result.json").write_text('{"metrics": {"val/nme": 5.0}}')
    (half / "ced.npz").write_bytes(b"PK")
    assert "delete it" in complaint("compare", half)


def test_a_run_of_before_is_told_and_not_crashed(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = tmp_path / "old"
    shutil.copytree(finished, old)
    (old / "ced.npz").unlink()
    assert main(["compare", str(old)]) == 0
    assert f"validate --run {old} --ced" in capsys.readouterr().out


def test_a_study_is_tracked_as_its_trials(tmp_path: Path) -> None:
    base = {"wandb": {"mode": "disabled", "project": "faces", "entity": "me", "name": "x"}}
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(base))
    tree = {"name": "s", "base": ["base.yaml"], "trials": 1, "space": {"a": {"int": [1, 2]}},
            "settings": {"wandb.mode": "online"}}  # fmt: skip
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(tree))
    options = read_tracking_options(read_sweep(tmp_path / "sweep.yaml"))
    assert (options.mode, options.project, options.entity) == ("online", "faces", "me")
    (tmp_path / "base.yaml").write_text("trainer: {max_epochs: 1}\n")
    del tree["settings"]
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(tree))
    assert read_tracking_options(read_sweep(tmp_path / "sweep.yaml")).mode == "offline"


def test_a_tracker_that_refuses_costs_no_study(
    study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(**_: object) -> None:
        raise OSError("no network")

    def answer_oddly(*_: object) -> None:
        raise ValueError("1 validation error for Artifact\nname: missing")

    for name, fault in (("wandb_logging.wandb.init", refuse), ("wandb_tracker.RunTracker.log_row",
                                                              answer_oddly)):  # fmt: skip
        with monkeypatch.context() as patch:
            patch.setattr(f"lit_landmarks.training.{name}", fault)
            assert main(["sweep", "resume", str(study)]) == 0
        lines = [line for line in capsys.readouterr().out.splitlines() if "W&B" in line]
        assert len(lines) == 1
        assert lines[0].startswith("the study is complete, but not in W&B: ")


@pytest.mark.slow
def test_latencies_of_rows_with_a_checkpoint(
    study: Path, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "table.json"
    what = [str(study), str(finished), "--latency", "--output", str(output)]
    assert main(["compare", *what, "--cost", "compute/onnx_latency_median_ms"]) == 0
    assert "ms ONNX" in capsys.readouterr().out
    rows = {row["name"]: row for row in json.loads(output.read_text())["rows"]}
    times = {name: row.get("compute/onnx_latency_median_ms") for name, row in rows.items()}
    assert 0 < times["run"] < 1000
    dear = [row["name"] for row in rows.values() if row["state"] != "finished"]
    assert dear
    assert all(times[name] is None for name in dear)
    bare = shutil.copytree(study, tmp_path / "bare")
    for folder in bare.rglob("checkpoints"):
        shutil.rmtree(folder)
    assert main(["compare", str(bare), "--latency"]) == 2
    assert "no row has one on this machine" in capsys.readouterr().err
