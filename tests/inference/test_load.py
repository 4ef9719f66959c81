"""Ten thousand requests through one `Landmarker`, some of them bad: none lost, memory flat."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from lit_landmarks.draw import save_png
from lit_landmarks.errors import UserError
from lit_landmarks.inference import Landmarker
from lit_landmarks.methods import METHODS
from lit_landmarks.types import CropSpec

_REQUESTS = 10_000
#: Growth of the peak over four fifths of the requests; a leak of one crop each would be 390 MB.
_MOST_GROWTH = 16 * 2**20
_BOX = [[30.0, 20.0, 80.0, 70.0]]


def _files(folder: Path) -> list[Path]:
    """A good picture, a broken one, one that is text, and one that is not there."""
    rng = np.random.default_rng(0)
    good = folder / "good.png"
    save_png(rng.integers(0, 255, (90, 120, 3), np.uint8), good)
    (folder / "broken.png").write_bytes(good.read_bytes()[:-200])
    (folder / "text.png").write_text("no picture")
    return [folder / name for name in ("good.png", "broken.png", "text.png", "absent.png")]


def _peak_memory() -> int:
    """Most memory that the process has had, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


@pytest.mark.slow
def test_many_requests_lose_nothing_and_keep_no_memory(tmp_path: Path) -> None:
    torch.manual_seed(0)
    landmarker = Landmarker(METHODS["MuSiCa"].tiny(), CropSpec(64, "tight", 1.35))
    files = _files(tmp_path)
    pictures = np.random.default_rng(1).integers(0, 255, (7, 90, 120, 3), np.uint8)
    expected = [landmarker(picture, _BOX)[0].points for picture in pictures]
    first = next(landmarker.annotate([files[0]], _BOX)).faces[0].points
    start, answers, problems = 0, 0, 0
    for number in range(_REQUESTS):
        kind, which = number % 10, number % len(pictures)
        if kind < 7:
            face = landmarker(pictures[which], _BOX)[0]
            np.testing.assert_array_equal(face.points, expected[which])
            answers += 1
        elif kind == 7:
            with pytest.raises(UserError, match=r"\(90, 120\)"):
                landmarker(pictures[which, ..., 0], _BOX)
            problems += 1
        else:
            path = files[number // 10 % len(files)]
            (annotation,) = landmarker.annotate([path], _BOX)
            if path.name == "good.png":
                np.testing.assert_array_equal(annotation.faces[0].points, first)
                answers += 1
            else:
                assert path.name in str(annotation.problem)
                assert not annotation.faces
                problems += 1
        if number == _REQUESTS // 5:
            start = _peak_memory()
    assert _peak_memory() - start < _MOST_GROWTH
    assert answers + problems == _REQUESTS
    assert problems == 2500
