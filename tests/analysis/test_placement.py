"""Places of a new scheme: found on a method whose answers are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lit_landmarks.analysis.placement import fit_places
from lit_landmarks.errors import UserError
from lit_landmarks.inference.places import Places, name_places, pick_place, read_places
from lit_landmarks.methods import METHODS, LandmarkModule
from lit_landmarks.template import query_points
from lit_landmarks.types import FaceBatch, FaceInputs, Prediction


class FlatFace(LandmarkModule, abstract=True):
    """Sees queries from the front, 20 pixels to a head unit, the more right the brighter."""

    answers_queries = True

    def __init__(self, **base: Any) -> None:
        super().__init__(scheme=None, frame_size=64, **base)
        self.scale = torch.nn.Parameter(torch.tensor(20.0))
        self.attach()

    @classmethod
    def tiny(cls, **more: Any) -> FlatFace:
        return cls(**more)

    def predict(self, inputs: FaceInputs) -> Prediction:
        assert inputs.queries is not None
        shift = torch.stack((20.0 * inputs.image.mean((1, 2, 3)), torch.zeros(len(inputs))), -1)
        return Prediction(inputs.queries[..., :2] * self.scale + 20.0 + shift[:, None])

    def losses(self, prediction: Prediction, batch: FaceBatch) -> dict[str, Tensor]:
        return {"none": prediction.points.sum() * 0}


def labelled(places: Tensor, faces: int = 4) -> list[FaceBatch]:
    image = torch.linspace(0, 1, faces).view(-1, 1, 1, 1).expand(-1, 3, 64, 64)
    method = FlatFace()
    points = method(FaceInputs(image, queries=places.expand(faces, -1, -1))).points.detach()
    return [FaceBatch.of(image, points)]


def test_places_are_found_and_weights_stay() -> None:
    places = query_points("wflw98")[[3, 20, 51, 88]] + 0.02
    method = FlatFace()
    placement = fit_places(method, labelled(places))
    torch.testing.assert_close(placement.queries[:, :2], places[:, :2], atol=3e-3, rtol=0)
    assert placement.after < 0.1 * placement.before
    assert method.scale.item() == 20.0
    assert method.scale.requires_grad
    assert placement.labelled.tolist() == [4] * 4


def test_the_best_step_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lit_landmarks.analysis.placement._RATE", 5.0)  # overshoots
    batches = labelled(query_points("wflw98")[[3, 20, 51, 88]] + 0.02)
    placement = fit_places(FlatFace(), batches, steps=3)
    assert placement.after <= placement.before
    one = fit_places(FlatFace(), batches, steps=0)
    assert one.after == one.before
    monkeypatch.undo()
    assert fit_places(FlatFace(), batches, steps=20).after < one.before


def test_point_without_a_label_is_refused() -> None:
    (batch,) = labelled(query_points("ibug68")[:5])
    batch.mask[:, 2] = False
    with pytest.raises(UserError, match=r"points \[2\] \(counted from 0\) are labelled on no face"):
        fit_places(FlatFace(), [batch])
    with pytest.raises(UserError, match="MuSiCa has fixed points"):
        fit_places(METHODS["MuSiCa"].tiny(), [batch])


def test_places_are_written_and_read(tmp_path: Path) -> None:
    queries = query_points("ibug68")[:3]
    name_places(("a", "b", "c"), queries).write(tmp_path / "places.json")
    places = read_places(tmp_path / "places.json")
    assert places.names == ("a", "b", "c")
    np.testing.assert_allclose(places.queries, queries.numpy(), atol=1e-6)


@pytest.mark.parametrize("text", ["{}", "[]", '{"places": {"a": [1, 2]}}', "{"])
def test_other_files_are_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "places.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"places\.json"):
        read_places(path)
    with pytest.raises(UserError, match=r"none\.json"):
        read_places(tmp_path / "none.json")


def test_places_far_from_a_head_are_refused() -> None:
    with pytest.raises(UserError, match="from the head's origin"):
        Places(("a",), np.array([[0.0, 9.0, 0.0]], np.float32))
    with pytest.raises(UserError, match="name of its own"):
        Places(("a", "a"), np.zeros((2, 3), np.float32))


def test_picked_places_lie_on_the_face() -> None:
    tip = query_points("ibug68")[30]
    picked = pick_place(float(tip[0]), float(tip[1]))
    torch.testing.assert_close(picked, tip, atol=0.05, rtol=0)
    with pytest.raises(UserError, match="no face at"):
        pick_place(2.0, 0.0)
