"""Schedules as factors of progress, and as what a torch optimiser sees."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lit_landmarks.methods.schedules import (
    Constant,
    Cosine,
    OneCycle,
    Polynomial,
    Schedule,
    Steps,
    step_scheduler,
)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (Constant(), {0.0: 1.0, 0.5: 1.0, 1.0: 1.0}),
        (Constant(warmup=0.5), {0.0: 0.0, 0.25: 0.5, 0.5: 1.0, 1.0: 1.0}),
        (Cosine(end=0.2), {0.0: 1.0, 0.5: 0.6, 1.0: 0.2}),
        (Cosine(warmup=0.2), {0.1: 0.5, 0.2: 1.0, 0.6: 0.5, 1.0: 0.0}),
        (OneCycle(warmup=0.5, start=0.1, end=0.0), {0.0: 0.1, 0.25: 0.55, 0.5: 1.0, 0.75: 0.5}),
        (Polynomial(), {0.0: 1.0, 0.5: 0.25, 1.0: 0.0}),
        (Polynomial(power=1.0), {0.25: 0.75}),
        (Steps((0.5, 0.8), gamma=0.1), {0.4: 1.0, 0.5: 0.1, 0.9: 0.01}),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Schedule) else "",
)
def test_factors_by_hand(schedule: Schedule, expected: dict[float, float]) -> None:
    found = {progress: schedule.factor(progress) for progress in expected}
    assert found == pytest.approx(expected)


@given(progress=st.floats(0, 1), warmup=st.floats(0, 0.99))
def test_factor_never_passes_the_peak(progress: float, warmup: float) -> None:
    for schedule in (Constant(warmup), Cosine(warmup), OneCycle(warmup), Polynomial()):
        assert 0.0 <= schedule.factor(progress) <= 1.0 + 1e-12


def test_optimizer_sees_the_factor_and_state_is_plain() -> None:
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([{"params": [weight]}], lr=0.4)
    scheduler = step_scheduler(optimizer, Cosine().factor, total_steps=10)
    rates = []
    for _ in range(11):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates[0] == pytest.approx(0.4)
    assert rates[5] == pytest.approx(0.2)
    assert rates[10] == pytest.approx(0.0, abs=1e-12)
    assert scheduler.state_dict()["lr_lambdas"] == [None]
