"""`sweep` with real fits of seconds: run, resume, status, best, and bad files before any trial."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
import yaml

from lit_landmarks.cli import main
from lit_landmarks.search import StudyFolder


@pytest.fixture
def sweep(tiny: Path, tmp_path: Path) -> Path:
    """A study over a tiny ASMNet."""
    tree = {
        "name": "tiny", "base": [tiny.name], "trials": 2,
        "constraints": ["compute/mma <= 8"],
        "space": {"data.init_args.frame_size": {"choice": [32, 160]},
                  "model.init_args.dropout": {"float": [0.0, 0.5]}},
        "settings": {"trainer.max_epochs": 1, "trainer.limit_train_batches": 1},
        "sampler": {"class": "RandomSampler", "arguments": {"seed": 0}},
    }  # fmt: skip
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump(tree))
    return path


def test_a_study_from_its_file_to_its_best_config(
    sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], complaint: Callable[..., str]
) -> None:
    root = tmp_path / "study"
    folder = StudyFolder(root)
    assert main(["sweep", "run", str(sweep), "--study", str(root)]) == 0
    assert "of 2 trials" in capsys.readouterr().out
    study = folder.open(folder.sweep())
    # Whatever the sampler chose: one within the limit and one beyond it.
    study.enqueue_trial({"data.init_args.frame_size": 32, "model.init_args.dropout": 0.1})
    study.enqueue_trial({"data.init_args.frame_size": 160, "model.init_args.dropout": 0.1})
    assert main(["sweep", "resume", str(root), "--trials", "4"]) == 0
    dear = study.trials[-1]
    assert dear.state == optuna.trial.TrialState.COMPLETE
    assert dear.constraints["compute/mma <= 8"] > 0
    assert dear.duration is not None
    assert dear.duration.total_seconds() < 5, "nothing is trained"
    capsys.readouterr()
    assert main(["sweep", "status", str(root), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["trials"] == 4
    assert told["best"]["parameters"]["data.init_args.frame_size"] == 32
    best = tmp_path / "best.yaml"
    assert main(["sweep", "best", str(root), "--output", str(best), "--refit", "1"]) == 0
    assert (root / "refit").is_dir()
    assert list((root / "refit").glob("*-seed0/result.json"))
    settings = yaml.safe_load(best.read_text())
    assert settings["data"]["init_args"]["frame_size"] == 32
    assert "resume" in complaint("sweep", "run", sweep, "--study", root)


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("space", {"model.init_args.drop": {"float": [0, 1]}}, "drop"),
        ("space", {"model.init_args.dropout": {"choice": ["much"]}}, "dropout"),
        ("storage", "postgresql://nobody@127.0.0.1:1/none", "storage"),
    ],
)
def test_bad_studies_start_nothing(
    sweep: Path, tmp_path: Path, complaint: Callable[..., str], key: str, value: object, told: str
) -> None:
    tree = yaml.safe_load(sweep.read_text())
    tree[key] = value
    sweep.write_text(yaml.safe_dump(tree))
    assert told in complaint("sweep", "run", sweep, "--study", tmp_path / "study")
    assert not (tmp_path / "study" / "trials").exists()


def test_without_a_feasible_trial_there_is_no_best(
    sweep: Path, tmp_path: Path, complaint: Callable[..., str]
) -> None:
    tree = yaml.safe_load(sweep.read_text())
    tree["constraints"] = ["compute/mma <= 0.001"]
    sweep.write_text(yaml.safe_dump(tree))
    root = tmp_path / "study"
    assert main(["sweep", "run", str(sweep), "--study", str(root)]) == 0
    assert not (root / "trials").exists(), "no trial was trained"
    assert "no trial within its limits" in complaint("sweep", "best", root)
    assert "holds no study" in complaint("sweep", "status", tmp_path / "none")
