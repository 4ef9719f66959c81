"""Static quantization of ONNX graphs to 8 bits; what decodes landmarks stays in full precision."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from lit_landmarks.errors import UserError
from lit_landmarks.export.trunk import Node, find_trunk

if TYPE_CHECKING:
    import onnx_ir
    from onnx import ModelProto


def quantize_onnx(
    model: onnx_ir.Model, faces: Sequence[dict[str, NDArray[Any]]]
) -> tuple[onnx_ir.Model, int]:
    """A graph whose trunk has weights and activations of 8 bits (QDQ form).

    Weights are symmetric, with a scale for each channel; activations have the range that they take
    on the calibration faces.

    Args:
        model: in single precision, without branches.
        faces: inputs of the graph for a few batches of calibration faces.

    Returns:
        The quantized graph, and the number of its nodes that run in 8 bits.

    Raises:
        UserError: the graph has no trunk.
    """
    import onnx
    import onnx_ir
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Faces(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._batches: Iterator[dict[str, NDArray[Any]]] = iter(faces)

        def get_next(self) -> dict[str, NDArray[Any]] | None:
            return next(self._batches, None)

    with tempfile.TemporaryDirectory() as name:
        plain, fused, output = (Path(name) / f"{k}.onnx" for k in ("plain", "fused", "int8"))
        onnx_ir.save(model, plain)
        # Merges batch norms into convolutions, whose weights are quantized then.
        quant_pre_process(str(plain), str(fused), skip_symbolic_shape=True)
        proto = onnx.load(fused)
        for number, node in enumerate(proto.graph.node):
            node.name = f"{node.op_type}_{number}"
        trunk = _find_trunk(proto)
        if not trunk:
            raise UserError("no layer of this graph can run in 8 bits; omit --quantize")
        root = logging.getLogger()
        level = root.level
        root.setLevel(logging.ERROR)  # it advises to run what has just run
        try:
            quantize_static(
                proto,
                output,
                Faces(),
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                nodes_to_quantize=trunk,
            )
        finally:
            root.setLevel(level)
        quantized = onnx_ir.from_proto(onnx.load(output))
    return quantized, len(trunk)


def _find_trunk(model: ModelProto) -> list[str]:
    """Names of the nodes of an ONNX graph that may run in 8 bits; each has a name of its own."""
    graph = model.graph
    nodes = [Node(n.name, n.op_type, tuple(n.input), tuple(n.output)) for n in graph.node]
    constants = {value.name for value in graph.initializer}
    constants |= {node.outputs[0] for node in nodes if node.op == "Constant"}
    return find_trunk(nodes, constants, graph.input[0].name)
