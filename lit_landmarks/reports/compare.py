"""Comparing runs and trials: the rows, the columns, what is best in each, which settings differ."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lit_landmarks.compute.pareto import pareto_front
from lit_landmarks.draw.chart import PALETTE
from lit_landmarks.errors import UserError
from lit_landmarks.metrics import higher_is_better
from lit_landmarks.reports.entries import (
    COST,
    Entry,
    StudyRecord,
    candidates,
    distinct,
    ordered,
    value_text,
)
from lit_landmarks.reports.results import Column

_SHORT = {"interocular": "io", "interpupil": "ip", "box": "box", "height": "h", "diagonal": "diag"}
#: Settings that say how a run was tracked and where it ran, not what it was.
_ELSEWHERE = ("wandb.", "trainer.default_root_dir", "trainer.logger", "data.init_args.root")


@dataclass(frozen=True)
class Comparison:
    """Everything that a table, a page or a report says.

    Attributes:
        title: of the page.
        objective: metric that ranks the rows.
        entries: all rows, best first.
        drawn: those with a colour, in curves and bars.
        columns: figures of the table.
        studies: where trials came from; empty for runs alone.
    """

    title: str
    objective: str
    entries: Sequence[Entry]
    drawn: Sequence[Entry]
    columns: Sequence[Column]
    studies: Sequence[StudyRecord] = ()

    @property
    def trials(self) -> int:
        """How many of the rows are trials of a study."""
        return sum(len(study.trials) for study in self.studies)

    @property
    def best(self) -> Entry | None:
        """The best row within all limits."""
        return next(iter(candidates(self.entries, self.objective)), None)

    def colour(self, entry: Entry) -> int | None:
        """Place in the palette of a drawn row."""
        names = [drawn.name for drawn in self.drawn]
        return names.index(entry.name) if entry.name in names else None

    def marked(self, column: Column) -> set[str]:
        """Names of the rows that are best in a column, by the metric's own direction."""
        rows = {
            e.name: e.figure(column.key)
            for e in self.entries
            if e.state == "finished" and e.feasible and math.isfinite(e.figure(column.key))
        }
        better = direction(column.key)
        if len(rows) < 2 or better is None or len(set(rows.values())) < 2:
            return set()
        best = max(rows.values()) if better else min(rows.values())
        return {name for name, value in rows.items() if value == best}


def compare(
    entries: Sequence[Entry], studies: Sequence[StudyRecord] = (), objective: str | None = None,
    extra: Sequence[str] = (), most: int = PALETTE, title: str | None = None,
) -> Comparison:  # fmt: skip
    """Ranks and lays out.

    Args:
        entries: runs and trials.
        studies: those that the trials are from.
        objective: metric of the ranking; None: that of the studies, or val/nme.
        extra: keys of further columns.
        most: rows that get a colour.
        title: of the page; None names what is compared.

    Raises:
        UserError: nothing to compare, a key that no row has, studies that disagree.
    """
    if not entries:
        raise UserError("nothing to compare: the study has no trials yet; run it on first")
    asked = sorted({study.objective for study in studies})
    if objective is None and len(asked) > 1:
        raise UserError(
            f"the studies have different objectives, {' and '.join(asked)}; choose one with "
            "--objective KEY"
        )
    key = objective or (asked[0] if asked else "val/nme")
    higher_is_better(key)
    known = {name for entry in entries for name in entry.metrics}
    if gone := [
        name for name in [*extra, *([objective] if objective else [])] if name not in known
    ]:
        some = ", ".join(sorted(k for k in known if k.count("/") < 3)[:6])
        raise UserError(f"no run has the figure {gone[0]}; there are {some} and more")
    rows = ordered(distinct(entries), key)
    ready = [e for e in rows if e.state == "finished" and math.isfinite(e.figure(key))]
    others = [e for e in rows if e not in ready and e.learning]
    names = [study.name for study in studies]
    runs = len(rows) - sum(len(study.trials) for study in studies)
    names += [f"{runs} run{'s' if runs > 1 else ''}"] if runs else []
    return Comparison(
        title=title or ", ".join(names),
        objective=key,
        entries=rows,
        drawn=(ready + others)[:most],
        columns=columns(rows, key, extra),
        studies=studies,
    )


def direction(key: str) -> bool | None:
    """Whether more is better; None for counts and the like, which have no direction."""
    try:
        return higher_is_better(key)
    except UserError:
        return None


def primaries(entries: Sequence[Entry]) -> dict[str, str]:
    """`role/data set` -> its primary normaliser, the one that percentiles are kept of."""
    found: dict[str, str] = {}
    # The sets that a choice is made by come before those that it is told on.
    for key in sorted({k for e in entries for k in e.metrics}, key=lambda k: (k[:4] == "test", k)):
        parts = key.split("/")
        if len(parts) == 3 and parts[2].startswith("p90_"):
            found["/".join(parts[:2])] = parts[2].removeprefix("p90_")
    return found


