"""Rows of a comparison: runs, trials of a study and W&B runs, each as an `Entry`."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import yaml

from lit_landmarks.documents import parse_yaml
from lit_landmarks.errors import UserError
from lit_landmarks.metrics import higher_is_better
from lit_landmarks.reports.comparable import MeasuredOn, read_measured_on
from lit_landmarks.reports.limits import Limit, compute_violations
from lit_landmarks.reports.setting_names import setting_of
from lit_landmarks.training.callbacks import MONITOR
from lit_landmarks.training.curves import ErrorCurve, read_curves
from lit_landmarks.training.gallery import GalleryFace, read_gallery
from lit_landmarks.training.run_directory import RunDirectory, open_run

#: finished: has figures; infeasible: costs too much, so nothing was trained.
State = Literal["finished", "pruned", "infeasible", "failed", "unfinished"]
COST = "compute/mma"
#: The parameter of a study that chooses among methods.
_METHOD = "method"
#: Logged with the figures of an epoch, and not by an evaluation.
LEARNING = "val/loss"


@dataclass(frozen=True)
class TrialRecord:
    """What a row that is a trial has beside its run.

    Attributes:
        number: in its study.
        folder: of the study.
        method: name of the method that was chosen; empty in a study of one.
        searched: settings that the study chose, by dotted key, without the choice of the method.
        seeds: objective of each seed; empty for a trial of one.
        behind: as of its study.
    """

    number: int
    folder: str
    method: str = ""
    searched: Mapping[str, Any] = field(default_factory=dict)
    seeds: Sequence[float] = ()
    behind: int = 0


@dataclass(frozen=True)
class Entry:
    """A row of a comparison: a run, a trial or a W&B run.

    Attributes:
        name: unique among the rows.
        where: folder or address.
        state: whether it was trained to its end, and if not, why.
        outcome: the reason of its state as a short phrase.
        feasible: within the limits of its study; of a comparison, within all that it holds.
        metrics: final figures by key.
        config: settings by dotted key.
        learning: value of `val/nme` by epoch, from 1.
        curves: error curves by `role/data set[/subset]`.
        seconds: duration.
        gallery: worst, typical and best faces that the run has drawn.
        measured_on: scheme, norm and data of its figures; None where they are not known.
        trial: what it has as a trial of a study; None for a run.

    Example:
        >>> Entry("a", "runs/a", metrics={"val/nme": 3.2}).figure("val/nme")
        3.2
    """

    name: str
    where: str
    state: State = "finished"
    outcome: str = ""
    feasible: bool = True
    metrics: Mapping[str, float] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    learning: Sequence[tuple[float, float]] = ()
    curves: Mapping[str, ErrorCurve] = field(default_factory=dict)
    seconds: float | None = None
    gallery: Sequence[GalleryFace] = ()
    measured_on: MeasuredOn | None = None
    trial: TrialRecord | None = None

    @property
    def place(self) -> Path:
        """Its folder, or that which a trial that was not trained would have."""
        if self.where or self.trial is None:
            return Path(self.where)
        return Path(self.trial.folder) / "trials" / f"{self.trial.number:04d}"

    def figure(self, key: str) -> float:
        """A final figure; NaN where there is none."""
        return self.metrics.get(key, math.nan)

    @property
    def method(self) -> str:
        """Class name of the method, or what the study calls it; empty where neither is there."""
        name = str(self.config.get("model.class_path", "")).rpartition(".")[2]
        return name or ("" if self.trial is None else self.trial.method)


@dataclass(frozen=True)
class StudyRecord:
    """A study as plain values; `search.records` makes it.

    Attributes:
        name: of the study.
        folder: its path.
        objective: metric that the study minimizes or maximizes.
        limits: its constraints.
        trials: one dict each: number, state, outcome, feasible, value, params, metrics,
            constraints, run (folder or None), seconds, and seeds (their objectives) if several.
        importance: parameter -> share of its importance; sums to 1, or empty.
        importance_note: on how many trials the importance rests, or why it is empty.
        importance_clear: whether they are enough for a headline.
        total: number of trials that it is to have; None where trained ones, hours or epochs end it.
        further: objectives beside the first, of a study whose answer is a front.
        round: number of the round that it is, of the study in the folder two above; 0 for a search.
        behind: finished rounds that have followed it; its best is that of search and rounds if
            none has. A round that is not finished stands behind all others.
    """

    name: str
    folder: str
    objective: str
    limits: Sequence[Limit]
    trials: Sequence[Mapping[str, Any]]
    importance: Mapping[str, float]
    importance_note: str
    total: int | None
    importance_clear: bool = False
    round: int = 0
    behind: int = 0
    further: Sequence[str] = ()

    @property
    def objectives(self) -> tuple[str, ...]:
        """All objectives, the one that ranks first."""
        return (self.objective, *self.further)

    def holds(self, entry: Entry) -> bool:
        """Whether a row is a trial of this study."""
        return entry.trial is not None and entry.trial.folder == self.folder


def read_run_entry(path: Path) -> Entry:
    """Reads a run as a row.

    Raises:
        UserError: no run, or one without figures; names the folder and the cure.
    """
    try:
        run = open_run(path)
    except UserError as error:
        inner = sorted(p.parent for p in path.glob("*/config.yaml")) if path.is_dir() else []
        if not inner:
            raise
        raise UserError(f"{path} is no run but holds {len(inner)}; give {path}/*") from error
    entry = _read_finished_run(run, path.resolve().name)
    # As W&B calls it, so that a refit or a trial has one name everywhere.
    return replace(entry, name=str(entry.config.get("wandb.name") or entry.name))


def read_study_entries(study: StudyRecord, files: bool = True) -> list[Entry]:
    """Reads the trials of a study as rows; one without its run directory has no curves.

    Args:
        study: the study.
        files: whether to read the run directories, which hold curves and configs.
    """
    return [_read_trial(study, trial, files) for trial in study.trials]


def _read_trial(study: StudyRecord, trial: Mapping[str, Any], files: bool) -> Entry:
    name = f"{study.name}-{trial['number']:04d}"
    run = open_trial_run(Path(trial["run"])) if trial["run"] and files else None
    entry = Entry(name, "")
    if run is not None and run.root.is_dir():
        entry = (
            _read_finished_run(run, name)
            if run.result.is_file()
            else _read_unfinished_run(run, name)
        )
    # The value reported to the study counts: it may be a mean over seeds.
    metrics = {**entry.metrics, **trial["metrics"]}
    if trial["value"] is not None and math.isfinite(trial["value"]):
        metrics[study.objective] = trial["value"]
    return replace(
        entry,
        name=name,
        state=trial["state"],
        outcome=trial["outcome"],
        feasible=trial["feasible"],
        metrics=metrics,
        config=entry.config or dict(trial["params"]),
        seconds=trial["seconds"],
        trial=_record_trial(study, trial),
    )


def _record_trial(study: StudyRecord, trial: Mapping[str, Any]) -> TrialRecord:
    searched = {setting_of(name): value for name, value in trial["params"].items()}
    method = str(searched.pop(_METHOD, ""))
    seeds = [value for value in (trial.get("seeds") or ()) if value is not None]
    return TrialRecord(trial["number"], study.folder, method, searched, seeds, study.behind)


def open_trial_run(folder: Path) -> RunDirectory:
    """Opens the run directory of a trial; of several seeds the first, whose curves are shown."""
    seeds = sorted(path.parent for path in folder.glob("seed*/config.yaml"))
    run = RunDirectory(folder)
    return RunDirectory(seeds[0]) if seeds and not run.config.is_file() else run


def _read_finished_run(run: RunDirectory, name: str) -> Entry:
    result = run.read_result()
    figures = result.get("metrics")
    if not isinstance(figures, dict):
        raise UserError(f"{run.result} holds no metrics; remove it, then fit --resume {run.root}")
    metrics = {k: float(v) for k, v in figures.items() if isinstance(v, int | float)}
    seconds = result.get("wall_seconds")
    entry = replace(
        _read_unfinished_run(run, name),
        state="finished",
        outcome="",
        metrics=metrics,
        curves=read_curves(run.ced),
        measured_on=read_measured_on(run, result),
        seconds=float(seconds) if isinstance(seconds, int | float) else None,
        gallery=read_gallery(run.overlays),
    )
    return drop_repeated_subsets(entry)


def _read_unfinished_run(run: RunDirectory, name: str) -> Entry:
    """The row of a run without figures: settings and learning curve."""
    return Entry(
        name,
        str(run.root),
        "unfinished",
        "no result.json",
        config=read_config(run.config),
        learning=read_learning(run.metrics),
        measured_on=read_measured_on(run),
    )


def read_config(path: Path) -> dict[str, Any]:
    """The settings of a config.yaml by dotted key; none if there is no such file.

    Raises:
        UserError: it is not YAML.
    """
    if not path.is_file():
        return {}
    try:
        tree = parse_yaml(path.read_text(encoding="utf-8"), path)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not YAML; restore it, or leave out the run") from error
    return flatten(tree) if isinstance(tree, dict) else {}


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted key; lists and empty groups are values."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{name}.")
        else:
            flat[name] = value
    return flat


def read_learning(path: Path, key: str = MONITOR) -> list[tuple[float, float]]:
    """(epoch, value) of a metrics.csv, epochs from 1; none if there is no such file or column.

    The final evaluation of the best checkpoint is no epoch: it is recognized by its missing loss.
    """
    epochs: list[tuple[float, float]] = []
    if not path.is_file():
        return epochs
    # Bytes that are no text spoil their own rows only.
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        for row in csv.DictReader(file):
            try:
                float(row[LEARNING])
                epoch, value = float(row["epoch"]) + 1, float(row[key])
                if math.isfinite(epoch) and math.isfinite(value):
                    epochs.append((epoch, value))
            except (KeyError, TypeError, ValueError, csv.Error):
                continue  # a row of the training set, or of an evaluation
    return epochs


def find_repeated_subsets(metrics: Mapping[str, float]) -> set[str]:
    """Subsets of which every figure is that of their set, as `role/data set/subset`.

    Runs of earlier versions measured a subset that holds every face of its set.

    Example:
        >>> figures = {"val/a/faces": 9.0, "val/a/faces/all": 9.0, "val/a/nme_box": 4.0}
        >>> find_repeated_subsets(figures | {"val/a/nme_box/all": 4.0})
        {'val/a/all'}
    """
    figures: dict[str, list[bool]] = {}
    for key, value in metrics.items():
        whole, _, subset = key.rpartition("/")
        if key.count("/") == 3:
            role, dataset, _ = whole.split("/")
            repeats = math.isclose(metrics.get(whole, math.nan), value, rel_tol=1e-9)
            figures.setdefault(f"{role}/{dataset}/{subset}", []).append(repeats)
    # Without the number of faces, equal figures may be chance.
    counted = {name for name in figures if _insert_figure(name, "faces") in metrics}
    return {name for name, repeats in figures.items() if all(repeats) and name in counted}


def _insert_figure(place: str, figure: str) -> str:
    """`val/a/faces/all` for `val/a/all` and `faces`."""
    role, dataset, subset = place.split("/")
    return f"{role}/{dataset}/{figure}/{subset}"


def drop_repeated_subsets(entry: Entry) -> Entry:
    """The row without figures and curves of subsets that hold every face of their set."""
    repeated = find_repeated_subsets(entry.metrics)
    if not repeated:
        return entry

    def keeps(key: str) -> bool:
        parts = key.split("/")
        return len(parts) != 4 or "/".join((*parts[:2], parts[3])) not in repeated

    return replace(
        entry,
        metrics={key: value for key, value in entry.metrics.items() if keeps(key)},
        curves={name: curve for name, curve in entry.curves.items() if name not in repeated},
    )


def disambiguate(entries: Sequence[Entry]) -> list[Entry]:
    """The rows with unique names: equal ones get as many parent folders as it takes.

    Raises:
        UserError: one run is given twice.
    """
    names = [entry.name for entry in entries]
    places = distinguish(names, [entry.place for entry in entries])
    return [replace(entry, name=place) for entry, place in zip(entries, places, strict=True)]


def distinguish(names: Sequence[str], places: Sequence[Path]) -> list[str]:
    """Unique names: equal ones are replaced by the ends of their paths, as long as it takes.

    Raises:
        UserError: one path is given twice.

    Example:
        >>> distinguish(["a", "a", "b"], [Path("x/a"), Path("y/a"), Path("z/b")])
        ['x/a', 'y/a', 'b']
    """
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        rows.setdefault(name, []).append(row)
    unique = [*names]
    for same in rows.values():
        if len(same) == 1:
            continue
        parts = [places[row].resolve().parts for row in same]
        for row, own in zip(same, parts, strict=True):
            if parts.count(own) > 1:
                raise UserError(f"{places[row]} is given twice; name it once")
            depth = next(n for n in range(2, 99) if [p[-n:] for p in parts].count(own[-n:]) == 1)
            unique[row] = "/".join(own[-depth:])
    return unique


def hold_to_limits(entry: Entry, limits: Sequence[Limit]) -> Entry:
    """The row, no longer feasible if it was trained and breaks a limit or lacks its metric."""
    if entry.state != "finished" or not entry.feasible:
        return entry
    for limit, (name, violation) in zip(
        limits, compute_violations(limits, entry.metrics).items(), strict=True
    ):
        if violation is None:
            return replace(entry, feasible=False, outcome=f"has no {limit.metric}, for {name}")
        if violation > 0:
            return replace(entry, feasible=False, outcome=f"breaks {name}")
    return entry


def rank(entries: Sequence[Entry], objective: str) -> list[Entry]:
    """Sort rows best first: within the limits, then beyond them, then without a figure."""
    sign = -1.0 if higher_is_better(objective) else 1.0

    def order(entry: Entry) -> tuple[bool, bool, float, str]:
        value = entry.figure(objective)
        ranked = entry.state == "finished" and math.isfinite(value)
        return not ranked, not entry.feasible, sign * value if ranked else 0.0, entry.name

    return sorted(entries, key=order)


def rank_candidates(entries: Sequence[Entry], objective: str) -> list[Entry]:
    """Rows that can be the best, best first: trained, within their limits, with a finite figure.

    Trials of a later round come before those that it was chosen from: those were the best with
    seeds that also chose them.
    """
    candidates = [
        e
        for e in rank(entries, objective)
        if e.state == "finished" and e.feasible and math.isfinite(e.figure(objective))
    ]
    return sorted(candidates, key=lambda e: 0 if e.trial is None else e.trial.behind)


def format_value(value: Any) -> str:
    """A setting's value as text: a string as it is, the rest as JSON."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)
