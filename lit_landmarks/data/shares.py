"""Shares of several processes in the faces of an epoch: which process sees which, in whole batches.

Torch's own distributed sampler deals faces out one by one and fills up with repeats, so batches
and figures depend on the number of processes. Here the batches of one process are dealt out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch.utils.data import DistributedSampler

from lit_landmarks.data.dataset import MixSampler
from lit_landmarks.errors import SharedError

#: Fewer faces of a process in a step would leave a batch norm a single value.
_FEWEST = 2


class TrainingShare(DistributedSampler[Any]):
    """A process's part of each step: every face of the epoch once over all processes.

    A step takes `batch_size` faces for each process, in the order of one process. What is left at
    the end makes a step of smaller batches, of equal size up to one face; it is left out if it is
    less than two faces for each process.

    Args:
        order: the faces of an epoch.
        batch_size: faces of one process in a step.
        processes: number of processes.
        rank: number of this process.

    Raises:
        SharedError: less than two faces for each process.

    Example:
        Of 11 faces, two processes with batches of 2 take 4 a step, and leave 3 out:

        >>> class Faces(MixSampler):
        ...     def __init__(self): pass
        ...     def __len__(self): return 11
        ...     def __iter__(self): return iter(range(11))
        >>> [list(TrainingShare(Faces(), 2, processes=2, rank=rank)) for rank in (0, 1)]
        [[0, 1, 4, 5], [2, 3, 6, 7]]
    """

    def __init__(self, order: MixSampler, batch_size: int, processes: int, rank: int) -> None:
        self.order, self.batch_size = order, batch_size
        self.processes, self.rank = processes, rank
        if len(order) < _FEWEST * processes:
            raise SharedError(
                f"{len(order)} training faces are too few for {processes} processes, which take"
                f" {_FEWEST} or more each; set trainer.devices lower or add faces"
            )

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; the trainer calls this."""
        self.order.set_epoch(epoch)

    def _shares(self) -> list[tuple[int, int]]:
        """Start and end of this process's faces in each step."""
        step = self.batch_size * self.processes
        steps, rest = divmod(len(self.order), step)
        starts = [n * step + self.rank * self.batch_size for n in range(steps)]
        shares = [(start, start + self.batch_size) for start in starts]
        if rest >= _FEWEST * self.processes:
            first, last = (rest * rank // self.processes for rank in (self.rank, self.rank + 1))
            shares.append((steps * step + first, steps * step + last))
        return shares

    def __len__(self) -> int:
        """Faces of this process in an epoch."""
        return sum(end - start for start, end in self._shares())

    def __iter__(self) -> Iterator[Any]:
        """Items of this process, step by step."""
        items = list(self.order)
        for start, end in self._shares():
            yield from items[start:end]


class EvaluationShare(DistributedSampler[Any]):
    """A process's batches of an evaluation: the batches of one process, dealt out in turn.

    Every process runs the same number of batches, since some strategies exchange weights in each.
    A process that has run out of batches repeats the first face, as item -1, whose rows
    `ConcatFaces` marks by an `index` of -1: they are neither counted nor written.

    Args:
        faces: number of faces.
        batch_size: faces in a batch.
        processes: number of processes.
        rank: number of this process.
        limit: number of batches of all processes together; None takes all.

    Example:
        >>> [list(EvaluationShare(5, 2, processes=2, rank=rank)) for rank in (0, 1)]
        [[0, 1, 4], [2, 3, -1]]
    """

    def __init__(
        self, faces: int, batch_size: int, processes: int, rank: int, limit: int | None = None
    ) -> None:
        batches: Sequence[range] = [
            range(start, min(start + batch_size, faces)) for start in range(0, faces, batch_size)
        ]
        batches = batches if limit is None else batches[:limit]
        own = [list(batch) for batch in batches[rank::processes]]
        if len(own) < -(-len(batches) // processes):
            own.append([-1])
        self._items = [item for batch in own for item in batch]

    def set_epoch(self, epoch: int) -> None:
        """Does nothing: the order is the same in every epoch."""

    def __len__(self) -> int:
        """Faces of this process, the repeated one among them."""
        return len(self._items)

    def __iter__(self) -> Iterator[Any]:
        """Items of this process, batch by batch."""
        return iter(self._items)
