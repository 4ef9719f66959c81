"""The pictures of an evaluation: which faces, whose numbers, where they go."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer

from lit_landmarks.data import Ibug300W, LandmarkDataModule
from lit_landmarks.methods.asmnet import ASMNet
from lit_landmarks.training.media import Media, choose_rows, draw_face
from lit_landmarks.types import DatasetSpec, DataSpec, Prediction
from tests.support.images import write_image, write_pts


def dataset(name: str, role: str, size: int) -> DatasetSpec:
    return DatasetSpec(name, role, "ibug68", "300w", "interocular", size)  # type: ignore[arg-type]


def test_faces_are_spread_and_fixed() -> None:
    sets = (dataset("a", "train", 9), dataset("b", "val", 101), dataset("c", "val", 3))
    spec = DataSpec("ibug68", 68, 64, "tight", sets)
    rows = choose_rows(spec, "val", 10)
    assert rows == {1: {0, 25, 50, 75, 100}, 2: {0, 1, 2}}
    assert choose_rows(spec, "val", 10) == rows
    assert choose_rows(spec, "test", 10) == {}


def folder_of_faces(folder: Path, count: int) -> Path:
    """Grey images with 68 points on a spiral, as 300W stores them."""
    turn = np.linspace(0, 6 * np.pi, 68)
    spiral = 80 + (turn[:, None] + 20) * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    for number in range(count):
        write_image(folder / f"{number}.jpg", 100, (160, 160))
        write_pts(folder / f"{number}.pts", spiral)
    return folder


@pytest.fixture
def data(tmp_path: Path) -> LandmarkDataModule:
    return LandmarkDataModule(
        train={"s": Ibug300W(str(folder_of_faces(tmp_path / "train", 8)))},
        val={"s": Ibug300W(str(folder_of_faces(tmp_path / "val", 6)))},
        test={"t": Ibug300W(str(folder_of_faces(tmp_path / "test", 5)))},
        frame_size=64,
        batch_size=4,
        cache_dir=str(tmp_path / "cache"),
    )


def test_pictures_follow_their_faces(data: LandmarkDataModule, tmp_path: Path) -> None:
    media = Media(faces=3, every_n_epochs=2)
    trainer = Trainer(
        default_root_dir=tmp_path,
        accelerator="cpu",
        max_epochs=3,
        callbacks=[media],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    drawn: list[tuple[int, list[str]]] = []
    finish = media._finish

    def spy(*args: object) -> None:
        if media._drawn is not None:
            drawn.append(
                (trainer.current_epoch, [title for _, title in media._drawn.faces.values()])
            )
        finish(*args)  # type: ignore[arg-type]

    media._finish = spy  # type: ignore[method-assign]
    method = ASMNet(frame_size=64)
    trainer.fit(method, data)
    # Every second epoch and the last; not the sanity check.
    assert [epoch for epoch, _ in drawn] == [1, 2]
    assert [title.split(" ")[-1] for title in drawn[0][1]] == ["#0", "#2", "#5"]
    sheet = cv2.imread(str(tmp_path / "overlays" / "val.png"))
    assert sheet is not None
    assert sheet.shape[1] >= 3 * 192
    assert (tmp_path / "overlays" / "val_ced.png").is_file()
    assert not (tmp_path / "overlays" / "test.png").exists()
    trainer.test(method, data, verbose=False)
    assert (tmp_path / "overlays" / "test.png").is_file()


def test_title_is_the_faces_own_nme(data: LandmarkDataModule) -> None:
    (batch, *_) = data.batches("val")
    off = batch.points + torch.tensor([3.0, 4.0])
    _, title = draw_face(Prediction(points=off), batch, 1, data.spec.datasets[1])
    expected = 100 * 5.0 / float(batch.norms[1, 0])
    assert title == f"s {expected:.1f} %"
