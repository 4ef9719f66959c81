"""What an evaluation measures: the configured method, or an exported graph in its place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lit_landmarks.inference.graphs import open_graph
from lit_landmarks.inference.runtimes import is_graph
from lit_landmarks.methods.steps import MethodSteps
from lit_landmarks.training.build import connect

if TYPE_CHECKING:
    from lit_landmarks.settings.task import Task


def connect_measured(task: Task) -> tuple[MethodSteps, Path | None]:
    """Bind what is measured to its data.

    Args:
        task: an evaluation.

    Returns:
        The method, and the checkpoint to load into it; None for a graph, which has its weights.

    Raises:
        UserError: data or a checkpoint that does not fit the method, or a graph that cannot be
            opened.
    """
    checkpoint = task.request.checkpoint
    if checkpoint is None or not is_graph(checkpoint):
        task.connect()
        return task.method(), checkpoint
    graph = open_graph(checkpoint)
    if task.settings.get("flip_average"):
        graph.average_flips()
    connect(graph, task.data(), task.request.verb)
    return graph, None
