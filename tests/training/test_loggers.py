"""TensorBoard and MLflow beside W&B and metrics.csv: the figures of one fit are in all of them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from lit_landmarks.cli import main
from lit_landmarks.errors import UserError
from lit_landmarks.training import loggers
from lit_landmarks.training.loggers import LoggerOptions, open_loggers
from lit_landmarks.training.run_directory import RunDirectory
from tests.support.configs import quick_config


@pytest.fixture(autouse=True)
def _quick(few_shapes: None) -> None:
    """Every fit of this module measures few shapes."""


def fit(folder: Path, *more: str) -> dict[str, Any]:
    """The final metrics of a fit of one epoch, with W&B offline."""
    tree: dict[str, Any] = quick_config()
    tree["trainer"]["max_epochs"] = 1
    tree["wandb"] = {"mode": "offline"}
    (folder / "quick.yaml").write_text(yaml.safe_dump(tree))
    words = ["fit", "--config", str(folder / "quick.yaml"), "--run", str(folder / "run")]
    assert main([*words, *more]) == 0
    assert (folder / "run" / "wandb" / "run_id").is_file()
    assert "val/nme" in (folder / "run" / "metrics.csv").read_text().splitlines()[0]
    result: dict[str, Any] = json.loads((folder / "run" / "result.json").read_text())
    return result["metrics"]


@pytest.mark.slow
def test_tensorboard_has_the_figures_of_the_run(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    metrics = fit(tmp_path, "--loggers.tensorboard=true")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    # Of the epoch, and of the best checkpoint at the end.
    values = [scalar.value for scalar in events.Scalars("val/nme")]
    assert values == pytest.approx([metrics["val/nme"]] * 2, rel=1e-5)


@pytest.mark.slow
def test_mlflow_has_the_figures_of_the_run_and_goes_on_in_it(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    metrics = fit(tmp_path, "--loggers.mlflow=true")
    run = tmp_path / "run"
    client = mlflow.tracking.MlflowClient(f"sqlite:///{run / 'mlflow.db'}")
    identity = (run / "mlflow_run_id").read_text().strip()
    logged = client.get_run(identity)
    assert logged.info.run_name == "run"
    assert logged.info.status == "FINISHED"
    assert logged.data.metrics["val/nme"] == pytest.approx(metrics["val/nme"], rel=1e-6)
    assert logged.data.params["seed_everything"] == "3"
    before = len(client.get_metric_history(identity, "val/nme"))
    assert main(["fit", "--resume", str(run), "--trainer.max_epochs=2"]) == 0
    assert (run / "mlflow_run_id").read_text().strip() == identity
    assert len(client.get_metric_history(identity, "val/nme")) > before


def test_a_missing_package_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **more: object) -> None:
        raise ModuleNotFoundError("neither tensorboard nor tensorboardX is there")

    monkeypatch.setattr(loggers, "TensorBoardLogger", fail)
    monkeypatch.setattr(loggers, "MLFlowLogger", fail)
    for name in ("tensorboard", "mlflow"):
        options = LoggerOptions(**{name: True})
        with pytest.raises(UserError, match=rf'pip install "lit-landmarks\[{name}\]"'):
            open_loggers(options, RunDirectory(tmp_path), {})


@pytest.mark.slow
def test_nothing_is_imported_unless_it_is_asked_for() -> None:
    code = "import sys, lit_landmarks.settings.task, lit_landmarks.training.loggers as _;"
    code += "print([m for m in ('tensorboard', 'tensorboardX', 'mlflow') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
