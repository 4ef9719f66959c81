"""SurfaceCorrection: the 68 of annotators, read off a dense face of the fits' convention."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from lit_landmarks.data import SyntheticFaces
from lit_landmarks.errors import UserError
from lit_landmarks.methods import METHODS
from lit_landmarks.methods.dense520 import Dense520, SurfaceCorrection
from lit_landmarks.schemes import convention_index
from lit_landmarks.types import FaceBatch, Prediction


def rendered(convention: str) -> Prediction:
    """Exact points of heads of many poses."""
    faces = SyntheticFaces(
        n=24, seed=5, max_yaw=90, scheme="dense520", convention=convention, visibility=False
    )
    labels = faces.labels(range(24))
    return Prediction(points=labels.points, points3d=labels.points3d)


def of(name: str, count: int = 24) -> torch.Tensor:
    return torch.full((count,), convention_index(name))


def test_annotators_points_are_found_on_heads_of_any_pose_and_identity() -> None:
    correction = SurfaceCorrection()
    fitted, skull = rendered("300w_lp"), rendered("3d")
    result = correction(fitted, of("300w"))
    assert result.points3d is not None
    assert fitted.points3d is not None
    assert skull.points3d is not None
    side = (skull.points[:, :68].amax(1) - skull.points[:, :68].amin(1)).prod(1).sqrt()
    before = (fitted.points - skull.points)[:, :68].norm(dim=-1) / side[:, None]
    after = (result.points - skull.points)[:, :68].norm(dim=-1) / side[:, None]
    assert float(before[:, :36].mean()) > 0.05
    assert float(after[:, :36].mean()) < 0.012
    assert float(after[:, :36].amax()) < 0.06
    assert torch.equal(result.points[:, 36:], fitted.points[:, 36:])
    assert torch.equal(result.points3d[..., :2], result.points)
    assert result.points3d[..., 2].mean(1).abs().max() < 1e-3
    off = (result.points3d - skull.points3d)[:, :68, 2]
    assert float((off.abs() / side[:, None]).mean()) < 0.012


def test_the_fits_and_unknown_conventions_are_left_alone() -> None:
    correction, fitted = SurfaceCorrection(), rendered("300w_lp")
    for convention in (of("300w_lp"), of("position_map"), None):
        result = correction(fitted, convention)
        assert torch.equal(result.points, fitted.points)
        assert torch.equal(result.points3d, fitted.points3d)  # type: ignore[arg-type]


def test_each_face_of_a_batch_has_its_own_convention() -> None:
    correction, fitted = SurfaceCorrection(), rendered("300w_lp")
    mixed = torch.where(torch.arange(24) % 2 == 0, of("300w_lp"), of("wflw"))
    result = correction(fitted, mixed)
    whole = correction(fitted, of("wflw"))
    assert torch.equal(result.points[::2], fitted.points[::2])
    assert torch.equal(result.points[1::2], whole.points[1::2])


def batch(method: Dense520, name: str, solid: bool) -> FaceBatch:
    inputs = method.example(3)
    shape: dict[str, Any] = {"convention_id": of(name, 3)}
    points = torch.rand(3, 520, 2) * 64
    if solid:
        shape["points3d"] = torch.cat((points, torch.rand(3, 520, 1)), -1)
    else:
        points[:, 68:] = torch.nan
    return FaceBatch.of(inputs.image, points, **shape)


def test_photos_and_heads_learn_in_their_own_convention() -> None:
    """The gradient of a photo's brow reaches the dense points that it is read off."""
    method = Dense520.tiny(scheme="dense520", correction=SurfaceCorrection())
    photos = batch(method, "300w", solid=False)
    prediction = method(photos.inputs)
    assert prediction.points3d is not None
    offset = method.losses(prediction, photos)["photos"]
    bias = method.network.landmarks.bias
    gradient = torch.autograd.grad(offset, bias)[0].view(520, 3).abs().sum(1)
    assert int((gradient[68:] > 0).sum()) > 20
    assert float(gradient[:17].max()) == 0.0  # the jaw of photos is ignored
    heads = batch(method, "300w_lp", solid=True)
    dense = method.losses(method(heads.inputs), heads)["dense"]
    assert float(torch.autograd.grad(dense, bias)[0].view(520, 3)[:17].abs().min()) > 0.0


@pytest.mark.parametrize("scheme", ["ibug68", "wflw98", "dense520_published", None])
def test_other_points_are_refused(scheme: str | None) -> None:
    method = Dense520 if scheme else METHODS["MuSiCa"]
    with pytest.raises(UserError, match="reads points off dense520, not"):
        method.tiny(scheme=scheme or "ibug68", correction=SurfaceCorrection())


def test_the_first_convention_is_that_of_the_fits() -> None:
    with pytest.raises(UserError, match="begins with '300w'"):
        SurfaceCorrection(conventions=("300w", "300w_lp"))
    assert "youtube_faces" in SurfaceCorrection().conventions


def test_it_is_rebuilt_from_a_checkpoint_and_costs_next_to_nothing() -> None:
    from lit_landmarks.compute import count_mma

    plain = Dense520.tiny(scheme="dense520")
    corrected = Dense520.tiny(scheme="dense520", correction=SurfaceCorrection())
    assert not list(corrected.correction.state_dict())  # type: ignore[union-attr]
    difference = (
        count_mma(corrected, corrected.example()).mma - count_mma(plain, plain.example()).mma
    )
    assert 0.0 <= difference < 0.002
    with pytest.raises(Exception, match=r"correction\.conventions"):
        SurfaceCorrection(conventions=["no_such"])
