"""The pictures of an evaluation: which faces, whose numbers, where they go."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from lit_landmarks.data import Ibug300W, LandmarkDataModule
from lit_landmarks.methods.asmnet import ASMNet
from lit_landmarks.training.face_errors import measure_faces
from lit_landmarks.training.gallery import (
    COUNTS,
    Gallery,
    choose_faces,
    read_gallery,
)
from lit_landmarks.training.media import Media, _Drawn, choose_rows
from lit_landmarks.types import DatasetSpec, DataSpec, Prediction
from tests.support.faces import face_batch
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
        write_image(folder / f"{number}.jpg", 60 + 25 * number, (160, 160))
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
    method = ASMNet.tiny()
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


@pytest.mark.parametrize(
    ("state", "draws"),
    [
        ({}, False),
        ({"max_steps": 40}, False),
        ({"max_steps": 30}, True),
        ({"should_stop": True}, True),
        ({"max_epochs": 4}, True),
        ({"current_epoch": 4}, True),
    ],
)
def test_the_epoch_in_which_a_limit_ends_training_draws(
    state: dict[str, object], draws: bool
) -> None:
    """Epoch 4, counted from 1, after 30 steps; every fifth draws anyway."""
    trainer = SimpleNamespace(
        sanity_checking=False, state=SimpleNamespace(fn=TrainerFn.FITTING), current_epoch=3,
        max_epochs=-1, max_steps=-1, global_step=30, should_stop=False,
    )  # fmt: skip
    vars(trainer).update(state)
    assert Media(every_n_epochs=5)._due(trainer) == draws  # type: ignore[arg-type]


def test_errors_of_a_batch_are_measured_once(
    data: LandmarkDataModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    (batch, *_) = data.batches("val")
    media, calls = Media(faces=3), []

    def measure(points: Tensor, *args: object) -> Tensor:
        calls.append(len(points))
        return torch.arange(len(points)).float()

    monkeypatch.setattr("lit_landmarks.training.media.measure_faces", measure)
    media._drawn = _Drawn(data.spec, {int(batch.dataset_id[0]): {0, 2, 3}})
    media._draw({"prediction": Prediction(points=batch.points)}, batch)
    assert calls == [len(batch)]
    titles = [title for _, title in media._drawn.faces.values()]
    assert titles == ["s 0.0 % #0", "s 2.0 % #2", "s 3.0 % #3"]


def test_the_error_of_a_face_is_its_own(data: LandmarkDataModule) -> None:
    (batch, *_) = data.batches("val")
    off = batch.points + torch.tensor([3.0, 4.0])
    errors = measure_faces(off, batch, data.spec).tolist()
    assert errors == pytest.approx([100 * 5.0 / float(norm) for norm in batch.norms[:, 0]])
    # Points that nobody annotated do not count.
    batch.mask[1, :40] = False
    off[1, :40] += 1000.0
    assert measure_faces(off, batch, data.spec).tolist() == pytest.approx(errors)


def test_the_worst_and_the_best_faces_stay_in_the_run(
    data: LandmarkDataModule, tmp_path: Path
) -> None:
    trainer = Trainer(
        default_root_dir=tmp_path,
        accelerator="cpu",
        callbacks=[Media(faces=3)],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    method = ASMNet(frame_size=64)
    trainer.validate(method, data, verbose=False)
    trainer.test(method, data, verbose=False)
    method.eval()
    expected: dict[str, float] = {}
    with torch.no_grad():
        for batch in data.batches("val"):
            errors = measure_faces(method(batch.inputs).points, batch, data.spec).tolist()
            names = data.sets["val"]["s"].index().paths
            expected |= {
                Path(names[row]).name: error
                for row, error in zip(batch.index.tolist(), errors, strict=True)
            }
    faces = read_gallery(tmp_path / "overlays")
    mine = [face for face in faces if face.role == "val"]
    assert {face.role for face in faces} == {"val", "test"}
    assert [face.kind for face in mine] == ["worst"] * 4 + ["best"] * 2  # six faces: none is left
    ranked = sorted(expected, key=lambda name: -expected[name])
    assert [face.file for face in mine] == [*ranked[:4], *reversed(ranked[4:])]
    assert [face.nme for face in mine] == pytest.approx([expected[f.file] for f in mine], rel=1e-4)
    for face in faces:
        picture = cv2.imread(str(tmp_path / "overlays" / face.picture))
        assert picture is not None
        assert picture.shape == (192, 192, 3)
    assert (tmp_path / "overlays" / "val_worst.png").is_file()
    # Another evaluation replaces its role alone.
    trainer.validate(method, data, verbose=False)
    assert len(read_gallery(tmp_path / "overlays")) == len(faces)


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_faces_of_several_processes_are_chosen_as_those_of_one(processes: int) -> None:
    """300 faces, whatever process saw which, one of them twice."""
    spec = DataSpec("ibug68", 68, 64, "tight", (dataset("a", "val", 300),))
    errors = np.random.default_rng(3).permutation(300) + 1.0
    galleries = [Gallery(spec) for _ in range(processes)]
    for row in [*range(300), 0]:
        gallery = galleries[row % processes]
        points = torch.zeros(1, 68, 2)
        batch = face_batch(points, index=torch.tensor([row]), norms=torch.full((1, 5), 100.0))
        gallery.add(Prediction(points=points + torch.tensor([float(errors[row]), 0.0])), batch)
    chosen = choose_faces([g.state() for g in galleries], spec, "val")
    found = {kind: [face.nme for _, k, face in chosen if k == kind] for kind in COUNTS}
    assert found["worst"] == pytest.approx([300, 299, 298, 297])
    assert found["best"] == pytest.approx([1, 2])
    # Every fifth row is looked at for the median, 150.5.
    rows = [row for row in range(0, 300, 5) if 2 < errors[row] < 297]
    near = sorted((abs(errors[row] - 150.5), errors[row]) for row in rows)[:2]
    assert found["median"] == pytest.approx([error for _, error in near])


def test_a_set_of_which_a_process_has_no_face_is_no_trouble() -> None:
    spec = DataSpec("ibug68", 68, 128, "box", (dataset("many", "val", 3), dataset("one", "val", 1)))
    shares = ([(0, 0), (0, 1), (1, 0)], [(0, 2), (1, -1)], [(1, -1)])  # -1 repeats a face
    galleries = [Gallery(spec) for _ in shares]
    for gallery, share in zip(galleries, shares, strict=True):
        for number, row in share:
            points = torch.zeros(1, 68, 2)
            batch = face_batch(
                points,
                index=torch.tensor([row]),
                dataset_id=torch.tensor([number]),
                norms=torch.full((1, 5), 100.0),
            )
            moved = points + torch.tensor([row + 1.0, 0.0])
            gallery.add(Prediction(points=moved), batch)
    chosen = choose_faces([g.state() for g in galleries], spec, "val")
    assert [(d.name, face.row) for d, _, face in chosen] == [
        *[("many", 2), ("many", 1), ("many", 0)],
        ("one", 0),
    ]


def test_a_set_without_a_measurable_face_has_no_pictures() -> None:
    spec = DataSpec("ibug68", 68, 128, "box", (dataset("unmeasured", "val", 1),))
    gallery = Gallery(spec)
    points = torch.zeros(1, 68, 2)
    norms = torch.full((1, 5), torch.nan)
    gallery.add(Prediction(points=points), face_batch(points, index=torch.tensor([0]), norms=norms))
    assert choose_faces([gallery.state()], spec, "val") == []
