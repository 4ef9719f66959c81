"""Results files and the README tables made from them."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from lit_landmarks.errors import UserError
from lit_landmarks.reports import markdown
from lit_landmarks.reports.results import (
    Column,
    Measurement,
    Row,
    Table,
    collect,
    find_result_files,
    load_file,
    record,
    save_file,
)

RUN = Measurement(
    command="python -m lit_landmarks fit --config configs/asmnet.yaml --seed_everything 0",
    seed=0,
    data="synthetic faces",
    commit="abc1234",
    date="2026-11-21",
    machine="2 CPU cores",
    values={"val/nme": 5.0, "compute/mma": 256.5, "val/other": 1.0},
)
COLUMNS = (Column("NME (%)", "val/nme"), Column("MMA", "compute/mma", 1))


def seeds(*values: float) -> list[Measurement]:
    """One measurement for each value, seeds counted from 0."""
    return [
        replace(
            RUN,
            seed=i,
            command=RUN.command[:-1] + str(i),
            values={"val/nme": v, "compute/mma": 256.5},
        )
        for i, v in enumerate(values)
    ]


def repository(tmp_path: Path, readme: str) -> Path:
    """A tree with one results file and one README."""
    record(seeds(1, 2, 3), tmp_path / "lit_landmarks/methods/m/results.yaml", "t", "ours", COLUMNS)
    (tmp_path / "README.md").write_text(readme)
    return tmp_path


def test_summary_is_mean_and_sample_deviation() -> None:
    mean, std, n = Row("r", tuple(seeds(1, 2, 3, 6))).summary("val/nme") or (0, 0, 0)
    assert (mean, n) == (3.0, 4)
    assert std == pytest.approx(math.sqrt((4 + 1 + 0 + 9) / 3))


def test_file_comes_back_as_written(tmp_path: Path) -> None:
    table = Table("t", COLUMNS, (Row("a", tuple(seeds(1, 2))), Row("owed")))
    save_file(tmp_path / "results.yaml", {"t": table})
    assert load_file(tmp_path / "results.yaml") == {"t": table}


def test_record_keeps_only_shown_values_and_replaces_a_seed(tmp_path: Path) -> None:
    path = tmp_path / "results.yaml"
    record([RUN], path, "t", "ours", COLUMNS)
    again = replace(RUN, values={"val/nme": 4.0, "compute/mma": 256.5})
    table = record([again, replace(again, seed=1)], path, "t", "ours")
    assert [(r.seed, r.values) for r in table.rows[0].runs] == [
        (0, {"val/nme": 4.0, "compute/mma": 256.5}),
        (1, {"val/nme": 4.0, "compute/mma": 256.5}),
    ]


def test_a_row_joins_figures_of_several_runs_of_one_seed(tmp_path: Path) -> None:
    path = tmp_path / "results.yaml"
    record([RUN], path, "t", "ours", COLUMNS)
    other = replace(RUN, command="other", values={"val/nme": 4.0, "compute/mma": 1.0})
    (row,) = record([other], path, "t", "ours", COLUMNS[:1]).rows
    assert [(r.command, r.values) for r in row.runs] == [
        ("other", {"val/nme": 4.0}),
        (RUN.command, {"compute/mma": 256.5}),
    ]
    assert markdown.render_table(load_file(path)["t"]).splitlines()[-1] == "| ours | 4.00 | 256.5 |"


def test_record_names_near_figures_when_one_is_absent(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no figure val/nmee; it has val/nme"):
        record([RUN], tmp_path / "results.yaml", "t", "ours", [Column("x", "val/nmee")])
    assert not list(tmp_path.iterdir())


def test_new_table_needs_columns(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--columns"):
        record([RUN], tmp_path / "results.yaml", "t", "ours")


@pytest.mark.parametrize("field", ["command", "seed", "data", "commit", "date", "machine"])
def test_measurement_without_its_origin_is_refused(tmp_path: Path, field: str) -> None:
    path = tmp_path / "results.yaml"
    record([RUN], path, "t", "ours", COLUMNS)
    body = yaml.safe_load(path.read_text())
    del body["tables"]["t"]["rows"][0]["runs"][0][field]
    path.write_text(yaml.safe_dump(body))
    with pytest.raises(UserError, match=f"lacks {field}"):
        load_file(path)


def test_broken_files_are_told_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "results.yaml"
    for text in ("tables: [", "tables: 3", "table: {}", "tables: {t: {rows: [{row: 1}]}}"):
        path.write_text(text)
        with pytest.raises(UserError) as caught:
            load_file(path)
        assert "\n" not in str(caught.value)


def test_tables_of_one_name_are_joined_with_dashes(tmp_path: Path) -> None:
    record([RUN], tmp_path / "a.yaml", "t", "A", [Column("NME (%)", "val/nme")])
    record([RUN], tmp_path / "b.yaml", "t", "B", [Column("MMA", "compute/mma", 1)])
    table = collect([tmp_path / "a.yaml", tmp_path / "b.yaml"])["t"]
    assert markdown.render_table(table).splitlines() == [
        "|  | NME (%) | MMA |",
        "| --- | ---: | ---: |",
        "| A | 5.00 | - |",
        "| B | - | 256.5 |",
    ]


def test_one_heading_with_two_keys_is_refused(tmp_path: Path) -> None:
    record([RUN], tmp_path / "a.yaml", "t", "A", [Column("x", "val/nme")])
    record([RUN], tmp_path / "b.yaml", "t", "B", [Column("x", "compute/mma")])
    with pytest.raises(UserError, match="give it one key"):
        collect([tmp_path / "a.yaml", tmp_path / "b.yaml"])


def test_several_seeds_print_mean_deviation_and_count() -> None:
    text = markdown.render_table(Table("t", COLUMNS, (Row("ours", tuple(seeds(1, 2, 3))),)))
    assert text.splitlines()[-1] == "| ours | 2.00 ± 1.00 | 256.5 ± 0.0 | 3 |"


def test_sources_put_seeds_of_one_command_on_one_line() -> None:
    text = markdown.render_sources(Table("t", COLUMNS, (Row("ours", tuple(seeds(1, 2, 3))),)))
    assert text == (
        "- ours: `python -m lit_landmarks fit --config configs/asmnet.yaml "
        "--seed_everything SEED`; "
        "seed 0, 1, 2; synthetic faces; abc1234, 2026-11-21, 2 CPU cores.\n"
    )


def test_write_fills_markers_and_check_holds_them(tmp_path: Path) -> None:
    root = repository(
        tmp_path,
        "# A\n<!-- results:t -->\n<!-- /results:t -->\nB\n"
        "<!-- results:t:sources -->\n<!-- /results:t:sources -->\n",
    )
    with pytest.raises(UserError, match=r"stale results tables in README\.md"):
        markdown.check(root)
    assert markdown.write(root) == [root / "README.md"]
    markdown.check(root)
    assert markdown.write(root) == []
    text = (root / "README.md").read_text()
    assert "| ours | 2.00 ± 1.00 |" in text
    assert text.startswith("# A\n<!-- results:t -->\n|")


def test_a_changed_figure_makes_the_readme_stale(tmp_path: Path) -> None:
    root = repository(tmp_path, "<!-- results:t -->\n<!-- /results:t -->\n")
    markdown.write(root)
    record([replace(RUN, seed=7)], root / "lit_landmarks/methods/m/results.yaml", "t", "ours")
    with pytest.raises(UserError, match="results write"):
        markdown.check(root)


def test_unknown_table_and_open_marker_are_told(tmp_path: Path) -> None:
    root = repository(tmp_path, "<!-- results:u -->\n<!-- /results:u -->\n")
    with pytest.raises(UserError, match=r"README\.md asks for the results table u; known are: t"):
        markdown.check(root)
    (root / "README.md").write_text("<!-- results:t -->\n")
    with pytest.raises(UserError, match="not closed"):
        markdown.check(root)


def test_this_repository_has_no_stale_table(repo_root: Path) -> None:
    markdown.check(repo_root)


def test_every_figure_of_this_repository_says_how_it_was_made(repo_root: Path) -> None:
    # `load_file` refuses a measurement without its command, seed, data or commit.
    for path in find_result_files(repo_root):
        for table in load_file(path).values():
            keys = {column.key for column in table.columns}
            for row in table.rows:
                for run in row.runs:
                    assert run.values.keys() <= keys, f"{path}: {row.label} holds unshown figures"


def test_two_runs_of_one_seed_are_no_row(tmp_path: Path) -> None:
    """One of them would be lost without a word."""
    with pytest.raises(UserError, match="two of the runs have seed 0"):
        record([RUN, replace(RUN, values=RUN.values | {"val/nme": 4.0})], tmp_path / "r.yaml",
               "t", "ours", COLUMNS)  # fmt: skip
    assert not (tmp_path / "r.yaml").exists()


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("{columns: 5}", "columns is 5; write a list"),
        ("{columns: [{heading: a, key: b, digits: x}]}", "digits of a column is 'x'"),
        ("{rows: [{label: r, runs: 5}]}", "row 'r': runs is 5"),
        ("{rows: [{label: r}, {label: r}]}", "row 'r' is there twice"),
    ],
)
def test_odd_tables_are_refused(table: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "results.yaml"
    path.write_text(f"tables: {{t: {table}}}")
    with pytest.raises(UserError, match=says):
        load_file(path)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    root = repository(tmp_path, "none")
    (root / "NOTES.md").write_bytes(b"caf\xe9")
    with pytest.raises(UserError, match=r"NOTES\.md is no UTF-8 text"):
        markdown.check(root)
    path = tmp_path / "results.yaml"
    path.write_bytes(b"\xe9")
    with pytest.raises(UserError, match="cannot be read"):
        load_file(path)


def test_bars_in_a_label_do_not_split_its_cell() -> None:
    text = markdown.render_table(Table("t", (Column("|yaw|", "val/nme"),), (Row("a|b", (RUN,)),)))
    assert "| a\\|b | 5.00 |" in text
    assert "|  | \\|yaw\\| |" in text
