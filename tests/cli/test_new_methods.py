"""Methods that are put in by the recipe alone pass through every verb."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from lit_landmarks.cli import main
from lit_landmarks.inference import load
from tests.support.configs import tiny_config


def config(tmp_path: Path, class_path: str, **data: Any) -> Path:
    tree: dict[str, Any] = tiny_config()
    tree["model"] = {"class_path": class_path}
    tree["data"]["init_args"] |= data
    file = tmp_path / "new.yaml"
    file.write_text(yaml.safe_dump(tree))
    return file


def two_schemes(tmp_path: Path) -> Path:
    """68 and 98 points in one batch, each row with its own scheme."""

    def faces(n: int, seed: int, scheme: str) -> dict[str, Any]:
        arguments = {"n": n, "seed": seed, "max_yaw": 30.0, "image_size": 48, "scheme": scheme}
        return {"class_path": "SyntheticFaces", "init_args": arguments}

    sets = {"sixty": faces(4, 1, "ibug68"), "ninety": faces(4, 2, "wflw98")}
    tests = {"sixty": faces(4, 3, "ibug68"), "ninety": faces(4, 4, "wflw98")}
    return config(
        tmp_path, "tests.support.any_query.AnyQuery", scheme=None, train=sets, val=sets,
        test=tests, weights={},
    )  # fmt: skip


def test_a_query_method_passes_through_every_verb(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, run = two_schemes(tmp_path), tmp_path / "run"
    assert main(["profile", "--config", str(file), "--repeats", "0", "--json"]) == 0
    costs = json.loads(capsys.readouterr().out)
    assert costs["compute/mma"] == pytest.approx(68 * (30 * 32 + 32 * 2) / 1e6)

    short = ["--trainer.max_epochs", "1"]
    assert main(["fit", "--config", str(file), "--run", str(run), *short]) == 0
    assert main(["fit", "--resume", str(run), "--trainer.max_epochs", "2"]) == 0
    result = json.loads((run / "result.json").read_text())
    assert result["epochs"] == 2
    assert result["metrics"]["compute/mma"] == pytest.approx(costs["compute/mma"])
    for key in ("val/sixty/nme_interocular", "val/ninety/nme_interocular", "test/nme"):
        assert np.isfinite(result["metrics"][key])

    output = tmp_path / "figures.json"
    assert main(["validate", "--run", str(run), "--output", str(output)]) == 0
    measured = json.loads(output.read_text())["metrics"]
    assert measured["val/nme"] == pytest.approx(result["metrics"]["val/nme"], rel=1e-6)
    assert main(["predict", "--run", str(run)]) == 0
    with np.load(run / "predictions.npz") as columns:
        assert columns["points"].shape == (8, 98, 2)

    landmarker = load(run)
    image = np.zeros((96, 96, 3), np.uint8)
    assert landmarker(image, [[20, 20, 60, 60]])[0].points.shape == (68, 2)
    queries = np.zeros((5, 3))
    assert landmarker(image, [[20, 20, 60, 60]], queries=queries)[0].points.shape == (5, 2)


def test_a_query_method_is_searched(tmp_path: Path) -> None:
    two_schemes(tmp_path)
    sweep = {
        "name": "queries",
        "base": ["new.yaml"],
        "objective": "val/nme",
        "trials": 2,
        "constraints": ["compute/mma <= 1"],
        "settings": {"trainer.max_epochs": 1},
        "space": {"model.init_args.optimizer.init_args.lr": {"float": [1e-4, 1e-2], "log": True}},
    }
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(sweep))
    study = tmp_path / "study"
    assert main(["sweep", "run", str(tmp_path / "sweep.yaml"), "--study", str(study)]) == 0
    results = [json.loads(p.read_text()) for p in sorted(study.glob("trials/*/result.json"))]
    assert len(results) == 2
    assert all(np.isfinite(r["metrics"]["val/nme"]) for r in results)


@pytest.mark.slow
def test_two_phases_killed_in_the_second_go_on_bitwise(tmp_path: Path) -> None:
    file = config(tmp_path, "tests.support.two_phases.TwoPhases")
    root = Path(__file__).resolve().parents[2]
    script = "import sys; from lit_landmarks.cli import main; raise SystemExit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", script, "fit"]
    settings = ["--config", str(file), "--trainer.max_epochs", "8"]
    whole, run = tmp_path / "whole", tmp_path / "run"
    subprocess.run([*command, *settings, "--run", str(whole)], check=True, cwd=root)
    started = subprocess.Popen([*command, *settings, "--run", str(run)], cwd=root)
    last, until = run / "checkpoints" / "last.ckpt", time.monotonic() + 300
    # Four epochs of eight are the second phase.
    while not last.exists() or torch.load(last, weights_only=True)["epoch"] < 4:
        assert started.poll() is None, "the fit ended before it could be killed"
        assert time.monotonic() < until
        time.sleep(0.01)
    os.kill(started.pid, signal.SIGKILL)
    started.wait()
    assert not (run / "result.json").exists()
    subprocess.run([*command, "--resume", str(run)], check=True, cwd=root)
    ends = [torch.load(r / "checkpoints" / "last.ckpt", weights_only=True) for r in (whole, run)]
    for name, value in ends[0]["raw_state_dict"].items():
        assert torch.equal(value, ends[1]["raw_state_dict"][name]), name
