"""Speed of making batches, beside a training step and beside plain albumentations + OpenCV.

All figures come from one run, in rounds that take turns, so that other work on the machine slows
all of them alike; each is the median of its rounds.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import timm
import torch
from torch import Tensor, nn

from lit_landmarks.bench.cache import CacheBench, bench_cache
from lit_landmarks.data import Augmentation, IctFaces, LandmarkDataModule, SyntheticFaces
from lit_landmarks.data.dataset import ConcatFaces, MixSampler
from lit_landmarks.types import FaceBatch

#: Targets of the project, see the README.
TARGET_FACES = 1500.0
TARGET_SHARE = 0.25
TARGET_RENDERED = 60.0
TARGET_ICT = 25.0
_ICT_SIZE = 256
BACKBONE = "mobilenetv3_small_100"
_BATCH = 32
_LEARNING_RATE = 1e-3


@dataclass(frozen=True)
class DataBench:
    """Milliseconds per batch of 32, and faces per second, of the data path and its rivals.

    Attributes:
        frame_size: pixels.
        threads: of torch and of our own workers.
        data_ms: a batch of 32 from the memory map to ready frames and labels, pose included.
        eval_ms: the same without the random part.
        step_ms: a training step of the backbone on such a batch.
        plain_ms: a batch by albumentations and OpenCV, pose not included; None if not installed.
        rendered: synthetic faces per second at `frame_size`.
        cache: how fast source crops are cached.
        ict: ICT faces per second at 256 px; None without a head file.
    """

    frame_size: int
    threads: int
    data_ms: float
    eval_ms: float
    step_ms: float
    plain_ms: float | None
    rendered: float
    cache: CacheBench | None = None
    ict: float | None = None

    @property
    def faces_per_second(self) -> float:
        """Augmented faces per second."""
        return 1000 * _BATCH / self.data_ms

    @property
    def share_of_step(self) -> float:
        """Time to make a batch over time to train on it."""
        return self.data_ms / self.step_ms

    def lines(self) -> list[str]:
        """The figures as text."""
        size = self.frame_size
        lines = [
            f"batches of {_BATCH} at {size} px, every augmentation on, {self.threads} threads",
            f"  cached crops to ready batch  {self.data_ms:8.1f} ms   "
            f"{self.faces_per_second:7.0f} faces/s   (target {TARGET_FACES:.0f})",
            f"  the same for evaluation      {self.eval_ms:8.1f} ms   "
            f"{1000 * _BATCH / self.eval_ms:7.0f} faces/s",
            f"  training step {BACKBONE}  {self.step_ms:6.1f} ms   "
            f"data is {100 * self.share_of_step:.1f} % of it (target {100 * TARGET_SHARE:.0f} %)",
        ]
        if self.plain_ms is None:
            lines.append("  albumentations is not installed; pip install 'lit-landmarks[bench]'")
        else:
            lines.append(
                f"  albumentations + OpenCV      {self.plain_ms:8.1f} ms   "
                f"{1000 * _BATCH / self.plain_ms:7.0f} faces/s   "
                f"ours is {self.plain_ms / self.data_ms:.1f} times as fast"
            )
        lines.append(
            f"  synthetic faces rendered at {size} px      {self.rendered:7.1f} faces/s   "
            f"(target {TARGET_RENDERED:.0f})"
        )
        if self.ict is not None:
            lines.append(
                f"  ICT faces rendered at {_ICT_SIZE} px            {self.ict:7.1f} faces/s   "
                f"(target {TARGET_ICT:.0f})"
            )
        return lines + ([] if self.cache is None else self.cache.lines())


def bench_data(
    frame_size: int = 128,
    faces: int = 96,
    rounds: int = 12,
    rendered: int = 64,
    photographs: int = 384,
    head: str | None = None,
) -> DataBench:
    """Measures the data path; prints nothing and leaves nothing on disk.

    Args:
        frame_size: side of the frames.
        faces: synthetic faces to cache.
        rounds: times that each figure is taken.
        rendered: faces to render for the rendering speed.
        photographs: JPEG files to decode and cache.
        head: an ICT FaceKit head file, whose rendering is then measured too.
    """
    total = rendered + _BATCH
    speed = _time_rendering(SyntheticFaces(n=total, image_size=frame_size))
    ict = _time_rendering(IctFaces(n=total, head=head, image_size=_ICT_SIZE)) if head else None
    with tempfile.TemporaryDirectory() as folder:
        module = LandmarkDataModule(
            train={"synthetic": SyntheticFaces(n=faces)},
            frame_size=frame_size,
            batch_size=_BATCH,
            cache_dir=folder,
        )
        mixed = module.faces("train")
        if mixed is None:
            raise AssertionError("a training set was given")
        batches = _repeat_epochs(mixed)
        epoch = iter(range(1 << 30))

        def ours() -> FaceBatch:
            return module.transform(
                mixed.__getitems__(next(batches)), random=True, epoch=next(epoch)
            )

        def evaluation() -> FaceBatch:
            return module.transform(mixed.__getitems__(next(batches)), random=False)

        works: dict[str, Callable[[], Any]] = {
            "data": ours,
            "eval": evaluation,
            "step": _make_training_step(ours()),
        }
        plain = _batch_with_albumentations(
            mixed, frame_size, module.frame_scale, module.augmentation
        )
        if plain is not None:
            works["plain"] = lambda: plain(next(batches))
        times = _take_turns(works, rounds)
    return DataBench(
        frame_size=frame_size,
        threads=torch.get_num_threads(),
        data_ms=times["data"],
        eval_ms=times["eval"],
        step_ms=times["step"],
        plain_ms=times.get("plain"),
        rendered=speed,
        cache=bench_cache(module.source_size, module.source_scale, photographs),
        ict=ict,
    )


def _take_turns(works: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Median milliseconds of each work, three calls a round after one to warm up."""
    calls = 3
    taken: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():
        work()
    for _ in range(rounds):
        for name, work in works.items():
            start = time.perf_counter()
            for _ in range(calls):
                work()
            taken[name].append(1000 * (time.perf_counter() - start) / calls)
    return {name: statistics.median(values) for name, values in taken.items()}


