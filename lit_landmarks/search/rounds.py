"""Rounds after a search: its best trials train again, longer and with other seeds.

Trials of a few epochs favor what learns fast, and the best of many was lucky with its seed. A round
trains the best `keep` of the round before, the first those of the search, with its own settings
and with seeds that selected nothing before, and ranks them by their mean.

A round is a study of its own in STUDY/rounds/<number>, whose entries (`enqueue.py`) are its
candidates. Limits, workers, resumes and records are therefore those of any study.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import yaml
from optuna.trial import FrozenTrial, TrialState

from lit_landmarks.errors import UserError
from lit_landmarks.files import write_atomic
from lit_landmarks.reports.limits import Limit
from lit_landmarks.search.attributes import TWIN
from lit_landmarks.search.budget import list_counted_trials
from lit_landmarks.search.enqueue import digest_entry, is_within_space
from lit_landmarks.search.judged import JudgedStudy, judge_trial
from lit_landmarks.search.objectives import rank_trials, summarize_trial
from lit_landmarks.search.refit import choose_refit_seeds
from lit_landmarks.search.requeue import Requeue
from lit_landmarks.search.runner import POLL, run_trials
from lit_landmarks.search.space import METHOD, Sweep
from lit_landmarks.search.study import StudyFolder, is_feasible, rank_feasible
from lit_landmarks.search.sweep_file import SEED
from lit_landmarks.search.trial import Costs, Fit
from lit_landmarks.settings.composition import compose

#: Keys of a study's sweep file that its rounds do not have: a round trains its candidates to the
#: end, and nothing else.
_SEARCH_ONLY_KEYS = (
    *("rounds", "enqueue", "trials", "trained", "hours", "epochs", "minimum", "warm_start"),
    *("sampler", "pruner", "seeds"),
)


@dataclass(frozen=True)
class RoundStudy:
    """A round that has begun.

    Attributes:
        number: from 1.
        sweep: its sweep file, derived from that of the search.
        folder: STUDY/rounds/<number>.
        study: its Optuna study.
        candidates: the trials of the search that it trains, best of the round before first.
    """

    number: int
    sweep: Sweep
    folder: StudyFolder
    study: JudgedStudy
    candidates: Sequence[FrozenTrial]

    def pair(self) -> list[tuple[FrozenTrial, FrozenTrial | None]]:
        """Each candidate and its trial in this round; None before it begins."""
        trials = {digest_entry(t.params): t for t in self._list_own()}
        return [(c, trials.get(digest_entry(c.params))) for c in self.candidates]

    def count_total(self) -> int:
        """Number of its trials once every candidate is trained.

        More than its candidates, if the search went on after this round had begun.
        """
        names = {digest_entry(c.params) for c in self.candidates}
        others = [t for t in self._list_own() if digest_entry(t.params) not in names]
        return len(others) + len(self.candidates)

    def _list_own(self) -> list[FrozenTrial]:
        # A trial that has just been asked for has no parameters yet, only those it is to have.
        trials = list_counted_trials(self.study)
        return [t for t in trials if t.params]

    @property
    def is_finished(self) -> bool:
        """Whether every candidate has ended."""
        return all(trial is not None and trial.state.is_finished() for _, trial in self.pair())

    def rank(self, limits: Sequence[Limit] | None = None) -> list[tuple[FrozenTrial, FrozenTrial]]:
        """Candidates within the limits and their trials in this round, best first.

        Args:
            limits: None for those of the study.
        """
        sweep = (
            self.study.sweep if limits is None else replace(self.sweep, constraints=tuple(limits))
        )
        ended = [
            (candidate, judge_trial(sweep, trial))
            for candidate, trial in self.pair()
            if trial is not None and trial.state.is_finished()
        ]
        numbers = {trial.number: candidate for candidate, trial in ended}
        ranked = rank_trials([t for _, t in ended if is_feasible(t)], sweep.objectives)
        return [(numbers[trial.number], trial) for trial in ranked]


@dataclass(frozen=True)
class Decision:
    """The best candidate of a finished round.

    Attributes:
        part: the round.
        candidate: its trial in the search.
        trial: its trial in the round.
    """

    part: RoundStudy
    candidate: FrozenTrial
    trial: FrozenTrial

    def describe(self) -> dict[str, Any]:
        """Plain values for JSON."""
        own = {"number": self.candidate.number, "round": self.part.number}
        return {**summarize_trial(self.trial), **own}


#: Called with a round and each of its trials that has ended.
RoundReport = Callable[[RoundStudy, FrozenTrial], None]


def iterate_rounds(
    sweep: Sweep, folder: StudyFolder, study: JudgedStudy, begin: bool = False
) -> Iterator[RoundStudy]:
    """Yields the rounds that have begun, the first one first.

    Args:
        sweep: the sweep of the search.
        folder: its folder.
        study: its study.
        begin: whether to begin those that have not; the one before must be finished.

    Raises:
        UserError: a round that has begun was edited.
    """
    if not sweep.rounds:
        return
    # Under other limits, which `--limit` asks about, others would have been candidates.
    own = JudgedStudy(sweep, study._storage)
    candidates = list_candidates(sweep, own)
    for number, part in enumerate(sweep.rounds, 1):
        chosen = candidates[: part.keep]
        root = StudyFolder(folder.root / "rounds" / str(number))
        if begin and chosen:
            _write_round(sweep, folder, root, number, chosen)
        if not root.file.is_file():
            return
        of_round = replace(
            root.sweep(),
            constraints=sweep.constraints,
            objective=sweep.objective,
            enqueue=tuple(dict(candidate.params) for candidate in chosen),
        )
        opened = root.open(root.sweep())
        judged = JudgedStudy(of_round, opened._storage, opened.pruner)
        judged.sampler = opened.sampler
        current = RoundStudy(number, of_round, root, judged, chosen)
        yield current
        if not current.is_finished:
            return
        candidates = [candidate for candidate, _ in current.rank()]


def list_candidates(sweep: Sweep, study: JudgedStudy) -> list[FrozenTrial]:
    """Lists the trials of a search that a round can train, best first, each settings once."""
    ranked = [t for t in rank_feasible(study) if TWIN not in t.user_attrs]
    return [t for t in ranked if is_within_space(sweep, t.params)]


def list_seeds(sweep: Sweep) -> list[tuple[int, ...]]:
    """Seeds of each round, none of which selected anything in the search or a round before.

    All candidates of a round have the same seeds, so that they are compared alike.
    """
    used = set(list_search_seeds(sweep))
    seeds = []
    for part in sweep.rounds:
        own = choose_refit_seeds(sorted(used), part.seeds)
        used |= set(own)
        seeds.append(tuple(own))
    return seeds


def list_search_seeds(sweep: Sweep) -> list[int]:
    """Lists the seeds with which the trials of a search train."""
    if sweep.seeds:
        return list(sweep.seeds)
    if SEED in sweep.settings:
        return [int(sweep.settings[SEED])]
    bases = [branch.base for branch in sweep.methods.values()] or [()]
    trees = [compose([*base, *sweep.base]).tree for base in bases]
    return sorted({int(tree.get(SEED) or 0) for tree in trees})


def list_all_seeds(sweep: Sweep, number: int) -> list[int]:
    """Lists the seeds of the search and of the rounds up to that number."""
    return [*list_search_seeds(sweep), *itertools.chain(*list_seeds(sweep)[:number])]


def _write_round(
    sweep: Sweep,
    folder: StudyFolder,
    root: StudyFolder,
    number: int,
    candidates: Sequence[FrozenTrial],
) -> None:
    """Writes the sweep file of a round; workers that begin it together write the same.

    Raises:
        UserError: the round has begun with other settings or seeds.
    """
    part, seeds = sweep.rounds[number - 1], list(list_seeds(sweep)[number - 1])
    tree = yaml.safe_load(folder.file.read_text(encoding="utf-8"))
    settings = {**(tree.get("settings") or {}), **part.settings}
    settings.pop(SEED, None)
    own = {
        "name": f"{sweep.name}-round{number}",
        "settings": settings,
        "seeds": seeds,
        "enqueue": [_describe_entry(sweep, c) for c in candidates],
        "trials": len(candidates),
    }
    others = {key: value for key, value in tree.items() if key not in _SEARCH_ONLY_KEYS}
    text = yaml.safe_dump({**others, **own}, sort_keys=False)
    if root.file.is_file():
        before = root.file.read_text(encoding="utf-8")
        if before == text:
            return
        earlier = yaml.safe_load(before)
        if (earlier.get("settings"), earlier.get("seeds")) != (settings, seeds):
            raise UserError(
                f"{folder.file}: settings or seeds of round {number} were changed, but {root.root} "
                "was trained with others; put them back, or remove that folder to train it anew"
            )
    write_atomic(root.file, text)


def _describe_entry(sweep: Sweep, trial: FrozenTrial) -> dict[str, Any]:
    """The parameters of a trial as an entry of a sweep file."""
    method = trial.params.get(METHOD)
    entry: dict[str, Any] = {} if method is None else {METHOD: method}
    own = sweep.methods[method].space if method is not None else ()
    entry |= {p.key: p.restore(trial.params[f"{method}:{p.key}"]) for p in own}
    return entry | {p.key: p.restore(trial.params[p.key]) for p in sweep.space}


def run_rounds(
    sweep: Sweep,
    folder: StudyFolder,
    study: JudgedStudy,
    report: RoundReport,
    fit: Fit | None = None,
    costs: Costs | None = None,
) -> None:
    """Runs the rounds of a study whose search is over; goes on with those that have begun.

    Args:
        sweep: the sweep.
        folder: its folder.
        study: its storage.
        report: called with each trial that has ended.
        fit: trains one fit, see `trial.Fit`; None for a `TaskRunner`'s.
        costs: counts costs, see `trial.Costs`; None for a `TaskRunner`'s.

    Raises:
        UserError: trials fail alike, a disk is full, a database stays away, or a round that has
            begun was edited.
    """
    if not sweep.rounds:
        return
    _wait_for_others(sweep, folder, study)
    for part in iterate_rounds(sweep, folder, study, begin=True):
        run_trials(
            part.sweep,
            part.folder,
            part.study,
            lambda trial, part=part: report(part, trial),  # type: ignore[misc]
            part.count_total(),
            fit,
            costs,
        )


def _wait_for_others(sweep: Sweep, folder: StudyFolder, study: JudgedStudy) -> None:
    """Waits until no worker runs a trial of the search: it may be among the best."""
    requeue = Requeue(study, folder, sweep)
    while True:
        requeue()
        if not study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            return
        time.sleep(min(POLL, sweep.heartbeat))


def find_last_finished(sweep: Sweep, folder: StudyFolder, study: JudgedStudy) -> Decision | None:
    """Finds the last finished round with a candidate within the limits of `study`.

    Returns:
        Its best candidate; None if no round decides.
    """
    last = None
    for part in iterate_rounds(sweep, folder, study):
        ranked = part.rank(study.limits) if part.is_finished else []
        last = Decision(part, *ranked[0]) if ranked else last
    return last


def are_rounds_over(sweep: Sweep, folder: StudyFolder, study: JudgedStudy) -> bool:
    """Whether every round has been trained, as far as there are candidates."""
    rounds = list(iterate_rounds(sweep, folder, study))
    if not all(part.is_finished for part in rounds):
        return False
    if len(rounds) == len(sweep.rounds):
        return True
    left = [c for c, _ in rounds[-1].rank()] if rounds else list_candidates(sweep, study)
    return not left
