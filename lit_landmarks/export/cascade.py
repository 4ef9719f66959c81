"""Early exit inside an ONNX graph: the stages of a cascade as nested `If`s.

A traced cascade gives the outputs of every stage (`Signature.stages`), so that the nodes of a stage
are those which its outputs need beyond the outputs before. Whatever the method is, these nodes move
into the branch of an `If` that is taken while some face has to stay:

    stage 0; If(some face stays){ stage 1; If(some face stays){ stage 2 } }

A face that has left keeps the outputs of its stage, as in PyTorch. Stages run for all faces of a
batch while one of them stays: faces that are run one by one save most.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_ir as ir

#: By which faces leave.
_ERROR = "error"


def nest_stages(model: ir.Model, outputs: Sequence[str], thresholds: Sequence[float]) -> None:
    """Let faces leave a cascade early, in place.

    Args:
        model: its outputs are `NAME_0`, ... of stage 0, then those of stage 1, and so on.
        outputs: the names, `error` among them; (B, ...) each.
        thresholds: (T - 1,) predicted NME in percent below which a face leaves after a stage.

    The model has the outputs by their names then, and `exit_stage`, (B,) int64.
    """
    graph = model.graph
    stages = len(thresholds) + 1
    results = [
        {name: graph.outputs[k * len(outputs) + i] for i, name in enumerate(outputs)}
        for k in range(stages)
    ]
    nodes = _split(graph, [list(values.values()) for values in results])
    _free_names(graph, [*outputs, "exit_stage"])
    graph.outputs.clear()
    weights = [_take_weights(graph, part, nodes) for part in nodes]
    for part in nodes[1:]:
        graph.remove(part)
    builder = _Builder(graph)
    # From the outside in: what a level sees of the one about it.
    current = dict(results[0])
    shape = builder.add("Shape", [results[0][_ERROR]])
    zero = ir.tensor(np.zeros(1, np.int64))
    exits = builder.add("ConstantOfShape", [shape], value=zero)
    exits.type, exits.shape = ir.TensorType(ir.DataType.INT64), results[0][_ERROR].shape
    current["exit_stage"] = exits
    levels = [_Level(graph, builder.take(), current)]
    stays: ir.Value | None = None
    for stage in range(1, stages):
        limit = builder.constant(np.float32(thresholds[stage - 1]))
        above = builder.add("GreaterOrEqual", [current[_ERROR], limit])
        stays = above if stays is None else builder.add("And", [stays, above])
        number = builder.add("Cast", [stays], to=ir.DataType.INT32)
        most = builder.add("ReduceMax", [number], keepdims=0)
        levels[-1].condition = builder.add("Cast", [most], to=ir.DataType.BOOL)
        levels[-1].nodes += builder.take()
        current = builder.merge(stays, stage, results[stage], current)
        part = [*nodes[stage], *builder.take()]
        levels.append(_Level(graph, part, current, weights[stage]))
    _close(levels)
    builder.register(graph)


@dataclass
class _Level:
    """Nodes of a stage and of what follows it, and the outputs as they are behind it.

    Attributes:
        main: the graph about all levels.
        nodes: new ones, and those of the stage that are not in the main graph any more.
        current: outputs by name.
        weights: constants that this stage alone reads.
        condition: whether the next level runs; None behind the last.
    """

    main: ir.Graph
    nodes: list[ir.Node]
    current: dict[str, ir.Value]
    weights: list[ir.Value] = field(default_factory=list)
    condition: ir.Value | None = None


def _close(levels: list[_Level]) -> None:
    """Put each level into an `If` at the end of the one before, from the inside out."""
    inner: dict[str, ir.Value] = levels[-1].current
    for number in range(len(levels) - 2, -1, -1):
        outer, level = levels[number], levels[number + 1]
        branch = ir.Graph(
            [],
            list(inner.values()),
            nodes=level.nodes,
            initializers=level.weights,
            name=f"stage_{number + 1}",
        )
        left = [
            ir.node("Identity", [value], outputs=[_like(value, f"{name}_left_{number}")])
            for name, value in outer.current.items()
        ]
        rest = ir.Graph([], [n.outputs[0] for n in left], nodes=left, name=f"left_{number}")
        names = {name: name if number == 0 else f"{name}_from_{number}" for name in inner}
        values = {name: _like(outer.current[name], names[name]) for name in inner}
        assert outer.condition is not None
        choice = ir.node(
            "If",
            [outer.condition],
            {"then_branch": branch, "else_branch": rest},
            outputs=list(values.values()),
        )
        outer.nodes.append(choice)
        inner = values
    levels[0].main.extend(levels[0].nodes)
    levels[0].main.outputs.extend(inner.values())


class _Builder:
    """Makes nodes in one go; constants become initializers of the main graph."""

    def __init__(self, graph: ir.Graph) -> None:
        self._nodes: list[ir.Node] = []
        self._constants: list[ir.Value] = []
        self._count = 0
        self._version = graph.opset_imports.get("", 20)

    def add(self, op_type: str, inputs: Sequence[ir.Value], **attributes: Any) -> ir.Value:
        """One node; its output."""
        self._count += 1
        output = ir.Value(name=f"leave_{op_type}_{self._count}")
        node = ir.node(op_type, inputs, attributes or None, outputs=[output])
        node.name = output.name
        self._nodes.append(node)
        return output

    def constant(self, array: np.generic | np.ndarray) -> ir.Value:
        """A constant."""
        self._count += 1
        name = f"leave_constant_{self._count}"
        values = np.asarray(array)
        tensor = ir.tensor(values, name=name)
        value = ir.Value(
            name=name,
            shape=ir.Shape(values.shape),
            type=ir.TensorType(tensor.dtype),
            const_value=tensor,
        )
        self._constants.append(value)
        return value

    def merge(
        self,
        stays: ir.Value,
        stage: int,
        results: dict[str, ir.Value],
        before: dict[str, ir.Value],
    ) -> dict[str, ir.Value]:
        """Outputs of the faces that stay, and those from before of the others."""
        merged: dict[str, ir.Value] = {}
        for name, value in results.items():
            shape = value.shape
            assert shape is not None
            axes = np.arange(1, len(shape), dtype=np.int64)
            rows = self.add("Unsqueeze", [stays, self.constant(axes)]) if len(axes) else stays
            merged[name] = self.add("Where", [rows, value, before[name]])
            merged[name].type, merged[name].shape = value.type, value.shape
        number = self.constant(np.int64(stage))
        exits = self.add("Where", [stays, number, before["exit_stage"]])
        exits.type, exits.shape = before["exit_stage"].type, before["exit_stage"].shape
        return {**merged, "exit_stage": exits}

    def take(self) -> list[ir.Node]:
        """The nodes since the last call."""
        nodes, self._nodes = self._nodes, []
        return nodes

    def register(self, graph: ir.Graph) -> None:
        """Give the constants to the main graph, which its branches see."""
        for value in self._constants:
            graph.register_initializer(value)


def _like(value: ir.Value, name: str) -> ir.Value:
    return ir.Value(name=name, type=value.type, shape=value.shape)


def _split(graph: ir.Graph, outputs: list[list[ir.Value]]) -> list[list[ir.Node]]:
    """Nodes of each stage in their order: those that no stage before has needed."""
    stage_of: dict[ir.Node, int] = {}
    for stage, values in enumerate(outputs):
        waiting = [value.producer() for value in values]
        while waiting:
            node = waiting.pop()
            if node is None or node in stage_of:
                continue
            stage_of[node] = stage
            waiting += [value.producer() for value in node.inputs if value is not None]
    parts: list[list[ir.Node]] = [[] for _ in outputs]
    for node in graph:
        if node in stage_of:
            parts[stage_of[node]].append(node)
    return parts


def _take_weights(
    graph: ir.Graph, part: list[ir.Node], parts: list[list[ir.Node]]
) -> list[ir.Value]:
    """Take the constants that one stage behind the first reads alone out of the main graph.

    In its branch a runtime sees that they are constant, and prepares its layers as it loads them.
    """
    if part is parts[0]:
        return []
    own, others = (
        {value for node in nodes for value in node.inputs if value is not None}
        for nodes in (part, [node for other in parts if other is not part for node in other])
    )
    names = [
        name for name, value in graph.initializers.items() if value in own and value not in others
    ]
    return [graph.initializers.pop(name) for name in names]


def _free_names(graph: ir.Graph, names: Iterable[str]) -> None:
    """Give values inside the graph other names than those of outputs."""
    taken = set(names)
    for node in graph:
        for value in node.outputs:
            if value.name in taken:
                value.name = f"{value.name}_inside"
