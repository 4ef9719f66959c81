"""`CounterRng`: counter-based random numbers, a function of (seed, face, name) without state.

Each sampled quantity has a name, so that adding one leaves all others as they were, and a face is
the same alone or in any batch. The hash is the finalizer of SplitMix64 (`splitmix`).
"""

from __future__ import annotations

import zlib

import torch
from torch import Tensor

from lit_landmarks.splitmix import STEP, hash_seed, mix, shift_right


class CounterRng:
    """Counter-based random number generator for B faces, keyed by names.

    Args:
        seed: of the data set.
        index: (B,) int64 number of each face.

    Example:
        >>> rng = CounterRng(0, torch.tensor([7, 8]))
        >>> torch.equal(rng.uniform("size")[:1], CounterRng(0, torch.tensor([7])).uniform("size"))
        True
    """

    def __init__(self, seed: int, index: Tensor) -> None:
        self.seed, self.index = seed, index
        self._key = mix(hash_seed(seed) ^ (index.cpu() + STEP))

    def __len__(self) -> int:
        """Number of faces B."""
        return len(self._key)

    def bits(self, name: str, n: int) -> Tensor:
        """(B, n) int64 random bits."""
        key = mix(self._key ^ (zlib.crc32(name.encode()) * 0x9E3779B1))
        return mix(key[:, None] + torch.arange(1, n + 1) * STEP)

    def uniform(self, name: str, n: int = 1, low: float = 0.0, high: float = 1.0) -> Tensor:
        """(B, n) float64, uniform in [low, high); (B,) if n is 1."""
        value = shift_right(self.bits(name, n), 11).double() * 2.0**-53
        value = low + (high - low) * value
        return value[:, 0] if n == 1 else value

    def normal(self, name: str, n: int = 1, clamp: float = 2.5) -> Tensor:
        """(B, n) float64, close to N(0, 1) and within +-clamp; (B,) if n is 1.

        The sum of 12 uniform numbers: exact arithmetic, the same on every machine.
        """
        value = shift_right(self.bits(name, 12 * n), 11).double() * 2.0**-53
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
