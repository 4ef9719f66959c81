"""ced.npz: curves that agree with the failure rates, one file for two roles, broken files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lit_landmarks.errors import UserError
from lit_landmarks.training.curves import ErrorCurve, read_curves, save_curves

EDGES = np.arange(1, 11) * 0.5


def curve(shift: float, norm: str = "interocular") -> ErrorCurve:
    return ErrorCurve(norm, EDGES, np.clip(EDGES / 5 - shift, 0, 1))


def test_roles_are_kept_apart(tmp_path: Path) -> None:
    path = tmp_path / "ced.npz"
    assert read_curves(path) == {}
    save_curves(path, {"val/helen": curve(0.1), "val/helen/dark": curve(0.2)})
    save_curves(path, {"test/afw": curve(0.3, "box")})
    assert list(read_curves(path)) == ["val/helen", "val/helen/dark", "test/afw"]
    # Measured anew, a role is replaced whole: a subset that is gone stays gone.
    save_curves(path, {"val/helen": curve(0.0)})
    found = read_curves(path)
    assert list(found) == ["test/afw", "val/helen"]
    assert found["test/afw"].norm == "box"
    np.testing.assert_allclose(found["val/helen"].fraction, EDGES / 5)
    np.testing.assert_allclose(found["val/helen"].edges, EDGES)
    assert [p.name for p in tmp_path.iterdir()] == ["ced.npz"], "no temporary file is left"


def test_nothing_is_written_without_a_curve(tmp_path: Path) -> None:
    save_curves(tmp_path / "ced.npz", {})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 half of a file", b"no npz"])
def test_a_broken_file_is_told_with_its_cure(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "ced.npz").write_bytes(content)
    with pytest.raises(UserError, match=r"ced\.npz cannot be read; delete it .* --ced"):
        read_curves(tmp_path / "ced.npz")
