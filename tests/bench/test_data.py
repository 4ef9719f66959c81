"""What `bench data` compares is the same work; how fast it is, no test can hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from lit_landmarks.bench import data as module
from lit_landmarks.bench.data import DataBench, bench_data
from lit_landmarks.data import Augmentation, FaceDataset, FaceIndex, LandmarkDataModule
from lit_landmarks.data.index import Report


class _Noise(FaceDataset):
    """Noise instead of rendered faces, which would take the test's time."""

    rendered = True

    def __init__(self, n: int = 40, image_size: int = 192) -> None:
        self.n, self.image_size = n, image_size

    def _read(self, report: Report) -> FaceIndex:
        rng = np.random.default_rng(0)
        points = rng.uniform(0.3, 0.7, (self.n, 68, 2)).astype("f4") * self.image_size
        box = np.concatenate([points.min(1), points.max(1)], 1)
        return FaceIndex(points, np.ones((self.n, 68), bool), box)

    def load(self, rows: Sequence[int]) -> list[NDArray[np.uint8]]:
        size = (self.image_size, self.image_size, 3)
        return [np.random.default_rng(r).integers(0, 256, size, np.uint8) for r in rows]

    def render(self, rows: Sequence[int]) -> NDArray[np.uint8]:
        return np.stack(self.load(rows))

    def content_key(self, rows: Sequence[int]) -> str:
        return str(self.n)


def test_runs_and_tells_every_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SyntheticFaces", _Noise)
    found = bench_data(frame_size=64, faces=40, rounds=1, rendered=4, photographs=4)
    text = "\n".join(found.lines())
    assert "faces/s" in text
    assert found.cache is not None
    assert found.cache.cached > 0
    assert "JPEG decoding alone" in text
    assert min(found.data_ms, found.eval_ms, found.step_ms, found.rendered) > 0


def test_figures_follow_from_the_times() -> None:
    found = DataBench(128, 2, data_ms=16.0, eval_ms=8.0, step_ms=128.0, plain_ms=64.0, rendered=70)
    assert found.faces_per_second == 2000
    assert found.share_of_step == 0.125
    text = "\n".join(found.lines())
    assert "ours is 4.0 times as fast" in text
    assert "data is 12.5 % of it" in text


def test_the_rival_cuts_the_same_frame(tmp_path: Any) -> None:
    pytest.importorskip("albumentations")
    data = LandmarkDataModule(
        train={"a": _Noise(8)}, frame_size=96, cache_dir=str(tmp_path), source_size=192
    )
    faces = data.faces("train")
    assert faces is not None
    still = replace(Augmentation.none(), occlusion_size=0.4)
    plain = module._batch_with_albumentations(faces, 96, data.frame_scale, still)
    assert plain is not None
    _, points = plain([0, 3, 5])
    ours = data.transform(faces.__getitems__([0, 3, 5]), random=False).points
    # Its crop is centred on the source crop, whose corners lie on whole pixels; ours on the box.
    assert float((points - ours).abs().max()) < 1.5
    assert torch.isfinite(points).all()
