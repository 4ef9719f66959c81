"""The part of a graph that may run in 8 bits: the network, without what decodes its answer.

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

from collections.abc import Sequence
from dataclasses import dataclass

#: Operators with constant weights, by their ONNX names.
_LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
#: Operators that give features of features.
_PASSES = (
    *("Relu", "Clip", "LeakyRelu", "PRelu", "Elu", "Gelu", "Sigmoid", "Tanh", "HardSigmoid"),
    *("HardSwish", "Swish", "Softplus", "Mish", "Min", "Max", "Add", "Mul", "Div", "Concat", "Pad"),
    *("MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "ReduceMean", "ReduceSum"),
    *("BatchNormalization", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Identity"),
    *("Resize", "Expand", "Split"),
)
#: Operators that read features at places.
_READS = ("Gather", "GatherND", "GatherElements", "GridSample", "Slice")
#: Operators of which only the first input is features: the others are places, shapes and limits.
_FIRST = (
    *_READS,
    *("Reshape", "Expand", "Split", "Pad", "Resize", "Clip", "Squeeze", "Unsqueeze"),
    *("ReduceMean", "ReduceSum", "Transpose"),
)
#: Operators between layers that runtimes compute in 8 bits.
_BETWEEN = (
    *("Relu", "Clip", "Add", "Mul", "Concat", "MaxPool", "AveragePool", "GlobalAveragePool"),
    *("Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze"),
)


@dataclass(frozen=True)
class Node:
    """An operator in a graph.

    Attributes:
        name: no other node's.
        op: type by its ONNX name.
        inputs, outputs: names of values; "" where there is none.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def find_trunk(nodes: Sequence[Node], constants: set[str], image: str) -> list[str]:
    """Names of the nodes that may run in 8 bits.

    Args:
        nodes: in the order in which they run.
        constants: names of the values that are constant.
        image: name of the input with the pixels.

    Example:
        >>> nodes = [
        ...     Node("first", "Conv", ("image", "w1"), ("a",)),
        ...     Node("relu", "Relu", ("a",), ("b",)),
        ...     Node("second", "Conv", ("b", "w2"), ("c",)),
        ...     Node("head", "Gemm", ("c", "w3"), ("logits",)),
        ...     Node("softmax", "Softmax", ("logits",), ("points",)),
        ... ]
        >>> find_trunk(nodes, {"w1", "w2", "w3"}, "image")
        ['first', 'relu', 'second']
    """
    layers = [n for n in nodes if _is_layer(n, constants)]
    pixels = _pixels(nodes, layers, constants, image)
    features = _flow(pixels | {n.outputs[0] for n in layers}, nodes, constants)
    reached = _reach(layers, nodes, constants)
    eight = [n for n in layers if _data(n, constants) <= features and n.outputs[0] in reached]
    # Between layers of the trunk alone: a sum with what stays in full precision stays so too.
    inner = _flow(pixels | {n.outputs[0] for n in eight}, nodes, constants) - pixels
    inner &= _reach(eight, nodes, constants) - {n.outputs[0] for n in layers}
    trunk = {n.name for n in eight}
    trunk |= {n.name for n in nodes if n.op in _BETWEEN and n.outputs[0] in inner}
    return [n.name for n in nodes if n.name in trunk]


def _is_layer(node: Node, constants: set[str]) -> bool:
    """Whether a node multiplies one changing input with constant weights."""
    factors = {*node.inputs[:2]}
    return node.op in _LAYERS and bool(factors & constants) and not factors <= constants


def _data(node: Node, constants: set[str]) -> set[str]:
    """The inputs of a node that may be features."""
    names = node.inputs[:1] if node.op in _FIRST else node.inputs
    return {name for name in names if name and name not in constants}


def _pixels(
    nodes: Sequence[Node], layers: Sequence[Node], constants: set[str], image: str
) -> set[str]:
    """Values that depend on the image through no layer, read at places that may."""
    outputs = {n.outputs[0] for n in layers}
    values = {image}
    for node in nodes:
        data = _data(node, constants)
        if data and data <= values and node.outputs[0] not in outputs:
            values |= {*node.outputs}
    return values


def _flow(start: set[str], nodes: Sequence[Node], constants: set[str]) -> set[str]:
    """Values that are features of `start` alone."""
    values = set(start)
    for node in nodes:
        data = _data(node, constants)
        if node.op in (*_PASSES, *_READS) and data and data <= values:
            values |= {*node.outputs}
    return values


def _reach(layers: Sequence[Node], nodes: Sequence[Node], constants: set[str]) -> set[str]:
    """Values that flow as features into one of `layers`."""
    values: set[str] = set()
    for layer in layers:
        values |= _data(layer, constants)
    for node in reversed(nodes):
        if node.op in (*_PASSES, *_READS) and {*node.outputs} & values:
            values |= _data(node, constants)
    return values
