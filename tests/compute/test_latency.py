"""Timing puts back what it changes and reports what it measured; no test depends on speed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lit_landmarks.compute import latency, profile_module


class Probe(nn.Module):
    """Notes how it was called."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.calls: list[tuple[bool, bool, int]] = []

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type == "cpu":
            self.calls.append((self.training, x.requires_grad, torch.get_num_threads()))
        return self.layer(x)


def test_calls_are_counted_in_eval_mode_on_the_threads_asked_for() -> None:
    probe = Probe().train()
    probe.layer.eval()
    threads = torch.get_num_threads()
    found = latency(probe, torch.zeros(1, 4), threads=2, repeats=7, warmup=3)
    assert probe.calls == [(False, False, 2)] * 10
    assert (found.repeats, found.threads, found.device) == (7, 2, "cpu")
    assert 0 < found.median_ms <= found.p90_ms
    assert probe.training
    assert not probe.layer.training
    assert torch.get_num_threads() == threads


def test_a_failing_module_is_put_back_too() -> None:
    probe = Probe().train()
    threads = torch.get_num_threads()
    with pytest.raises(RuntimeError):
        latency(probe, torch.zeros(1, 5), threads=3)
    assert probe.training
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("bad", [{"repeats": 0}, {"threads": 0}])
def test_nothing_to_measure(bad: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="repeats and threads >= 1"):
        latency(nn.Identity(), torch.zeros(1), **bad)


def test_a_profile_is_a_flat_record() -> None:
    record = profile_module(Probe(), torch.zeros(1, 4), repeats=2).record()
    assert record["compute/mma"] == 16e-6
    assert record["compute/parameters"] == 20
    assert record["compute/latency_p90_ms"] >= record["compute/latency_median_ms"] > 0
    assert (
        "compute/latency_p90_ms"
        not in profile_module(Probe(), torch.zeros(1, 4), repeats=0).record()
    )
