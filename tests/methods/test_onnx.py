"""Methods as ONNX graphs that take any number of faces; with each part: `tests/export`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from onnxruntime import InferenceSession
from torch import Tensor
from torch.export import Dim

from lit_landmarks.geometry import euler_to_matrix
from lit_landmarks.methods import LandmarkModule
from lit_landmarks.methods.dense520 import Dense520, SurfaceCorrection
from lit_landmarks.methods.infinite3d import Infinite3D
from lit_landmarks.nets.similarity_normalizer import SimilarityNormalizer
from lit_landmarks.schemes import convention_index
from lit_landmarks.template import mean_face
from lit_landmarks.types import FaceInputs
from tests.methods.test_every_method import PARTS, PointsOf, build, every_method


@every_method
def test_the_graph_takes_any_batch(method: type[LandmarkModule], tmp_path: Path) -> None:
    module = build(method).eval()
    for layer in module.modules():
        if getattr(layer, "inplace", False):
            # The same function; an activation in place takes the exporter twice as long to trace.
            layer.inplace = False
    torch.manual_seed(1)
    image = torch.rand(7, *module.example().image.shape[1:])
    check_any_batch(PointsOf(module).eval(), image, tmp_path, counts=(1, 3, 7))


def open_graph(module: torch.nn.Module, image: Tensor, folder: Path) -> InferenceSession:
    """A session of the graph of `module`, exported with two faces of `image` and a free batch."""
    program = torch.onnx.export(
        module,
        (image[:2],),
        input_names=["image"],
        dynamo=True,
        dynamic_shapes={"image": {0: Dim("batch", min=1)}},
        verbose=False,
    )
    assert program is not None
    program.save(folder / "method.onnx")
    return InferenceSession(folder / "method.onnx", providers=["CPUExecutionProvider"])


def check_any_batch(
    points_of: torch.nn.Module, image: Tensor, folder: Path, counts: tuple[int, ...]
) -> None:
    """Export with two faces; the graph gives the same points of so many of `image` as torch."""
    session = open_graph(points_of, image, folder)
    for count in counts:
        (points,) = session.run(None, {"image": image[:count].numpy()})
        with torch.inference_mode():
            expected = points_of(image[:count]).numpy()
        assert points.shape == (count, 68, 2)
        assert np.abs(points - expected).max() < 0.01, f"batch of {count}, in pixels"


class SolidOf(torch.nn.Module):
    """3D points and head pose in the convention of 300W."""

    def __init__(self, method: LandmarkModule) -> None:
        super().__init__()
        self.method = method

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        asked = torch.full(image.shape[:1], convention_index("300w"), device=image.device)
        prediction = self.method(FaceInputs(image, convention=asked))
        assert prediction.points3d is not None
        assert prediction.pose is not None
        return prediction.points3d, prediction.pose[:, :3]


@pytest.mark.parametrize(
    "looks", ["at_the_frame", pytest.param("at_a_crop_of_it", marks=pytest.mark.slow)]
)
def test_points_in_3d_and_head_pose_are_in_the_graph_too(looks: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    parts = PARTS["normalizer"]() if looks == "at_a_crop_of_it" else {}
    method = Dense520.tiny(scheme="dense520", correction=SurfaceCorrection(), **parts).eval()
    turned = mean_face("dense520") @ euler_to_matrix(torch.tensor([[35.0, -10.0, 15.0]]))[0].mT
    with torch.no_grad():
        method.network.landmarks.bias.copy_(0.3 * turned.flatten())
    solid_of = SolidOf(method).eval()
    image = torch.rand(3, *method.example().image.shape[1:])
    session = open_graph(solid_of, image, tmp_path)
    for count in (1, 3):
        solid, pose = session.run(None, {"image": image[:count].numpy()})
        with torch.inference_mode():
            expected, angles = (values.numpy() for values in solid_of(image[:count]))
        assert np.abs(solid - expected).max() < 0.01, f"batch of {count}, in pixels"
        assert np.abs(pose - angles).max() < 0.01, f"batch of {count}, in degrees"
        assert np.abs(pose).min() > 1.0


@pytest.mark.slow
def test_similarity_normalizer_and_3d_head_are_in_the_graph(tmp_path: Path) -> None:
    torch.manual_seed(0)
    normalizer = SimilarityNormalizer(crop_size=64, thumbnail=32, looks=2)
    for look in normalizer.looks:  # each face has its own crop
        torch.nn.init.normal_(look.linear.weight, std=0.2)
    method = Infinite3D.tiny(scheme="ibug68", frame_size=128, normalizer=normalizer).eval()
    image = torch.rand(3, 3, 128, 128)
    crops = method(FaceInputs(image)).crop
    assert (crops[0] - crops[1]).abs().max() > 0.1
    check_any_batch(PointsOf(method).eval(), image, tmp_path, counts=(1, 3))
