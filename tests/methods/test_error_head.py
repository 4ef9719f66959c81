"""Predicting one's own error: targets worked by hand, and that the head can learn."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from lit_landmarks.errors import UserError
from lit_landmarks.methods import METHODS
from lit_landmarks.methods.asmnet.loss import ASMLossOptions
from lit_landmarks.nets.error_head import (
    ErrorHead,
    error_normaliser,
    percent_of,
    shape_error,
)
from lit_landmarks.types import FaceBatch

SIZE = 64
PLAIN = ASMLossOptions(alpha_schedule="off")
MakeFaces = Callable[..., FaceBatch]


def test_error_of_a_shifted_shape(make_faces: MakeFaces) -> None:
    faces = make_faces(2)
    moved = faces.points + torch.tensor([3.0, -4.0])
    norm = error_normaliser(faces)
    assert torch.allclose(shape_error(moved, faces), 5.0 / norm, atol=1e-4)
    assert torch.allclose(shape_error(moved, faces, "l1"), 7.0 / norm, atol=1e-4)
    both = shape_error(torch.stack([moved, faces.points]), faces)
    assert both.shape == (2, 2)
    assert both[1].max() < 2e-3 / norm.min()


def test_l1_estimates_are_brought_to_the_euclidean_unit() -> None:
    angle = torch.linspace(0, 2 * torch.pi, 10_001)[:-1]
    l1 = (angle.cos().abs() + angle.sin().abs()).mean()
    assert float(l1) * percent_of("l1") == pytest.approx(percent_of(), rel=1e-4)


def test_gradient_stops_at_the_features() -> None:
    features = torch.rand(4, 8, requires_grad=True)
    ErrorHead(8)(features).sum().backward()
    assert features.grad is None
    ErrorHead(8, detach=False)(features).sum().backward()
    assert features.grad is not None


@pytest.mark.parametrize("name", ["ASMNet", "MobileNetBaseline"])
def test_regressors_tell_their_error(name: str, make_faces: MakeFaces) -> None:
    method = METHODS[name](error_weight=0.1, frame_size=SIZE, loss=PLAIN)  # type: ignore[call-arg]
    faces = make_faces(3)
    method.eval()
    found = method.infer(faces)
    assert found.error is not None
    assert found.error.shape == (1, 3)
    loss = method.losses(found, faces)["error"]
    target = 100.0 * shape_error(found.points, faces)
    assert float(loss) == pytest.approx(float((target - found.error[0]).abs().mean()) / 100)
    loss.backward()
    assert {n.split(".")[1] for n, p in method.named_parameters() if p.grad is not None} == {
        "error"
    }
    assert METHODS[name](frame_size=SIZE).infer(faces).error is None
    with pytest.raises(UserError, match="error_weight"):
        METHODS[name](error_weight=-1.0)  # type: ignore[call-arg]
