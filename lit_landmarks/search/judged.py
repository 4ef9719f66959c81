"""Trials judged by the sweep file as it is now, from the metrics that each has recorded.

Optuna stores objective and violations of a trial as the sweep file said when the trial ended. The
file may be edited afterwards: a limit tightened, another metric as objective. Whoever reads the
study, and the sampler that goes on with it, gets what the file says now. What cannot go on with an
edited file is refused by `check_continuable`.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Container, Iterable, Mapping
from dataclasses import replace
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from lit_landmarks.errors import UserError
from lit_landmarks.reports.limits import Limit, compute_violations, replace_limits
from lit_landmarks.search.attributes import METRICS, OBJECTIVE, WARM, WHY
from lit_landmarks.search.objectives import first_value, is_trained
from lit_landmarks.search.space import METHOD, Sweep

#: Outcome of a trial that was refused by a limit that the sweep file no longer has.
NOT_TRAINED = "not trained: an earlier limit refused it"


class JudgedStudy(optuna.Study):
    """An Optuna study whose ended trials are judged by objective and limits of a sweep file.

    Args:
        sweep: the sweep file as it is now.
        storage: Optuna's storage, which holds a study of that name.
        pruner: Optuna's pruner.
    """

    def __init__(
        self,
        sweep: Sweep,
        storage: optuna.storages.BaseStorage,
        pruner: optuna.pruners.BasePruner | None = None,
    ) -> None:
        super().__init__(sweep.name, storage, pruner=pruner)
        self.sweep = sweep
        self._judged: dict[int, FrozenTrial] = {}

    @property
    def directions(self) -> list[StudyDirection]:
        """The directions of the sweep's objectives."""
        return [StudyDirection[direction.upper()] for direction in self.sweep.directions]

    @property
    def stored_directions(self) -> list[StudyDirection]:
        """The directions with which the study was created."""
        return super().directions

    @property
    def limits(self) -> tuple[Limit, ...]:
        """The limits that its trials are judged by."""
        return self.sweep.constraints

    def with_limits(self, changes: Iterable[Limit]) -> JudgedStudy:
        """The same study, judged by these limits instead of its own on the same metrics."""
        sweep = replace(self.sweep, constraints=replace_limits(self.limits, changes))
        return JudgedStudy(sweep, self._storage, self.pruner)

    def _get_trials(
        self,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
        use_cache: bool = False,
    ) -> list[FrozenTrial]:
        """As Optuna's, from which `get_trials`, samplers and pruners take the trials."""
        stored = super()._get_trials(deepcopy=False, use_cache=use_cache)
        trials = _void_repeated([self._judge(trial) for trial in stored])
        chosen = [trial for trial in trials if states is None or trial.state in states]
        return copy.deepcopy(chosen) if deepcopy else chosen

    def _judge(self, trial: FrozenTrial) -> FrozenTrial:
        if not trial.state.is_finished():
            return trial
        if trial.number not in self._judged:  # a trial that has ended changes no more
            self._judged[trial.number] = judge_trial(self.sweep, trial)
        return self._judged[trial.number]


