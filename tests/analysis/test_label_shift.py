"""The sideways shift of labels is measured whatever side a network prefers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from lit_landmarks.analysis import label_shift
from lit_landmarks.methods import METHODS
from lit_landmarks.nets.label_shift import LabelShiftOptions
from lit_landmarks.types import FaceBatch, FaceInputs, Prediction

SIZE = 64


class Fixed:
    """Answers the same points for every picture, off to one side."""

    def __init__(self, points: torch.Tensor) -> None:
        self.points = points

    def __call__(self, inputs: FaceInputs) -> Prediction:
        return Prediction(self.points.expand(len(inputs), -1, -1))


def test_shift_of_labels_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Points about the middle, labels 3 % of the box to the right of it; the answer is far off."""
    torch.manual_seed(0)
    middle = (SIZE - 1) / 2
    left = torch.tensor([[-20.0, -20.0], [-10.0, 20.0]])
    right = left * torch.tensor([-1.0, 1.0])
    face = torch.cat((left, right)) + middle  # 40 px wide and high
    labels = face + torch.tensor([0.03 * 40.0, 0.0]) + 0.01 * torch.randn(12, 4, 2)
    to_image = torch.tensor([[[2.0, 0.0, 5.0], [0.0, 2.0, 7.0]]]).expand(12, -1, -1)
    batch = FaceBatch.of(torch.zeros(12, 3, SIZE, SIZE), labels, frame_to_image=to_image)

    def faces(*_: Any, **__: Any) -> Iterator[tuple[str, FaceBatch]]:
        yield "one", batch.select(torch.arange(5))
        yield "one", batch.select(torch.arange(5, 12))

    monkeypatch.setattr(label_shift, "iterate_faces", faces)
    monkeypatch.setattr("lit_landmarks.methods.mirroring.flip_permutation", lambda _: [2, 3, 0, 1])
    method = METHODS["ASMNet"].tiny(label_shift=LabelShiftOptions())
    assert method.label_shift is not None
    method.label_shift.shift[0] = 0.5  # has no part in it
    answer = Fixed(face + torch.tensor([7.0, 0.0]))
    monkeypatch.setattr(method, "forward", answer)
    result = label_shift.measure_label_shift(method, None, "val")["one"]  # type: ignore[arg-type]
    assert result.percent == pytest.approx(3.0, abs=0.02)
    assert result.pixels == pytest.approx(2 * 0.03 * 40.0, abs=0.02)
    assert result.faces == 12
    assert 0.0 < result.error < 0.02
    assert method.label_shift is not None
