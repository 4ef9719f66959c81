"""Keys that stand twice in YAML and JSON are refused with file and row."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from lit_landmarks.documents import parse_json, parse_yaml
from lit_landmarks.errors import UserError
from lit_landmarks.reports.entries import read_config
from lit_landmarks.reports.results import load_file
from lit_landmarks.settings import compose
from lit_landmarks.training.run_directory import RunDirectory


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("lr: 1\nlr: 1\n", (1, 2)),  # equal values too: one of them was meant to be another key
        ("a:\n  - {x: 1}\n  - x: 1\n    y: 2\n    x: 3\n", (3, 5)),
        ("'b': 1\nc: 2\nb: 3\n", (1, 3)),
        ("1: a\n0x1: b\n", (1, 2)),
        ("a: &m {k: 1, k: 2}\nb: *m\n", (1, 1)),
        ("<<: {a: 1}\nb: 1\n<<: {c: 1}\n", (1, 3)),
        ("{train: {}, val: {}, train: {}}", (1, 1)),
    ],
)
def test_a_repeated_key_of_yaml(text: str, rows: tuple[int, int]) -> None:
    first, row = rows
    with pytest.raises(UserError, match=rf"stands in row {first} and again, f\.yaml:{row}; remove"):
        parse_yaml(text, "f.yaml")


@pytest.mark.parametrize("value", ["2024-06-31", "!!int x", "!!bool maybe", "2024-01-01T00:61:00"])
def test_a_value_that_is_none_of_its_kind_is_an_error_of_yaml(value: str) -> None:
    with pytest.raises(yaml.YAMLError, match="cannot be read") as error:
        parse_yaml(f"a: 1\nb: {value}\n", "f.yaml")
    assert error.value.problem_mark.line == 1  # type: ignore[attr-defined]


def test_yaml_that_repeats_no_key() -> None:
    text = "base: &b {a: 1, c: 2}\nx: {<<: *b, a: 3}\ny: [{a: 1}, {a: 2}]\n1: p\n'1': q\n"
    assert parse_yaml(text, "f.yaml") == yaml.safe_load(text)
    assert parse_yaml("", "f.yaml") is None


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ('{"a": 1,\n "b": {"a": 2},\n "a": 3}', (1, 3)),
        ('[{"a": ":"},\n {"b": "{", "c": "\\"",\n "b": []}]', (2, 3)),
        ('{"\\u0061": 1,\n\n"a"\n: 2}', (1, 3)),
    ],
)
def test_a_repeated_key_of_json(text: str, rows: tuple[int, int]) -> None:
    first, row = rows
    with pytest.raises(UserError, match=rf"stands in row {first} and again, f\.json:{row}; remove"):
        parse_json(text, "f.json")


def test_json_that_repeats_no_key() -> None:
    assert parse_json('{"a": {"a": "a"}, "b": [{"a": 1}, {"a": 2}]}', "f.json") == {
        "a": {"a": "a"},
        "b": [{"a": 1}, {"a": 2}],
    }


def test_every_file_of_settings_and_results_is_read_so(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("trainer:\n  max_epochs: 1\n  precision: 32\n  max_epochs: 2\n")
    for read in (lambda path: compose([path]), read_config, load_file):
        with pytest.raises(UserError, match=r"'max_epochs' stands in row 2 .*x\.yaml:4"):
            read(file)
    run = RunDirectory(tmp_path)
    run.result.write_text('{"seed": 1,\n"metrics": {},\n"seed": 2}')
    with pytest.raises(UserError, match=r"'seed' stands in row 1 and again, .*result\.json:3"):
        run.read_result()


def test_a_file_that_a_file_includes(tmp_path: Path) -> None:
    (tmp_path / "model.yaml").write_text("model:\n  class_path: ASMNet\n  class_path: MuSiCa\n")
    (tmp_path / "all.yaml").write_text("model: model.yaml\n")
    with pytest.raises(UserError, match=r"'class_path' stands in row 2 and again, .*model\.yaml:3"):
        compose([tmp_path / "all.yaml"])


def test_a_number_beyond_all_and_too_deep_a_file_are_refused() -> None:
    with pytest.raises(UserError, match="1e999 is no number"):
        parse_json('{"a": 1e999}', "f.json", finite=True)
    with pytest.raises(UserError, match="no readable JSON: nested too deeply"):
        parse_json("[" * 100_000, "f.json")
