"""Rounds after a search: who comes into the next, with which seeds, and what decides."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from lightning.pytorch import Callback

from lit_landmarks.cli import main
from lit_landmarks.errors import UserError
from lit_landmarks.reports.answers import best_within_budget
from lit_landmarks.reports.compare import compare
from lit_landmarks.reports.entries import read_study_entries
from lit_landmarks.search import (
    StudyFolder,
    are_rounds_over,
    find_best_feasible,
    find_last_finished,
    format_round_trial,
    print_status,
    read_sweep,
    run_rounds,
    run_trials,
    summarize_study,
)
from lit_landmarks.search.records import build_study_records
from lit_landmarks.search.rounds import iterate_rounds, list_all_seeds, list_seeds
from tests.support.configs import write_sweep

from .conftest import Make, costs, value_of

#: Slow learners are wide: after one epoch the narrow ones lead, after many the wide ones.
LONG = {"trainer.max_epochs": 40}
ROUNDS = [{"keep": 3, "settings": LONG, "seeds": 2}, {"keep": 2, "settings": LONG, "seeds": 3}]
WIDTHS = (2, 4, 6, 8, 10)


class Fits:
    """Made-up fits, which remember width, seed and epochs of each."""

    def __init__(self, ends: dict[int, BaseException] | None = None) -> None:
        self.done: list[tuple[int, int, int]] = []
        self.ends = ends or {}
        self.lock = threading.Lock()

    def __call__(self, arguments: list[str], callbacks: Sequence[Callback]) -> dict[str, Any]:
        width = int(value_of(arguments, "model.width"))
        epochs = int(value_of(arguments, "trainer.max_epochs"))
        seeds = [a for a in arguments if a.startswith("--seed_everything=")]
        seed = int(seeds[0].partition("=")[2]) if seeds else 0
        with self.lock:
            if error := self.ends.pop(len(self.done), None):
                raise error
            self.done.append((width, seed, epochs))
        run = Path(arguments[arguments.index("--run") + 1])
        run.mkdir(parents=True, exist_ok=True)
        (run / "config.yaml").write_text(
            yaml.safe_dump({"seed_everything": seed, "model": {"width": width}, "wandb": {}})
        )
        nme = 10.0 + (width if epochs < 40 else -width) + 0.1 * seed
        result = {"metrics": {"val/nme": nme, "val/a/nme_box": width}, "epochs": epochs}
        (run / "result.json").write_text(json.dumps(result))
        return result


def work(folder: StudyFolder, fits: Any, total: int | None = None) -> list[str]:
    sweep = folder.sweep()
    study = folder.open(sweep)
    lines: list[str] = []
    run_trials(sweep, folder, study, lambda _: None, total, fits, costs)
    run_rounds(
        sweep, folder, study, lambda part, trial: lines.append(format_round_trial(part, trial)),
        fits, costs,
    )  # fmt: skip
    return lines


@pytest.fixture
def folder(make_study: Make) -> StudyFolder:
    return make_study(
        trials=len(WIDTHS),
        settings={"trainer.max_epochs": 1},
        enqueue=[{"model.width": width} for width in WIDTHS],
        rounds=ROUNDS,
        refit={},
    )


def edit(folder: StudyFolder, **changes: Any) -> None:
    tree = yaml.safe_load(folder.file.read_text())
    folder.file.write_text(yaml.safe_dump(tree | changes))


def test_the_best_train_longer_with_seeds_that_selected_nothing(
    folder: StudyFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    fits = Fits()
    lines = work(folder, fits)
    search, rest = fits.done[:5], fits.done[5:]
    assert search == [(width, 0, 1) for width in WIDTHS]
    assert sorted(rest[:6]) == [(width, seed, 40) for width in (2, 4, 6) for seed in (1, 2)]
    # Of the three the widest lead now.
    assert sorted(rest[6:]) == [(width, seed, 40) for width in (4, 6) for seed in (3, 4, 5)]
    assert lines[0] == "round 1, trial 0: 8.150 ± 0.071, 2.0 MMA, within the limits"
    sweep, study = folder.sweep(), folder.open(folder.sweep())
    assert list_seeds(sweep) == [(1, 2), (3, 4, 5)]
    assert list_all_seeds(sweep, 2) == [0, 1, 2, 3, 4, 5]
    best = find_best_feasible(study)
    assert best is not None
    assert best.number == 0, "of the search alone"
    last = find_last_finished(sweep, folder, study)
    assert last is not None
    assert (last.part.number, last.candidate.number) == (2, 2)
    assert last.trial.value == pytest.approx(4.4)
    summary = summarize_study(sweep, study, folder)
    assert summary["best"]["number"] == 2
    assert summary["best"]["round"] == 2
    assert [part["epochs"] for part in summary["rounds"]] == [240, 240]
    assert summary["epochs"] == 5 + 480
    assert [row["number"] for row in summary["rounds"][0]["ranking"]] == [2, 1, 0]
    print_status(sweep, study, folder)
    shown = capsys.readouterr().out
    assert "round 1: 3 of 3 candidates, seeds 1, 2" in shown
    assert "spent in round 2: 0.00 h, 240 epochs" in shown
    assert "best after round 2 of 2: trial 2, val/nme 4.400 ± 0.100" in shown
    assert "sweep resume" not in shown
    assert work(folder, fits) == [], "nothing is left to do"


def test_best_and_page_take_the_last_finished_round(
    folder: StudyFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # In the second round all are worse than any was in the first: other seeds, other luck.
    edit(folder, rounds=[ROUNDS[0], {"keep": 2, "settings": {"trainer.max_epochs": 30}}])
    work(folder, Fits())
    output = tmp_path / "best.yaml"
    assert main(["sweep", "best", str(folder.root), "--output", str(output)]) == 0
    assert capsys.readouterr().out.startswith("round 2, trial 1: ")
    assert yaml.safe_load(output.read_text())["seed_everything"] == 3
    assert yaml.safe_load(output.read_text())["model"]["width"] == 4
    study = folder.open(folder.sweep())
    records = build_study_records(folder, study)
    assert [(r.name, r.behind) for r in records] == [
        ("made-up", 2), ("made-up-round1", 1), ("made-up-round2", 0)
    ]  # fmt: skip
    rows = [entry for record in records for entry in read_study_entries(record)]
    page = compare(rows, records)
    assert page.best is not None
    assert page.best.name == "made-up-round2-0001"
    assert page.best.figure("val/nme") > min(row.figure("val/nme") for row in rows)
    assert len(page.entries) == 5 + 3 + 2
    # What a smaller budget buys is a trial of the latest round that has one as cheap.
    bought = {a.condition: a.entry.name for a in best_within_budget(page) if a.entry is not None}
    assert list(bought.values())[-1] == page.best.name, bought
    assert not any(name.startswith("made-up-0") for name in bought.values()), bought
    # An explicit trial is one of the search.
    assert main(["sweep", "best", str(folder.root), "--trial", "4", "--output", str(output)]) == 0
    assert yaml.safe_load(output.read_text())["model"]["width"] == 10


def test_a_tighter_limit_asks_the_candidates_that_were_trained(folder: StudyFolder) -> None:
    work(folder, Fits())
    sweep, study = folder.sweep(), folder.open(folder.sweep())
    from lit_landmarks.reports.limits import parse_limit

    best = []
    for limit in ("compute/mma <= 5", "compute/mma <= 3", "compute/mma <= 1"):
        last = find_last_finished(sweep, folder, study.with_limits([parse_limit(limit)]))
        best.append(None if last is None else (last.part.number, last.candidate.number))
    assert best == [(2, 1), (1, 0), None]


def test_limits_hold_in_rounds(folder: StudyFolder) -> None:
    # Narrow ones log a figure that breaks the limit once they are trained for long.
    class Breaking(Fits):
        def __call__(self, arguments: list[str], callbacks: Sequence[Callback]) -> dict[str, Any]:
            result = super().__call__(arguments, callbacks)
            long = value_of(arguments, "trainer.max_epochs") == 40
            result["metrics"]["val/a/nme_box"] = 9.0 if long and self.done[-1][0] == 6 else 1.0
            return result

    edit(folder, constraints=["val/a/nme_box <= 5"])
    work(folder, Breaking())
    sweep, study = folder.sweep(), folder.open(folder.sweep())
    first, second = iterate_rounds(sweep, folder, study)
    assert [c.number for c, _ in first.rank()] == [1, 0]
    assert [c.number for c in second.candidates] == [1, 0]


@pytest.mark.parametrize("call", [6, 13])
def test_an_interrupted_round_goes_on(folder: StudyFolder, call: int) -> None:
    fits = Fits({call: KeyboardInterrupt()})
    with pytest.raises(KeyboardInterrupt):
        work(folder, fits)
    sweep, study = folder.sweep(), folder.open(folder.sweep())
    assert not are_rounds_over(sweep, folder, study)
    work(folder, fits)
    assert are_rounds_over(sweep, folder, folder.open(sweep))
    assert len(fits.done) == len(set(fits.done)) == 5 + 6 + 6, "nothing is trained twice"


def test_a_search_that_goes_on_trains_only_new_candidates(folder: StudyFolder) -> None:
    fits = Fits()
    work(folder, fits)
    before = len(fits.done)
    edit(folder, trials=6, enqueue=[{"model.width": w} for w in (*WIDTHS, 1)])
    work(folder, fits)
    # Width 1 leads the search and displaces 6, so 4 and 2 are in the second round.
    trained = fits.done[before + 1 :]
    assert sorted(trained[:2]) == [(1, 1, 40), (1, 2, 40)]
    assert sorted(trained[2:]) == [(2, seed, 40) for seed in (3, 4, 5)]


def test_candidates_that_fail_drop_out_and_a_mistake_is_tried_again(folder: StudyFolder) -> None:
    fits = Fits({7: ValueError("unlucky")})
    work(folder, fits)
    sweep, study = folder.sweep(), folder.open(folder.sweep())
    first, second = iterate_rounds(sweep, folder, study)
    assert len(first.rank()) == 2
    assert first.is_finished
    assert second.is_finished

    class Broken(Fits):
        def __call__(self, arguments: list[str], callbacks: Sequence[Callback]) -> dict[str, Any]:
            raise FileNotFoundError("faces.npz")

    edit(folder, rounds=[*ROUNDS, {"keep": 2, "settings": {"trainer.max_epochs": 50}}])
    other = StudyFolder(folder.root.parent / "other")
    other.create(read_sweep(folder.file))
    run_trials(other.sweep(), other, other.open(other.sweep()), lambda _: None, None, fits, costs)
    with pytest.raises(UserError, match="failed alike"):
        work(other, Broken())
    work(other, fits)
    assert are_rounds_over(other.sweep(), other, other.open(other.sweep()))
    last = find_last_finished(other.sweep(), other, other.open(other.sweep()))
    assert last is not None
    assert last.part.number == 3


def test_two_workers_share_the_rounds(folder: StudyFolder) -> None:
    fits = Fits()
    errors: list[BaseException] = []

    def worker() -> None:
        try:
            work(folder, fits)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=worker) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(fits.done) == len(set(fits.done)) == 5 + 6 + 6
    assert are_rounds_over(folder.sweep(), folder, folder.open(folder.sweep()))


def test_a_round_that_has_begun_keeps_its_settings(folder: StudyFolder) -> None:
    work(folder, Fits())
    changed = [{**ROUNDS[0], "settings": {"trainer.max_epochs": 50}}, ROUNDS[1]]
    edit(folder, rounds=changed)
    with pytest.raises(UserError, match=r"round 1 were changed, but .*rounds/1 was trained"):
        work(folder, Fits())


def test_without_rounds_nothing_is_added(make_study: Make) -> None:
    folder = make_study(trials=2, settings={"trainer.max_epochs": 1})
    work(folder, Fits())
    assert not (folder.root / "rounds").exists()
    study = folder.open(folder.sweep())
    assert [r.behind for r in build_study_records(folder, study)] == [0]


def test_without_a_trial_within_the_limits_no_round_begins(folder: StudyFolder) -> None:
    edit(folder, constraints=["compute/mma <= 0"])
    assert work(folder, Fits()) == []
    assert not (folder.root / "rounds").exists()
    assert are_rounds_over(folder.sweep(), folder, folder.open(folder.sweep()))


@pytest.mark.parametrize(
    ("rounds", "message"),
    [
        ({"keep": 3}, "rounds is no list"),
        ([{"seeds": 2}], "rounds.1 has no 'keep'"),
        ([{"keep": 0}], "rounds.1.keep is 0; give a whole number of 1 or more"),
        ([{"keep": 2}, {"keep": 3}], "rounds.2.keep is more than the round before has; give 2"),
        ([{"keep": 2, "epochs": 3}], "rounds.1.epochs is unknown; known: keep, settings, seeds"),
        ([{"keep": 2, "settings": {"model.width": 3}}], "model.width is searched, and round 1"),
        ([{"keep": 2, "settings": {"seed_everything": 3}}], "round 1 sets seed_everything"),
        ([{"keep": 2, "settings": {"wandb.name": "x"}}], "rounds.1.settings.wandb.name"),
    ],
)
def test_bad_rounds_are_one_line(tmp_path: Path, rounds: Any, message: str) -> None:
    with pytest.raises(UserError) as error:
        read_sweep(write_sweep(tmp_path, rounds=rounds))
    assert message in str(error.value)
    assert "\n" not in str(error.value)
