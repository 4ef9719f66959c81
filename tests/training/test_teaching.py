"""A teacher's landmarks on training faces: predicted, cached, moved with the pixels, learned."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from numpy.typing import NDArray

from lit_landmarks.cli import main
from lit_landmarks.data import Augmentation, LandmarkDataModule, SyntheticFaces
from lit_landmarks.errors import UserError
from lit_landmarks.inference import Landmarker
from lit_landmarks.methods.identity import IDENTITY, description
from lit_landmarks.methods.musica import MuSiCa
from lit_landmarks.nets.distillation import TeacherOptions, blend_labels
from lit_landmarks.schemes import get_map
from lit_landmarks.training.checkpoints import load_method
from lit_landmarks.training.publishing import list_training_sources
from lit_landmarks.training.run_directory import RunDirectory
from lit_landmarks.training.teaching import Teacher
from lit_landmarks.types import CropSpec
from tests.support.faces import face_batch

CROP = CropSpec(64, "tight", 1.4)


def save(path: Path, crop: CropSpec | None = CROP, **more: Any) -> Path:
    """A checkpoint of a MuSiCa whose answers depend on the picture."""
    torch.manual_seed(0)
    method = MuSiCa.tiny(**more)
    said = description(method) | ({"crop": asdict(crop)} if crop else {})
    torch.save({"state_dict": method.state_dict(), IDENTITY: said}, path)
    return path


def faces(**more: Any) -> SyntheticFaces:
    return SyntheticFaces(n=5, image_size=96, seed=3, **more)


def data(folder: Path, train: dict[str, Any], **more: Any) -> LandmarkDataModule:
    return LandmarkDataModule(train, frame_size=64, batch_size=5, cache_dir=str(folder), **more)


@pytest.mark.parametrize("flip", [False, True], ids=["as it is", "with its mirror image"])
def test_a_teacher_answers_as_it_does_to_users(flip: bool, tmp_path: Path) -> None:
    path, dataset = save(tmp_path / "a.ckpt"), faces()
    points = Teacher(TeacherOptions(str(path), flip_average=flip)).label(
        dataset, "synthetic", str(tmp_path)
    )
    landmarker = Landmarker(load_method(path)[0], CROP)
    landmarker = landmarker.average_flips() if flip else landmarker
    box = dataset.index().box
    for row, image in enumerate(dataset.load(range(5))):
        (face,) = landmarker(image, box[row : row + 1])
        np.testing.assert_allclose(points[row], face.points, atol=2e-3)


def test_answers_are_cached_for_the_same_teacher_and_faces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "a.ckpt")
    first = Teacher(TeacherOptions(str(path))).label(faces(), "synthetic", str(tmp_path))

    def refuse(self: Teacher, dataset: Any, name: str, scheme: str) -> NDArray[np.float32]:
        raise LookupError(name)

    monkeypatch.setattr(Teacher, "_predict", refuse)
    again = Teacher(TeacherOptions(str(path))).label(faces(), "other name", str(tmp_path))
    np.testing.assert_array_equal(first, again)
    with pytest.raises(LookupError):  # a teacher that answers otherwise
        Teacher(TeacherOptions(str(path), flip_average=False)).label(faces(), "a", str(tmp_path))
    with pytest.raises(LookupError):  # other faces
        Teacher(TeacherOptions(str(path))).label(faces(max_yaw=5.0), "a", str(tmp_path))
    other = str(save(tmp_path / "b.ckpt", hidden=16))
    with pytest.raises(LookupError):  # another teacher
        Teacher(TeacherOptions(other)).label(faces(), "a", str(tmp_path))
    for file in tmp_path.glob("teacher-*.npz"):
        file.write_bytes(b"half")
    with pytest.raises(LookupError):  # a file that is damaged is made again
        Teacher(TeacherOptions(str(path))).label(faces(), "a", str(tmp_path))


def test_of_several_processes_one_predicts_and_the_others_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads stand for processes: the lock is one of open files."""
    path, start, calls = save(tmp_path / "a.ckpt"), threading.Barrier(2), []
    dataset = faces()
    dataset.index()

    def predict(self: Teacher, dataset: Any, name: str, scheme: str) -> NDArray[np.float32]:
        calls.append(name)
        time.sleep(0.5)
        return np.ones((5, 68, 2), np.float32)

    def label(name: str) -> NDArray[np.float32]:
        teacher = Teacher(TeacherOptions(str(path)))
        start.wait()
        return teacher.label(dataset, name, str(tmp_path / "cache"))

    monkeypatch.setattr(Teacher, "_predict", predict)
    with ThreadPoolExecutor(2) as pool:
        points = list(pool.map(label, ("first", "second")))
    assert len(calls) == 1
    assert all(np.array_equal(each, np.ones((5, 68, 2))) for each in points)
    assert len(list((tmp_path / "cache").iterdir())) == 1, "the lock is gone"


def test_a_teacher_runs_on_the_device_that_it_is_given(tmp_path: Path) -> None:
    teacher = Teacher(TeacherOptions(str(save(tmp_path / "a.ckpt"))), torch.device("meta"))
    with pytest.raises(RuntimeError, match="meta"):
        teacher.label(faces(), "synthetic", str(tmp_path))


