"""Counter-based random numbers: hashed from a seed and counters, without a state.

A number depends on (seed, epoch, data set, face, position) alone and on no state, so an augmented
face is the same whatever the batch size, the worker, the order or the device, and a resumed run
continues as if it had never stopped. The mixer is `splitmix`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lit_landmarks.splitmix import STEP, hash_seed, mix, shift_right


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
    key = hash_seed(seed, device)
    for counter in counters:
        key = mix((key ^ counter) + STEP)
    steps = torch.arange(1, n + 1, device=device) * STEP
    return mix(key.reshape(-1, 1) + steps)


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
    return shift_right(bits(seed, epoch, dataset_id, index, draw, n=n), 40).float() * 2.0**-24


def permutation(n: int, seed: int, *counters: int) -> Tensor:
    """A random order of n things, (n,) int64, that depends on the arguments alone."""
    last = torch.arange(n)
    return torch.argsort(bits(seed, *counters, last, n=1)[:, 0], stable=True)
