"""Costs of a configured method, counted from its shapes before anything is trained."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from torch import nn

from lit_landmarks.compute import count_mma, latency
from lit_landmarks.compute.cost import Example
from lit_landmarks.methods import LandmarkModule

#: Names under which latency in PyTorch is logged, and in ONNX Runtime.
LATENCY_KEYS, ONNX_LATENCY_KEYS = (
    (
        f"compute/{runtime}latency_median_ms",
        f"compute/{runtime}latency_p90_ms",
        f"compute/{runtime}latency_spread_ms",
    )
    for runtime in ("", "onnx_")
)
#: Rounds of timed calls of a method on one thread, calls of each, and those before it; a trial does
#: not wait for more.
_ROUNDS, _REPEATS, _WARMUP = 7, 10, 2


@dataclass(frozen=True)
class Timing:
    """Which latencies are measured, and how other work is kept away meanwhile.

    Attributes:
        keys: of `LATENCY_KEYS` and `ONNX_LATENCY_KEYS`; one of a runtime stands for all of it.
        alone: makes a context in which nothing else runs on this machine.

    Example:
        >>> Timing(("compute/onnx_latency_median_ms",)).asks(LATENCY_KEYS)
        False
    """

    keys: Collection[str] = LATENCY_KEYS
    alone: Callable[[], contextlib.AbstractContextManager[Any]] = contextlib.nullcontext

    def asks(self, keys: Collection[str]) -> bool:
        """Whether one of these keys is to be measured."""
        return any(key in keys for key in self.keys)


def measure_costs(method: LandmarkModule, timing: Timing | None = None) -> dict[str, float]:
    """Costs (`compute/...`) of one face.

    Args:
        method: the method; its weights do not matter.
        timing: measure latency too (ms per call, CPU, one thread); None measures none.

    Raises:
        UserError: latency in ONNX Runtime is asked for, and the method cannot be exported.
    """
    example = method.example()
    costs = count_mma(method, example).record()
    if timing is not None and timing.asks(LATENCY_KEYS):
        with timing.alone():
            costs |= _time_calls(method, example, LATENCY_KEYS)
    if timing is not None and timing.asks(ONNX_LATENCY_KEYS):
        from lit_landmarks.export.latency import exported_graph

        # Others need not wait for the export.
        with exported_graph(method) as graph, timing.alone():
            costs |= _time_calls(graph, example, ONNX_LATENCY_KEYS)
    return costs


def _time_calls(module: nn.Module, example: Example, keys: Collection[str]) -> dict[str, float]:
    """Median and 90th percentile of the fastest of several rounds, and the rounds' spread.

    Other work disturbed that round least; the spread is by how much the median of the rounds'
    medians exceeds it.
    """
    rounds = [
        latency(module, example, threads=1, repeats=_REPEATS, warmup=_WARMUP)
        for _ in range(_ROUNDS)
    ]
    fastest = min(rounds, key=lambda r: r.median_ms)
    spread = statistics.median(r.median_ms for r in rounds) - fastest.median_ms
    return dict(zip(keys, (fastest.median_ms, fastest.p90_ms, spread), strict=True))
