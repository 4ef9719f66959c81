"""A sweep file that was edited after its trials ran: judged anew, or refused to go on with."""

from __future__ import annotations

import math
from typing import Any

import optuna
import pytest
import yaml
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from lit_landmarks.cli import main
from lit_landmarks.errors import UserError
from lit_landmarks.search import (
    METRICS,
    RUN,
    StudyFolder,
    check_continuable,
    describe_outcome,
    find_best_feasible,
    is_feasible,
)
from lit_landmarks.search.attributes import OBJECTIVE
from lit_landmarks.search.judged import NOT_TRAINED

from .conftest import Make, go
from .test_trial import plain

WIDTH = IntDistribution(1, 40)


def add(folder: StudyFolder, width: int, nme: float | None, state: TrialState) -> None:
    """A trial as the search records it: MMA is the width, AUC ten times the NME."""
    study = optuna.load_study(study_name="made-up", storage=folder.open(folder.sweep())._storage)
    metrics: dict[str, float] = {"compute/mma": float(width)}
    trained = nme is not None and math.isfinite(nme)
    if trained:
        assert nme is not None
        metrics |= {"val/nme": nme, "val/helen/auc10_box": 10 * nme}
    number = len(study.trials)
    study.add_trial(create_trial(
        state=state, value=nme, params={"model.width": width},
        distributions={"model.width": WIDTH},
        user_attrs={METRICS: metrics, **({RUN: f"trials/{number:04d}"} if trained else {})},
        intermediate_values={0: 9.0} if trained or state == TrialState.PRUNED else {},
        system_attrs={"constraints:compute/mma <= 20": width - 20.0},
    ))  # fmt: skip


@pytest.fixture
def folder(make_study: Make) -> StudyFolder:
    """Within 20 MMA 5.0 is best, within 10 MMA 6.0; one was pruned and one too dear."""
    folder = make_study()
    for width, nme in ((8, 6.0), (15, 5.0), (12, 5.5)):
        add(folder, width, nme, TrialState.COMPLETE)
    add(folder, 18, None, TrialState.PRUNED)
    add(folder, 30, math.inf, TrialState.COMPLETE)
    return folder


def edit(folder: StudyFolder, **changes: Any) -> None:
    tree = yaml.safe_load(folder.file.read_text()) | changes
    folder.file.write_text(yaml.safe_dump(tree))


def best_number(folder: StudyFolder) -> int | None:
    best = find_best_feasible(folder.open(folder.sweep()))
    return None if best is None else best.number


def test_a_tighter_limit_holds_for_earlier_trials(folder: StudyFolder) -> None:
    assert best_number(folder) == 1
    edit(folder, constraints=["compute/mma <= 10"])
    study = folder.open(folder.sweep())
    assert best_number(folder) == 0
    assert [is_feasible(t) for t in study.trials] == [True, False, False, False, False]
    assert describe_outcome(study.trials[1]) == "breaks compute/mma <= 10"
    assert study.trials[3].constraints == {"compute/mma <= 10": 8.0}, "samplers get it too"
    assert [t.number for t in study.get_trials(states=(TrialState.PRUNED,))] == [3]
    # And the search goes on.
    edit(folder, trials=7)
    study = go(folder, plain)
    assert len(study.trials) == 7
    assert all(list(t.constraints) == ["compute/mma <= 10"] for t in study.trials)


