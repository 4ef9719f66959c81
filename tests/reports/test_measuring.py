"""From result.json to a measurement, and the `results` verb around it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lit_landmarks.cli import main
from lit_landmarks.errors import UserError
from lit_landmarks.reports.measuring import parse_column, parse_value, read_run
from lit_landmarks.reports.results import Column, load_file

RESULT: dict[str, Any] = {
    "format": 1,
    "method": "ASMNet",
    "metrics": {"val/nme": 5.5, "val/empty": None, "compute/mma": 256.5},
    "seed": 3,
    "command": "python -m lit_landmarks fit --config a.yaml --seed_everything 3",
    "data": {
        "manifest": "0123456789abcdef",
        "sets": [{"name": "synthetic", "role": "train", "convention": "c", "faces": 4000}],
    },
    "git": {"commit": "89abcdef0123456789", "dirty": True},
    "machine": {"system": "Linux", "cores": 2, "gpu": None},
    "finished": "2026-11-21T04:05:06+00:00",
}


def run_directory(path: Path, **changes: Any) -> Path:
    """A folder that holds a result.json."""
    path.mkdir()
    (path / "result.json").write_text(json.dumps(RESULT | changes))
    return path


def test_run_is_read_with_its_origin(tmp_path: Path) -> None:
    run = read_run(run_directory(tmp_path / "a"))
    assert run.values == {"val/nme": 5.5, "compute/mma": 256.5}
    assert (run.seed, run.date, run.machine) == (3, "2026-11-21", "2 CPU cores")
    assert run.commit == "89abcdef01+"
    assert run.data == "train synthetic (4,000 faces), manifest 0123456789"


def test_accelerator_names_the_machine(tmp_path: Path) -> None:
    path = run_directory(tmp_path / "a", machine={"cores": 16, "gpu": "NVIDIA X"})
    assert read_run(path / "result.json").machine == "NVIDIA X"


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"git": None}, "--commit"), ({"command": ""}, "lacks command"), ({"data": {}}, "lacks data")],
)
def test_run_without_origin_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        read_run(run_directory(tmp_path / "a", **changes))


def test_unfinished_and_broken_runs_are_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no result\.json"):
        read_run(tmp_path)
    (tmp_path / "x.json").write_text("[")
    with pytest.raises(UserError, match="cannot be read"):
        read_run(tmp_path / "x.json")


def test_columns_and_values_are_parsed() -> None:
    assert parse_column("val/nme") == Column("val/nme", "val/nme", 2)
    assert parse_column("MMA=compute/mma") == Column("MMA", "compute/mma", 1)
    assert parse_column("NME (%)=val/nme:3") == Column("NME (%)", "val/nme", 3)
    assert parse_value("faces_per_s=2100") == ("faces_per_s", 2100.0)
    for text in ("x", "=3", "a=b"):
        with pytest.raises(UserError, match="not understood"):
            parse_value(text)


def test_verb_records_writes_and_checks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [str(run_directory(tmp_path / str(s), seed=s)) for s in (0, 1)]
    to = tmp_path / "lit_landmarks/methods/m/results.yaml"
    (tmp_path / "README.md").write_text("<!-- results:t -->\n<!-- /results:t -->\n")
    where = ["--to", str(to), "--table", "t", "--row", "ours"]
    assert main(["results", "record", *runs, *where, "--columns", "NME (%)=val/nme"]) == 0
    assert [r.seed for r in load_file(to)["t"].rows[0].runs] == [0, 1]
    root = ["--root", str(tmp_path)]
    assert main(["results", "check", *root]) == 2
    assert "stale" in capsys.readouterr().err
    assert main(["results", "write", *root]) == 0
    assert main(["results", "check", *root]) == 0
    assert "| ours | 5.50 ± 0.00 | 2 |" in (tmp_path / "README.md").read_text()


def test_verb_records_a_figure_of_another_tool(tmp_path: Path) -> None:
    to = tmp_path / "results.yaml"
    where = ["--to", str(to), "--table", "t", "--row", "ours", "--columns", "speed:0"]
    value = ["--value", "speed=2100"]
    assert main(["results", "record", *where, *value]) == 2
    assert not to.exists()
    origin = ["--command", "c", "--data", "d", "--commit", "abc", "--machine", "m"]
    assert main(["results", "record", *where, *value, *origin]) == 0
    assert load_file(to)["t"].rows[0].runs[0].values == {"speed": 2100.0}


@pytest.mark.parametrize(
    "arguments",
    [["record"], ["record", "--to", "results.yaml", "--table", "t", "--row", "r"],
     ["record", "x", "--to", "other.yaml", "--table", "t", "--row", "r"], ["frobnicate"]],
)  # fmt: skip
def test_verb_tells_bad_input_in_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["results", *arguments]) == 2
    assert capsys.readouterr().err.count("\n") == 1
