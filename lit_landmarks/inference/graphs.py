"""`GraphMethod`: an exported graph in the place of the method that it was exported from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lit_landmarks.errors import UserError
from lit_landmarks.inference.graph_description import GraphDescription
from lit_landmarks.inference.runtimes import Runtime, open_runtime
from lit_landmarks.methods.parts import add_mesh_visibility
from lit_landmarks.methods.steps import MethodSteps
from lit_landmarks.nets.label_shift import shift_right
from lit_landmarks.schemes import CONVENTIONS
from lit_landmarks.template import query_points
from lit_landmarks.types import FaceBatch, FaceInputs, FrameKind, Needs, Prediction


class GraphMethod(MethodSteps):
    """An exported graph as a method: `Landmarker` takes it, and trainers validate and test it.

    It has no parameters and does not learn. The graph runs on the CPU; what it gives goes to the
    device of its inputs.

    Args:
        runtime: the opened graph.
    """

    channels_last = False

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(optimizer=torch.optim.SGD, schedule=None, phases=None, rates=None)
        self.runtime = runtime
        self.description = runtime.description
        self.scheme = self.description.scheme_name
        self.frame_size = self.description.size
        self.correction, self.label_shift = None, None

    @property
    def normalizer(self) -> Any:  # type: ignore[override]  # a method's can be replaced
        """Not None if the graph looks for the face in a wide picture itself."""
        return True if self.description.whole else None

    @property
    def needs(self) -> Needs:
        """The frame and the points of the method that was exported."""
        frame: FrameKind | None = "wide" if self.description.whole else None
        return Needs(frame=frame, one_scheme=self.scheme is not None)

    def total_mma(self) -> float | None:
        """As the file says."""
        return self.description.mma

    @property
    def answer_conventions(self) -> tuple[str, ...]:
        """See `Predictor`."""
        return self.description.conventions

    def answered_convention(self, asked: str | None) -> str | None:
        """See `LandmarkModule.answered_convention`."""
        conventions = self.description.conventions
        if not conventions:
            return None
        return asked if asked in conventions else conventions[0]

    def add_visibility(
        self, prediction: Prediction, inputs: FaceInputs, anchors: int = 0
    ) -> Prediction:
        """See `MethodParts.add_visibility`."""
        own = torch.tensor(self.description.queries).reshape(-1, 3)
        if inputs.queries is None and prediction.head3d is not None and not len(own):
            own = query_points(str(self.scheme))
        return add_mesh_visibility(prediction, inputs, own, anchors)

    def losses(self, prediction: Prediction, batch: FaceBatch) -> dict[str, Tensor]:
        """None: a graph does not learn."""
        raise UserError("an exported graph does not learn; train the method itself")

    def forward(self, inputs: FaceInputs) -> Prediction:
        """Landmarks of every face, in pixels of `inputs.image`; see `LandmarkModule.forward`.

        Raises:
            UserError: no queries for a graph that answers them.
        """
        arrays = as_arrays(inputs, self.description)
        values = self.runtime.run(arrays)
        device = inputs.image.device
        # `run` may reuse its memory.
        tensors = {name: torch.tensor(value, device=device) for name, value in values.items()}
        if "error" in tensors:
            tensors["error"] = tensors["error"][None]
        if "exit_stage" in tensors:
            costs = torch.tensor(self.description.stage_mma, device=device)
            tensors["mma"] = costs[tensors["exit_stage"]]
        prediction = Prediction(**tensors)
        shift = self.description.label_shift
        if inputs.mirrored and any(shift):
            # The graph has shifted its answer as for a picture that is no mirror image.
            rows = arrays.get("convention", np.zeros(1, np.int64))
            twice = -2.0 * torch.tensor(shift, device=device)[torch.from_numpy(rows).to(device)]
            prediction = shift_right(prediction, twice)
        return prediction


def as_arrays(inputs: FaceInputs, description: GraphDescription) -> dict[str, NDArray[Any]]:
    """Inputs of a method as its graph takes them.

    Raises:
        UserError: no queries for a graph that answers them.
    """
    image = inputs.image.detach().float().cpu()
    if description.pixels == "uint8":
        image = image.mul(255.0).round().clamp(0, 255).byte().permute(0, 2, 3, 1)
    arrays: dict[str, NDArray[Any]] = {"image": image.contiguous().numpy()}
    if "queries" in description.inputs:
        if inputs.queries is None:
            raise UserError(
                "the graph answers the points that it is given, and none were given; pass queries,"
                " (B, N, 3) template points"
            )
        arrays["queries"] = inputs.queries.detach().float().cpu().contiguous().numpy()
    if "convention" in description.inputs:
        own = {name: row for row, name in enumerate(description.conventions)}
        rows = np.array([own.get(name, 0) for name in CONVENTIONS], np.int64)
        asked = inputs.convention
        unasked = np.zeros(len(image), np.int64)
        arrays["convention"] = unasked if asked is None else rows[asked.cpu().numpy()]
    return arrays


def open_graph(path: str | Path, threads: int | None = None) -> GraphMethod:
    """An exported graph as a method, in eval mode.

    Args:
        path: an .onnx or .tflite file that `export` wrote.
        threads: of the runtime; None for as many as torch uses.

    Raises:
        UserError: no such file, a file of another program, or a runtime that is not installed.
    """
    path = Path(path)
    runtime = open_runtime(path, threads)
    runtime.description.declare_scheme(path)
    return GraphMethod(runtime).eval()
