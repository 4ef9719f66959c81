"""Costs of a configured method, counted from its shapes before anything is trained."""

from __future__ import annotations

import statistics

from lit_landmarks.compute import count_mma, latency
from lit_landmarks.methods import LandmarkModule

#: Names under which latency is logged.
LATENCY_KEYS = (
    "compute/latency_median_ms",
    "compute/latency_p90_ms",
    "compute/latency_spread_ms",
)
#: Rounds of timed calls of a method on one thread, calls of each, and those before it; a trial does
#: not wait for more.
_ROUNDS, _REPEATS, _WARMUP = 7, 10, 2


def measure_costs(method: LandmarkModule, timed: bool = False) -> dict[str, float]:
    """Costs (`compute/...`) of one face.

    Args:
        method: the method; its weights do not matter.
        timed: measure latency too (ms per call, CPU, one thread): median and 90th percentile of
            the fastest of several rounds, which other work disturbed least, and by how much the
            median of the rounds' medians exceeds it.
    """
    example = method.example()
    costs = count_mma(method, example).record()
    if timed:
        rounds = [
            latency(method, example, threads=1, repeats=_REPEATS, warmup=_WARMUP)
            for _ in range(_ROUNDS)
        ]
        fastest = min(rounds, key=lambda r: r.median_ms)
        spread = statistics.median(r.median_ms for r in rounds) - fastest.median_ms
        figures = (fastest.median_ms, fastest.p90_ms, spread)
        costs |= dict(zip(LATENCY_KEYS, figures, strict=True))
    return costs
