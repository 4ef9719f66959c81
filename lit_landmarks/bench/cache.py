"""Speed of caching source crops, beside decoding the same JPEG files and nothing else.

Both run on all cores with the same decoder, in rounds that take turns. Decoding starts from bytes
in memory; caching also reads the files and labels, cuts, shrinks, writes and syncs.
"""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lit_landmarks.data import FaceDataset, Ibug300W
from lit_landmarks.data.cache import source_crops
from lit_landmarks.data.layouts import write_image, write_text
from lit_landmarks.pictures import decode_image

#: A common photograph and the side of its face box, pixels: those of AFW have 916 x 767 and 172
#: in the median.
WIDTH, HEIGHT, _FACE = 916, 767, 172
_QUALITY = 92
#: Different photographs; further files repeat them. A published set has hundreds of files or more,
#: so what a build costs once (threads, one sync at the end) must not weigh more here than there.
_DIFFERENT = 96
#: Share of the decode rate that caching must reach.
TARGET_CACHED = 0.8


@dataclass(frozen=True)
class CacheBench:
    """Faces per second of caching and of decoding alone.

    Attributes:
        decoded: JPEG files decoded.
        cached: source crops made from them.
        threads: cores that both used.
        kilobytes: mean size of a file.
    """

    decoded: float
    cached: float
    threads: int
    kilobytes: float

    @property
    def share(self) -> float:
        """Cache rate over decode rate."""
        return self.cached / self.decoded

    def lines(self) -> list[str]:
        """The figures as text."""
        return [
            f"  JPEG decoding alone, {WIDTH} x {HEIGHT}, {self.kilobytes:.0f} kB  "
            f"{self.decoded:8.0f} files/s on {self.threads} cores",
            f"  source crops cached from them          {self.cached:8.0f} faces/s   "
            f"{self.share:.2f} of it (target {TARGET_CACHED})",
        ]


def bench_cache(
    source_size: int, source_scale: float, faces: int = 384, rounds: int = 5
) -> CacheBench:
    """Measures on photographs made here; leaves nothing on disk.

    Args:
        source_size: side of a source crop.
        source_scale: side of a source crop in units of the face box.
        faces: number of photographs.
        rounds: times that each figure is taken; the median counts.
    """
    with tempfile.TemporaryDirectory() as folder:
        dataset = _make_photographs(Path(folder) / "photographs", faces)
        paths = dataset.index().paths
        files = [Path(path).read_bytes() for path in paths]
        threads = os.cpu_count() or 1
        number = iter(range(1 << 30))

        def decode() -> None:
            with ThreadPoolExecutor(threads) as pool:
                # The pixels are dropped at once, as the cache does: keeping them would cost memory.
                for _ in pool.map(lambda d: decode_image(d, "").shape, files):
                    pass

        def cache() -> None:
            where = Path(folder) / f"cache{next(number)}"
            source_crops(dataset, source_size, source_scale, where)

        decode()
        cache()
        times: dict[str, list[float]] = {"decode": [], "cache": []}
        for _ in range(rounds):
            times["decode"].append(_time_call(decode))
            times["cache"].append(_time_call(cache))
        return CacheBench(
            decoded=faces / statistics.median(times["decode"]),
            cached=faces / statistics.median(times["cache"]),
            threads=threads,
            kilobytes=sum(map(len, files)) / len(files) / 1000,
        )


def _time_call(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _make_photographs(folder: Path, n: int) -> FaceDataset:
    """Pictures with the detail of photographs, each with the 68 points of one face."""
    rng = np.random.default_rng(0)
    for number in range(n):
        file = folder / f"{number:03d}.jpg"
        if number < _DIFFERENT:
            write_image(file, _make_photograph(rng), _QUALITY)
        else:
            shutil.copyfile(folder / f"{number % _DIFFERENT:03d}.jpg", file)
        corner = rng.uniform(0.1, 0.9, 2) * (WIDTH - _FACE, HEIGHT - _FACE)
        points = corner + rng.uniform(0, _FACE, (68, 2))
        rows = "\n".join(f"{x:.3f} {y:.3f}" for x, y in points)
        write_text(folder / f"{number:03d}.pts", f"version: 1\nn_points: 68\n{{\n{rows}\n}}\n")
    return Ibug300W(str(folder))


def _make_photograph(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Noise whose amplitude falls with frequency, as that of natural pictures does."""
    picture = np.full((HEIGHT, WIDTH, 3), 120.0, np.float32)
    for step in (128, 64, 32, 16, 8, 4, 2):
        shape = (HEIGHT // step, WIDTH // step, 3)
        layer = rng.normal(size=shape).astype(np.float32) * 8 * (step / 16) ** 0.6
        picture += cv2.resize(layer, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    return picture.clip(0, 255).astype(np.uint8)