def _repeat_epochs(faces: ConcatFaces) -> Iterator[list[int]]:
    """Batches of one epoch after the other."""
    sampler = MixSampler(faces, seed=0)
    while True:
        items = list(sampler)
        for start in range(0, len(items) - _BATCH + 1, _BATCH):
            yield items[start : start + _BATCH]
        sampler.set_epoch(sampler.epoch + 1)


def _time_rendering(dataset: SyntheticFaces) -> float:
    """Faces rendered per second, in blocks of 32, after a first block."""
    dataset.render(range(_BATCH))
    start = time.perf_counter()
    for first in range(_BATCH, dataset.n, _BATCH):
        dataset.render(range(first, min(first + _BATCH, dataset.n)))
    return (dataset.n - _BATCH) / (time.perf_counter() - start)


def _make_training_step(batch: FaceBatch) -> Callable[[], None]:
    """Forward, L1 loss, backward and AdamW of the backbone that regresses the points."""
    n = batch.points.shape[1]
    model: nn.Module = timm.create_model(BACKBONE, pretrained=False, num_classes=2 * n)
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=_LEARNING_RATE)
    target = batch.points.flatten(1) / batch.image.shape[-1]

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss: Tensor = nn.functional.l1_loss(model(batch.image), target)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def _batch_with_albumentations(
    faces: ConcatFaces, size: int, frame_scale: float, strength: Augmentation
) -> Callable[[list[int]], Any] | None:
    """The same changes as a user of albumentations writes them: a pipeline called per face.

    It starts from the same cached crops: affine with flip, crop and resize; then the same colour
    changes, blur, noise and rectangles; keypoints follow. Pose, norms and visibility are left out,
    in its favour.
    """
    try:
        import albumentations as albu
    except ImportError:
        return None
    part = faces.parts[0]
    crops, source = part.crops, part.size
    if crops is None:
        raise AssertionError("the faces have pixels")
    s = strength
    cut = round(source * frame_scale / part.scale)
    pipeline = albu.Compose(
        [
            albu.HorizontalFlip(p=s.flip),
            albu.Affine(
                rotate=(-s.rotation, s.rotation),
                scale=(1 / (1 + s.scale), 1 + s.scale),
                translate_percent=(-s.shift, s.shift),
                p=1.0,
            ),
            albu.CenterCrop(cut, cut),
            albu.Resize(size, size),
            albu.RandomGamma((int(100 / (1 + s.gamma)), int(100 * (1 + s.gamma))), p=1.0),
            albu.ColorJitter(
                brightness=s.brightness, contrast=s.contrast, saturation=s.saturation, hue=0, p=1.0
            ),
            albu.RGBShift(p=1.0),
            albu.ToGray(p=s.gray),
            albu.GaussianBlur(sigma_limit=(0.0, s.blur_sigma), blur_limit=0, p=s.blur),
            albu.GaussNoise(std_range=(0.0, s.noise_sigma), p=s.noise),
            albu.CoarseDropout((1, 2), (0.1, s.occlusion_size), (0.1, s.occlusion_size), p=0.44),
        ],
        keypoint_params=albu.KeypointParams(format="xy", remove_invisible=False),
    )

    def batch(items: list[int]) -> tuple[Tensor, Tensor]:
        images, points = [], []
        for item in items:
            row = item % len(faces)
            square = part.squares[row]
            ratio = square[2] / source
            labels = (part.index.points[row] - square[:2] + 0.5) / ratio - 0.5
            done = pipeline(image=np.asarray(crops[row]), keypoints=labels)
            images.append(torch.from_numpy(done["image"]).permute(2, 0, 1))
            points.append(torch.as_tensor(np.asarray(done["keypoints"], np.float32)))
        return torch.stack(images).float().div_(255), torch.stack(points)

    cv2.setNumThreads(torch.get_num_threads())
    return batch
