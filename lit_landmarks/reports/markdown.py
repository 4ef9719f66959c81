"""README tables made from results files, between markers, and the check that none is stale.

Between `<!-- results:NAME -->` and `<!-- /results:NAME -->` lies the table NAME; with `:sources`
after NAME, the list of commands, seeds, data and commits behind its rows.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from lit_landmarks.errors import UserError
from lit_landmarks.files import write_atomic
from lit_landmarks.reports.results import Row, Table, collect, find_result_files

_BLOCK = re.compile(
    r"(?P<open><!-- results:(?P<name>[\w.-]+(?::sources)?) -->)\n"
    r"(?P<body>.*?)"
    r"(?P<close><!-- /results:(?P=name) -->)",
    re.DOTALL,
)
_OPENING = re.compile(r"<!-- results:[\w.-]+(?::sources)? -->")
_DASH = "-"


def render_table(table: Table) -> str:
    """The table as Markdown: mean ± std over runs, a dash for a figure that was not measured."""
    counts = [
        max((_count_runs(row, c.key) for c in table.columns), default=0) for row in table.rows
    ]
    seeds = any(count > 1 for count in counts)
    headings = ["", *(column.heading for column in table.columns), *(["seeds"] if seeds else [])]
    lines = [_format_line(headings), _format_line(["---", *["---:"] * (len(headings) - 1)])]
    for row, count in zip(table.rows, counts, strict=True):
        cells = [
            row.label,
            *(_format_cell(row, column.key, column.digits) for column in table.columns),
        ]
        if seeds:
            cells.append(str(count) if count else _DASH)
        lines.append(_format_line(cells))
    return "\n".join(lines) + "\n"


def render_sources(table: Table) -> str:
    """Sources of a table as Markdown: a bullet for each command and code version of a row."""
    lines = []
    for row in table.rows:
        groups: dict[tuple[str, ...], list[str]] = {}
        for run in row.runs:
            key = (_hide_seed(run.command, run.seed), run.data, run.commit, run.date, run.machine)
            groups.setdefault(key, []).append(_DASH if run.seed is None else str(run.seed))
        for (command, data, commit, date, machine), seeds in groups.items():
            seed = "no seed" if seeds == [_DASH] else f"seed {', '.join(seeds)}"
            lines.append(
                f"- {row.label}: `{command}`; {seed}; {data}; {commit}, {date}, {machine}."
            )
    return "\n".join(lines) + "\n"


def fill(text: str, tables: Mapping[str, Table], where: str = "text") -> str:
    """Renders every block between markers of `text` again.

    Raises:
        UserError: a marker names no known table, or is not closed.
    """

    def block(match: re.Match[str]) -> str:
        name, _, part = match["name"].partition(":")
        if name not in tables:
            names = ", ".join(sorted(tables)) or "none"
            raise UserError(f"{where} asks for the results table {name}; known are: {names}")
        body = render_sources(tables[name]) if part else render_table(tables[name])
        return f"{match['open']}\n{body}{match['close']}"

    if len(_OPENING.findall(text)) != len(_BLOCK.findall(text)):
        raise UserError(
            f"{where} has a results marker that is not closed; write <!-- /results:NAME -->"
        )
    return _BLOCK.sub(block, text)


def write(root: Path) -> list[Path]:
    """Renders the tables of all READMEs under the repository `root`; returns the changed files."""
    changed = []
    for path, _, new in _iterate_stale(root):
        write_atomic(path, new)
        changed.append(path)
    return changed


def check(root: Path) -> None:
    """Checks that the tables of all READMEs agree with the results files.

    Raises:
        UserError: a table is stale; the message names all such files.
    """
    stale = [path.relative_to(root).as_posix() for path, _, _ in _iterate_stale(root)]
    if stale:
        raise UserError(
            f"stale results tables in {', '.join(stale)}; "
            "run `python -m lit_landmarks results write` and commit"
        )


def find_documents(root: Path) -> list[Path]:
    """Finds the Markdown files that may hold tables: at the root and anywhere in the package."""
    return sorted(root.glob("*.md")) + sorted((root / "lit_landmarks").rglob("*.md"))


def _iterate_stale(root: Path) -> Iterator[tuple[Path, str, str]]:
    if not (root / "README.md").is_file():
        raise UserError(f"{root} is no checkout (no README.md); name one with --root")
    tables = collect(find_result_files(root))
    for path in find_documents(root):
        try:
            old = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise UserError(f"{path} is no UTF-8 text ({error}); save it as UTF-8") from error
        new = fill(old, tables, path.relative_to(root).as_posix())
        if new != old:
            yield path, old, new


def _format_cell(row: Row, key: str, digits: int) -> str:
    summary = row.summary(key)
    if summary is None:
        return _DASH
    mean, std, _ = summary
    text = f"{mean:,.{digits}f}"
    # Runs that agree to the printed digit (parameters, MMA) would only show "± 0".
    if math.isnan(std) or (digits == 0 and round(std) == 0):
        return text
    return f"{text} ± {std:,.{digits}f}"


def _count_runs(row: Row, key: str) -> int:
    summary = row.summary(key)
    return summary[2] if summary else 0


def _hide_seed(command: str, seed: int | None) -> str:
    """The command with its seed replaced, so that runs that differ in nothing else share a line."""
    if seed is None:
        return command
    return re.sub(rf"(--seed(?:_everything)?[= ]){seed}\b", r"\1SEED", command)


def _format_line(cells: list[str]) -> str:
    escaped = (" ".join(cell.split()).replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(escaped)} |"
