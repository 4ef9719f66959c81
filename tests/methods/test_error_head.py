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
    ErrorHeadOptions,
    error_norm,
    percent_factor,
    shape_error,
)
from lit_landmarks.types import FaceBatch

SIZE = 64
PLAIN = ASMLossOptions(alpha_schedule="off")
MakeFaces = Callable[..., FaceBatch]


def test_error_of_a_shifted_shape(make_faces: MakeFaces) -> None:
    faces = make_faces(2)
    moved = faces.points + torch.tensor([3.0, -4.0])
    norm = error_norm(faces)
    assert torch.allclose(shape_error(moved, faces), 5.0 / norm, atol=1e-4)
    assert torch.allclose(shape_error(moved, faces, "l1"), 7.0 / norm, atol=1e-4)
    both = shape_error(torch.stack([moved, faces.points]), faces)
    assert both.shape == (2, 2)
    assert both[1].max() < 2e-3 / norm.min()


def test_l1_estimates_are_brought_to_the_euclidean_unit() -> None:
    angle = torch.linspace(0, 2 * torch.pi, 10_001)[:-1]
    l1 = (angle.cos().abs() + angle.sin().abs()).mean()
    assert float(l1) * percent_factor("l1") == pytest.approx(percent_factor(), rel=1e-4)


def test_gradient_stops_at_the_features() -> None:
    features = torch.rand(4, 8, requires_grad=True)
    ErrorHead(8)(features).sum().backward()
    assert features.grad is None
    ErrorHead(8, ErrorHeadOptions(detach=False))(features).sum().backward()
    assert features.grad is not None


@pytest.mark.parametrize("name", ["ASMNet", "MobileNetBaseline"])
def test_regressors_tell_their_error(name: str, make_faces: MakeFaces) -> None:
    head = ErrorHeadOptions(weight=0.1)
    method = METHODS[name].tiny(error_head=head, loss=PLAIN)
    faces = make_faces(3)
    method.eval()
    found = method(faces.inputs)
    assert found.error is not None
    assert found.error.shape == (1, 3)
    losses = method.phase_losses(found, faces)
    loss = losses["error"]
    target = 100.0 * shape_error(found.points, faces)
    assert float(loss) == pytest.approx(float((target - found.error[0]).abs().mean()) / 100)
    loss.backward()
    assert {n.split(".")[0] for n, p in method.named_parameters() if p.grad is not None} == {
        "error_head"
    }
    total = method.total_loss(losses)
    rest = method.total_loss({**losses, "error": torch.zeros(())})
    assert float(total - rest) == pytest.approx(0.1 * float(loss), rel=1e-3)
    assert METHODS[name].tiny()(faces.inputs).error is None
    with pytest.raises(UserError, match=r"error_head\.weight"):
        ErrorHeadOptions(weight=-1.0)


def test_an_error_head_takes_the_place_of_a_cascades_own(make_faces: MakeFaces) -> None:
    torch.manual_seed(0)
    method = METHODS["MuSiCa"].tiny(error_head=ErrorHeadOptions())
    faces = make_faces(3)
    assert method.error_head is not None
    torch.nn.init.normal_(method.error_head.layers[-1].weight, std=1.0)
    method.eval()
    prediction = method(faces.inputs)
    assert prediction.error.shape == (3, 3)
    losses = method.phase_losses(prediction, faces)
    target = 100.0 * shape_error(prediction.stages, faces)
    gap = (target - prediction.error).abs().mean() / 100
    assert float(losses["error"]) == pytest.approx(float(gap), rel=1e-5)
    # Faces leave by what the head says.
    assert method.early_exit is not None
    first = prediction.error[0]
    method.early_exit.set_thresholds([float(first.median()) + 0.01, -float("inf")])
    assert torch.equal(method(faces.inputs).exit_stage == 0, first <= first.median())
