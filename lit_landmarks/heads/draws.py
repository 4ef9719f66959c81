"""Random numbers of a synthetic face: a function of (seed, index, name), never of a state.

Each thing that is drawn has a name, so that adding one leaves all others as they were, and a face
is the same alone or in any batch. The mixer is SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
"""

from __future__ import annotations

import zlib

import torch
from torch import Tensor


def _signed(value: int) -> int:
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >= 1 << 63 else value


_STEP = _signed(0x9E3779B97F4A7C15)
_FIRST, _SECOND = _signed(0xBF58476D1CE4E5B9), _signed(0x94D049BB133111EB)


def _shifted(x: Tensor, bits: int) -> Tensor:
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def mix(x: Tensor) -> Tensor:
    """The SplitMix64 finaliser on int64."""
    x = (x ^ _shifted(x, 30)) * _FIRST
    x = (x ^ _shifted(x, 27)) * _SECOND
    return x ^ _shifted(x, 31)


class Draws:
    """Named random numbers for B faces.

    Args:
        seed: of the data set.
        index: (B,) int64 number of each face.
    """

    def __init__(self, seed: int, index: Tensor) -> None:
        self.seed, self.index = seed, index
        self._key = mix(mix(torch.tensor(_signed(seed)) + _STEP) ^ (index.cpu() + _STEP))

    def __len__(self) -> int:
        """Number of faces B."""
        return len(self._key)

    def of(self, index: Tensor) -> Draws:
        """The draws of other faces of the same set."""
        return Draws(self.seed, index)

    def bits(self, name: str, n: int) -> Tensor:
        """(B, n) int64 random bits."""
        key = mix(self._key ^ (zlib.crc32(name.encode()) * 0x9E3779B1))
        return mix(key[:, None] + torch.arange(1, n + 1) * _STEP)

    def uniform(self, name: str, n: int = 1, low: float = 0.0, high: float = 1.0) -> Tensor:
        """(B, n) float64, uniform in [low, high); (B,) if n is 1."""
        value = _shifted(self.bits(name, n), 11).double() * 2.0**-53
        value = low + (high - low) * value
        return value[:, 0] if n == 1 else value

    def normal(self, name: str, n: int = 1, clamp: float = 2.5) -> Tensor:
        """(B, n) float64, close to N(0, 1) and within +-clamp; (B,) if n is 1.

        The sum of 12 uniform numbers: exact arithmetic, the same on every machine.
        """
        value = _shifted(self.bits(name, 12 * n), 11).double() * 2.0**-53
        value = (value.reshape(len(self), n, 12).sum(-1) - 6.0).clamp(-clamp, clamp)
        return value[:, 0] if n == 1 else value

    def chance(self, name: str, probability: float) -> Tensor:
        """(B,) bool."""
        return self.uniform(name) < probability

    def choice(self, name: str, weights: tuple[float, ...]) -> Tensor:
        """(B,) int64 numbers drawn in proportion to weights."""
        edges = torch.tensor(weights, dtype=torch.float64).cumsum(0)
        return torch.searchsorted(edges / edges[-1], self.uniform(name), right=True).clamp_max(
            len(weights) - 1
        )