def test_the_teachers_points_move_with_the_pixels(tmp_path: Path) -> None:
    """A teacher that answers with the labels stays on them under every augmentation."""
    module = data(tmp_path, {"first": faces(), "second": faces()})
    module.augmentation = Augmentation(rotation=30.0, scale=0.2, shift=0.1, flip=0.5)
    module.set_teacher("first", module.sets["train"]["first"].index().points)
    flipped = 0
    for batch in module.batches("train", random=True, epoch=1):
        taught = batch.dataset_id == 0
        torch.testing.assert_close(batch.teacher[taught], batch.points[taught])
        assert batch.teacher[~taught].isnan().all()
        flipped += int((torch.linalg.det(batch.frame_to_image[..., :2]) < 0).sum())
    assert flipped


def test_missing_points_are_the_teachers_alone() -> None:
    points = torch.full((2, 68, 2), 10.0)
    teacher = torch.full((2, 68, 2), 14.0)
    teacher[1] = torch.nan
    batch = face_batch(points, "ibug68", torch.zeros(2, 3, 64, 64), teacher=teacher)
    batch = replace(batch, mask=batch.mask.clone())
    batch.mask[:, 3] = False
    blended = blend_labels(batch, 0.25)
    assert blended.points[0, 0].tolist() == [11.0, 11.0]
    assert blended.points[0, 3].tolist() == [14.0, 14.0]
    assert blended.mask[0].all()
    assert torch.equal(blended.mask[1], batch.mask[1])
    assert torch.equal(blended.points[1], batch.points[1])


def test_a_set_of_another_scheme_takes_the_points_that_there_are(tmp_path: Path) -> None:
    teacher = Teacher(TeacherOptions(str(save(tmp_path / "a.ckpt"))))
    full = teacher.label(faces(), "a", str(tmp_path))
    few = teacher.label(faces(), "a", str(tmp_path), "cofw29")
    source = get_map("ibug68", "cofw29").source_index.numpy()
    np.testing.assert_array_equal(few[:, source >= 0], full[:, source[source >= 0]])
    assert np.isnan(few[:, source < 0]).all()
    with pytest.raises(UserError, match="no map from scheme 'ibug68' to 'wflw98'"):
        teacher.label(faces(), "a", str(tmp_path), "wflw98")


def fit(folder: Path, run: str, *more: str) -> int:
    config = folder / "short.yaml"
    config.write_text(
        "trainer: {accelerator: cpu, max_epochs: 1, enable_progress_bar: false}\n"
        "wandb: {mode: disabled}\n"
        "data:\n"
        "  class_path: LandmarkDataModule\n"
        "  init_args:\n"
        "    frame_size: 64\n"
        "    batch_size: 4\n"
        "    train: {synthetic: {class_path: SyntheticFaces, init_args: {n: 8, image_size: 96}}}\n"
        "    val: {synthetic: {class_path: SyntheticFaces, init_args: {n: 4, image_size: 96}}}\n"
    )
    arguments = ["fit", "--config", "musica", "--config", str(config), "--run", str(folder / run)]
    return main([*arguments, "--model.init_args.hidden", "32", *more])


def test_a_student_learns_what_its_teacher_answers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit(tmp_path, "teacher") == 0
    run = tmp_path / "student"
    options = ["--model.init_args.teacher.run", str(tmp_path / "teacher")]
    assert fit(tmp_path, run.name, *options, "--model.init_args.teacher.share", "0.5") == 0
    sources = list_training_sources(RunDirectory(run))
    assert [source.name for source in sources] == ["synthetic", "synthetic"]
    method, _ = load_method(RunDirectory(run).best)
    assert method.teacher == TeacherOptions(str(tmp_path / "teacher"))
    assert fit(tmp_path, "other", "--model.init_args.teacher.run", str(tmp_path / "nothing")) == 2
    assert "no checkpoint at" in capsys.readouterr().err


def test_a_teacher_that_is_right_can_replace_wrong_labels(tmp_path: Path) -> None:
    """Training on labels that are shifted, with a teacher of share 1, ends where the teacher is."""
    ends = []
    for shift, taught in ((0.0, False), (5.0, True)):
        torch.manual_seed(1)
        teacher = TeacherOptions("not asked", share=1.0) if taught else None
        student = MuSiCa.tiny(teacher=teacher)
        module = data(tmp_path, train={"a": faces()}, val={"a": faces()})
        labels = module.sets["train"]["a"].index()
        wrong = np.where(labels.mask[..., None], labels.points + np.float32(shift), labels.points)
        module.set_teacher("a", labels.points)
        module.sets["train"]["a"]._index = replace(labels, points=wrong)
        student.set_shape_statistics(module.shape_statistics())
        student.on_fit_start = lambda: None  # type: ignore[method-assign]
        trainer = Trainer(
            accelerator="cpu",
            max_epochs=2,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(student, module)
        ends.append(float(trainer.callback_metrics["train/loss"]))
    # The mean shape follows the wrong labels; what is learned does not.
    assert ends[1] == pytest.approx(ends[0], rel=0.3)


@pytest.mark.parametrize("share", [0.0, -0.5, 1.5])
def test_a_share_that_means_nothing_is_refused(share: float) -> None:
    with pytest.raises(UserError, match=r"model\.teacher\.share"):
        TeacherOptions("a", share)


def test_a_checkpoint_that_does_not_say_how_it_cuts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="how faces were cut"):
        Teacher(TeacherOptions(str(save(tmp_path / "a.ckpt", crop=None))))