def columns(entries: Sequence[Entry], objective: str, extra: Sequence[str] = ()) -> list[Column]:
    """The objective, costs, then NME, failures and AUC of each data set, then `extra`."""
    known = {k for entry in entries for k in entry.metrics}
    found = [Column(objective, objective, 3)]
    found += [
        Column(heading, key, digits)
        for heading, key, digits in (
            ("MMA", COST, 1), ("parameters", "compute/parameters", 0),
        )
        if key in known
    ]  # fmt: skip
    for place, normaliser in primaries(entries).items():
        short = _SHORT.get(normaliser, normaliser)
        nme = f"{place}/nme_{normaliser}"
        if any(e.figure(nme) != e.figure(objective) for e in entries if nme in e.metrics):
            found.append(Column(f"{place} NME {short}", nme, 3))
        for kind in ("fr", "auc"):
            level = _widest(known, f"{place}/{kind}", f"_{normaliser}")
            if level is not None:
                key = f"{place}/{kind}{level}_{normaliser}"
                found.append(Column(f"{place} {kind.upper()}{level} {short}", key, 2))
    shown = {column.key for column in found}
    return found + [Column(key, key, 3) for key in dict.fromkeys(extra) if key not in shown]


def _widest(known: set[str], start: str, end: str) -> str | None:
    """The largest threshold among keys such as val/helen/fr10_interocular, as it is written."""
    levels = [
        key[len(start) : -len(end)]
        for key in known
        if key.startswith(start) and key.endswith(end) and "/" not in key[len(start) :]
    ]
    numbers = [level for level in levels if level.replace(".", "", 1).isdigit()]
    return max(numbers, key=float, default=None)


def cell(value: float, digits: int) -> str:
    """A figure, or a dash where there is none."""
    return f"{value:,.{digits}f}" if math.isfinite(value) else "-"


def differences(entries: Sequence[Entry]) -> dict[str, list[str]]:
    """Settings that are not the same in all rows: key -> the text of each row, `-` if not set."""
    known = [entry for entry in entries if entry.config]
    keys = dict.fromkeys(key for entry in known for key in entry.config)
    found: dict[str, list[str]] = {}
    for key in keys:
        if key.startswith(_ELSEWHERE):
            continue
        texts = [value_text(e.config[key]) if key in e.config else "-" for e in entries]
        if len({t for t, e in zip(texts, entries, strict=True) if e.config}) > 1:
            found[key] = texts
    return found


def pareto(entries: Sequence[Entry], objective: str, cost: str = COST) -> list[Entry]:
    """Trained rows that no cheaper or equally dear one beats, cheapest first."""
    sign = -1.0 if higher_is_better(objective) else 1.0
    known = [
        (e.figure(cost), sign * e.figure(objective), e)
        for e in entries
        if e.state == "finished"
        and math.isfinite(e.figure(cost))
        and math.isfinite(e.figure(objective))
    ]
    return pareto_front(known)


def rows_of(told: Comparison) -> Iterator[dict[str, Any]]:
    """The table as plain rows: name, state, every figure, every setting that differs."""
    different = differences(told.entries)
    front = {entry.name for entry in pareto(told.entries, told.objective)}
    figures = sorted({k for entry in told.entries for k in entry.metrics})
    for place, entry in enumerate(told.entries):
        yield {
            "name": entry.name,
            "method": entry.method,
            "state": entry.state,
            "within_limits": entry.feasible if entry.state in ("finished", "infeasible") else None,
            "pareto": entry.name in front,
            "what_became_of_it": entry.told,
            "where": entry.where,
            "seconds": entry.seconds,
            **{key: entry.metrics.get(key) for key in figures},
            **{f"config.{key}": texts[place] for key, texts in different.items()},
        }


def as_csv(told: Comparison) -> str:
    """The rows as CSV; what could start a formula in a spreadsheet is quoted."""
    rows = list(rows_of(told))
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows([{key: _safe(value) for key, value in row.items()} for row in rows])
    return text.getvalue()


def _safe(value: Any) -> Any:
    risky = isinstance(value, str) and value.startswith(("=", "+", "@", "\t", "\r"))
    return f"'{value}" if risky else value


def as_json(told: Comparison) -> Mapping[str, Any]:
    """The comparison as plain values."""
    return {
        "objective": told.objective,
        "best": told.best.name if told.best else None,
        "rows": list(rows_of(told)),
        "studies": [
            {
                "name": study.name,
                "trials": len(study.trials),
                "total": study.total,
                "limits": [str(limit) for limit in study.limits],
                "importance": dict(study.importance),
                "importance_told": study.importance_told,
            }
            for study in told.studies
        ],
    }
