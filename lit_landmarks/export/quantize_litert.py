"""Static quantization of LiteRT models to 8 bits; decoding stays in single precision."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lit_landmarks.errors import UserError, needs_extra
from lit_landmarks.export.trunk import Node, find_trunk
from lit_landmarks.inference.runtimes import split_faces

#: LiteRT's operators -> ONNX's.
_ONNX = {
    "CONV_2D": "Conv",
    "DEPTHWISE_CONV_2D": "Conv",
    "TRANSPOSE_CONV": "ConvTranspose",
    "FULLY_CONNECTED": "Gemm",
    "BATCH_MATMUL": "MatMul",
    "RELU": "Relu",
    "RELU6": "Relu",
    "RELU_N1_TO_1": "Relu",
    "LEAKY_RELU": "LeakyRelu",
    "PRELU": "PRelu",
    "ELU": "Elu",
    "GELU": "Gelu",
    "LOGISTIC": "Sigmoid",
    "TANH": "Tanh",
    "HARD_SWISH": "HardSwish",
    "MINIMUM": "Min",
    "MAXIMUM": "Max",
    "ADD": "Add",
    "MUL": "Mul",
    "DIV": "Div",
    "CONCATENATION": "Concat",
    "PAD": "Pad",
    "PADV2": "Pad",
    "MIRROR_PAD": "Pad",
    "MAX_POOL_2D": "MaxPool",
    "AVERAGE_POOL_2D": "AveragePool",
    "MEAN": "ReduceMean",
    "SUM": "ReduceSum",
    "RESIZE_BILINEAR": "Resize",
    "RESIZE_NEAREST_NEIGHBOR": "Resize",
    "RESHAPE": "Reshape",
    "TRANSPOSE": "Transpose",
    "SQUEEZE": "Squeeze",
    "EXPAND_DIMS": "Unsqueeze",
    "BROADCAST_TO": "Expand",
    "SPLIT": "Split",
    "GATHER": "Gather",
    "GATHER_ND": "GatherND",
    "SLICE": "Slice",
    "STRIDED_SLICE": "Slice",
}


def quantize_litert(
    content: bytes, faces: Sequence[dict[str, NDArray[Any]]], inputs: Sequence[str]
) -> tuple[bytes, int]:
    """A model whose trunk has weights and activations of 8 bits.

    Args:
        content: the model in single precision, for one face.
        faces: batches of calibration faces, as the graph takes them.
        inputs: names of the arrays in the order of the model's arguments.

    Returns:
        The quantized model, and the number of its operators that run in 8 bits.

    Raises:
        UserError: the packages are not installed, or the model has no trunk.
    """
    with needs_extra("export --quantize to LiteRT", "litert"):
        from ai_edge_quantizer import qtyping, quantizer
    nodes, constants, operators, image = _read_graph(content)
    trunk = find_trunk(nodes, constants, image)
    supported = {name.value for name in qtyping.TFLOperationName}
    trunk = [name for name in trunk if operators[name][0] in supported]
    if not trunk:
        raise UserError("no layer of this graph can run in 8 bits; omit --quantize")
    work = quantizer.Quantizer(content)
    for name in trunk:
        kind, scope = operators[name]
        work.add_static_config(scope, qtyping.TFLOperationName(kind), 8, 8)
    arguments = [
        # The converter has made whole numbers shorter.
        {
            f"args_{k}": face[name].astype(np.int32) if name == "convention" else face[name]
            for k, name in enumerate(inputs)
        }
        for batch in faces
        for face in split_faces(batch)
    ]
    ranges = work.calibrate({"serving_default": arguments}, num_threads=1)
    return bytes(work.quantize(ranges).quantized_model), len(trunk)


def _read_graph(
    content: bytes,
) -> tuple[list[Node], set[str], dict[str, tuple[str, str]], str]:
    """A model as `find_trunk` takes it.

    Returns:
        Its operators by number; names of constant values; number -> LiteRT's name of the operator,
        and the pattern by which a recipe names it alone; name of the image.
    """
    from ai_edge_quantizer import qtyping
    from ai_edge_quantizer.utils import tfl_flatbuffer_utils

    model = tfl_flatbuffer_utils.read_model(content)
    names = {value: name for name, value in vars(qtyping.BuiltinOperator).items() if name.isupper()}
    graph = model.subgraphs[0]
    nodes: list[Node] = []
    operators: dict[str, tuple[str, str]] = {}
    for number, operator in enumerate(graph.operators):
        kind = names[model.operatorCodes[operator.opcodeIndex].builtinCode]
        values = [str(index) if index >= 0 else "" for index in operator.inputs]
        if kind == "TRANSPOSE_CONV":  # its first input is the shape
            values = [values[2], *values[1:2]]
        outputs = tuple(str(index) for index in operator.outputs)
        nodes.append(Node(str(number), _ONNX.get(kind, kind), tuple(values), outputs))
        scope = tfl_flatbuffer_utils.get_op_scope(operator, graph.tensors)
        operators[str(number)] = (kind, f"^{re.escape(scope)}$")
    constants = {
        str(index)
        for index, tensor in enumerate(graph.tensors)
        if model.buffers[tensor.buffer].data is not None
    }
    return nodes, constants, operators, str(graph.inputs[0])
