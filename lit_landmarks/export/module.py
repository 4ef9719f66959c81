"""`ExportedMethod`: a method as a module of plain tensors, which exporters trace."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from lit_landmarks.compute.copies import copy_module, deploy, is_mergeable
from lit_landmarks.errors import UserError
from lit_landmarks.inference.graph_description import OUTPUTS, PixelFormat
from lit_landmarks.methods.base import LandmarkModule
from lit_landmarks.schemes import convention_index
from lit_landmarks.types import FaceInputs, Prediction


@dataclass(frozen=True)
class Signature:
    """What a graph takes and gives.

    Attributes:
        pixels: see `GraphDescription.pixels`.
        conventions: that may be asked for; a single one is fixed and no input; empty for a method
            without a correction.
        queries: (N, 3) fixed template points of a method of queries; None: those of its scheme,
            or an input where it has none.
        outputs: names, of `graph_description.OUTPUTS`, in their order.
        stages: number of stages after each of which all outputs are given, for a cascade that
            faces leave early; 0 for the last one alone.
    """

    pixels: PixelFormat = "float"
    conventions: tuple[str, ...] = ()
    queries: Tensor | None = None
    outputs: tuple[str, ...] = ("points",)
    stages: int = 0


class ExportedMethod(nn.Module):
    """A method in its deployed form, from pixels to named outputs.

    Args:
        method: a trained method; it is copied.
        signature: see `Signature`.

    Example:
        >>> from lit_landmarks.methods import METHODS
        >>> exported = ExportedMethod(METHODS["ASMNet"].tiny(), Signature())
        >>> [points] = exported(torch.zeros(2, 3, 64, 64))
        >>> points.shape
        torch.Size([2, 68, 2])
    """

    queries: Tensor | None
    numbers: Tensor

    def __init__(self, method: LandmarkModule, signature: Signature) -> None:
        super().__init__()
        twin = copy_module(method, "cpu")
        with torch.no_grad():
            twin = deploy(twin) if is_mergeable(twin) else twin
        for layer in twin.modules():
            if getattr(layer, "inplace", False):
                # The same function; an activation in place takes exporters twice as long to trace.
                layer.inplace = False  # type: ignore[assignment]
        self.method = cast(LandmarkModule, twin)
        self.signature = signature
        numbers = [convention_index(name) for name in signature.conventions]
        self.register_buffer("numbers", torch.tensor(numbers, dtype=torch.int64))
        self.register_buffer("queries", signature.queries)
        self.eval()

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the tensors that `forward` takes."""
        names = ["image"]
        if self.method.scheme is None and self.queries is None:
            names.append("queries")
        if len(self.numbers) > 1:
            names.append("convention")
        return tuple(names)

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the tensors that `forward` gives; those of stages end in their number."""
        names = self.signature.outputs
        stages = self.signature.stages
        return tuple(f"{n}_{k}" for k in range(stages) for n in names) if stages else names

    def example(self, faces: int = 2) -> tuple[Tensor, ...]:
        """Inputs to trace with: noise, which unlike a constant image takes the usual way."""
        size = self.method.frame_size
        image = torch.rand(faces, 3, size, size, generator=torch.Generator().manual_seed(0))
        tensors = {
            "image": image,
            "queries": self.method.example(faces).queries,
            "convention": torch.zeros(faces, dtype=torch.int64),
        }
        if self.signature.pixels == "uint8":
            tensors["image"] = image.mul(255.0).byte().permute(0, 2, 3, 1).contiguous()
        return tuple(cast(Tensor, tensors[name]) for name in self.input_names)

    def forward(self, *tensors: Tensor) -> list[Tensor]:
        """Outputs of B faces in the order of `output_names`."""
        given = dict(zip(self.input_names, tensors, strict=True))
        image = given["image"]
        if self.signature.pixels == "uint8":
            image = image.permute(0, 3, 1, 2).float() / 255.0
        inputs = FaceInputs(image, queries=given.get("queries"))
        if self.queries is not None:
            inputs.queries = self.queries.expand(image.shape[0], -1, -1)
        if "convention" in given:
            inputs.convention = self.numbers[given["convention"]]
        elif len(self.numbers) == 1:
            inputs.convention = self.numbers.expand(image.shape[0])
        values: list[Tensor] = []
        for prediction in self._predictions(inputs):
            named = name_outputs(prediction)
            values += [named[name] for name in self.signature.outputs]
        return values

    def _predictions(self, inputs: FaceInputs) -> Iterator[Prediction]:
        """What the method predicts, after each stage if the signature has stages.

        The stages before are written down again for each; an exporter computes them once.
        """
        early_exit = self.method.early_exit
        for stage in range(self.signature.stages or 1):
            leaves = early_exit is not None and self.signature.stages > 0
            assert early_exit is not None or not leaves
            with early_exit.force_exit(stage) if early_exit and leaves else nullcontext():
                yield self.method(inputs)


def name_outputs(prediction: Prediction) -> dict[str, Tensor]:
    """Outputs of a graph by name; `error` is that of the last stage."""
    error = prediction.error
    values = {name: getattr(prediction, name) for name in OUTPUTS if name != "error"}
    values["error"] = None if error is None else error[-1]
    return {name: values[name] for name in OUTPUTS if values[name] is not None}


def list_outputs(method: LandmarkModule) -> tuple[str, ...]:
    """Names of all that a method gives, in their order, without the exit of a cascade."""
    method = method.eval()
    with torch.inference_mode():
        named = name_outputs(method(method.example(2)))
    return tuple(name for name in named if name != "exit_stage")


def check_outputs(asked: list[str] | None, method: LandmarkModule) -> tuple[str, ...]:
    """The outputs that a file will have: all, or those asked for and the points.

    Raises:
        UserError: one that the method does not give.
    """
    present = list_outputs(method)
    if asked is None:
        return present
    if unknown := [name for name in asked if name not in present]:
        raise UserError(
            f"{type(method).__name__} gives no '{unknown[0]}'; choose of {', '.join(present)}"
        )
    return tuple(name for name in present if name == "points" or name in asked)
