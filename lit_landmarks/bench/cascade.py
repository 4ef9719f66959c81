"""Time that an early exit saves: one face at a time on one core, and batches.

With and without early exit take turns face by face, so that other work on the machine slows both
alike.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, replace

import torch

from lit_landmarks.compute.latency import cpu_threads
from lit_landmarks.data import LandmarkDataModule
from lit_landmarks.errors import UserError
from lit_landmarks.methods.base import LandmarkModule
from lit_landmarks.nets.early_exit import run_all_stages
from lit_landmarks.types import FaceBatch

#: Faces that are run before anything is timed.
_WARM_UP = 5


@dataclass(frozen=True)
class CascadeBench:
    """Milliseconds a face and a batch take on one thread, without and with early exit.

    Attributes:
        faces: how many were timed one at a time.
        full, stopped: mean time of a face without and with it.
        median: median time of a face without it.
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
            f"  early exit      {self.stopped:8.2f} ms a face   "
            f"{self.full / self.stopped:.2f} times as fast",
            f"batches of {self.batch}, one thread",
            f"  all stages      {self.batch_full:8.1f} ms",
            f"  early exit      {self.batch_stopped:8.1f} ms   "
            f"{self.batch_full / self.batch_stopped:.2f} times as fast",
        ]


def bench_cascade(
    method: LandmarkModule, data: LandmarkDataModule, faces: int = 200, batch: int = 64
) -> CascadeBench:
    """Measures both on validation faces.

    Args:
        method: with early exit and thresholds; weights loaded.
        data: its data module.
        faces: faces that are timed one at a time; repeated if the set has fewer.
        batch: faces in a batch.

    Raises:
        UserError: no thresholds, or no faces.
    """
    method.cpu().eval()
    early_exit = method.early_exit
    if early_exit is None or early_exit.thresholds is None:
        raise UserError("the checkpoint holds no thresholds; run `analyse calibrate` on it first")
    first, images = _read_images(data, max(faces, batch))

    def take(start: int, count: int) -> FaceBatch:
        """Images from `start` on, beginning again after the last; labels are not read."""
        return replace(first, image=images[torch.arange(start, start + count) % len(images)])

    singles = [take(k, 1) for k in range(faces)]
    group = take(0, batch)
    with cpu_threads(1), torch.inference_mode():
        for single in singles[:_WARM_UP]:
            _time_both(method, single)
        times = [_time_both(method, single) for single in singles]
        _time_both(method, group)
        batches = [_time_both(method, group) for _ in range(7)]
    full, stopped = zip(*times, strict=True)
    return CascadeBench(
        faces=faces,
        full=statistics.fmean(full),
        stopped=statistics.fmean(stopped),
        median=statistics.median(full),
        batch=batch,
        batch_full=statistics.median(b[0] for b in batches),
        batch_stopped=statistics.median(b[1] for b in batches),
    )


def _read_images(data: LandmarkDataModule, count: int) -> tuple[FaceBatch, torch.Tensor]:
    """A first batch, and the images of up to `count` validation faces."""
    batches: list[FaceBatch] = []
    for batch in data.batches("val"):
        batches.append(batch)
        if sum(map(len, batches)) >= count:
            break
    if not batches:
        raise UserError("the validation sets hold no face; set data.init_args.val")
    return batches[0], torch.cat([batch.image for batch in batches])[:count]


def _time_both(method: LandmarkModule, faces: FaceBatch) -> tuple[float, float]:
    """Milliseconds without and with early exit."""
    start = time.perf_counter()
    with run_all_stages(method.early_exit):
        method(faces.inputs)
    middle = time.perf_counter()
    method(faces.inputs)
    return 1e3 * (middle - start), 1e3 * (time.perf_counter() - middle)
