"""Studies with several objectives: samplers, the front, what picks from it, what is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from lightning.pytorch import Callback
from optuna.distributions import IntDistribution
from optuna.trial import TrialState, create_trial

from lit_landmarks.cli import main
from lit_landmarks.errors import UserError
from lit_landmarks.reports.answers import find_front, find_winner
from lit_landmarks.reports.compare import Comparison, as_json, compare
from lit_landmarks.reports.compare_charts import pareto_chart
from lit_landmarks.reports.entries import read_study_entries
from lit_landmarks.reports.page import render_page
from lit_landmarks.reports.study_run import make_study_tables, summarize_record
from lit_landmarks.search import METRICS, RUN, StudyFolder, check_continuable, summarize_study
from lit_landmarks.search.budget import count_epochs
from lit_landmarks.search.cleanup import Cleanup
from lit_landmarks.search.records import build_study_record
from lit_landmarks.search.study import find_front as find_front_of_study
from lit_landmarks.search.study import is_feasible, rank_feasible
from lit_landmarks.search.sweep_file import read_sweep
from tests.support.configs import write_sweep

from .conftest import Make, go, validate, value_of

BOTH = ["val/nme", "compute/mma"]


def fit(words: list[str], callbacks: Sequence[Callback]) -> dict[str, Any]:
    """NME falls with width, whose cost rises, and with quality, which costs nothing."""
    nme = 20 - value_of(words, "model.width") / 4 + 10 * value_of(words, "model.fault")
    validate(callbacks, 0, {"val/nme": nme})
    return {"metrics": {"val/nme": nme}, "epochs": 1}


@pytest.mark.parametrize("sampler", ["TPESampler", "NSGAIISampler"])
def test_samplers_find_the_front_within_the_limits(make_study: Make, sampler: str) -> None:
    arguments = {
        "TPESampler": {"n_startup_trials": 12},
        "NSGAIISampler": {"population_size": 12},
    }[sampler]
    space = {f"model.other{k}": {"float": [0, 1]} for k in range(3)}
    space |= {"model.width": {"int": [1, 40]}, "model.fault": {"float": [0, 1]}}
    folder = make_study(
        objective=BOTH, space=space, trials=84,
        sampler={"class": sampler, "arguments": {"seed": 3, **arguments}},
    )  # fmt: skip
    study = go(folder, fit)
    refused = [t for t in study.trials if t.constraints["compute/mma <= 20"] > 0]
    assert refused
    assert all(t.values == [math.inf, math.inf] for t in refused)
    assert all(t.values[1] == t.params["model.width"] for t in study.trials if t not in refused)
    late = study.trials[-28:]
    assert sum(not is_feasible(t) for t in late) < 0.67 * len(late) / 2, "half would be by chance"
    assert sum(t.params["model.fault"] for t in late) / len(late) < 0.4
    front = find_front_of_study(folder.open(folder.sweep()))
    assert all(is_feasible(trial) for trial in front)
    assert [t.values[0] for t in front] == sorted(t.values[0] for t in front)
    costs = [t.values[1] for t in front]
    assert costs == sorted(costs, reverse=True), "of two objectives the other one falls"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pruner": {"class": "MedianPruner"}}, r"pruner does not go with the objectives val/nme"),
        ({"sampler": {"class": "CmaEsSampler"}}, r"CmaEsSampler does not go .* NSGAIISampler"),
        ({"rounds": [{"keep": 2, "settings": {"trainer.max_epochs": 9}}]}, r"rounds rank by one"),
        ({"objective": ["val/nme", "val/nme"]}, r"objective holds val/nme twice"),
        ({"objective": []}, r"objective is an empty list"),
        ({"objective": ["val/nme", "val/loss"]}, r"objective 'val/loss' is a loss"),
    ],
)
def test_what_several_objectives_cannot_have(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        read_sweep(write_sweep(tmp_path, **{"objective": BOTH, **changes}))


def test_each_objective_has_its_own_direction(tmp_path: Path) -> None:
    three = ["compute/mma", "val/helen/auc10_box", "compute/onnx_latency_median_ms"]
    sweep = read_sweep(write_sweep(tmp_path, objective=three))
    assert sweep.directions == ["minimize", "maximize", "minimize"]
    assert sweep.worst == (math.inf, -math.inf, math.inf)
    assert sweep.timed == ("compute/onnx_latency_median_ms",)
    assert sweep.monitor == "val/helen/auc10_box", "best.ckpt follows what validation logs"
    one = read_sweep(write_sweep(tmp_path, objective=["val/nme"], pruner={"class": "MedianPruner"}))
    assert one.objectives == ("val/nme",)


#: Width (which is the cost in MMA) and NME of the trials of `folder`; None was not trained.
TRIALS = [(15, 5.0), (8, 6.0), (12, 5.5), (14, 5.6), (18, 4.8), (30, None), (8, 6.0)]


@pytest.fixture
def folder(make_study: Make) -> StudyFolder:
    """Trials 4, 0, 2 and 1 are the front; 3 is beaten by 2, 5 is too dear, 6 repeats 1."""
    folder = make_study(objective=BOTH, keep=1)
    study = folder.open(folder.sweep())
    for number, (width, nme) in enumerate(TRIALS):
        metrics = {"compute/mma": float(width)} | ({} if nme is None else {"val/nme": nme})
        run = {} if nme is None else {RUN: f"trials/{number:04d}"}
        study.add_trial(create_trial(
            state=TrialState.COMPLETE, params={"model.width": width},
            values=[math.inf] * 2 if nme is None else [nme, float(width)],
            distributions={"model.width": IntDistribution(1, 40)},
            user_attrs={METRICS: metrics, **run},
            system_attrs={"constraints:compute/mma <= 20": width - 20.0},
        ))  # fmt: skip
        if nme is not None:
            root = folder.trials / f"{number:04d}"
            (root / "checkpoints").mkdir(parents=True)
            (root / "checkpoints" / "best.ckpt").write_bytes(b"x")
            (root / "config.yaml").write_text(f"width: {width}\nwandb: {{}}\n")
    return folder


def test_the_front_is_the_answer(folder: StudyFolder, capsys: pytest.CaptureFixture[str]) -> None:
    study = folder.open(folder.sweep())
    assert [t.number for t in find_front_of_study(study)] == [4, 0, 2, 1]
    assert [t.number for t in rank_feasible(study)] == [4, 0, 2, 1, 3, 6]
    before = sorted(folder.root.rglob("*"))
    assert main(["sweep", "best", str(folder.root)]) == 0
    assert sorted(folder.root.rglob("*")) == before, "nothing is written"
    output = capsys.readouterr().out
    for line in ("4 4.800 18.000 18", "0 5.000 15.000 15", "1 6.000 8.000 8"):
        assert line in " ".join(output.replace("│", " ").replace("┃", " ").split())
    assert "a front of 4 trials in val/nme and compute/mma" in " ".join(output.split())
    assert f"sweep best {folder.root} --trial N, or --limit" in " ".join(output.split())


@pytest.mark.parametrize(
    ("pick", "width"), [(["--limit", "compute/mma <= 13"], 12), (["--trial", "0"], 15)]
)
def test_a_limit_or_a_number_picks_from_it(
    folder: StudyFolder, pick: list[str], width: int
) -> None:
    output = folder.root / "best.yaml"
    assert main(["sweep", "best", str(folder.root), *pick]) == 0
    assert yaml.safe_load(output.read_text())["width"] == width


def test_what_needs_one_best_asks_for_a_pick(
    folder: StudyFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sweep", "best", str(folder.root), "--refit", "2"]) != 0
    assert "has several objectives, so none is the best; pick one" in capsys.readouterr().err
    assert main(["sweep", "best", str(folder.root), "--limit", "compute/mma <= 2"]) != 0


def test_status_has_the_size_of_the_front_and_its_ends(
    folder: StudyFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sweep", "status", str(folder.root)]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "a front of 4 trials in val/nme and compute/mma" in text
    assert "best val/nme 4.800 (trial 4, compute/mma 18.000)" in text
    assert "best compute/mma 8.000 (trial 1, val/nme 6.000)" in text
    sweep = folder.sweep()
    summary = json.loads(json.dumps(summarize_study(sweep, folder.open(sweep), folder)))
    assert [row["number"] for row in summary["front"]] == [4, 0, 2, 1]
    assert summary["front"][0]["values"] == {"val/nme": 4.8, "compute/mma": 18.0}


def test_checkpoints_of_the_front_stay(folder: StudyFolder) -> None:
    Cleanup(folder, folder.open(folder.sweep()), keep=1)()
    left = sorted(path.parents[1].name for path in folder.trials.rglob("best.ckpt"))
    assert left == ["0000", "0001", "0002", "0004"]
    Cleanup(folder, folder.open(folder.sweep()), keep=0)()
    assert not [*folder.trials.rglob("best.ckpt")]


def test_edited_objectives_judge_the_trials_of_before(folder: StudyFolder) -> None:
    tree = yaml.safe_load(folder.file.read_text())
    folder.file.write_text(yaml.safe_dump(tree | {"objective": "compute/mma"}))
    study = folder.open(folder.sweep())
    assert [t.value for t in study.trials][:2] == [15.0, 8.0]
    with pytest.raises(UserError, match=r"compute/mma, but .* trained for val/nme and compute/mma"):
        check_continuable(study)
    folder.file.write_text(yaml.safe_dump(tree | {"objective": BOTH[::-1]}))
    study = folder.open(folder.sweep())
    assert [t.number for t in find_front_of_study(study)] == [1, 2, 0, 4]
    with pytest.raises(UserError, match="trained for val/nme and compute/mma"):
        check_continuable(study)
    folder.file.write_text(yaml.safe_dump(tree | {"constraints": ["compute/mma <= 13"]}))
    study = folder.open(folder.sweep())
    check_continuable(study)
    assert [t.number for t in find_front_of_study(study)] == [2, 1]


def test_a_running_trial_has_its_epochs_counted(make_study: Make) -> None:
    folder = make_study(objective=BOTH, trials=1)
    counts: list[int] = []

    def two_epochs(words: list[str], callbacks: Sequence[Callback]) -> dict[str, Any]:
        for epoch in range(2):
            validate(callbacks, epoch, {"val/nme": 9.0})
            counts.append(count_epochs(folder.open(folder.sweep())))
        return {"metrics": {"val/nme": 9.0}, "epochs": 2}

    study = folder.open(folder.sweep())
    study.enqueue_trial({"model.width": 10})
    study = go(folder, two_epochs)
    assert counts == [1, 2]
    assert study.trials[0].values == [9.0, 10.0]


@pytest.fixture
def comparison(folder: StudyFolder) -> Comparison:
    record = build_study_record(folder, folder.open(folder.sweep()))
    return compare(read_study_entries(record, files=False), [record], max_drawn=2)


def test_a_comparison_marks_the_front(comparison: Comparison) -> None:
    names = [f"made-up-{number:04d}" for number in (4, 0, 2, 1)]
    assert [entry.name for entry in comparison.front] == names
    assert (comparison.best, find_winner(comparison)) == (None, None)
    chart = pareto_chart(comparison)
    assert chart is not None
    stars = [note.split(":")[0] for part in chart.series if part.mark == "star"
             for note in part.notes]  # fmt: skip
    assert sorted(stars) == sorted(names)
    assert "stars are the front of val/nme and compute/mma" in chart.caption
    assert as_json(comparison)["front"] == names


def test_the_page_says_that_there_are_several_and_how_to_pick(
    comparison: Comparison, folder: StudyFolder
) -> None:
    front = find_front(comparison)
    assert front is not None
    assert front.ends == {"val/nme": "4.800, made-up-0004", "compute/mma": "8.000, made-up-0001"}
    page = render_page(comparison)
    assert "the answer is a front of 4" in page
    assert f"sweep best {folder.root} --trial N --output best.yaml" in page
    assert "nothing trained is within the limits" not in page
    one = compare(comparison.entries, comparison.studies, objective="val/nme")
    assert one.best is not None
    assert find_front(one) is None, "--objective ranks by that one alone"


def test_the_cost_of_a_comparison_is_an_objective(folder: StudyFolder) -> None:
    tree = yaml.safe_load(folder.file.read_text()) | {
        "objective": ["val/nme", "compute/parameters"]
    }
    folder.file.write_text(yaml.safe_dump(tree))
    record = build_study_record(folder, folder.open(folder.sweep()))
    entries = read_study_entries(record, files=False)
    assert compare(entries, [record]).cost == "compute/parameters"


def test_the_run_of_the_study_in_wandb_has_the_front(folder: StudyFolder) -> None:
    record = build_study_record(folder, folder.open(folder.sweep()))
    summary = summarize_record(record)
    assert "best" not in summary
    assert summary["front"][0] == {"trial": "made-up-0004", "val/nme": 4.8, "compute/mma": 18.0}
    heads, rows = make_study_tables(record)["pareto"]
    assert heads == ["trial", "val/nme", "compute/mma"]
    assert len(rows) == 4
