"""A fit and what it leaves behind: run directory, round trip, precedence, evaluation, W&B."""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pytest
import torch
import yaml
from lightning.pytorch import Callback

from lit_landmarks.cli import main
from lit_landmarks.settings import Task
from lit_landmarks.training.curves import read_curves


def result_of(run: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((run / "result.json").read_text())
    return result


class Stop(Callback):
    """Raises after a batch, before its epoch has ended."""

    def __init__(self, error: BaseException, epoch: int = 1, batch: int = 0) -> None:
        self.error, self.at = error, (epoch, batch)

    def on_train_batch_end(self, trainer: Any, module: Any, *args: Any) -> None:
        if (trainer.current_epoch, args[-1]) == self.at:
            raise self.error


def test_run_directory_is_self_sufficient(finished: Path) -> None:
    files = {p.relative_to(finished).as_posix() for p in finished.rglob("*") if p.is_file()}
    wanted = {
        "config.yaml",
        "metrics.csv",
        "result.json",
        "checkpoints/best.ckpt",
        "checkpoints/last.ckpt",
        "overlays/val.png",
    }
    assert wanted <= files
    assert not [name for name in files if name.endswith(".tmp")]
    result = result_of(finished)
    assert result["method"] == "ASMNet"
    assert result["seed"] == 3
    assert result["epochs"] == 3
    assert result["steps"] == 9
    assert result["wall_seconds"] > 0
    assert 100 < result["peak_memory_mib"]["host"] < 100_000
    assert result["metrics"]["compute/parameters"] == 1_412_435
    assert result["metrics"]["compute/mma"] > 0
    assert len(result["data"]["manifest"]) == 64
    assert [s["faces"] for s in result["data"]["sets"]] == [6, 4]
    assert result["versions"]["torch"] == torch.__version__.split("+")[0]
    assert result["command"].startswith("python -m lit_landmarks fit --config")


def test_result_is_that_of_the_best_checkpoint(finished: Path) -> None:
    with (finished / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["val/nme"]]
    nme = result_of(finished)["metrics"]["val/nme"]
    assert nme == pytest.approx(min(float(row["val/nme"]) for row in rows), rel=1e-5)
    state = torch.load(finished / "checkpoints" / "best.ckpt", weights_only=True)
    assert state["lit_landmarks"]["scheme"] == "ibug68"


def test_saved_config_gives_the_same_run(finished: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    assert main(["fit", "--config", str(finished / "config.yaml"), "--run", str(again)]) == 0
    assert (again / "config.yaml").read_text() == (finished / "config.yaml").read_text()
    assert result_of(again)["metrics"] == result_of(finished)["metrics"]
    assert result_of(again)["data"] == result_of(finished)["data"]
    saved = yaml.safe_load((again / "config.yaml").read_text())
    assert Path(saved["data"]["init_args"]["root"]).is_absolute()
    assert not {"run", "resume", "config", "ckpt_path"} & saved.keys()


def test_evaluation_of_a_run(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {p: p.read_bytes() for p in finished.rglob("*") if p.is_file()}
    out = tmp_path / "val.json"
    assert main(["validate", "--run", str(finished), "--output", str(out)]) == 0
    metrics = json.loads(out.read_text())["metrics"]
    expected = result_of(finished)["metrics"]["val/nme"]
    assert metrics["val/nme"] == pytest.approx(expected, rel=1e-6)
    # A checkpoint in a run knows its run.
    best = finished / "checkpoints" / "best.ckpt"
    assert main(["validate", "--ckpt_path", str(best), "--output", str(out)]) == 0
    assert json.loads(out.read_text())["metrics"] == metrics
    points = tmp_path / "points.npz"
    assert main(["predict", "--run", str(finished), "--output", str(points)]) == 0
    with np.load(points, allow_pickle=False) as columns:
        assert columns["points"].shape == (4, 68, 2)
        assert list(columns["index"]) == [0, 1, 2, 3]
    for path, content in before.items():
        assert path.read_bytes() == content, "an evaluation changed a file of the fit"
    measured = finished / "measurements"
    assert {p for p in finished.rglob("*") if p.is_file() and p.parent != measured} <= {*before}
    # Both commands measured the same checkpoint on the same faces.
    assert len([p for p in measured.iterdir() if p not in before]) == 1


def test_error_curves_agree_with_failure_rates_and_can_be_written_later(
    finished: Path, tmp_path: Path, complaint: Callable[..., str]
) -> None:
    curves = read_curves(finished / "ced.npz")
    metrics = result_of(finished)["metrics"]
    curve = curves["val/faces"]
    assert curve.norm == "interocular"
    for level in (8, 10):
        above = 1 - curve.fraction[np.searchsorted(curve.edges, level - 1e-6)]
        assert 100 * above == pytest.approx(metrics[f"val/faces/fr{level}_interocular"])
    old = tmp_path / "old"
    shutil.copytree(finished, old)
    (old / "ced.npz").unlink()
    assert main(["validate", "--run", str(old), "--ced"]) == 0
    again = read_curves(old / "ced.npz")
    assert again.keys() == curves.keys()
    np.testing.assert_allclose(again["val/faces"].fraction, curve.fraction)
    # Other faces have other errors, which are not the run's.
    faces = {"class_path": "SyntheticFaces", "init_args": {"n": 3, "seed": 77, "image_size": 48}}
    other = tmp_path / "other.yaml"
    other.write_text(yaml.safe_dump({"data": {"init_args": {"val": {"faces": faces}}}}))
    words = ["--run", old, "--config", other, "--ced"]
    assert "not the run's own" in complaint("validate", *words)
    fewer = ["--data.init_args.eval_batch_size=2", "--trainer.limit_val_batches=1"]
    assert "not the run's own" in complaint("validate", "--run", old, "--ced", *fewer)


def test_profile_of_a_run(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for argument in (finished, finished / "config.yaml"):
        assert main(["profile", str(argument), "--json", "--repeats", "1"]) == 0
        profile = json.loads(capsys.readouterr().out)
        for key in ("compute/mma", "compute/mma_elementwise"):
            assert profile[key] == result_of(finished)["metrics"][key] > 0
        assert profile["compute/latency_median_ms"] > 0
    settings = ["--data.init_args.frame_size", "224"]
    assert main(["profile", str(finished), "--json", "--repeats", "0", *settings]) == 0
    assert json.loads(capsys.readouterr().out)["compute/mma"] == pytest.approx(256.5, abs=0.05)


def test_what_the_user_passes_wins_over_the_checkpoint(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {}

    def measure(trainer: Any, method: Any, *_: Any) -> dict[str, float]:
        seen["rate"] = method.make_optimizer([torch.zeros(1, requires_grad=True)]).defaults["lr"]
        seen["dropout"] = next(m.p for m in method.modules() if isinstance(m, torch.nn.Dropout))
        return {}

    monkeypatch.setattr("lit_landmarks.settings.task.measure", measure)
    optimizer = '{"class_path": "torch.optim.SGD", "init_args": {"lr": 0.5}}'
    arguments = ["--model.init_args.optimizer", optimizer, "--model.init_args.dropout", "0.1"]
    assert main(["validate", "--run", str(finished), *arguments]) == 0
    assert seen == {"rate": 0.5, "dropout": 0.1}


def test_nothing_global_leaks(quick: Path, tmp_path: Path) -> None:
    def state() -> dict[str, Any]:
        return {
            "environment": dict(os.environ),
            "interrupt": signal.getsignal(signal.SIGINT),
            "python": random.getstate(),
            "numpy": np.random.get_state()[1].tolist(),  # type: ignore[index,union-attr]
            "torch": torch.get_rng_state().tolist(),
            "folder": Path.cwd(),
            "gradient": torch.is_grad_enabled(),
        }

    before = state()
    short = ["--trainer.max_epochs", "1", "--trainer.deterministic", "true"]
    run = ["--wandb.mode", "offline", "--run", str(tmp_path / "run")]
    assert main(["fit", "--config", str(quick), *run, *short]) == 0
    assert state() == before


def test_tracker_is_closed_after_a_crash_and_holds_one_nested_config(
    quick: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import wandb

    from lit_landmarks.training import wandb_logging

    opened: list[Any] = []
    init = wandb.init
    monkeypatch.setattr(
        wandb_logging.wandb, "init", lambda **kw: opened.append(init(**kw)) or opened[-1]
    )
    codes: list[int] = []
    real = wandb.Run.finish

    def finish(self: Any, exit_code: int | None = None) -> None:
        codes.append(exit_code or 0)
        real(self, exit_code)

    monkeypatch.setattr(wandb.Run, "finish", finish)
    run = tmp_path / "run"
    arguments = ["--config", str(quick), "--run", str(run), "--wandb.mode", "offline"]
    with pytest.raises(RuntimeError, match="crash"):
        Task.from_arguments("fit", arguments).fit([Stop(RuntimeError("crash"))])
    Task.from_arguments("fit", ["--resume", str(run)]).fit()
    assert len(opened) == 2
    assert [bool(code) for code in codes] == [True, False]
    assert opened[0].id == opened[1].id, "a resumed fit continues its W&B run"
    assert wandb.run is None
    config = dict(opened[1].config)
    assert config["data"]["init_args"]["train"]["faces"]["init_args"]["n"] == 6
    assert not [key for key in config if "/" in key or "." in key], "flat keys beside the nested"
    assert len(list((run / "wandb").glob("offline-run-*"))) == 2


def test_interrupt_tells_how_to_go_on(
    quick: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = tmp_path / "run"
    monkeypatch.setattr(
        "lit_landmarks.cli.train.run",
        lambda verb, arguments: (
            Task.from_arguments("fit", arguments).fit([Stop(KeyboardInterrupt())]) and 0
        ),
    )
    handler = signal.getsignal(signal.SIGINT)
    assert main(["fit", "--config", str(quick), "--run", str(run)]) == 130
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines == [f"interrupted; continue with: python -m lit_landmarks fit --resume {run}"]
    assert signal.getsignal(signal.SIGINT) is handler


def test_bad_data_leaves_no_run_behind(
    quick: Path, tmp_path: Path, complaint: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fills up while crops are cached is told after the run directory was made."""
    monkeypatch.setenv("LIT_LANDMARKS_CACHE", str(tmp_path / "cache"))
    full = type("Usage", (), {"free": 10})()
    monkeypatch.setattr("lit_landmarks.data.cache_writer.shutil.disk_usage", lambda _: full)
    line = complaint("fit", "--config", quick, "--run", tmp_path / "run")
    assert "disk is full" in line
    assert not (tmp_path / "run").exists()
    assert not list((tmp_path / "cache").glob("*"))


def test_yaml_tunes_required_callbacks_and_cannot_lose_them(quick: Path, tmp_path: Path) -> None:
    kinds: list[Callback] = []

    class Spy(Callback):
        def on_fit_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
            kinds.extend(trainer.callbacks)  # type: ignore[attr-defined]
            raise KeyError("enough")

    tree = yaml.safe_load(quick.read_text())
    ema = {"class_path": "lit_landmarks.training.ema.EMA", "init_args": {"decay": 0.5}}
    tree["trainer"]["callbacks"] = [ema]
    quick.write_text(yaml.safe_dump(tree))
    with pytest.raises(KeyError, match="enough"):
        Task.from_arguments("fit", ["--config", str(quick), "--run", str(tmp_path / "run")]).fit(
            [Spy()]
        )
    names = [type(callback).__name__ for callback in kinds]
    wanted = ["EMA", "Media", "RunState", "EpochSeed", "BestCheckpoint", "LastCheckpoint"]
    assert all(names.count(name) == 1 for name in wanted), names
    assert next(c for c in kinds if type(c).__name__ == "EMA").decay == 0.5  # type: ignore[attr-defined]
    # The last checkpoint is written after the best one, whose state it holds.
    assert names.index("LastCheckpoint") > names.index("BestCheckpoint")
