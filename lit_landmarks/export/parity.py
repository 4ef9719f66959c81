"""Parity: what a written file gives against what PyTorch gives, on rendered faces and noise."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lit_landmarks.data import SyntheticFaces
from lit_landmarks.data.framing import cut_faces
from lit_landmarks.export.module import name_outputs
from lit_landmarks.inference.graphs import GraphMethod
from lit_landmarks.methods.base import LandmarkModule
from lit_landmarks.schemes import convention_index
from lit_landmarks.types import CropSpec, FaceInputs

#: Largest gap of an output that is still the same answer: pixels, percent, degrees, shares; of a
#: focal length as a share of it.
LIMITS = {
    "points": 0.05,
    "error": 0.05,
    "exit_stage": 0.5,
    "pose": 0.05,
    "points3d": 0.05,
    "head3d": 0.01,
    "focal": 0.01,
    "visibility": 0.01,
    "log_sigma": 0.01,
    "crop": 0.05,
}
#: Rendered faces and images of noise to compare on.
_RENDERED, _NOISE = 5, 2


@dataclass(frozen=True)
class Parity:
    """Largest gaps between a file and PyTorch by output, in the units of `OUTPUTS`.

    Attributes:
        gaps: name -> largest absolute difference over all faces.
        mean: mean distance of the points in pixels.
        faces: number of faces compared.
    """

    gaps: dict[str, float]
    mean: float
    faces: int

    @property
    def pixels(self) -> float:
        """Largest gap of a coordinate of the points, pixels of the input image."""
        return self.gaps["points"]

    def failures(self) -> list[str]:
        """Outputs whose gap is above its limit, or no number."""
        return [name for name, gap in self.gaps.items() if not gap <= LIMITS[name]]


def draw_faces(method: LandmarkModule, crop: CropSpec, conventions: tuple[str, ...]) -> FaceInputs:
    """Inputs to compare on: rendered faces as pictures are cut, and noise; of whole 8-bit values.

    Args:
        method: whose inputs they are.
        crop: how it sees faces.
        conventions: asked for in turn; empty for none.
    """
    faces = SyntheticFaces(n=_RENDERED, seed=15, visibility=False)
    rows = range(_RENDERED)
    boxes = faces.index().box
    crops = [
        cut_faces(picture, boxes[row : row + 1], crop)[0]
        for row, picture in zip(rows, faces.load(rows), strict=True)
    ]
    generator = torch.Generator().manual_seed(15)
    noise = torch.rand(_NOISE, 3, crop.size, crop.size, generator=generator)
    image = torch.cat([*crops, noise]).mul(255.0).round().div(255.0)
    inputs = replace(method.example(len(image)), image=image, convention=None)
    if conventions:
        numbers = [convention_index(conventions[k % len(conventions)]) for k in range(len(image))]
        inputs.convention = torch.tensor(numbers)
    return inputs


def compare(method: LandmarkModule, graph: GraphMethod, inputs: FaceInputs) -> Parity:
    """Gaps between the answers of a method and of its file, for all faces at once and one alone.

    Args:
        method: the method in PyTorch, in eval mode on the CPU.
        graph: its file.
        inputs: the faces.
    """
    first = inputs.select(slice(1))
    with torch.inference_mode():
        expected, answer = name_outputs(method(inputs)), name_outputs(graph(inputs))
        alone, answer_alone = name_outputs(method(first)), name_outputs(graph(first))
    gaps = {
        name: max(
            _gap(name, expected[name], answer[name]), _gap(name, alone[name], answer_alone[name])
        )
        for name in answer
    }
    away = torch.linalg.vector_norm(expected["points"] - answer["points"], dim=-1)
    return Parity(gaps, float(away.mean()), len(inputs))


def _gap(name: str, expected: Tensor, answer: Tensor) -> float:
    """Largest absolute difference; NaN, which no limit allows, where one side alone is NaN."""
    if expected.shape != answer.shape:
        return float("nan")
    same = expected.isnan() & answer.isnan()
    difference = (expected.double() - answer.double()).abs().masked_fill(same, 0.0)
    if name == "focal":
        difference = difference / expected.double().abs()
    if name == "pose":
        angles = difference[..., :3]
        difference = torch.cat(
            (torch.minimum(angles, (360.0 - angles).abs()), difference[..., 3:]), -1
        )
    return float(difference.max())
