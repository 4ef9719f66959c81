"""A trial on two devices (CPU processes): rank 0 reports, all ranks stop together."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from optuna.trial import TrialState

from lit_landmarks.search import RUN, StudyFolder, describe_outcome
from lit_landmarks.search.devices import is_multi_device


@pytest.mark.parametrize(
    ("devices", "more"),
    [(1, False), (2, True), ("auto", False), (None, False), (-1, False), ("2", True),
     ("[0, 1]", True), ([0, 1], True), ([3], False), ("[3]", False), ("-1", False)],
)  # fmt: skip
def test_which_values_ask_for_several(devices: Any, more: bool) -> None:
    assert is_multi_device(devices) == more


@pytest.mark.slow
def test_two_devices(tiny: Path, tmp_path: Path) -> None:
    tree = {
        "name": "two", "base": [tiny.name], "trials": 2,
        "space": {"model.init_args.dropout": {"float": [0.0, 0.5]}},
        "settings": {"trainer.devices": 2, "trainer.strategy": "ddp", "trainer.max_epochs": 3},
        # The first trial sets the mark, whatever comes second is stopped after its first epoch.
        "pruner": {"class": "PercentilePruner", "arguments": {
            "percentile": 0.0, "n_startup_trials": 1, "n_warmup_steps": 0}},
    }  # fmt: skip
    file = tmp_path / "sweep.yaml"
    file.write_text(yaml.safe_dump(tree))
    folder = StudyFolder(tmp_path / "study")
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "lit_landmarks", "sweep", "run", str(file), "--study",
         str(folder.root)],
        env={**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    first, second = folder.open(folder.sweep()).get_trials()
    assert first.state == TrialState.COMPLETE, describe_outcome(first)
    result = json.loads((folder.locate(first.user_attrs[RUN]) / "result.json").read_text())
    assert result["epochs"] == 3
    assert first.value == pytest.approx(min(first.intermediate_values.values()), rel=1e-5)
    assert sorted(first.intermediate_values) == [0, 1, 2]
    config = yaml.safe_load((folder.locate(first.user_attrs[RUN]) / "config.yaml").read_text())
    assert int(config["trainer"]["devices"]) == 2
    if second.state == TrialState.PRUNED:
        assert "pruned after epoch" in describe_outcome(second)
    else:
        assert second.value is not None
        assert second.value <= first.value, "better at every epoch, or it would have been pruned"
