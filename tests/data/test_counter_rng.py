"""Counted random numbers: what they depend on, and that they look uniform."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from lit_landmarks.data.counter_rng import bits, permutation, uniform
from lit_landmarks.splitmix import mix, wrap_int64

_ROWS = torch.arange(64)


def test_follows_splitmix64_of_steele_et_al() -> None:
    # The published generator seeded with 1234567, as in its reference implementation's test.
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    state, mask, golden = 1234567, (1 << 64) - 1, 0x9E3779B97F4A7C15

    found = []
    for _ in range(3):
        state = (state + golden) & mask
        found.append(int(mix(torch.tensor(wrap_int64(state)))) & mask)
    assert found == expected


@given(st.integers(-(2**70), 2**70), st.integers(0, 10_000), st.integers(1, 8))
def test_depends_on_the_counters_alone(seed: int, epoch: int, n: int) -> None:
    ids = torch.zeros(64, dtype=torch.int64)
    whole = uniform(seed, epoch, ids, _ROWS, n)
    order = torch.randperm(64)
    assert torch.equal(uniform(seed, epoch, ids, _ROWS[order], n), whole[order])
    assert torch.equal(uniform(seed, epoch, ids[:5], _ROWS[:5], n + 3)[:, :n], whole[:5])
    assert bool((whole >= 0).all())
    assert bool((whole < 1).all())


def test_every_counter_matters() -> None:
    ids = torch.zeros(64, dtype=torch.int64)
    base = uniform(1, 2, ids, _ROWS, 4)
    others = (
        uniform(2, 2, ids, _ROWS, 4),
        uniform(1, 3, ids, _ROWS, 4),
        uniform(1, 2, ids + 1, _ROWS, 4),
        uniform(1, 2, ids, _ROWS + 64, 4),
        uniform(1, 2, ids, _ROWS, 4, draw=1),
    )
    for other in others:
        assert int((other == base).sum()) < 2


def test_looks_uniform() -> None:
    rows = torch.arange(20_000)
    u = uniform(0, 0, torch.zeros_like(rows), rows, 5).double()
    assert torch.allclose(u.mean(0), torch.full((5,), 0.5, dtype=torch.float64), atol=0.01)
    assert torch.allclose(u.var(0), torch.full((5,), 1 / 12, dtype=torch.float64), atol=0.002)
    correlation = torch.corrcoef(torch.cat([u.T, u[1:].T.new_zeros(0, 20_000)]))
    assert bool(((correlation - torch.eye(5)).abs() < 0.03).all())
    assert abs(float((u[1:, 0] * u[:-1, 0]).mean()) - 0.25) < 0.01
    ones = (bits(0, rows, n=1)[:, 0, None] >> torch.arange(64)) & 1
    assert bool(((ones.double().mean(0) - 0.5).abs() < 0.02).all())


@given(st.integers(1, 500), st.integers(0, 5))
def test_permutation_holds_everything_once(n: int, epoch: int) -> None:
    order = permutation(n, 3, epoch)
    assert sorted(order.tolist()) == list(range(n))
    assert torch.equal(order, permutation(n, 3, epoch))
    if n > 20:
        assert not torch.equal(order, permutation(n, 3, epoch + 1))