def _void_repeated(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    """The trials, of which earlier ones that two machines have added count once."""
    present: set[str] = set()
    once = []
    for trial in trials:
        digest = trial.user_attrs.get(WARM)
        once.append(_fail(trial, "known twice") if digest in present else trial)
        present |= set() if digest is None else {digest}
    return once


def judge_trial(sweep: Sweep, trial: FrozenTrial) -> FrozenTrial:
    """Judges a trial by the objectives and the limits of a sweep.

    A trial that did not log an objective or a limited metric counts as failed, and so does one
    that was not trained although it would be within the limits.

    Args:
        sweep: the sweep.
        trial: a trial as it is stored.

    Returns:
        The trial itself where nothing differs; else a copy with other values, other constraints
        or another state.
    """
    metrics: Mapping[str, float] = trial.user_attrs.get(METRICS, {})
    if trial.state not in (TrialState.COMPLETE, TrialState.PRUNED) or not metrics:
        return trial
    ended = trial.state == TrialState.COMPLETE
    trained = is_trained(trial)
    if trained and (missing := next((m for m in sweep.metrics if m not in metrics), None)):
        return _fail(trial, f"logged no {missing}")
    figures = metrics if trained or not ended else charge_untrained(sweep.constraints, metrics)
    # A metric that was never measured counts as exactly at its limit.
    before = trial.constraints
    violations = {
        name: before.get(name, 0.0) if value is None else value
        for name, value in compute_violations(sweep.constraints, figures).items()
    }
    if ended and not trained and before and all(v <= 0 for v in violations.values()):
        return _fail(trial, NOT_TRAINED)
    values = trial.values
    if ended:
        values = [metrics[key] for key in sweep.objectives] if trained else list(sweep.worst)
    if (values, violations) == (trial.values, before):
        return trial
    judged = copy.copy(trial)
    if ended:
        judged.values = values
    others = trial.system_attrs.items()
    judged.system_attrs = {k: v for k, v in others if not k.startswith("constraints")}
    for name, violation in violations.items():
        judged.set_constraint(name, violation)
    return judged


def _fail(trial: FrozenTrial, why: str) -> FrozenTrial:
    failed = copy.copy(trial)
    failed.state, failed.values = TrialState.FAIL, None
    failed.user_attrs = {**trial.user_attrs, WHY: why}
    return failed


def charge_untrained(limits: Iterable[Limit], metrics: Mapping[str, float]) -> dict[str, float]:
    """The costs by which a trial is judged that has trained nothing.

    Early exit can bring the mean MMA of an adaptive method down to its minimum, and would bring it
    to the limit where all stages exceed that.

    Args:
        limits: the limits.
        metrics: costs of the trial, `compute/mma_min` and `compute/mma_max` if it is adaptive.
    """
    if "compute/mma_min" not in metrics:
        return dict(metrics)
    ceiling = min(
        (limit.limit for limit in limits if limit.metric == "compute/mma" and limit.at_most),
        default=math.inf,
    )
    mean = max(metrics["compute/mma_min"], min(metrics["compute/mma_max"], ceiling))
    return {**metrics, "compute/mma": mean}


def check_continuable(study: JudgedStudy) -> None:
    """Checks that further trials can join those that a study already has.

    Trials are pruned by comparison of their objectives in each epoch, so all have the same one,
    and Optuna keeps the choices of a parameter for a whole study.

    Raises:
        UserError: the sweep file was edited so that they cannot.
    """
    sweep = study.sweep
    cure = f"put it back, or start another study: sweep run {sweep.file} --study NEW_FOLDER"
    trials = study._storage.get_all_trials(study._study_id, deepcopy=False)
    trained_for = read_objectives(study) or (_find_objective(trials, sweep),)
    measured = any(t.values or t.intermediate_values for t in trials)
    turned = bool(trials) and study.stored_directions != study.directions
    if turned or (measured and trained_for != sweep.objectives):
        raise UserError(
            f"{sweep.file}: objective is {' and '.join(sweep.objectives)}, but the trials were "
            f"trained for {' and '.join(trained_for)}; {cure}"
        )
    distributions = list_distributions(sweep)
    for name, used in {k: d for t in trials for k, d in t.distributions.items()}.items():
        if name not in distributions:
            continue
        try:
            optuna.distributions.check_distribution_compatibility(used, distributions[name])
        except ValueError as error:
            raise UserError(
                f"{sweep.file}: {name} was {describe_distribution(used)} in the trials so far, "
                f"which cannot change within a study; {cure}"
            ) from error
    if read_objectives(study) != sweep.objectives:
        record_objectives(study)


def read_objectives(study: JudgedStudy) -> tuple[str, ...]:
    """The metrics that the trials of a study were trained for; none of an earlier version's."""
    recorded = study.user_attrs.get(OBJECTIVE) or ()
    return (recorded,) if isinstance(recorded, str) else tuple(recorded)


def record_objectives(study: JudgedStudy) -> None:
    """Records the metrics that the trials of a study are trained for."""
    several = list(study.sweep.objectives)
    study.set_user_attr(OBJECTIVE, several if study.sweep.further else study.sweep.objective)


def _find_objective(trials: Iterable[FrozenTrial], sweep: Sweep) -> str:
    """The objective of a study of an earlier version, which did not record it."""
    for trial in trials:
        metrics = trial.user_attrs.get(METRICS, {})
        if is_trained(trial):
            same = [key for key, value in metrics.items() if value == first_value(trial)]
            return sweep.objective if sweep.objective in same or not same else same[0]
    return sweep.objective


def list_distributions(sweep: Sweep) -> dict[str, BaseDistribution]:
    """Optuna's distribution of each parameter by its name in the study."""
    listed: dict[str, BaseDistribution] = {p.key: p.distribution() for p in sweep.space}
    if sweep.methods:
        listed[METHOD] = CategoricalDistribution(list(sweep.methods))
    for method, branch in sweep.methods.items():
        listed |= {f"{method}:{p.key}": p.distribution() for p in branch.space}
    return listed


def describe_distribution(distribution: Any) -> str:
    """A parameter of a sweep file in the words of its keys."""
    if isinstance(distribution, CategoricalDistribution):
        return f"choice: {list(distribution.choices)}"
    kind = "int" if isinstance(distribution, optuna.distributions.IntDistribution) else "float"
    log = ", log: true" if distribution.log else ""
    step = f", step: {distribution.step:g}" if distribution.step not in (None, 1) else ""
    return f"{kind}: [{distribution.low:g}, {distribution.high:g}]{log}{step}"
