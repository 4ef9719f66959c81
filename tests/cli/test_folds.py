"""`fit --folds`: a run for each fold, their mean and spread, and going on after an interruption."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from lit_landmarks.cli import main
from tests.support.configs import quick_config


@pytest.fixture
def config(tmp_path: Path) -> Path:
    tree = quick_config()
    tree["data"]["init_args"]["val"] = {}  # type: ignore[index]
    tree["trainer"]["max_epochs"] = 1  # type: ignore[index]
    path = tmp_path / "folds.yaml"
    path.write_text(yaml.safe_dump(tree))
    return path


@pytest.mark.slow
def test_folds_are_trained_summarized_and_gone_on_with(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], complaint: Callable[..., str]
) -> None:
    command = ["fit", "--config", str(config), "--folds", "2", "--run", str(tmp_path / "run")]
    assert main(command) == 0
    printed = capsys.readouterr().out
    runs = [tmp_path / "run" / f"fold-{k}" for k in (1, 2)]
    results = [json.loads((run / "result.json").read_text()) for run in runs]
    values = [result["metrics"]["val/nme"] for result in results]
    summary = json.loads((tmp_path / "run" / "folds.json").read_text())
    figure = summary["metrics"]["val/nme"]
    assert figure["values"] == values
    assert figure["mean"] == pytest.approx(statistics.mean(values))
    assert figure["std"] == pytest.approx(statistics.stdev(values))
    assert f"val/nme {figure['mean']:.2f} ± {figure['std']:.2f} over 2 folds" in printed
    # Six faces, three in each fold; each fold has a seed, and with it a row in results files.
    assert [r["metrics"]["val/faces/faces"] for r in results] == [3, 3]
    assert [r["seed"] for r in results] == [3, 4]
    assert "--data.init_args.fold=2/2" in results[1]["command"]

    (runs[1] / "result.json").unlink()  # as if it had been killed at the end
    (tmp_path / "run" / "folds.json").unlink()
    assert main(command) == 0
    assert f"finished before: {runs[0] / 'result.json'}" in capsys.readouterr().out
    again = json.loads((tmp_path / "run" / "folds.json").read_text())
    assert again["metrics"]["val/nme"]["values"] == pytest.approx(values)
    line = complaint(*command, "--model.init_args.dropout", "0.1")
    assert "has other settings than this command" in line
    assert main(["validate", "--run", str(runs[0])]) == 0

    record = ["results", "record", *map(str, runs), "--to", str(tmp_path / "results.yaml")]
    record += ["--table", "folds", "--row", "mine", "--columns", "NME=val/nme", "--commit", "1"]
    assert main(record) == 0
    assert f"{figure['mean']:.2f} ± {figure['std']:.2f}" in capsys.readouterr().out


def test_what_does_not_go_with_folds_is_refused(
    config: Path, quick: Path, tmp_path: Path, complaint: Callable[..., str]
) -> None:
    run = tmp_path / "run"
    assert "name it with --run RUN" in complaint("fit", "--config", config, "--folds", 3)
    words = ("fit", "--config", config, "--run", run)
    assert "2 or more" in complaint(*words, "--folds", 1)
    line = complaint("fit", "--config", quick, "--run", run, "--folds", 3)
    assert "set data.init_args.val to {}" in line
    assert "--trainer.devices 1" in complaint(*words, "--folds", 2, "--trainer.devices", 2)
    run.mkdir(exist_ok=True)
    (run / "notes.txt").write_text("mine")
    assert "exists and is not empty" in complaint(*words, "--folds", 2)
