"""How much time an early stop saves: one face at a time on one core, and batches.

With and without the stop take turns face by face, so that other work on the machine slows both
alike.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch

from lit_landmarks.data import LandmarkDataModule
from lit_landmarks.errors import UserError
from lit_landmarks.methods.base import LandmarkModule
from lit_landmarks.training.records import all_stages
from lit_landmarks.types import FaceBatch

#: Faces that are run before anything is timed.
_WARM_UP = 5


@dataclass(frozen=True)
class CascadeBench:
    """Milliseconds of one thread.

    Attributes:
        faces: how many were timed one at a time.
        full, stopped: mean time of a face without and with the stop.
        median: median time of a face without the stop.
        batch: faces in a batch.
        batch_full, batch_stopped: median time of a batch.
    """

    faces: int
    full: float
    stopped: float
    median: float
    batch: int
    batch_full: float
    batch_stopped: float

    def lines(self) -> list[str]:
        """The figures as text."""
        return [
            f"{self.faces} faces one at a time, one thread",
            f"  all stages      {self.full:8.2f} ms a face (median {self.median:.2f})",
            f"  early stop      {self.stopped:8.2f} ms a face   "
            f"{self.full / self.stopped:.2f} times as fast",
            f"batches of {self.batch}, one thread",
            f"  all stages      {self.batch_full:8.1f} ms",
            f"  early stop      {self.batch_stopped:8.1f} ms   "
            f"{self.batch_full / self.batch_stopped:.2f} times as fast",
        ]


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def bench_cascade(
    method: LandmarkModule, data: LandmarkDataModule, faces: int = 200, batch: int = 64
) -> CascadeBench:
    """Measure on validation faces.

    Args:
        method: calibrated, weights loaded.
        data: its data module.
        faces: faces that are timed one at a time; repeated if the set has fewer.
        batch: faces in a batch.

    Raises:
        UserError: no thresholds, or no faces.
    """
    method.cpu().eval()
    if method.early_exit is None or method.early_exit.thresholds is None:
        raise UserError("the checkpoint holds no thresholds; run `calibrate` on it first")
    some = _faces(data, max(faces, batch))
    singles = [some.rows(k) for k in range(faces)]
    group = _stack(some, batch)
    with _one_thread(), torch.inference_mode():
        for one in singles[:_WARM_UP]:
            _both(method, one)
        times = [_both(method, one) for one in singles]
        _both(method, group)
        batches = [_both(method, group) for _ in range(7)]
    full, stopped = zip(*times, strict=True)
    return CascadeBench(
        faces, statistics.fmean(full), statistics.fmean(stopped), statistics.median(full), batch,
        statistics.median(b[0] for b in batches), statistics.median(b[1] for b in batches),
    )  # fmt: skip


class _Faces:
    """Images of faces, of which a batch can be made."""

    def __init__(self, first: FaceBatch, images: torch.Tensor) -> None:
        self.first, self.images = first, images

    def rows(self, number: int) -> FaceBatch:
        """One face; numbers beyond the last begin again."""
        k = number % len(self.images)
        return replace(self.first, image=self.images[k : k + 1])


def _faces(data: LandmarkDataModule, count: int) -> _Faces:
    images: list[torch.Tensor] = []
    first: FaceBatch | None = None
    for found in data.batches("val"):
        first = found if first is None else first
        images.append(found.image)
        if sum(map(len, images)) >= count:
            break
    if first is None:
        raise UserError("the validation sets hold no face; set data.init_args.val")
    return _Faces(first, torch.cat(images)[:count])


def _stack(some: _Faces, count: int) -> FaceBatch:
    order = torch.arange(count) % len(some.images)
    return replace(some.first, image=some.images[order])


def _both(method: LandmarkModule, faces: FaceBatch) -> tuple[float, float]:
    """Milliseconds without and with the stop; labels are not read."""
    start = time.perf_counter()
    with all_stages(method):
        method(faces.inputs)
    middle = time.perf_counter()
    method(faces.inputs)
    return 1e3 * (middle - start), 1e3 * (time.perf_counter() - middle)
