"""The part of an ONNX graph that may run in 8 bits: the network, without what decodes its answer.

A quantized coordinate has 256 places; a heat map's softmax in 8 bits is worth nothing. What decodes
is found by how values flow, whatever the method:

* Layers are convolutions and products with constant weights.
* Features flow from layer to layer through activations, sums, pooling and the like, and are read
  out of maps by gathers and samples (whose indices are no features).
* A layer belongs to the trunk if the image or features flow into it and features flow from it into
  another layer. The last layer before coordinates, a softmax or any other arithmetic does not, nor
  does a layer that coordinates flow into.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

#: Operators with constant weights.
_LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
#: Operators that give features of features.
_PASSES = (
    *("Relu", "Clip", "LeakyRelu", "PRelu", "Elu", "Gelu", "Sigmoid", "Tanh", "HardSigmoid"),
    *("HardSwish", "Swish", "Softplus", "Mish", "Min", "Max", "Add", "Mul", "Div", "Concat", "Pad"),
    *("MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "ReduceMean", "Resize"),
    *("BatchNormalization", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Identity"),
    *("Expand", "Split"),
)
#: Operators that read features at places.
_READS = ("Gather", "GatherND", "GatherElements", "GridSample", "Slice")
#: Operators of which only the first input is features: the others are places, shapes and limits.
_FIRST = (*_READS, "Reshape", "Expand", "Split", "Pad", "Resize", "Clip", "Squeeze", "Unsqueeze")
#: Operators between layers that a runtime computes in 8 bits.
_BETWEEN = (
    *("Relu", "Clip", "Add", "Mul", "Concat", "MaxPool", "AveragePool", "GlobalAveragePool"),
    *("Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze"),
)


def find_trunk(model: ModelProto) -> list[str]:
    """Names of the nodes that may run in 8 bits.

    Args:
        model: without branches; each node has a name of its own.
    """
    graph = model.graph
    nodes = list(graph.node)
    constants = {value.name for value in graph.initializer}
    constants |= {node.output[0] for node in nodes if node.op_type == "Constant"}
    layers = [n for n in nodes if _is_layer(n, constants)]
    pixels = _pixels(graph, nodes, layers, constants)
    features = _flow(pixels | {n.output[0] for n in layers}, nodes, constants)
    reached = _reach(layers, nodes, constants)
    trunk = {n.name for n in layers if _data(n, constants) <= features and n.output[0] in reached}
    # Between layers of the trunk alone: a sum with what stays in full precision stays so too.
    eight = [n for n in layers if n.name in trunk]
    inner = _flow(pixels | {n.output[0] for n in eight}, nodes, constants) - pixels
    inner &= _reach(eight, nodes, constants) - {n.output[0] for n in layers}
    between = {n.name for n in nodes if n.op_type in _BETWEEN and n.output[0] in inner}
    return [n.name for n in nodes if n.name in trunk | between]


def _is_layer(node: NodeProto, constants: set[str]) -> bool:
    """Whether a node multiplies one changing input with constant weights."""
    weighs = node.op_type in _LAYERS and bool({*node.input[:2]} & constants)
    return weighs and not {*node.input[:2]} <= constants


def _data(node: NodeProto, constants: set[str]) -> set[str]:
    """The inputs of a node that may be features."""
    names = node.input[:1] if node.op_type in _FIRST else node.input
    return {name for name in names if name and name not in constants}


def _pixels(
    graph: GraphProto, nodes: list[NodeProto], layers: list[NodeProto], constants: set[str]
) -> set[str]:
    """Values that depend on the image through no layer, read at places that may."""
    outputs = {n.output[0] for n in layers}
    values = {graph.input[0].name}
    for node in nodes:
        data = _data(node, constants)
        if data and data <= values and node.output[0] not in outputs:
            values |= {*node.output}
    return values


def _flow(start: set[str], nodes: list[NodeProto], constants: set[str]) -> set[str]:
    """Values that are features of `start` alone."""
    values = set(start)
    for node in nodes:
        data = _data(node, constants)
        if node.op_type in (*_PASSES, *_READS) and data and data <= values:
            values |= {*node.output}
    return values


def _reach(layers: list[NodeProto], nodes: list[NodeProto], constants: set[str]) -> set[str]:
    """Values that flow as features into one of `layers`."""
    values: set[str] = set()
    for layer in layers:
        values |= _data(layer, constants)
    for node in reversed(nodes):
        if node.op_type in (*_PASSES, *_READS) and {*node.output} & values:
            values |= _data(node, constants)
    return values
