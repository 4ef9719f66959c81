"""Costs of a configured method, counted from its shapes before anything is trained."""

from __future__ import annotations

import torch
from torch import Tensor

from lit_landmarks.compute import count_mma, latency
from lit_landmarks.methods import LandmarkModule

#: Names under which latency is logged.
LATENCY_KEYS = ("compute/latency_median_ms", "compute/latency_p90_ms")
#: Timed calls of a method on one thread, and those before; a trial does not wait for more.
_REPEATS, _WARMUP = 30, 3


def example_input(method: LandmarkModule) -> Tensor:
    """One face as the method takes it, (1, 3, S, S)."""
    return torch.zeros(1, 3, method.frame_size, method.frame_size)


def measure_costs(method: LandmarkModule, timed: bool = False) -> dict[str, float]:
    """Costs (`compute/...`) of one face.

    Args:
        method: the method; its weights do not matter.
        timed: measure latency too (ms per call, CPU, one thread).
    """
    example = example_input(method)
    costs = count_mma(method, example).record()
    if timed:
        time = latency(method, example, threads=1, repeats=_REPEATS, warmup=_WARMUP)
        costs |= dict(zip(LATENCY_KEYS, (time.median_ms, time.p90_ms), strict=True))
    return costs
