"""Random numbers by (seed, index, name)."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from lit_landmarks.rendering.rng import CounterRng


@given(st.integers(0, 2**31), st.lists(st.integers(0, 2**40), min_size=2, max_size=9))
def test_a_face_draws_the_same_alone_and_in_company(seed: int, rows: list[int]) -> None:
    together = CounterRng(seed, torch.tensor(rows))
    for place, row in enumerate(rows):
        alone = CounterRng(seed, torch.tensor([row]))
        assert torch.equal(alone.normal("x", 3)[0], together.normal("x", 3)[place])
        assert torch.equal(alone.bits("x", 2)[0], together.bits("x", 2)[place])


def test_names_and_seeds_give_different_numbers() -> None:
    rows = torch.arange(50)
    a, b = CounterRng(0, rows).uniform("a"), CounterRng(0, rows).uniform("b")
    assert not (a == b).any()
    assert not (CounterRng(1, rows).uniform("a") == a).any()


def test_moments_of_uniform_normal_and_choice() -> None:
    rng = CounterRng(3, torch.arange(20_000))
    uniform, normal = rng.uniform("u", 1, -1.0, 3.0), rng.normal("n", 1, 9.0)
    assert abs(float(uniform.mean()) - 1.0) < 0.03
    assert abs(float(uniform.std()) - 4 / 12**0.5) < 0.02
    assert abs(float(normal.mean())) < 0.03
    assert abs(float(normal.std()) - 1.0) < 0.02
    share = torch.bincount(rng.choice("c", (1.0, 3.0)), minlength=2) / 20_000
    assert abs(float(share[1]) - 0.75) < 0.02
    assert abs(float(rng.chance("p", 0.2).double().mean()) - 0.2) < 0.02


def test_neighboring_rows_are_not_alike() -> None:
    value = CounterRng(0, torch.arange(4096)).uniform("pair")
    centerd = value - value.mean()
    assert abs(float((centerd[1:] * centerd[:-1]).mean() / value.var())) < 0.05
