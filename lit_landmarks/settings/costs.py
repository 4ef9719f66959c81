"""Costs of a configured method, counted from its shapes before anything is trained."""

from __future__ import annotations

from lit_landmarks.compute import count_mma, latency
from lit_landmarks.methods import LandmarkModule

#: Names under which latency is logged.
LATENCY_KEYS = ("compute/latency_median_ms", "compute/latency_p90_ms")
#: Timed calls of a method on one thread, and those before; a trial does not wait for more.
_REPEATS, _WARMUP = 30, 3


def measure_costs(method: LandmarkModule, timed: bool = False) -> dict[str, float]:
    """Costs (`compute/...`) of one face.

    Args:
        method: the method; its weights do not matter.
        timed: measure latency too (ms per call, CPU, one thread).
    """
    example = method.example()
    costs = count_mma(method, example).record()
    if timed:
        time = latency(method, example, threads=1, repeats=_REPEATS, warmup=_WARMUP)
        costs |= dict(zip(LATENCY_KEYS, (time.median_ms, time.p90_ms), strict=True))
    return costs
