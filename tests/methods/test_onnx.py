"""Every method, alone and with each part, as an ONNX graph that takes any number of faces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from onnxruntime import InferenceSession
from torch import Tensor
from torch.export import Dim

from lit_landmarks.methods import LandmarkModule
from tests.methods.test_every_method import PARTS, PointsOf, build, every_method


@every_method
@pytest.mark.parametrize(
    "part", [pytest.param(p, marks=[] if p == "nothing" else pytest.mark.slow) for p in PARTS]
)
def test_the_graph_takes_any_batch(method: type[LandmarkModule], part: str, tmp_path: Path) -> None:
    module = build(method, part).eval()
    for layer in module.modules():
        if getattr(layer, "inplace", False):
            # The same function; an activation in place takes the exporter twice as long to trace.
            layer.inplace = False
    torch.manual_seed(1)
    image = torch.rand(7, *module.example().image.shape[1:])
    check_any_batch(PointsOf(module).eval(), image, tmp_path, counts=(1, 3, 7))


def check_any_batch(
    points_of: torch.nn.Module, image: Tensor, folder: Path, counts: tuple[int, ...]
) -> None:
    """Export with two faces; the graph gives the same points of so many of `image` as torch."""
    program = torch.onnx.export(
        points_of,
        (image[:2],),
        input_names=["image"],
        dynamo=True,
        dynamic_shapes={"image": {0: Dim("batch", min=1)}},
        verbose=False,
    )
    assert program is not None
    program.save(folder / "method.onnx")
    session = InferenceSession(folder / "method.onnx", providers=["CPUExecutionProvider"])
    for count in counts:
        (points,) = session.run(None, {"image": image[:count].numpy()})
        with torch.inference_mode():
            expected = points_of(image[:count]).numpy()
        assert points.shape == (count, 68, 2)
        assert np.abs(points - expected).max() < 0.01, f"batch of {count}, in pixels"
