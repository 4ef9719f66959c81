"""Faces that leave a cascade: which, what becomes of their columns, and what NaN means."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lit_landmarks.methods.musica import MuSiCa
from lit_landmarks.methods.spiga import SPIGA
from lit_landmarks.nets.cascade_stages import CascadeStages
from lit_landmarks.nets.error_head import ErrorHeadOptions
from lit_landmarks.types import FaceInputs

NAN = float("nan")


def test_columns_of_faces_that_left_repeat() -> None:
    stages = CascadeStages(4, torch.device("cpu"))
    stages.add(error=torch.tensor([9.0, 1.0, 9.0, 9.0]))
    assert stages.let_leave(torch.tensor(5.0))
    assert stages.active is not None
    assert stages.active.tolist() == [0, 2, 3]
    stages.add(torch.tensor([0.1, 0.2, 0.3]), error=torch.tensor([8.0, 4.0, 6.0]))
    assert stages.let_leave(torch.tensor([7.0, 99.0, 7.0, 7.0])), "limits by face"
    assert stages.last("error").tolist() == [8.0]
    stages.add(torch.tensor([0.5]), error=torch.tensor([2.0]))
    assert not stages.let_leave(torch.tensor(5.0))
    stages.repeat(1)
    errors = [column.tolist() for column in stages.columns["error"]]
    assert errors == [[9, 1, 9, 9], [8, 1, 4, 6], [2, 1, 4, 6], [2, 1, 4, 6]]
    assert stages.exits.tolist() == [2, 0, 1, 1]
    attention = torch.stack(stages.attention)
    expected = torch.tensor([[0.1, NAN, 0.2, 0.3], [0.5, NAN, NAN, NAN], [NAN] * 4])
    torch.testing.assert_close(attention, expected, equal_nan=True)


def test_an_error_that_is_not_a_number_lets_no_face_leave() -> None:
    stages = CascadeStages(3, torch.device("cpu"))
    stages.add(error=torch.tensor([1.0, NAN, 9.0]))
    assert stages.let_leave(torch.tensor(5.0))
    assert stages.active is not None
    assert stages.active.tolist() == [1, 2]
    assert stages.let_leave(torch.tensor([torch.inf] * 3))
    assert stages.active.tolist() == [1]


@pytest.mark.parametrize("method", [MuSiCa, SPIGA])
def test_both_cascades_go_on_where_they_cannot_judge_themselves(
    method: type[MuSiCa] | type[SPIGA],
) -> None:
    cascade = method.tiny(error_head=ErrorHeadOptions()).eval()
    assert cascade.early_exit is not None
    cascade.early_exit.set_thresholds([torch.inf, torch.inf])
    assert cascade.error_head is not None
    estimate = cascade.error_head.forward

    def spoil_last(features: Tensor) -> Tensor:
        errors = estimate(features)
        errors[..., -1] = torch.nan
        return errors

    cascade.error_head.forward = spoil_last  # type: ignore[method-assign]
    with torch.no_grad():
        prediction = cascade(FaceInputs(torch.rand(3, 3, 64, 64)))
    assert prediction.exit_stage.tolist() == [0, 0, 2]
