"""Measured figures: a small results file beside each method, from which README tables are made.

A `results.yaml` holds named tables. A table has columns (heading and metric key) and rows; a row
has one measurement for each run, and a measurement names its command, seed, data, commit, date and
the class of machine it ran on, so that anybody can repeat it. Several seeds become mean ± std.

    tables:
      asm_loss:
        columns:
        - {heading: NME (%), key: val/nme, digits: 2}
        rows:
        - label: ASMNet, ASM loss
          runs:
          - {command: ..., seed: 0, data: ..., commit: ..., date: ..., machine: 2 CPU cores,
             values: {val/nme: 5.31}}

A table may be spread over several files (one row for each method): its rows are joined. A row
without runs has not been measured yet and prints dashes. `markdown` turns tables into README text.

Adding a figure (1 file, no code): run it, then
`python -m lit_landmarks results record RUN... --to FILE --table NAME --row LABEL`, then
`python -m lit_landmarks results write`.
"""

from __future__ import annotations

import difflib
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from lit_landmarks.documents import parse_yaml
from lit_landmarks.errors import UserError
from lit_landmarks.files import write_atomic

#: Name of a results file; one lies beside each method's README.
FILE_NAME = "results.yaml"
_HEADER = "# Measured figures. Write with `python -m lit_landmarks results record`, not by hand.\n"


