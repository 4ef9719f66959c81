"""Made-up runs and a made-up study, with the files that a fit leaves and figures that are known."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from lit_landmarks.reports.entries import StudyRecord
from lit_landmarks.reports.limits import Limit
from lit_landmarks.training.curves import ErrorCurve, save_curves

#: A name and a value that a careless page would run.
HOSTILE = '<script>alert(\'x\')</script>" onclick="alert(1)" &amp; {{ 7 * 7 }}'
Make = Callable[..., Path]

SUBSETS = {"frontal": 0.8, "half": 1.0, "profile": 1.45, "occluded": 1.3, "blur": 1.15}


def figures(nme: float, mma: float) -> dict[str, float]:
    """Final figures of a run: a validation set and a test set with subsets."""
    found = {"val/nme": nme, "compute/mma": mma, "compute/parameters": 1e5 * mma}
    for role, name, times in (("val", "helen", 1.0), ("test", "afw", 1.25)):
        start = f"{role}/{name}"
        found[f"{start}/nme_interocular"] = nme * times
        found[f"{start}/p90_interocular"] = 1.7 * nme * times
        found[f"{start}/fr8_interocular"] = 5 * nme * times
        found[f"{start}/fr10_interocular"] = 3 * nme * times
        found[f"{start}/auc10_interocular"] = 100 - 9 * nme * times
        for subset, more in SUBSETS.items():
            found[f"{start}/nme_interocular/{subset}"] = nme * times * more
    return found


def error_curve(nme: float, faces: int = 200) -> ErrorCurve:
    """The distribution of log-normal errors with this mean."""
    edges = np.arange(1, 5001) * 0.01
    errors = np.sort(np.random.default_rng(0).lognormal(0.0, 0.35, faces))
    errors *= nme / errors.mean()
    return ErrorCurve("interocular", edges, np.searchsorted(errors, edges, "right") / faces)


def runs_below(folder: Path) -> Make:
    """Writes a run directory; `curves=False` is one of before there was a ced.npz."""

    def make(
        name: str, nme: float, mma: float, *, curves: bool = True, result: bool = True,
        epochs: int = 12, **settings: Any,
    ) -> Path:  # fmt: skip
        run = folder / "runs" / name
        run.mkdir(parents=True)
        config = {
            "seed_everything": 0,
            "model": {"class_path": "lit_landmarks.methods.asmnet.ASMNet",
                      "init_args": {"dropout": 0.1, **settings}},
            "wandb": {"mode": "disabled", "name": name},
        }  # fmt: skip
        (run / "config.yaml").write_text(yaml.safe_dump(config))
        rows = ["step,epoch,train/loss,val/loss,val/nme"]
        for epoch in range(epochs):
            rows.append(f"{10 * epoch + 5},{epoch},0.5,,")
            rows.append(f"{10 * epoch + 9},{epoch},,0.5,{nme * (1 + 4 * 0.55 ** (epoch + 1)):.4f}")
        # The final evaluation of the best checkpoint, which is no epoch.
        rows.append(f"{10 * epochs},{epochs},,,{nme}")
        (run / "metrics.csv").write_text("\n".join(rows) + "\n")
        if result:
            content = {"format": 1, "metrics": figures(nme, mma), "wall_seconds": 61.5}
            (run / "result.json").write_text(json.dumps(content))
        if curves:
            save_curves(run / "ced.npz", {"val/helen": error_curve(nme),
                                          "test/afw": error_curve(1.25 * nme)})  # fmt: skip
        return run

    return make


@pytest.fixture
def make_run(tmp_path: Path) -> Make:
    """Writes run directories below the folder of the test."""
    return runs_below(tmp_path)


def study_of(trials: list[dict[str, Any]], **changes: Any) -> StudyRecord:
    """A study whose objective is val/nme within 100 MMA."""
    told = {
        "name": "small", "folder": "studies/small", "objective": "val/nme",
        "limits": [Limit("compute/mma", True, 100.0)], "trials": trials,
        "importance": {"model.init_args.width": 0.7, "method": 0.3},
        "importance_note": "rests on 31 trials", "importance_clear": True, "total": 24,
    }  # fmt: skip
    return StudyRecord(**{**told, **changes})


def trial_of(number: int, value: float | None, mma: float, **changes: Any) -> dict[str, Any]:
    """A trial as `search.records` tells it."""
    told = {
        "number": number, "state": "finished", "outcome": "within the limits", "feasible": True,
        "value": value, "params": {"model.init_args.width": round(mma / 10, 1)},
        "metrics": {"compute/mma": mma, "compute/parameters": 1e4 * mma},
        "constraints": {"compute/mma <= 100": mma - 100}, "run": None, "seconds": 30.0,
    }  # fmt: skip
    return {**told, **changes}


def small_study() -> StudyRecord:
    """Twenty-four trials: trained within and beyond the limit, too dear, pruned, failed."""
    random = np.random.default_rng(3)
    trials = []
    for number in range(24):
        mma = float(random.uniform(8, 150))
        nme = 3.4 + 60 / (mma + 8) + float(random.exponential(0.5)) + 2.5 * (number < 4)
        if mma > 115:
            trials.append(trial_of(number, None, mma, state="infeasible", feasible=False,
                                   outcome="breaks compute/mma <= 100", seconds=0.4))  # fmt: skip
        elif number % 7 == 5:
            trials.append(
                trial_of(number, None, mma, state="pruned", outcome="pruned after epoch 3")
            )
        elif number == 9:
            trials.append(
                trial_of(number, None, mma, state="failed", outcome="OSError: disk is full")
            )
        else:
            fine = mma <= 100
            told = "within the limits" if fine else "breaks compute/mma <= 100"
            trials.append(trial_of(number, nme, mma, feasible=fine, outcome=told))
    return study_of(trials)


def night_study() -> StudyRecord:
    """Sixty trials of three methods whose best, fronts and importances follow from formulas."""
    random = np.random.default_rng(5)
    trials = []
    for number in range(60):
        method = ("musica", "asmnet", "mobilenet")[int(random.integers(3))]
        lr, rotation = float(10 ** random.uniform(-4, -2)), float(random.uniform(0, 40))
        params: dict[str, Any] = {
            "method": method,
            "model.init_args.optimizer.init_args.lr": lr,
            "data.init_args.augmentation.rotation": rotation,
        }
        if method == "musica":
            patches = int(random.integers(6, 60))
            params["musica:model.init_args.patches"] = patches
            mma, nme = 20 + 1.6 * patches, 3.3
        elif method == "asmnet":
            width = float(random.choice([0.5, 0.75, 1.0, 1.4]))
            params["asmnet:model.init_args.width"] = width
            mma, nme = 90 * width, 5.2
        else:
            large = bool(random.integers(2))
            name = "mobilenetv2_100" if large else "mobilenetv3_small_100"
            params["mobilenet:model.init_args.backbone"] = name
            mma, nme = 95.0 if large else 23.0, 4.6
        nme += 40 / (mma + 12) + 0.9 * abs(np.log10(lr) + 3) + 0.01 * abs(rotation - 15)
        trial = trial_of(number, float(nme), mma, params=params)
        trial["metrics"]["val/nme"] = float(nme)
        if mma > 100:
            trial |= {"state": "infeasible", "feasible": False, "value": None,
                      "outcome": "breaks compute/mma <= 100"}  # fmt: skip
            del trial["metrics"]["val/nme"]
        elif nme > 6.0:
            trial |= {"state": "pruned", "value": None, "outcome": "pruned after epoch 6"}
        trials.append(trial)
    return study_of(trials, name="night", folder="studies/night", total=60,
                    importance={"method": 0.6, "model.init_args.optimizer.init_args.lr": 0.3,
                                "musica:model.init_args.patches": 0.1})  # fmt: skip


@pytest.fixture
def study() -> StudyRecord:
    """The small study, for a test that may change it."""
    return small_study()
