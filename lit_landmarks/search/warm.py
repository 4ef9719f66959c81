"""A study that starts with what earlier studies have learned: the key `warm_start`.

The value of an earlier trial means the same here only if a trial of this study with its parameters
would be trained alike: all other settings, the seeds and the data are equal. Such trials become
known to the sampler, with their values. They are not trials of this study: no budget counts them
and they cannot be its best. Where anything differs, such as the number of epochs, values do not
compare; then the `BEST` best settings of the earlier study are tried here first, and are trained.

Values of another objective, or on other validation faces, say nothing here and are refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from optuna.trial import FrozenTrial, TrialState, create_trial

from lit_landmarks.errors import UserError
from lit_landmarks.reports.entries import flatten, read_config
from lit_landmarks.reports.setting_names import setting_of
from lit_landmarks.search.attributes import METRICS, SOURCE, WARM
from lit_landmarks.search.budget import counts_as_trained, list_counted_trials
from lit_landmarks.search.checks import iterate_branches
from lit_landmarks.search.enqueue import Entry, digest_entry, enqueue_entries, list_parameters
from lit_landmarks.search.judged import JudgedStudy, list_distributions
from lit_landmarks.search.objectives import rank_trials
from lit_landmarks.search.space import METHOD, Sweep
from lit_landmarks.search.study import StudyFolder, is_feasible
from lit_landmarks.search.sweep_file import SEED
from lit_landmarks.search.task_runner import limit_to_one_device
from lit_landmarks.search.trial import TARGET, choose_target
from lit_landmarks.settings import Task
from lit_landmarks.settings.arguments import to_arguments
from lit_landmarks.training.data_record import find_changes
from lit_landmarks.training.run_directory import RunDirectory
from lit_landmarks.types import Role

#: Settings of an earlier study that are tried first where its values do not compare.
BEST = 5
#: Settings that change no value: names in W&B, other loggers, the folder of the data, whose faces
#: and labels are compared themselves.
_NAMES = ("wandb", "loggers", "data.init_args.root")
#: Of a study: earlier studies that it has started with.
_TAKEN = "warm start:"
_CLASS = "model.class_path"


@dataclass(frozen=True)
class Plan:
    """How this study trains a method.

    Attributes:
        config: settings by dotted key; the searched ones have any value.
        searched: dotted keys of the searched ones.
        find_changes: phrases for what differs between the data of a run and that of this study.
    """

    config: Mapping[str, Any]
    searched: tuple[str, ...]
    find_changes: Callable[[RunDirectory, Sequence[Role]], list[str]]


@dataclass(frozen=True)
class Earlier:
    """What an earlier study brings.

    Attributes:
        source: its folder.
        shared: trials for the sampler, with values that compare.
        entries: settings to be tried first, instead.
        difference: why no value compares; empty if some do.
    """

    source: Path
    shared: tuple[FrozenTrial, ...]
    entries: tuple[Entry, ...]
    difference: str

    def describe(self) -> str:
        """One line that says what is taken, and why."""
        if self.shared:
            return f"{self.source}: the sampler knows {len(self.shared)} of its trials"
        count = f"{len(self.entries)} best settings" if len(self.entries) > 1 else "best settings"
        return f"{self.source}: its {count} are tried first; {self.difference}, so values differ"


def make_plans(sweep: Sweep) -> dict[str, Plan]:
    """Makes the plan of each method, by its name; one without a name where there are none.

    Raises:
        UserError: settings or data that are not there or do not fit.
    """
    plans = {}
    names = list(sweep.methods) or [""]
    for name, (_, files, space) in zip(names, iterate_branches(sweep), strict=True):
        first = {p.key: p.probes()[0] for p in space}
        arguments = to_arguments({**sweep.settings, **first})
        task = Task.from_files(files, limit_to_one_device(files, arguments))
        task.connect()
        config = flatten(yaml.safe_load(task.resolved))
        plans[name] = Plan(
            config,
            tuple(first),
            lambda run, roles, task=task: find_changes(run, task.data(), roles),  # type: ignore[misc]
        )
    return plans


def read_earlier(sweep: Sweep, source: Path, plans: Mapping[str, Plan]) -> Earlier:
    """Reads what an earlier study brings to this one.

    Args:
        sweep: this study's.
        source: folder of the earlier one.
        plans: see `make_plans`.

    Raises:
        UserError: no study, another objective or other validation faces, or no trial that fits.
    """
    where = f"{sweep.file}: warm_start {source}"
    folder = StudyFolder(source)
    if not folder.file.is_file():
        raise UserError(f"{where} holds no study; correct the path, or remove it")
    earlier = folder.sweep()
    if earlier.objectives != sweep.objectives:
        theirs, ours = (" and ".join(each.objectives) for each in (earlier, sweep))
        raise UserError(
            f"{where} has the objective {theirs}, not {ours}; its values say nothing here, "
            "remove it"
        )
    study = folder.open(earlier)
    shared, best, reasons, differences = [], [], [], []
    for trial in list_counted_trials(study):
        runs = folder.runs(trial, earlier)
        if not counts_as_trained(trial) or not runs or not RunDirectory(runs[0]).config.is_file():
            continue
        run = RunDirectory(runs[0])
        config = read_config(run.config)
        method, params = _fit(sweep, plans, trial, config)
        if isinstance(params, str):
            reasons.append(f"trial {trial.number}: {params}")
            continue
        if changes := plans[method].find_changes(run, ["val"]):
            raise UserError(
                f"{where} was validated on other faces ({changes[0]}); its values say nothing "
                "here, remove it"
            )
        difference = _find_difference(sweep, plans[method], earlier, trial, run, config)
        if difference:
            differences.append(difference)
            best += [(trial, params)] if is_feasible(trial) else []
        else:
            shared.append(_copy_trial(sweep, source, trial, params))
    if not shared and not best:
        cure = f"{reasons[0]}; remove it" if reasons else "it has no trained trial here"
        raise UserError(f"{where}: no trial fits this study: {cure}")
    order = {trial.number: params for trial, params in best}
    trials = rank_trials([trial for trial, _ in best], sweep.objectives)
    ranked = [order[trial.number] for trial in trials]
    entries = () if shared else tuple(ranked[:BEST])
    return Earlier(source, tuple(shared), entries, "" if shared else differences[0])


def _fit(
    sweep: Sweep, plans: Mapping[str, Plan], trial: FrozenTrial, config: Mapping[str, Any]
) -> tuple[str, dict[str, Any] | str]:
    """Method and parameters that an earlier trial has here, or the reason why it does not fit."""
    same = [name for name, plan in plans.items() if plan.config.get(_CLASS) == config.get(_CLASS)]
    chosen = trial.params.get(METHOD)
    method = chosen if chosen in same else next(iter(same), None)
    if method is None:
        return "", f"{str(config.get(_CLASS)).rpartition('.')[2]} is no method of this study"
    searched = {setting_of(name): value for name, value in trial.params.items()}
    own = sweep.methods[method].space if method in sweep.methods else ()
    params: dict[str, Any] = {METHOD: method} if sweep.methods else {}
    names = [name for name in list_parameters(sweep, method) if name != METHOD]
    for name, parameter in zip(names, (*own, *sweep.space), strict=True):
        key = parameter.key
        value = searched[key] if key in searched else parameter.store(config.get(key))
        if not parameter.holds(value):
            return method, f"{key} is {value!r}, outside of the space"
        params[name] = float(value) if parameter.kind == "float" else value
    return method, params


def _find_difference(
    sweep: Sweep,
    plan: Plan,
    earlier: Sweep,
    trial: FrozenTrial,
    run: RunDirectory,
    config: Mapping[str, Any],
) -> str:
    """What makes the value of an earlier trial another one than here; empty if nothing does."""
    if earlier.seeds != sweep.seeds:
        return "it has other seeds"
    ignored = [*_NAMES, *plan.searched, TARGET]
    ignored += [SEED, "data.init_args.seed"] if sweep.seeds else []
    for key in dict.fromkeys([*plan.config, *config]):
        if any(key == name or key.startswith(f"{name}.") for name in ignored):
            continue
        here, there = plan.config.get(key), config.get(key)
        if here != there:
            return f"{key} is {there!r} there and {here!r} here"
    if config.get(TARGET) != choose_target(sweep.constraints, trial.user_attrs.get(METRICS, {})):
        return "its early exit was calibrated to another limit"
    changes = plan.find_changes(run, ["train"])
    return f"it was trained on other faces ({changes[0]})" if changes else ""


def _copy_trial(
    sweep: Sweep, source: Path, trial: FrozenTrial, params: Mapping[str, Any]
) -> FrozenTrial:
    """A trial for the sampler, with the value and the figures of an earlier one."""
    metrics = trial.user_attrs.get(METRICS, {})
    distributions = list_distributions(sweep)
    content = {**params, "state": trial.state.name, "metrics": json.dumps(metrics, sort_keys=True)}
    copy = create_trial(
        state=trial.state,
        values=trial.values if trial.state == TrialState.COMPLETE else None,
        params=dict(params),
        distributions={name: distributions[name] for name in params},
        intermediate_values=dict(trial.intermediate_values),
        user_attrs={
            METRICS: metrics,
            WARM: digest_entry(content),
            SOURCE: f"trial {trial.number} of {source}",
        },
    )
    for name, violation in trial.constraints.items():
        copy.set_constraint(name, violation)
    return copy


def start_warm(
    sweep: Sweep,
    study: JudgedStudy,
    make: Callable[[Sweep], Mapping[str, Plan]] = make_plans,
) -> list[str]:
    """Takes over what the earlier studies of `warm_start` bring, each once over all resumes.

    Args:
        sweep: the sweep.
        study: its storage.
        make: makes the plans of its methods.

    Returns:
        A line for each study that was taken over now.

    Raises:
        UserError: see `read_earlier`.
    """
    fresh = [path for path in sweep.warm_start if f"{_TAKEN}{path}" not in study.user_attrs]
    return [_take(study, earlier) for earlier in read_all_earlier(sweep, fresh, make)]


def read_all_earlier(
    sweep: Sweep,
    sources: Iterable[Path],
    make: Callable[[Sweep], Mapping[str, Plan]] = make_plans,
) -> list[Earlier]:
    """Reads earlier studies; the check of `warm_start` before anything is written.

    Raises:
        UserError: see `read_earlier`.
    """
    sources = list(sources)
    plans = make(sweep) if sources else {}
    return [read_earlier(sweep, source, plans) for source in sources]


def _take(study: JudgedStudy, earlier: Earlier) -> str:
    present = {t.user_attrs.get(WARM) for t in study.get_trials(deepcopy=False)}
    for trial in earlier.shared:
        if trial.user_attrs[WARM] not in present:
            study.add_trial(trial)
    enqueue_entries(study, earlier.entries)
    line = earlier.describe()
    study.set_user_attr(f"{_TAKEN}{earlier.source}", line)
    return line
