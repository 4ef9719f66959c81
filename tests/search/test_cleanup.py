"""Checkpoints of ended trials: those of the best few are kept."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import yaml
from optuna.trial import TrialState

from lit_landmarks.errors import UserError
from lit_landmarks.search import METRICS, RUN, StudyFolder, read_sweep
from lit_landmarks.search.attributes import RESUMES
from lit_landmarks.search.budget import AGAIN, DIED, VOID
from lit_landmarks.search.cleanup import Cleanup
from tests.support.configs import write_sweep

from .conftest import Make

#: NME of the trials that end; the fourth breaks the limit, the fifth is pruned.
NME = (5.0, 4.0, 6.0, 3.0, math.nan)


def files(folder: StudyFolder) -> set[str]:
    root = folder.trials
    return {p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()}


def write_run(run: Path) -> None:
    (run / "checkpoints").mkdir(parents=True)
    (run / "result.json").write_text("{}")
    for name in ("best", "last"):
        (run / "checkpoints" / f"{name}.ckpt").write_bytes(b"x")


@pytest.fixture
def folder(make_study: Make) -> StudyFolder:
    folder = make_study(keep=2)
    study = folder.open(folder.sweep())
    for number, nme in enumerate(NME):
        trial = study.ask()
        trial.suggest_int("model.width", 1, 40)
        run = folder.trials / f"{number:04d}"
        write_run(run / "seed3" if number == 0 else run)
        mma = 30.0 if number == 3 else 10.0
        trial.set_user_attr(METRICS, {"compute/mma": mma, "val/nme": nme})
        trial.set_user_attr(RUN, f"trials/{number:04d}")
        trial.set_constraint("compute/mma <= 20", mma - 20)
        pruned = math.isnan(nme)
        study.tell(trial, None if pruned else nme, TrialState.PRUNED if pruned else None)
    return folder


def test_records_of_all_and_weights_of_the_best(folder: StudyFolder) -> None:
    study = folder.open(folder.sweep())
    Cleanup(folder, study, None)()
    assert len(files(folder)) == 15
    Cleanup(folder, study, 2)()
    results = {f"000{n}/result.json" for n in range(1, 5)} | {"0000/seed3/result.json"}
    weights = {"0001/checkpoints/best.ckpt", "0000/seed3/checkpoints/best.ckpt"}
    assert files(folder) == results | weights, "the last ones of ended trials are of no use"
    Cleanup(folder, study, 1)()
    assert files(folder) == results | {"0001/checkpoints/best.ckpt"}
    Cleanup(folder, study, 0)()
    assert files(folder) == results


def test_trials_that_may_go_on_are_left_alone(folder: StudyFolder) -> None:
    study = folder.open(folder.sweep())
    for number in (5, 6):
        write_run(folder.trials / f"000{number}")
    running, dead = study.ask(), study.ask()
    running.set_user_attr(RUN, "trials/0005")
    dead.set_user_attr(RUN, "trials/0006")
    dead.set_user_attr(VOID, DIED)
    study.tell(dead, state=TrialState.FAIL)
    for queued in (False, True):
        if queued:
            marks = {AGAIN: dead.number, RESUMES: "trials/0006"}
            study.enqueue_trial({"model.width": 3}, user_attrs=marks)
        Cleanup(folder, study, 0)()
        left = {name for name in files(folder) if name.endswith(".ckpt")}
        assert left == {f"000{n}/checkpoints/{w}.ckpt" for n in (5, 6) for w in ("best", "last")}


def test_a_new_study_keeps_three_and_an_old_one_all(tmp_path: Path) -> None:
    file = write_sweep(tmp_path)
    folder = StudyFolder(tmp_path / "study")
    folder.create(read_sweep(file))
    assert folder.sweep().keep == 3
    tree = yaml.safe_load(folder.file.read_text())
    del tree["keep"]
    folder.file.write_text(yaml.safe_dump(tree))
    assert folder.sweep().keep is None
    assert read_sweep(write_sweep(tmp_path, keep="all")).keep is None
    for value in ("some", -1, 1.5):
        with pytest.raises(UserError, match="keep is"):
            read_sweep(write_sweep(tmp_path, keep=value))
