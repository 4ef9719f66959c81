"""Fits, a study and a sweep of W&B with `wandb.mode: online`, on a local server."""

from __future__ import annotations

import os
import subprocess
import sys
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


@pytest.mark.slow
def test_the_agent_of_a_wandb_sweep_ends_a_trial_that_costs_too_much_at_once(
    wandb_server: WandbServer, tmp_path: Path
) -> None:
    text = (ROOT / "lit_landmarks" / "search" / "wandb_sweep.yaml").read_text()
    tree = yaml.safe_load(text)
    dear = {k: {"value": spec["values"][-1]} for k, spec in tree["parameters"].items()
            if "values" in spec}  # fmt: skip
    run = {"type": "run", "run_id": "trial1", "program": tree["program"], "args": dear}
    wandb_server.sweep, wandb_server.jobs = text, [run]
    paths = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    places = {"PATH": paths, "PYTHONPATH": str(ROOT), "WANDB_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "wandb", "agent", "--count", "1", "me/lit_landmarks/sweep1"],
        env={**os.environ, **wandb_server.environment, **places, "WANDB_SILENT": "false"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert "not trained: compute/mma is " in done.stdout
    assert not list(tmp_path.rglob("*.ckpt"))
    served = wandb_server.runs["trial1"]
    assert served.exit_code == 0, "an agent gives up after three that fail"
    assert served.sent["sweep"] == "sweep1"
    assert served.summary["compute/mma"] > 50
    assert served.summary["compute/parameters"] > 0
    assert served.summary["state"] == "infeasible"
    assert served.config["model"]["init_args"]["rank"] == 64
    assert served.config["model.init_args.rank"] == 64, "the parameters that W&B draws"


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
