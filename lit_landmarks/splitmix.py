"""SplitMix64 (Steele, Lea, Flood, OOPSLA 2014, fig. 16) as hash of counter-based generators.

In wrapping int64 tensors. Random numbers are hashed from a seed and counters instead of read from
a state, so they are the same on every machine and in any order; `rendering.rng` and
`data.counter_rng` are the generators.
"""

from __future__ import annotations

import torch
from torch import Tensor


def wrap_int64(value: int) -> int:
    """Reinterpret the low 64 bits of an integer as a signed int64.

    Example:
        >>> wrap_int64(2**64 - 1)
        -1
    """
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >= 1 << 63 else value


#: The golden gamma, by which the sequence steps: 2**64 over the golden ratio.
STEP = wrap_int64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = wrap_int64(0xBF58476D1CE4E5B9), wrap_int64(0x94D049BB133111EB)


def shift_right(x: Tensor, bits: int) -> Tensor:
    """Logical right shift of int64; `>>` would extend the sign.

    Example:
        >>> shift_right(torch.tensor(-1), 60)
        tensor(15)
    """
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def mix(x: Tensor) -> Tensor:
    """Finalizer of SplitMix64: a bijective hash of int64."""
    x = (x ^ shift_right(x, 30)) * _FIRST
    x = (x ^ shift_right(x, 27)) * _SECOND
    return x ^ shift_right(x, 31)


def hash_seed(seed: int, device: torch.device | None = None) -> Tensor:
    """Hash a seed to the key () of a counter-based generator.

    Example:
        >>> bool(hash_seed(1) == hash_seed(1)), bool(hash_seed(1) == hash_seed(2))
        (True, False)
    """
    return mix(torch.tensor(wrap_int64(seed), device=device) + STEP)
