"""The W&B run of a fit on a local server: history, resumes, outages, what is sent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lit_landmarks.training import wandb_logging
from lit_landmarks.training.run_directory import RunDirectory
from lit_landmarks.training.wandb_logging import WandbOptions, close_tracker, open_tracker
from lit_landmarks.training.wandb_parts import list_waiting_parts
from lit_landmarks.training.wandb_tracker import RunTracker
from tests.support.wandb_server import WandbServer

#: Figures of four epochs of three steps, as metrics.csv holds them: step -> row.
TABLE: Mapping[int, Mapping[str, float]] = {
    step: row
    for epoch in range(4)
    for step, row in (
        (3 * epoch, {"lr": 0.1 / (1 + epoch)}),
        (3 * epoch + 2, {"epoch": epoch, "val/nme": 9.0 - epoch % 3, "train/loss": 1.0}),
    )
}


def open_run(folder: Path, mode: str, **more: Any) -> RunTracker:
    options = WandbOptions(mode=mode, project="faces", **more)  # type: ignore[arg-type]
    tracker = open_tracker(options, RunDirectory(folder), {"model": {"rank": 8}})
    assert tracker is not None
    return tracker


def train(tracker: RunTracker, first: int, epochs: int) -> None:
    """Logs epochs in the order in which Lightning does."""
    for epoch in range(first, epochs):
        validated = {k: v for k, v in TABLE[3 * epoch + 2].items() if k != "train/loss"}
        tracker.log_metrics(TABLE[3 * epoch], 3 * epoch)
        tracker.log_image("val/overlays", [np.zeros((4, 4, 3), np.uint8)], step=3 * epoch + 3)
        tracker.log_metrics(validated, 3 * epoch + 2)
        tracker.log_metrics({"epoch": epoch, "train/loss": 1.0}, 3 * epoch + 2)


def go_on(folder: Path, mode: str, **more: Any) -> RunTracker:
    """Opens a run again after two of its epochs, which metrics.csv has, and trains the rest."""
    tracker = open_run(folder, mode, **more)
    tracker.replay(rows_until(2))
    train(tracker, 2, 4)
    return tracker


def rows_until(epoch: int) -> dict[int, Mapping[str, float]]:
    """What metrics.csv keeps of the epochs before one."""
    return {step: row for step, row in TABLE.items() if step < 3 * epoch}


def sync(wandb_server: WandbServer, folder: Path) -> None:
    parts = sorted(str(path) for path in folder.glob("wandb/offline-run-*"))
    subprocess.run(
        [sys.executable, "-m", "wandb", "sync", *parts],
        env={**os.environ, **wandb_server.environment},
        check=True,
        capture_output=True,
        timeout=120,
    )


def epochs(rows: list[dict[str, Any]]) -> list[tuple[int, int, float]]:
    return [(row["_step"], row["epoch"], row["val/nme"]) for row in rows]


ALL_EPOCHS = [(epoch, epoch, 9.0 - epoch % 3) for epoch in range(4)]


def test_an_online_run_that_goes_on_has_each_epoch_once(
    wandb_server: WandbServer, tmp_path: Path
) -> None:
    tracker = open_run(tmp_path, "online", name="faces-1", tags=["t"], group="g")
    tracker.log_summary({"compute/mma": 5.0})
    train(tracker, 0, 2)
    # The third epoch was validated when the fit was interrupted: it is repeated.
    tracker.log_metrics({"epoch": 2, "val/nme": 1.0}, 8)
    tracker.close(1, {})
    (run,) = wandb_server.runs.values()
    assert run.exit_code == 1
    assert epochs(run.history) == ALL_EPOCHS[:2]
    tracker = go_on(tmp_path, "online", name="faces-2")
    tracker.end_training()
    # The best checkpoint is measured: its figures would bend the curves.
    tracker.log_metrics({"epoch": 4, "val/nme": 7.0}, 12)
    tracker.close(0, {"final": {"val/nme": 7.0}})
    assert len(wandb_server.runs) == 1
    assert run.exit_code == 0
    assert epochs(run.history) == ALL_EPOCHS
    assert all({"lr", "train/loss", "val/overlays"} <= row.keys() for row in run.history)
    assert run.summary["val/nme"] == {"min": 7.0}, "the best and not the last"
    assert run.summary["final"] == {"val/nme": 7.0}
    assert run.sent["displayName"] == "faces-2"
    assert (run.sent["groupName"], run.sent["jobType"]) == ("g", "fit")


@pytest.mark.parametrize("killed", [False, True])
def test_offline_parts_that_are_synced_give_each_epoch_once(
    wandb_server: WandbServer, tmp_path: Path, killed: bool
) -> None:
    tracker = open_run(tmp_path, "offline")
    train(tracker, 0, 1 if killed else 2)
    tracker.close(1, {})
    # A kill lost the second epoch in W&B, and metrics.csv has it.
    go_on(tmp_path, "offline").close(0, {})
    sync(wandb_server, tmp_path)
    (run,) = wandb_server.runs.values()
    assert epochs(run.history) == ALL_EPOCHS


def test_a_run_whose_server_is_away_goes_on_offline_and_says_so_once(
    wandb_server: WandbServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(wandb_logging, "_PATIENCE", 1.0)
    wandb_server.status = 500
    for name in ("one", "two"):
        tracker = open_run(tmp_path / name, "online")
        train(tracker, 0, 1)
        tracker.close(1, {})
        assert tracker.part.name.startswith("offline-run-")
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("W&B did not open an online run: ")
    assert line.endswith(f"sent with: wandb sync {tmp_path}/one/wandb/offline-run-*")
    # The server is back, and the offline part has to be sent first.
    wandb_server.status = 200
    monkeypatch.setattr(wandb_logging._Server, "ask_at", 0.0)
    tracker = open_run(tmp_path / "one", "online")
    assert tracker.part.name.startswith("offline-run-")
    train(tracker, 1, 2)
    tracker.close(1, {})
    assert "parts of this W&B run wait to be sent" in capsys.readouterr().out
    sync(wandb_server, tmp_path / "one")
    identity = (tmp_path / "one/wandb/run_id").read_text().strip()
    assert not list_waiting_parts(tmp_path / "one/wandb", identity)
    go_on(tmp_path / "one", "online").close(0, {})
    (run,) = wandb_server.runs.values()
    assert epochs(run.history) == ALL_EPOCHS


def test_a_server_that_fails_at_the_end_is_one_line(
    wandb_server: WandbServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(wandb_logging, "_FINISH", 1.0)
    tracker = open_run(tmp_path, "online")
    capfd.readouterr()
    wandb_server.status = 500
    train(tracker, 0, 1)
    close_tracker(tracker, 0)
    out, err = capfd.readouterr()
    (line,) = [line for line in (out + err).splitlines() if line]
    assert line.startswith(f"W&B did not take all of {tmp_path} (")
    assert f"`wandb sync --include-online {tracker.part}`" in line


def test_a_service_that_dies_ends_no_training(
    wandb_server: WandbServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tracker = open_run(tmp_path / "one", "online")
    capfd.readouterr()
    tracker.experiment._interface._asyncer.run(tracker.experiment._interface._client.close)
    train(tracker, 0, 2)
    close_tracker(tracker, 0)
    out, err = capfd.readouterr()
    assert out.startswith("W&B did not take all of ")
    assert len((out + err).splitlines()) == 1
    # The next run of the process has a service of its own.
    tracker = open_run(tmp_path / "two", "online")
    train(tracker, 0, 1)
    tracker.close(0, {})
    identity = (tmp_path / "two/wandb/run_id").read_text().strip()
    assert epochs(wandb_server.runs[identity].history) == ALL_EPOCHS[:1]


def test_an_agent_names_the_run(
    wandb_server: WandbServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_RUN_ID", "agent123")
    open_run(tmp_path, "online").close(0, {})
    monkeypatch.delenv("WANDB_RUN_ID")
    assert (tmp_path / "wandb/run_id").read_text() == "agent123\n"
    assert [*wandb_server.runs] == ["agent123"]
    assert json.dumps(wandb_server.runs["agent123"].config["model"]) == '{"rank": 8}'
