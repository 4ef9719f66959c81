"""Latency of a module: median and 90th percentile of the time per call."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lit_landmarks.compute.cost import Cost, Example, as_inputs, count_mma


@dataclass(frozen=True)
class Latency:
    """Wall time of one forward pass.

    Attributes:
        median_ms: milliseconds that half of the calls stay under.
        p90_ms: milliseconds that nine in ten calls stay under.
        threads: CPU threads used.
        repeats: calls measured.
        device: where it ran.
    """

    median_ms: float
    p90_ms: float
    threads: int
    repeats: int
    device: str


@contextlib.contextmanager
def evaluation(module: nn.Module) -> Iterator[None]:
    """Put every submodule in eval mode, and restore each one's mode on exit."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


@contextlib.contextmanager
def cpu_threads(count: int) -> Iterator[None]:
    """Set the number of intra-operator threads, and restore it on exit."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def latency(
    module: nn.Module,
    example: Example,
    threads: int = 1,
    repeats: int = 50,
    warmup: int = 5,
) -> Latency:
    """Measure the forward pass on the device of the example.

    Args:
        module: on the same device; its mode is put back.
        example: input or inputs, any batch size.
        threads: CPU threads.
        repeats: measured calls, at least 1.
        warmup: calls before.

    Returns:
        Median and 90th percentile.

    Raises:
        ValueError: fewer than one call or thread.
    """
    if repeats < 1 or threads < 1:
        raise ValueError(f"latency needs repeats and threads >= 1, not {repeats} and {threads}")
    inputs = as_inputs(example)
    first = inputs[0]
    device = (first if isinstance(first, Tensor) else first.image).device
    times: list[float] = []
    with evaluation(module), cpu_threads(threads), torch.inference_mode():
        for call in range(warmup + repeats):
            _finish(device)
            start = time.perf_counter()
            module(*inputs)
            _finish(device)
            if call >= warmup:
                times.append(1000.0 * (time.perf_counter() - start))
    quantiles = torch.tensor(times, dtype=torch.float64).quantile(
        torch.tensor([0.5, 0.9], dtype=torch.float64)
    )
    return Latency(float(quantiles[0]), float(quantiles[1]), threads, repeats, str(device))


@dataclass(frozen=True)
class Profile:
    """Cost and latency of a module, as the `profile` verb prints them."""

    cost: Cost
    latency: Latency | None

    def record(self) -> dict[str, float]:
        """Flat figures under `compute/...`, ready for a table or a logger."""
        values = self.cost.record()
        if self.latency is not None:
            values["compute/latency_median_ms"] = self.latency.median_ms
            values["compute/latency_p90_ms"] = self.latency.p90_ms
            values["compute/latency_threads"] = self.latency.threads
        return values


def profile_module(
    module: nn.Module,
    example: Example,
    threads: int = 1,
    repeats: int = 50,
) -> Profile:
    """Cost and latency of one face; `repeats=0` leaves the latency out."""
    timing = latency(module, example, threads, repeats) if repeats else None
    return Profile(count_mma(module, example), timing)
