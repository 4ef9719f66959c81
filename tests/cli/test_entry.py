"""The installed command and `python -m` find the same classes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lit_landmarks.cli import main


def test_the_installed_command_finds_classes_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["lit-landmarks", "--version"])
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert str(tmp_path) not in sys.path
    assert main(["--version"]) == 0
    assert str(tmp_path) not in sys.path, "called from Python, it leaves the path alone"
    assert main() == 0
    assert sys.path[0] == str(tmp_path)
