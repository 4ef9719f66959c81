"""Which operators of a graph may run in 8 bits."""

from __future__ import annotations

from lit_landmarks.export.trunk import Node, find_trunk

WEIGHTS = {"w0", "w1", "w2", "w3", "grid", "half"}


def node(name: str, op: str, *inputs: str) -> Node:
    return Node(name, op, inputs, (f"{name}.out",))


def trunk_of(*nodes: Node) -> list[str]:
    return find_trunk(nodes, WEIGHTS, "image")


def test_heat_maps_and_their_expectation_stay_in_full_precision() -> None:
    assert trunk_of(
        node("stem", "Conv", "image", "w0"),
        node("relu", "Relu", "stem.out"),
        node("body", "Conv", "relu.out", "w1"),
        node("swish", "HardSwish", "body.out"),
        node("maps", "Conv", "swish.out", "w2"),
        node("softmax", "Softmax", "maps.out"),
        node("expectation", "MatMul", "softmax.out", "grid"),
    ) == ["stem", "relu", "body"]


def test_coordinates_between_stages_stay_in_full_precision() -> None:
    """A cascade: displacements say where the next stage looks, features flow on as a state."""
    assert trunk_of(
        node("standardize", "Sub", "image", "half"),
        node("first", "Gather", "standardize.out", "places"),
        node("patch0", "Conv", "first.out", "w0"),
        node("pool", "MaxPool", "patch0.out"),
        node("state0", "Gemm", "pool.out", "w1"),
        node("tanh", "Tanh", "state0.out"),
        node("head0", "Gemm", "tanh.out", "w2"),
        node("points", "Add", "head0.out", "half"),
        node("floor", "Floor", "points.out"),
        node("second", "Gather", "standardize.out", "floor.out"),
        node("patch1", "Conv", "second.out", "w0"),
        node("both", "Concat", "patch1.out", "tanh.out"),
        node("state1", "Gemm", "both.out", "w1"),
        node("head1", "Gemm", "state1.out", "w2"),
    ) == ["patch0", "pool", "state0", "patch1", "both", "state1"]


def test_a_layer_that_coordinates_flow_into_is_none_of_the_network() -> None:
    assert trunk_of(
        node("stem", "Conv", "image", "w0"),
        node("body", "Conv", "stem.out", "w1"),
        node("start", "Gemm", "body.out", "w2"),
        node("between", "Sub", "start.out", "half"),
        node("position", "Gemm", "between.out", "w3"),
        node("nodes", "Gemm", "position.out", "w2"),
    ) == ["stem", "body"]


def test_shapes_are_no_features() -> None:
    assert trunk_of(
        node("stem", "Conv", "image", "w0"),
        node("shape", "Shape", "image"),
        node("count", "Concat", "shape.out", "half"),
        node("flat", "Reshape", "stem.out", "count.out"),
        node("body", "Gemm", "flat.out", "w1"),
        node("head", "Gemm", "body.out", "w2"),
    ) == ["stem", "flat", "body"]
