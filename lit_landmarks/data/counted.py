"""Random numbers that are counted, not carried.

A number depends on (seed, epoch, data set, face, position) alone and on no state, so an augmented
face is the same whatever the batch size, the worker, the order or the device, and a resumed run
continues as if it had never stopped. The mixer is SplitMix64 (Steele, Lea, Flood, OOPSLA 2014,
fig. 16), written in wrapping int64 tensors.
"""

from __future__ import annotations

import torch
from torch import Tensor


def _signed(value: int) -> int:
    """The int64 with the same 64 bits."""
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >= 1 << 63 else value


_GOLDEN = _signed(0x9E3779B97F4A7C15)
_MIX_1 = _signed(0xBF58476D1CE4E5B9)
_MIX_2 = _signed(0x94D049BB133111EB)


def _shift(x: Tensor, bits: int) -> Tensor:
    """Logical right shift; `>>` on int64 drags the sign along."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _mix(x: Tensor) -> Tensor:
    x = (x ^ _shift(x, 30)) * _MIX_1
    x = (x ^ _shift(x, 27)) * _MIX_2
    return x ^ _shift(x, 31)


def bits(seed: int, *counters: Tensor | int, n: int) -> Tensor:
    """Random int64, n per row.

    Args:
        seed: seed of the run.
        counters: (B,) int64 tensors or ints, in a fixed order; at least one is a tensor.
        n: numbers per row.

    Returns:
        (B, n) int64, all 64 bits random.
    """
    device = next(c.device for c in counters if isinstance(c, Tensor))
    key = _mix(torch.tensor(_signed(seed), device=device) + _GOLDEN)
    for counter in counters:
        key = _mix((key ^ counter) + _GOLDEN)
    steps = torch.arange(1, n + 1, device=device) * _GOLDEN
    return _mix(key.reshape(-1, 1) + steps)


def uniform(
    seed: int,
    epoch: int | Tensor,
    dataset_id: Tensor,
    index: Tensor,
    n: int,
    draw: Tensor | int = 0,
) -> Tensor:
    """Uniform numbers, n per face.

    Args:
        seed: seed of the run.
        epoch: epoch from 0, one for all or (B,) int64.
        dataset_id: (B,) int64.
        index: (B,) int64 row of the face in its data set.
        n: numbers per face.
        draw: (B,) int64 how often the face was drawn before in this epoch.

    Returns:
        (B, n) float32 in [0, 1), exact multiples of 2^-24.
    """
    return _shift(bits(seed, epoch, dataset_id, index, draw, n=n), 40).float() * 2.0**-24


def permutation(n: int, seed: int, *counters: int) -> Tensor:
    """A random order of n things, (n,) int64, that depends on the arguments alone."""
    last = torch.arange(n)
    return torch.argsort(bits(seed, *counters, last, n=1)[:, 0], stable=True)