@dataclass(frozen=True)
class Measurement:
    """Figures of one run, with all that is needed to run it again.

    Attributes:
        command: the command line, as typed from the repository root.
        seed: seed of the run, or None where nothing is random.
        data: the data it was measured on, in words, with the manifest hash where there is one.
        commit: short hash of the code; ends in "+" if files were changed on top of it.
        date: ISO date of the end of the run.
        machine: class of machine in words, such as "2 CPU cores".
        values: figures by metric key, in the units of the key (percent, degrees, millions).

    Example:
        >>> Measurement("fit", 0, "HELEN", "1a2b3c", "2026-01-31", "1 GPU", {"val/nme": 3.2}).seed
        0
    """

    command: str
    seed: int | None
    data: str
    commit: str
    date: str
    machine: str
    values: dict[str, float]

    @staticmethod
    def parse(raw: object, where: str) -> Measurement:
        """Read one entry of `runs`.

        Raises:
            UserError: a field is missing, empty, unknown, or a value is no finite number.
        """
        fields = _check_mapping(raw, where)
        required = ["command", "seed", "data", "commit", "date", "machine", "values"]
        missing = [name for name in required if name not in fields]
        missing += [
            name
            for name in ("command", "data", "commit", "date", "machine")
            if name in fields and not str(fields[name] or "").strip()
        ]
        if missing:
            raise UserError(
                f"{where} lacks {', '.join(missing)}; every figure says how it was made"
            )
        _refuse_unknown_keys(fields, required, where)
        seed = fields["seed"]
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int)):
            raise UserError(
                f"{where}: seed {seed!r} is no whole number; write null if there is none"
            )
        values = {
            str(k): _check_number(v, f"{where}, {k}")
            for k, v in _check_mapping(fields["values"], where).items()
        }
        texts = {name: str(fields[name]) for name in required if name not in ("seed", "values")}
        return Measurement(seed=seed, values=values, **texts)


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        heading: title, with its unit.
        key: metric key looked up in `Measurement.values`.
        digits: digits after the point.

    Example:
        >>> Column("NME (%)", "val/nme").digits
        2
    """

    heading: str
    key: str
    digits: int = 2


@dataclass(frozen=True)
class Row:
    """A row of a table: its label and one measurement for each run (each seed).

    Example:
        >>> run = Measurement("fit", 0, "HELEN", "1a2b3c", "2026-01-31", "1 GPU", {"val/nme": 3.2})
        >>> Row("ours", (run,)).summary("val/nme")
        (3.2, nan, 1)
    """

    label: str
    runs: tuple[Measurement, ...] = ()

    def summary(self, key: str) -> tuple[float, float, int] | None:
        """Mean, standard deviation (n - 1; NaN for one run) and count of `key`; None if absent."""
        values = [run.values[key] for run in self.runs if key in run.values]
        if not values:
            return None
        mean = math.fsum(values) / len(values)
        if len(values) == 1:
            return mean, math.nan, 1
        variance = math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1)
        return mean, math.sqrt(variance), len(values)


@dataclass(frozen=True)
class Table:
    """A named table of figures.

    Example:
        >>> Table("asm_loss", (Column("NME (%)", "val/nme"),)).columns[0].digits
        2
    """

    name: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...] = ()

    def with_run(self, label: str, run: Measurement) -> Table:
        """A copy of the table with `run` in the row `label`.

        Values that `run` measures again are removed from older runs of the same seed, and so is a
        run without values.
        """
        row = next((row for row in self.rows if row.label == label), Row(label))
        runs = [run]
        for old in row.runs:
            again = run.values.keys() if old.seed == run.seed else set()
            values = {key: value for key, value in old.values.items() if key not in again}
            runs += [replace(old, values=values)] if values else []
        # Sorting is stable: measurements of one seed stay newest first.
        runs.sort(key=lambda r: -1 if r.seed is None else r.seed)
        new = Row(label, tuple(runs))
        if row in self.rows:
            return replace(self, rows=tuple(new if r is row else r for r in self.rows))
        return replace(self, rows=(*self.rows, new))


def load_file(path: Path) -> dict[str, Table]:
    """Reads the tables of one results file by name.

    Raises:
        UserError: the file is no results file, or a measurement lacks a field.
    """
    try:
        raw = parse_yaml(path.read_text(encoding="utf-8"), path)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path} cannot be read ({reason}); correct or remove it") from error
    top = _check_mapping(raw or {}, str(path))
    _refuse_unknown_keys(top, ["tables"], str(path))
    tables = _check_mapping(top.get("tables") or {}, f"{path}, tables")
    return {
        str(name): _parse_table(str(name), body, f"{path}, {name}") for name, body in tables.items()
    }


def save_file(path: Path, tables: Mapping[str, Table]) -> None:
    """Writes a results file atomically."""
    body = {
        "tables": {
            table.name: {
                "columns": [asdict(column) for column in table.columns],
                "rows": [
                    asdict(row) | {"runs": [asdict(r) for r in row.runs]} for row in table.rows
                ],
            }
            for table in tables.values()
        }
    }
    text = _HEADER + yaml.safe_dump(body, sort_keys=False, allow_unicode=True, width=100)
    write_atomic(path, text)


def find_result_files(root: Path) -> list[Path]:
    """Finds every results file of the package under the repository `root`, sorted."""
    return sorted((root / "lit_landmarks").rglob(FILE_NAME))


def collect(files: Iterable[Path]) -> dict[str, Table]:
    """Reads all tables of all files; tables of one name are joined, columns in order of appearance.

    Raises:
        UserError: two files give one heading different keys, or one row twice.
    """
    joined: dict[str, Table] = {}
    for path in files:
        for name, table in load_file(path).items():
            joined[name] = _join(joined[name], table, path) if name in joined else table
    return joined


def record(
    runs: Sequence[Measurement],
    path: Path,
    table: str,
    row: str,
    columns: Sequence[Column] = (),
) -> Table:
    """Writes measurements into a results file, only the values of `columns`.

    Args:
        runs: one for each seed.
        path: results file; made if it does not exist.
        table: name of the table.
        row: label of the row; a figure that it already has for a seed is replaced.
        columns: columns to fill, added where the table lacks them; none means all that it has.

    Returns:
        The table as written.

    Raises:
        UserError: a new table without columns, a run without a figure for a column, or two runs of
            one seed.
    """
    tables = load_file(path) if path.is_file() else {}
    old = tables.get(table, Table(table, ()))
    keys = {column.key for column in old.columns}
    new = replace(old, columns=(*old.columns, *(c for c in columns if c.key not in keys)))
    if not new.columns:
        raise UserError(f"{path} has no table {table}; name its columns with --columns KEY...")
    twice = [seed for seed, count in Counter(run.seed for run in runs).items() if count > 1]
    if twice:
        raise UserError(
            f"two of the runs have seed {twice[0]}, and a row has one run for each seed; record"
            " them in rows of their own"
        )
    wanted = [column.key for column in columns or new.columns]
    for run in runs:
        for key in sorted(set(wanted) - run.values.keys()):
            near = difflib.get_close_matches(key, run.values, n=3) or sorted(run.values)[:5]
            raise UserError(f"run of seed {run.seed} has no figure {key}; it has {', '.join(near)}")
        values = {key: run.values[key] for key in wanted}
        new = new.with_run(row, replace(run, values=values))
    save_file(path, {**tables, table: new})
    return new


def _join(first: Table, second: Table, path: Path) -> Table:
    keys = {column.heading: column.key for column in first.columns}
    for column in second.columns:
        if keys.get(column.heading, column.key) != column.key:
            raise UserError(
                f"{path}, {second.name}: column {column.heading!r} is {column.key} here and "
                f"{keys[column.heading]} in another file; give it one key"
            )
    labels = {row.label for row in first.rows}
    for row in second.rows:
        if row.label in labels:
            raise UserError(f"{path}, {second.name}: row {row.label!r} is in two files; rename one")
    columns = first.columns + tuple(c for c in second.columns if c.heading not in keys)
    return Table(first.name, columns, first.rows + second.rows)


def _parse_table(name: str, raw: object, where: str) -> Table:
    body = _check_mapping(raw, where)
    _refuse_unknown_keys(body, ["columns", "rows"], where)
    columns = []
    for item in _check_list(body, "columns", where):
        fields = _check_mapping(item, f"{where}, columns")
        _refuse_unknown_keys(fields, ["heading", "key", "digits"], f"{where}, columns")
        if not {"heading", "key"} <= fields.keys():
            raise UserError(f"{where}: a column lacks its heading or key; write both")
        digits = fields.get("digits", 2)
        if not isinstance(digits, int) or isinstance(digits, bool) or digits < 0:
            raise UserError(f"{where}: digits of a column is {digits!r}; write a number from 0")
        columns.append(Column(str(fields["heading"]), str(fields["key"]), digits))
    rows: list[Row] = []
    for item in _check_list(body, "rows", where):
        fields = _check_mapping(item, f"{where}, rows")
        _refuse_unknown_keys(fields, ["label", "runs"], f"{where}, rows")
        label = str(fields.get("label", ""))
        if any(row.label == label for row in rows):
            raise UserError(f"{where}: row {label!r} is there twice; rename or remove one")
        place = f"{where}, row {label!r}"
        runs = [Measurement.parse(run, place) for run in _check_list(fields, "runs", place)]
        rows.append(Row(label, tuple(runs)))
    return Table(name, tuple(columns), tuple(rows))


def _check_mapping(raw: object, where: str) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise UserError(f"{where} is no mapping of names to values; see the docstring of results")
    return raw


def _check_list(fields: Mapping[str, Any], key: str, where: str) -> list[Any]:
    value = fields.get(key) or []
    if not isinstance(value, list):
        raise UserError(f"{where}: {key} is {value!r}; write a list")
    return value


def _refuse_unknown_keys(fields: Mapping[str, object], keys: Sequence[str], where: str) -> None:
    unknown = sorted(set(map(str, fields)) - set(keys))
    if unknown:
        raise UserError(f"{where} has unknown {', '.join(unknown)}; known are {', '.join(keys)}")


def _check_number(value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UserError(f"{where}: {value!r} is no finite number; measure it again")
    return float(value)
