"""Faces and labels that change under a run, and data sets that are no longer there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from lit_landmarks import Task
from lit_landmarks.cli import main
from tests.support.configs import quick_config
from tests.support.images import smooth_noise, write_image, write_pts


def write_faces(folder: Path, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for number in range(count):
        write_image(folder / f"face_{number:02d}.png", smooth_noise(rng, 64, 64))
        write_pts(folder / f"face_{number:02d}.pts", rng.uniform(20, 44, (68, 2)))


def entry(folder: str, **arguments: object) -> dict[str, object]:
    return {"class_path": "Ibug300W", "init_args": {"root": folder, **arguments}}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three sets of faces and a run of one epoch on them."""
    root = tmp_path_factory.mktemp("trained")
    for seed, name in enumerate(("train", "val", "test")):
        write_faces(root / name, 4, seed)
    tree = quick_config()
    tree["data"] = {
        "init_args": {
            "root": str(root),
            "frame_size": 32,
            "batch_size": 4,
            "train": {"own": entry("train")},
            "val": {"own": entry("val")},
            "test": {"own": entry("test"), "more": entry("val")},
            "weights": {"own": 2.0},
        }
    }
    tree["trainer"] |= {"max_epochs": 1}  # type: ignore[operator]
    (root / "fit.yaml").write_text(yaml.safe_dump(tree))
    assert main(["fit", "--config", str(root / "fit.yaml"), "--run", str(root / "run")]) == 0
    return root


@pytest.fixture
def copy(trained: Path, tmp_path: Path) -> Path:
    """A copy of all that, in another place, whose config.yaml says so."""
    root = tmp_path / "copy"
    shutil.copytree(trained, root)
    config = root / "run" / "config.yaml"
    config.write_text(config.read_text().replace(str(trained), str(root)))
    return root


def move_points(root: Path) -> None:
    write_pts(root / "train" / "face_01.pts", np.full((68, 2), 30.0) + np.arange(68)[:, None] / 9)


def remove_face(root: Path) -> None:
    for suffix in (".png", ".pts"):
        (root / "val" / "face_03").with_suffix(suffix).unlink()


def replace_picture(root: Path) -> None:
    write_image(root / "train" / "face_00.png", smooth_noise(np.random.default_rng(9), 80, 64))


def rename_face(root: Path) -> None:
    for suffix in (".png", ".pts"):
        face = (root / "test" / "face_02").with_suffix(suffix)
        face.rename(face.with_stem("face_20"))


