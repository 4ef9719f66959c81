"""SplitMix64 (Steele, Lea, Flood, OOPSLA 2014, fig. 16) as hash of counter-based generators.

In wrapping int64 tensors. Random numbers are hashed from a seed and counters instead of read from
a state, so they are the same on every machine and in any order; `rendering.rng` and
`data.counter_rng` are the generators.
"""

from __future__ import annotations

import torch
from torch import Tensor


def signed(value: int) -> int:
    """The int64 with the same 64 bits."""
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >= 1 << 63 else value


#: The golden gamma, by which the sequence steps: 2**64 over the golden ratio.
STEP = signed(0x9E3779B97F4A7C15)
_FIRST, _SECOND = signed(0xBF58476D1CE4E5B9), signed(0x94D049BB133111EB)


def shifted(x: Tensor, bits: int) -> Tensor:
    """Logical right shift; `>>` on int64 drags the sign along."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def mix(x: Tensor) -> Tensor:
    """The finalizer of SplitMix64: a bijective hash of int64, all bits depending on all bits."""
    x = (x ^ shifted(x, 30)) * _FIRST
    x = (x ^ shifted(x, 27)) * _SECOND
    return x ^ shifted(x, 31)


def key_of(seed: int, device: torch.device | None = None) -> Tensor:
    """The key () of a seed, from which a counter-based generator hashes its counters."""
    return mix(torch.tensor(signed(seed), device=device) + STEP)
