"""Comparison of runs and trials: ranking, columns, best of each column, settings that differ."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lit_landmarks.compute.pareto import pareto_front, select_nondominated
from lit_landmarks.draw.colors import PALETTE_SIZE
from lit_landmarks.errors import UserError
from lit_landmarks.metrics import higher_is_better
from lit_landmarks.reports.comparable import MeasuredOn
from lit_landmarks.reports.entries import (
    COST,
    Entry,
    StudyRecord,
    disambiguate,
    distinguish,
    format_value,
    hold_to_limits,
    rank,
    rank_candidates,
)
from lit_landmarks.reports.limits import (
    Limit,
    compute_violations,
    replace_limits,
    select_tightest,
)
from lit_landmarks.reports.results import Column

#: Figures that can stand for cost: label of the axis, unit behind a number, digits.
COSTS: Mapping[str, tuple[str, str, int]] = {
    COST: ("multiply-adds per face (MMA)", "MMA", 1),
    "compute/parameters": ("parameters", "parameters", 0),
    "compute/latency_median_ms": ("ms per face, one thread", "ms", 2),
    "compute/onnx_latency_median_ms": ("ms per face in ONNX Runtime, one thread", "ms", 2),
}
_SHORT = {"interocular": "io", "interpupil": "ip", "box": "box", "height": "h", "diagonal": "diag"}
_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?([eE][-+]?\d+)?")
#: Settings of tracking and folders, which do not describe the method or the data.
_ELSEWHERE = ("wandb.", "trainer.default_root_dir", "trainer.logger", "data.init_args.root")


@dataclass(frozen=True)
class Comparison:
    """Ranked rows with the columns, the colors and the studies that tables, pages and reports show.

    Attributes:
        title: title of the page.
        objective: metric that ranks the rows.
        entries: all rows, best first.
        drawn: rows with a color, in curves and bars.
        columns: figures of the table.
        studies: studies of the trials; empty for runs alone.
        limits: what every row is held to, those of the studies or of --limit.
        further: objectives beside the one that ranks, of studies whose answer is a front.
        groups: the rows that can be compared with each other, the largest group first; stars and
            Pareto fronts are those of a group. One group has an empty heading.
        cost: the figure that stands for cost, one of `COSTS`.

    Example:
        >>> first = Entry("a", "runs/a", metrics={"val/nme": 4.0})
        >>> second = Entry("b", "runs/b", metrics={"val/nme": 3.0})
        >>> compare([first, second]).best.name
        'b'
    """

    title: str
    objective: str
    entries: Sequence[Entry]
    drawn: Sequence[Entry]
    columns: Sequence[Column]
    studies: Sequence[StudyRecord] = ()
    groups: Sequence[Group] = ()
    cost: str = COST
    limits: Sequence[Limit] = ()
    further: Sequence[str] = ()

    @property
    def objectives(self) -> tuple[str, ...]:
        """All objectives, the one that ranks first."""
        return (self.objective, *self.further)

    @property
    def cost_limits(self) -> list[Limit]:
        """The limits on the cost that is shown."""
        return [limit for limit in self.limits if limit.metric == self.cost]

    @property
    def trials(self) -> int:
        """How many of the rows are trials of a study."""
        return sum(len(study.trials) for study in self.studies)

    @property
    def best(self) -> Entry | None:
        """The best row within all limits.

        None where no row can be compared with all others, or is the best in several objectives.
        """
        if len(self.groups) > 1 or self.further:
            return None
        ranked = rank_candidates(self.entries, self.objective)
        return next((e for e in ranked if e.trial is None or e.trial.behind == 0), None)

    @property
    def heading(self) -> str:
        """What the rows were measured on, of one group of several; empty otherwise."""
        return self.groups[0].heading if len(self.groups) == 1 else ""

    def split(self) -> list[Comparison]:
        """A comparison of each group, with the colors, columns and studies of the whole."""
        if len(self.groups) < 2:
            return [self]
        return [replace(self, entries=group.entries, groups=[group]) for group in self.groups]

    @property
    def front(self) -> list[Entry]:
        """The fronts of all groups, one after the other.

        Of several objectives each front begins with the best by the first; else it is that of
        objective and cost, the cheapest first.
        """
        parts = self.split()
        if self.further:
            return [e for part in parts for e in select_front(part.entries, self.objectives)]
        return [
            entry
            for part in parts
            for entry in select_pareto_entries(part.entries, self.objective, self.limits, self.cost)
        ]

    def color(self, entry: Entry) -> int | None:
        """Number in the palette of a drawn row; None for the others."""
        names = [drawn.name for drawn in self.drawn]
        return names.index(entry.name) if entry.name in names else None

    def best_names(self, column: Column) -> set[str]:
        """Names of the rows with the best figure of a column, in each group; none if all equal."""
        if len(self.groups) > 1:
            return {name for part in self.split() for name in part.best_names(column)}
        rows = {
            e.name: e.figure(column.key)
            for e in self.entries
            if e.state == "finished" and e.feasible and math.isfinite(e.figure(column.key))
        }
        better = is_higher_better(column.key)
        if len(rows) < 2 or better is None or len(set(rows.values())) < 2:
            return set()
        best = max(rows.values()) if better else min(rows.values())
        return {name for name, value in rows.items() if value == best}


@dataclass(frozen=True)
class Group:
    """Rows that can be compared with each other.

    Attributes:
        heading: what they were measured on; empty if there is one group.
        entries: the rows, best first.
    """

    heading: str
    entries: Sequence[Entry]


def group_comparable(entries: Sequence[Entry], objective: str) -> list[Group]:
    """Groups ranked rows by scheme, primary norm and faces of the objective's role.

    Figures of cost do not depend on faces. A row without a figure and without data of its own, such
    as a trial that was never trained, stands in the largest group.

    Args:
        entries: rows, best first.
        objective: metric of the ranking; its role decides whose faces count.
    """
    role = objective.split("/")[0]
    if role not in ("val", "test"):
        return [Group("", entries)]
    unknown = MeasuredOn()
    rows: dict[Any, list[Entry]] = {}
    waiting = []
    # How much of its data a row without a result was measured on is not known: it comes last.
    for entry in sorted(entries, key=lambda e: e.state != "finished"):
        measured = entry.measured_on or unknown
        if measured.key(role)[0] is None and not math.isfinite(entry.figure(objective)):
            waiting.append(entry)
        else:
            key = measured.key(role)
            if entry.state != "finished":
                key = next((other for other in rows if other[:3] == key[:3]), key)
            rows.setdefault(key, []).append(entry)
    if len(rows) < 2:
        return [Group("", entries)]
    ordered = sorted(rows.values(), key=len, reverse=True)
    ordered[0] += waiting
    places = {id(entry): place for place, entry in enumerate(entries)}
    for part in ordered:
        part.sort(key=lambda e: places[id(e)])
    return [Group((part[0].measured_on or unknown).describe(role), part) for part in ordered]


def compare(
    entries: Sequence[Entry],
    studies: Sequence[StudyRecord] = (),
    objective: str | None = None,
    extra: Sequence[str] = (),
    max_drawn: int = PALETTE_SIZE,
    title: str | None = None,
    limits: Sequence[Limit] = (),
    cost: str | None = None,
) -> Comparison:
    """Ranks rows, holds each to all limits, and chooses columns and colors.

    Args:
        entries: runs and trials.
        studies: studies of the trials.
        objective: metric of the ranking; None: those of the studies, or val/nme.
        extra: keys of further columns.
        max_drawn: the most rows that get a color.
        title: title of the page; None lists the studies and the number of runs.
        limits: limits beside those of the studies, which they replace on the same metric.
        cost: the figure that stands for cost, one of `COSTS`; None: the first of the studies'
            objectives that is one, or multiply-adds.

    Raises:
        UserError: nothing to compare, a key that no row has, studies that disagree.
    """
    if not entries:
        raise UserError("nothing to compare: the study has no trials yet; continue it first")
    asked = sorted({study.objective for study in studies})
    fronts = {study.objectives for study in studies}
    further = next(iter(fronts))[1:] if objective is None and len(fronts) == 1 else ()
    if objective is None and len(asked) > 1:
        raise UserError(
            f"the studies have different objectives, {' and '.join(asked)}; choose one with "
            "--objective KEY"
        )
    key = objective or (asked[0] if asked else "val/nme")
    higher_is_better(key)
    metrics = {name for entry in entries for name in entry.metrics}
    if cost not in (None, *COSTS):
        raise UserError(f"{cost} is no cost; choose one of {', '.join(COSTS)}")
    chosen = [*([objective] if objective else []), *([cost] if cost not in (None, COST) else [])]
    cost = cost or next((name for name in further if name in COSTS), COST)
    for name in [*extra, *chosen]:
        if name not in metrics:
            examples = ", ".join(sorted(k for k in metrics if k.count("/") < 3)[:6])
            raise UserError(f"no run has the figure {name}; there are {examples} and more")
    limits = replace_limits(select_tightest(x for s in studies for x in s.limits), limits)
    held = [hold_to_limits(entry, limits) for entry in disambiguate(entries)]
    groups = group_comparable(rank(held, key), key)
    rows = [entry for group in groups for entry in group.entries]
    ready = [e for e in rows if e.state == "finished" and math.isfinite(e.figure(key))]
    others = [e for e in rows if e not in ready and e.learning]
    names = distinguish([study.name for study in studies], [Path(s.folder) for s in studies])
    studies = [replace(study, name=name) for study, name in zip(studies, names, strict=True)]
    runs = len(rows) - sum(len(study.trials) for study in studies)
    names += [f"{runs} run{'s' if runs > 1 else ''}"] if runs else []
    return Comparison(
        title=title or ", ".join(names),
        objective=key,
        entries=rows,
        drawn=(ready + others)[:max_drawn],
        columns=choose_columns(rows, key, (*further, *([cost] if cost != COST else []), *extra)),
        studies=studies,
        groups=groups,
        cost=cost,
        limits=limits,
        further=further,
    )


def format_cost(value: float, cost: str) -> str:
    """A cost with its unit, such as `99.8 MMA`."""
    _, unit, digits = COSTS[cost]
    return f"{format_figure(value, digits)} {unit}"


def describe_ranking(comparison: Comparison) -> str:
    """The objective and the limits that every row is held to, and further objectives."""
    limits = ", ".join(map(str, comparison.limits))
    further = f" (beside {', '.join(comparison.further)})" if comparison.further else ""
    return comparison.objective + further + (f" within {limits}" if limits else "")


def is_higher_better(key: str) -> bool | None:
    """Whether a higher figure is better; None for counts and the like, which have no direction."""
    try:
        return higher_is_better(key)
    except UserError:
        return None


def find_primary_norms(entries: Sequence[Entry]) -> dict[str, str]:
    """Finds the primary norm of each `role/data set`, the one whose percentiles are logged."""
    norms: dict[str, str] = {}
    # Validation sets, by which one chooses, come before test sets.
    for key in sorted({k for e in entries for k in e.metrics}, key=lambda k: (k[:4] == "test", k)):
        parts = key.split("/")
        if len(parts) == 3 and parts[2].startswith("p90_"):
            norms["/".join(parts[:2])] = parts[2].removeprefix("p90_")
    return norms


def choose_columns(
    entries: Sequence[Entry], objective: str, extra: Sequence[str] = ()
) -> list[Column]:
    """Chooses the objective, costs, NME, failures and AUC of each data set, then `extra`."""
    metrics = {key for entry in entries for key in entry.metrics}
    columns = [Column(objective, objective, 3)]
    costs = (
        Column("MMA", COST, 1),
        Column("parameters", "compute/parameters", 0),
        Column("ms", "compute/latency_median_ms", 2),
        Column("ms ONNX", "compute/onnx_latency_median_ms", 2),
    )
    columns += [column for column in costs if column.key in metrics]
    for place, norm in find_primary_norms(entries).items():
        short = _SHORT.get(norm, norm)
        nme = f"{place}/nme_{norm}"
        if any(e.figure(nme) != e.figure(objective) for e in entries if nme in e.metrics):
            columns.append(Column(f"{place} NME {short}", nme, 3))
        for kind in ("fr", "auc"):
            level = _find_widest_threshold(metrics, f"{place}/{kind}", f"_{norm}")
            if level is not None:
                key = f"{place}/{kind}{level}_{norm}"
                columns.append(Column(f"{place} {kind.upper()}{level} {short}", key, 2))
    shown = {column.key for column in columns}
    return columns + [Column(key, key, 3) for key in dict.fromkeys(extra) if key not in shown]


def _find_widest_threshold(metrics: set[str], start: str, end: str) -> str | None:
    """Finds the largest threshold among keys such as val/helen/fr10_interocular, as spelled."""
    levels = [
        key[len(start) : -len(end)]
        for key in metrics
        if key.startswith(start) and key.endswith(end) and "/" not in key[len(start) :]
    ]
    numbers = [level for level in levels if level.replace(".", "", 1).isdigit()]
    return max(numbers, key=float, default=None)


def format_figure(value: float, digits: int) -> str:
    """Formats a figure, or a dash for NaN."""
    return f"{value:,.{digits}f}" if math.isfinite(value) else "-"


def find_differences(entries: Sequence[Entry]) -> dict[str, list[str]]:
    """Finds settings that differ between rows: key -> text of each row, `-` if not set."""
    keys = dict.fromkeys(key for entry in entries for key in entry.config)
    different: dict[str, list[str]] = {}
    for key in keys:
        if key.startswith(_ELSEWHERE):
            continue
        texts = [format_value(e.config[key]) if key in e.config else "-" for e in entries]
        if len({t for t, e in zip(texts, entries, strict=True) if e.config}) > 1:
            different[key] = texts
    return different


def select_pareto_entries(
    entries: Sequence[Entry], objective: str, limits: Sequence[Limit] = (), cost: str = COST
) -> list[Entry]:
    """Selects the Pareto front: trained rows better than every row of the same or a lower cost.

    Args:
        entries: rows.
        objective: metric of the other axis.
        limits: rows that break one are left out; those on `cost` do not count.
        cost: metric of the cost.
    """
    others = [limit for limit in limits if limit.metric != cost]
    sign = -1.0 if higher_is_better(objective) else 1.0
    trained = [
        (e.figure(cost), sign * e.figure(objective), e)
        for e in entries
        if e.state == "finished"
        and math.isfinite(e.figure(cost))
        and math.isfinite(e.figure(objective))
        and all(v is not None and v <= 0 for v in compute_violations(others, e.metrics).values())
    ]
    return pareto_front(trained)


def select_front(entries: Sequence[Entry], objectives: Sequence[str]) -> list[Entry]:
    """Selects the rows within all limits that no other one equals or beats in every objective.

    Args:
        entries: rows.
        objectives: metrics; the best by the first comes first.
    """
    signs = [-1.0 if higher_is_better(key) else 1.0 for key in objectives]
    rows = [
        (tuple(sign * e.figure(key) for sign, key in zip(signs, objectives, strict=True)), e)
        for e in rank_candidates(entries, objectives[0])
        if all(math.isfinite(e.figure(key)) for key in objectives)
    ]
    rows.sort(key=lambda row: row[0])
    return select_nondominated(rows)


def iterate_rows(comparison: Comparison) -> Iterator[dict[str, Any]]:
    """Yields the table as plain rows: name, state, every figure, every setting that differs."""
    different = find_differences(comparison.entries)
    front = {entry.name for entry in comparison.front}
    headings = {e.name: group.heading for group in comparison.groups for e in group.entries}
    figures = sorted({k for entry in comparison.entries for k in entry.metrics})
    for place, entry in enumerate(comparison.entries):
        yield {
            "name": entry.name,
            "method": entry.method,
            "state": entry.state,
            "within_limits": entry.feasible if entry.state in ("finished", "infeasible") else None,
            "pareto": entry.name in front,
            **({"group": headings[entry.name]} if len(comparison.groups) > 1 else {}),
            "outcome": entry.outcome,
            "where": entry.where,
            "seconds": entry.seconds,
            **{key: entry.metrics.get(key) for key in figures},
            **{f"config.{key}": texts[place] for key, texts in different.items()},
        }


def as_csv(comparison: Comparison) -> str:
    """The rows as CSV; what could start a formula in a spreadsheet is quoted."""
    rows = list(iterate_rows(comparison))
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows([{key: _escape_formula(value) for key, value in row.items()} for row in rows])
    return text.getvalue()


def _escape_formula(value: Any) -> Any:
    risky = isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r"))
    # A dash alone stands for nothing, and a negative number is one.
    risky = risky and value != "-" and not _NUMBER.fullmatch(value)
    return f"'{value}" if risky else value


def as_json(comparison: Comparison) -> Mapping[str, Any]:
    """The comparison as plain values."""
    return {
        "objective": comparison.objective,
        "limits": [str(limit) for limit in comparison.limits],
        "best": comparison.best.name if comparison.best else None,
        **(
            {"objectives": comparison.objectives, "front": [e.name for e in comparison.front]}
            if comparison.further
            else {}
        ),
        "rows": list(iterate_rows(comparison)),
        "groups": [
            {
                "heading": group.heading,
                "best": part.best.name if part.best else None,
                "rows": [entry.name for entry in group.entries],
            }
            for group, part in zip(comparison.groups, comparison.split(), strict=True)
        ],
        "studies": [
            {
                "name": study.name,
                "trials": len(study.trials),
                "total": study.total,
                "limits": [str(limit) for limit in study.limits],
                "importance": dict(study.importance),
                "importance_note": study.importance_note,
            }
            for study in comparison.studies
        ],
    }