def test_status_best_and_page_say_the_same(
    folder: StudyFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(folder, constraints=["compute/mma <= 10"])
    assert main(["sweep", "status", str(folder.root)]) == 0
    assert "best within compute/mma <= 10: trial 0, val/nme 6.000" in capsys.readouterr().out
    (folder.trials / "0000").mkdir(parents=True)
    config = {"wandb": {}, "seed_everything": 4}
    (folder.trials / "0000" / "config.yaml").write_text(yaml.safe_dump(config))
    assert main(["sweep", "best", str(folder.root)]) == 0
    assert capsys.readouterr().out.startswith("trial 0: 6.000, 8.0 MMA, within the limits: ")
    page = folder.root / "page.json"
    assert main(["compare", str(folder.root), "--output", str(page)]) == 0
    assert yaml.safe_load(page.read_text())["best"] == "made-up-0000"


def test_a_looser_limit_trains_nothing_afterwards(folder: StudyFolder) -> None:
    edit(folder, constraints=["compute/mma <= 35"])
    study = folder.open(folder.sweep())
    dear = study.trials[4]
    assert (dear.state, describe_outcome(dear)) == (TrialState.FAIL, NOT_TRAINED)
    assert best_number(folder) == 1


def test_a_limit_on_what_was_not_measured(folder: StudyFolder) -> None:
    edit(folder, constraints=["compute/latency_median_ms <= 3"])
    assert best_number(folder) is None
    study = folder.open(folder.sweep())
    assert describe_outcome(study.trials[0]) == "logged no compute/latency_median_ms"


def test_another_objective_is_read_and_not_continued(
    folder: StudyFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(folder, objective="val/helen/auc10_box")
    study = folder.open(folder.sweep())
    assert [t.value for t in study.trials] == [60.0, 50.0, 55.0, None, -math.inf]
    assert best_number(folder) == 0, "more is better"
    assert main(["sweep", "resume", str(folder.root)]) == 2
    error = capsys.readouterr().err
    assert "objective is val/helen/auc10_box, but the trials were trained for val/nme; " in error
    assert "put it back, or start another study: sweep run" in error
    # A study of an earlier version did not record what it was trained for.
    study.set_user_attr(OBJECTIVE, "")
    edit(folder, objective="val/helen/nme_box")
    with pytest.raises(UserError, match="trained for val/nme"):
        check_continuable(folder.open(folder.sweep()))


@pytest.mark.parametrize(
    ("before", "after", "old"),
    [
        ({"choice": [8, 9]}, {"choice": [8, 9, 10]}, "choice: [8, 9]"),
        ({"int": [1, 40]}, {"float": [1, 40]}, "int: [1, 40]"),
        ({"float": [1, 9]}, {"float": [1, 9], "log": True}, "float: [1, 9]"),
    ],
)
def test_a_parameter_that_cannot_change(
    make_study: Make, before: dict[str, Any], after: dict[str, Any], old: str
) -> None:
    folder = make_study(space={"model.width": before}, trials=1)
    go(folder, plain)
    edit(folder, space={"model.width": after})
    with pytest.raises(UserError) as error:
        check_continuable(folder.open(folder.sweep()))
    assert f"model.width was {old} in the trials so far, which cannot change" in str(error.value)
    edit(folder, space={"model.width": before, "model.depth": {"int": [1, 2]}})
    check_continuable(folder.open(folder.sweep()))


def test_a_wider_range_goes_on(folder: StudyFolder) -> None:
    edit(folder, space={"model.width": {"int": [1, 60]}})
    check_continuable(folder.open(folder.sweep()))


def test_another_name_finds_no_trials_and_says_so(folder: StudyFolder) -> None:
    edit(folder, name="other")
    with pytest.raises(UserError, match=r"name is 'other', but the trials .* 'made-up'; put"):
        folder.open(folder.sweep())


def test_an_unchanged_file_gives_the_trials_as_stored(folder: StudyFolder) -> None:
    study = folder.open(folder.sweep())
    stored = study._storage.get_all_trials(study._study_id, deepcopy=False)
    assert all(a is b for a, b in zip(study.get_trials(deepcopy=False), stored, strict=True))


def test_best_by_number_and_within_another_limit(
    folder: StudyFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(3):
        run = folder.trials / f"{number:04d}"
        run.mkdir(parents=True)
        (run / "config.yaml").write_text(yaml.safe_dump({"number": number, "wandb": {}}))

    def best(*arguments: str) -> tuple[int, str]:
        status = main(["sweep", "best", str(folder.root), *arguments])
        done = capsys.readouterr()
        return status, done.out + done.err

    written = folder.root / "best.yaml"
    assert best("--limit", "compute/mma <= 13")[0] == 0
    assert yaml.safe_load(written.read_text())["number"] == 2
    status, output = best("--trial", "0")
    assert (status, output) == (0, f"trial 0: 6.000, 8.0 MMA, within the limits: {written}\n")
    assert yaml.safe_load(written.read_text())["number"] == 0
    for arguments, complaint in (
        (["--limit", "compute/mma <= 5"], "has no trial within compute/mma <= 5; loosen"),
        (["--limit", "mma"], "--limit 'mma' is none; write"),
        (["--trial", "9"], "has no trial 9; give 0 to 4"),
        (["--trial", "4"], "was not trained (breaks compute/mma <= 20)"),
        (["--trial", "1", "--limit", "compute/mma <= 5"], "without --trial"),
    ):
        status, output = best(*arguments)
        assert status == 2
        assert complaint in output
    assert main(["sweep", "status", str(folder.root), "--limit", "compute/mma <= 13"]) == 0
    assert "best within compute/mma <= 13: trial 2" in capsys.readouterr().out


def test_float_ranges_are_compared_by_kind(make_study: Make) -> None:
    folder = make_study(space={"model.width": {"float": [1, 9]}})
    study = folder.open(folder.sweep())
    study.add_trial(create_trial(
        value=1.0, params={"model.width": 2.0},
        distributions={"model.width": FloatDistribution(0, 5)},
    ))  # fmt: skip
    check_continuable(study)
