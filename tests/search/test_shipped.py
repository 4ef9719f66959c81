"""Every study that is shipped is read, and its first values are built and counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from lit_landmarks.search import check_settings, read_sweep

SWEEPS = sorted((Path(__file__).resolve().parents[2] / "sweeps").glob("*.yaml"))


def test_there_are_some() -> None:
    assert SWEEPS


@pytest.mark.parametrize("path", SWEEPS, ids=lambda p: p.stem)
def test_it_can_start(path: Path) -> None:
    sweep = read_sweep(path)
    assert path.read_text(encoding="utf-8").startswith("# "), "says what it is for"
    check_settings(sweep)