def forget_record(root: Path) -> None:
    """As a run of an earlier version, which has the hash of all labels only."""
    (root / "run" / "data.json").unlink()
    move_points(root)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (move_points, "train/own has changed in the label points, the label box"),
        (remove_face, "val/own has 3 faces, 4 before; test/more has 3 faces, 4 before"),
        (replace_picture, "train/own has changed in the sizes of picture files"),
        (rename_face, "test/own has changed in the picture files"),
        (forget_record, "faces or labels have changed"),
    ],
)
def test_a_run_does_not_go_on_with_other_data(
    copy: Path, complaint: Callable[..., str], change: Callable[[Path], None], reason: str
) -> None:
    change(copy)
    run = copy / "run"
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    line = complaint("fit", "--resume", run, "--trainer.max_epochs", 2)
    assert reason in line
    assert "--accept_changed_data" in line
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_the_same_data_elsewhere_is_the_same(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", "--resume", str(copy / "run"), "--trainer.max_epochs", "2"]) == 0
    assert "the data" not in capsys.readouterr().out
    assert "changes" not in json.loads((copy / "run" / "result.json").read_text())["data"]


def test_accepted_changes_are_recorded(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    move_points(copy)
    run = copy / "run"
    manifest = json.loads((run / "result.json").read_text())["data"]["manifest"]
    arguments = ["--resume", str(run), "--accept_changed_data", "--trainer.max_epochs"]
    assert main(["fit", *arguments, "2"]) == 0
    assert "note: the data has changed: train/own has changed in" in capsys.readouterr().out
    result = json.loads((run / "result.json").read_text())
    assert "--accept_changed_data" in result["command"]
    (change,) = result["data"]["changes"]
    assert (change["step"], change["from"]) == (1, manifest)
    assert change["to"] == result["data"]["manifest"] != manifest
    remove_face(copy)
    assert main(["fit", *arguments, "3"]) == 0
    changes = json.loads((run / "result.json").read_text())["data"]["changes"]
    assert [entry["step"] for entry in changes] == [1, 2]
    assert changes[1]["from"] == change["to"]
    # What was accepted is the data of the run from now on.
    assert main(["fit", "--resume", str(run), "--trainer.max_epochs", "3"]) == 0


def test_the_flag_needs_a_run(complaint: Callable[..., str], trained: Path) -> None:
    config = trained / "fit.yaml"
    assert "give --resume RUN" in complaint("fit", "--config", config, "--accept_changed_data")


@pytest.mark.parametrize(
    ("verb", "change", "reason"),
    [
        ("validate", remove_face, "val/own has 3 faces, 4 before"),
        ("validate", rename_face, ""),  # of the test set
        ("test", rename_face, "test/own has changed in the picture files"),
        ("predict", rename_face, "test/own has changed in the picture files"),
        ("test", move_points, ""),  # of the training set
    ],
)
def test_an_evaluation_of_other_data_says_so(
    copy: Path,
    capsys: pytest.CaptureFixture[str],
    verb: str,
    change: Callable[[Path], None],
    reason: str,
) -> None:
    change(copy)
    capsys.readouterr()
    assert main([verb, "--run", str(copy / "run")]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert ("note: the data is not that of the run:" in out) == bool(reason)
    assert reason in out


@pytest.mark.parametrize(
    ("verb", "gone"),
    [("validate", ("train", "test")), ("test", ("train",)), ("predict", ("train",))],
)
def test_data_sets_of_other_roles_need_not_be_there(
    copy: Path, verb: str, gone: tuple[str, ...]
) -> None:
    whole = Task.from_run(copy / "run", verb=verb)  # type: ignore[arg-type]
    expected = whole.measure() if verb != "predict" else {}
    for name in gone:
        shutil.rmtree(copy / name)
    task = Task.from_run(copy / "run", verb=verb)  # type: ignore[arg-type]
    if verb == "predict":
        assert task.predict(copy / "points.npz") == 8
    else:
        assert task.measure() == expected
        assert {key.split("/")[0] for key in expected} == {verb.replace("validate", "val")}


def test_predicts_the_validation_faces_where_no_test_set_is_named(copy: Path) -> None:
    shutil.rmtree(copy / "train")
    assert main(["predict", "--run", str(copy / "run"), "--data.init_args.test={}"]) == 0
    with np.load(copy / "run" / "predictions.npz") as columns:
        assert len(columns["points"]) == 4


def test_a_role_without_a_set_is_named(copy: Path, complaint: Callable[..., str]) -> None:
    line = complaint("validate", "--run", copy / "run", "--data.init_args.val={}")
    assert "`validate` needs a val set" in line


def test_sets_that_chose_the_checkpoint_are_left_out_of_the_mean(
    trained: Path, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = json.loads((trained / "run" / "result.json").read_text())
    metrics = result["metrics"]
    assert metrics["test/nme"] == metrics["test/own/nme_interocular"]
    assert metrics["test/more/nme_interocular"] == pytest.approx(metrics["val/nme"])
    chosen = {s["name"]: s.get("chosen_on", False) for s in result["data"]["sets"]}
    assert chosen == {"own": False, "more": True}
    # As well where the validation set is gone, under another name and with other boxes.
    other = yaml.safe_dump({"x": entry("val", first=2, boxes="jittered"), "own": entry("test")})
    (copy / "val").rename(copy / "moved")
    arguments = [f"--data.init_args.test={other.replace('val', 'moved')}"]
    metrics = Task.from_run(copy / "run", arguments, verb="test").measure()
    assert "faces of test/x chose this checkpoint" in " ".join(capsys.readouterr().out.split())
    assert metrics["test/nme"] == metrics["test/own/nme_interocular"]
    assert "test/x/nme_interocular" in metrics
