"""Lightning's advertisements are left out wherever our classes are used; its messages are not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

_TRAINERS = {
    "a trainer of one's own": "Trainer(logger=False, accelerator='cpu')",
    "with a logger and checkpoints": "Trainer(logger=True, accelerator='cpu')",
    "with a table": "Trainer(logger=CSVLogger('x'), accelerator='cpu', max_epochs=1)",
}


@pytest.mark.parametrize("package", ["lit_landmarks.methods", "lit_landmarks.data"])
@pytest.mark.parametrize("trainer", _TRAINERS)
def test_no_advertisement(package: str, trainer: str, tmp_path: Path) -> None:
    code = f"""
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import CSVLogger
import {package}
{_TRAINERS[trainer]}
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )
    text = done.stdout + done.stderr
    assert "GPU available" in text, "other messages pass"
    assert "Tip" not in text
    assert "try installing" not in text
