"""Fits, a study and a sweep of W&B with `wandb.mode: online`, on a local server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from lightning.pytorch import Callback

from lit_landmarks.cli import main
from lit_landmarks.search import StudyFolder, read_sweep
from lit_landmarks.settings import Task
from tests.support.wandb_server import WandbServer

ROOT = Path(__file__).resolve().parents[2]


class Interrupt(Callback):
    """Ctrl-C within the second epoch."""

    def on_train_batch_end(self, trainer: Any, module: Any, *args: Any) -> None:
        if trainer.current_epoch == 1:
            raise KeyboardInterrupt


def expand_command(tree: dict[str, Any], values: dict[str, Any]) -> list[str]:
    """Arguments of `python -m lit_landmarks` that W&B's agent makes of a sweep's command."""
    arguments: list[str] = []
    for word in tree["command"][tree["command"].index("${program}") + 1 :]:
        given = [f"--{key}={value}" for key, value in values.items()]
        arguments += given if word == "${args}" else [word]
    return arguments


def test_a_trial_of_a_wandb_sweep_that_costs_too_much_ends_at_once(
    wandb_server: WandbServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tree = yaml.safe_load((ROOT / "sweeps" / "wandb" / "mma.yaml").read_text())
    assert tree["command"][:4] == ["${env}", "python", "-m", "${program}"]
    dear = {key: spec["values"][-1] for key, spec in tree["parameters"].items() if "values" in spec}
    # What the agent sets for the command that it starts.
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep1")
    monkeypatch.setenv("WANDB_RUN_ID", "trial1")
    run = tmp_path / "run"
    monkeypatch.chdir(ROOT)
    assert main([*expand_command(tree, dear), "--run", str(run)]) == 0
    assert "not trained: compute/mma is " in capsys.readouterr().out
    assert not list(run.rglob("*.ckpt"))
    served = wandb_server.runs["trial1"]
    assert served.exit_code == 0
    assert served.sent["sweep"] == "sweep1"
    assert served.summary["compute/mma"] > 50
    assert served.summary["compute/parameters"] > 0
    assert served.summary["state"] == "infeasible"
    assert served.config["model"]["init_args"]["rank"] == 64


@pytest.mark.slow
def test_a_fit_that_is_interrupted_and_resumed(
    wandb_server: WandbServer, quick: Path, tmp_path: Path, few_shapes: None
) -> None:
    run = tmp_path / "run"
    online = ["--config", str(quick), "--run", str(run), "--wandb.mode=online"]
    with pytest.raises(KeyboardInterrupt):
        Task.from_arguments("fit", online).fit([Interrupt()])
    (served,) = wandb_server.runs.values()
    assert served.exit_code == 1
    resumed = ["--resume", str(run), "--wandb.artifacts=true"]
    result = Task.from_arguments("fit", resumed).fit()
    assert len(wandb_server.runs) == 1
    assert [row["epoch"] for row in served.history] == list(range(result["epochs"]))
    assert [row["_step"] for row in served.history] == list(range(result["epochs"]))
    best = min(row["val/nme"] for row in served.history)
    assert served.summary["val/nme"] == {"min": pytest.approx(best)}
    assert served.summary["final"]["val/nme"] == pytest.approx(result["metrics"]["val/nme"])
    assert served.summary["compute/mma"] == pytest.approx(result["metrics"]["compute/mma"])
    assert (served.sent["jobType"], served.sent["tags"]) == ("fit", ["TinyRegressor"])
    assert ("model", "run-best") in wandb_server.artifacts


@pytest.mark.slow
def test_every_trial_of_a_study_has_its_cost(
    wandb_server: WandbServer, quick: Path, tmp_path: Path, few_shapes: None
) -> None:
    tree = {
        "name": "tiny", "base": [quick.name], "trials": 3,
        "constraints": ["compute/mma <= 0.5"],
        "space": {"data.init_args.frame_size": {"choice": [32, 160]}},
        "settings": {"trainer.max_epochs": 1, "wandb.mode": "online", "wandb.artifacts": True},
    }  # fmt: skip
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(tree))
    root = tmp_path / "study"
    folder = StudyFolder(root)
    folder.create(read_sweep(tmp_path / "sweep.yaml"))
    study = folder.open(folder.sweep())
    for size in (32, 160):
        study.enqueue_trial({"data.init_args.frame_size": size})
    assert main(["sweep", "resume", str(root), "--trials", "2"]) == 0
    served = {run.sent["displayName"]: run for run in wandb_server.runs.values()}
    assert sorted(served) == ["tiny-0000", "tiny-0001", "tiny-study"]
    assert {run.sent["groupName"] for run in served.values()} == {"tiny"}
    fine, dear = served["tiny-0000"], served["tiny-0001"]
    assert [fine.sent["jobType"], dear.sent["jobType"]] == ["trial", "trial"]
    assert [fine.config["hp/frame_size"], dear.config["hp/frame_size"]] == [32, 160]
    assert fine.summary["compute/mma"] < 0.5 < dear.summary["compute/mma"]
    assert fine.summary["study"]["state"] == "complete"
    assert dear.summary["study"]["state"] == "infeasible"
    assert not dear.history
    sent = [name for kind, name in wandb_server.artifacts if kind == "model"]
    assert sent == ["tiny-best"], "of the best trial alone"
