"""`Task`: settings parsed once, and the method, data and trainer that they describe."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml

from lit_landmarks import Task
from lit_landmarks.compute import Latency, count_mma
from lit_landmarks.errors import UserError
from lit_landmarks.settings import costs


@pytest.fixture
def config(tmp_path: Path, few_shapes: None) -> Path:
    faces = {"class_path": "SyntheticFaces", "init_args": {"n": 4, "image_size": 48}}
    sets = {"train": {"faces": faces}, "val": {"faces": faces}}
    tree = {
        "seed_everything": 3,
        "model": {"class_path": "ASMNet", "init_args": {"dropout": 0.3}},
        "data": {"init_args": {"frame_size": 32, "batch_size": 2, **sets}},
        "trainer": {
            "accelerator": "cpu",
            "max_epochs": 1,
            "limit_train_batches": 1,
            "enable_progress_bar": False,
        },
        "wandb": {"mode": "disabled"},
    }
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(tree))
    return path


def test_parts_are_built_once_and_from_the_seed(config: Path) -> None:
    task = Task.from_files([config], {"model.init_args.dropout": 0.25})
    before = torch.get_rng_state()
    method = task.method()
    assert torch.equal(torch.get_rng_state(), before), "the process's generators are its own"
    assert task.method() is method
    assert task.data() is task.data()
    assert next(m.p for m in method.modules() if isinstance(m, torch.nn.Dropout)) == 0.25
    torch.manual_seed(99)
    weights = task.build_method().state_dict()
    assert all(torch.equal(weights[k], v) for k, v in method.state_dict().items())
    other = Task.from_files([config], ["--seed_everything=4"]).method().state_dict()
    assert not all(torch.equal(other[k], v) for k, v in method.state_dict().items())
    assert task.trainer().max_epochs == 1
    assert task.trainer().logger is None


def test_the_scheme_and_size_of_the_data_reach_the_method(config: Path) -> None:
    task = Task.from_files([config], {"data.init_args.frame_size": 64})
    assert (task.method().frame_size, task.method().scheme) == (64, "ibug68")
    assert task.costs() == count_mma(task.method(), task.method().example()).record()
    assert {"compute/latency_median_ms"} == {
        key for key in task.costs(timed=True).keys() - task.costs().keys() if "median" in key
    }
    spec = task.connect()
    assert (spec.frame_size, spec.scheme) == (64, "ibug68")


def test_the_latency_is_that_of_the_round_that_was_disturbed_least(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    medians = iter([11.8, 8.6, 12.2, 8.7, 8.8, 30.0, 9.0])

    def measured(*_: object, **__: object) -> Latency:
        median = next(medians)
        return Latency(median, 1.2 * median, 1, 10, "cpu")

    monkeypatch.setattr(costs, "latency", measured)
    figures = Task.from_files([config]).costs(timed=True)
    assert figures["compute/latency_median_ms"] == 8.6
    assert figures["compute/latency_p90_ms"] == 1.2 * 8.6
    assert figures["compute/latency_spread_ms"] == pytest.approx(0.4), "9.0 is the middle one"


def test_an_export_is_timed_alone_and_written_before(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []

    @contextlib.contextmanager
    def record(name: str) -> Iterator[None]:
        events.append(name)
        yield

    @contextlib.contextmanager
    def export(method: object) -> Iterator[str]:
        events.append("export")
        yield "graph"

    def measured(module: object, *_: object, **__: object) -> Latency:
        events.append(str(module))
        return Latency(2.0, 3.0, 1, 10, "cpu")

    monkeypatch.setattr(costs, "latency", measured)
    monkeypatch.setattr("lit_landmarks.export.latency.exported_graph", export)
    timing = costs.Timing(("compute/onnx_latency_p90_ms",), lambda: record("alone"))
    figures = Task.from_files([config]).costs(timing)
    assert events == ["export", "alone", *["graph"] * 7]
    assert {key: figures[key] for key in figures if "latency" in key} == {
        "compute/onnx_latency_median_ms": 2.0,
        "compute/onnx_latency_p90_ms": 3.0,
        "compute/onnx_latency_spread_ms": 0.0,
    }


def test_resolved_settings_give_the_same_task(config: Path, tmp_path: Path) -> None:
    task = Task.from_files([config], {"trainer.max_epochs": 5})
    saved = tmp_path / "other" / "resolved.yaml"
    saved.parent.mkdir()
    saved.write_text(task.resolved)
    again = Task.from_files([saved])
    assert again.resolved == task.resolved
    assert again.settings["trainer"]["max_epochs"] == 5
    assert not {"config", "run", "resume"} & yaml.safe_load(task.resolved).keys()


def test_without_data_sets_nothing_of_them_matters(config: Path) -> None:
    tree = yaml.safe_load(config.read_text())
    tree["data"]["init_args"]["train"] = {"gone": {"class_path": "NoSuchFaces"}}
    config.write_text(yaml.safe_dump(tree))
    with pytest.raises(UserError, match="unknown data set 'NoSuchFaces'"):
        Task.from_files([config])
    assert Task.from_files([config], data_sets=False).method().frame_size == 32


def test_a_fit_and_its_evaluation_from_python(config: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    result = Task.from_files([config], run=run).fit()
    assert result["command"] == f"python -m lit_landmarks fit --config {config} --run {run}"
    metrics = Task.from_run(run).measure()
    assert metrics["val/nme"] == pytest.approx(result["metrics"]["val/nme"], rel=1e-6)
    method, data = Task.from_run(run, checkpoint=run / "checkpoints" / "last.ckpt").load_trained()
    saved = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(method.state_dict()[key], value) for key, value in saved.items())
    assert len(next(iter(data.batches("val")))) == 4
    with pytest.raises(UserError, match=r"Task\.from_run"):
        Task.from_files([config]).load_trained()


@pytest.mark.parametrize(
    "code",
    [
        "import lit_landmarks; assert not hasattr(lit_landmarks, 'x')",
        "from lit_landmarks.settings import arguments, shipped",
        "from lit_landmarks.cli.profile import run\ntry: run(['--help'])\nexcept SystemExit: pass",
    ],
    ids=["package", "names", "help"],
)
def test_without_torch(code: str) -> None:
    """The package, names of shipped files and an own verb's help do not wait for torch."""
    root = str(Path(__file__).resolve().parents[2])
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print('torch' in sys.modules)"],
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split()[-1] == "False"
