"""Help, lists and plain mistakes are answered before torch and Lightning are imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from lit_landmarks.cli.listing import format_rows
from lit_landmarks.cli.verbs import VERBS
from tests.support.configs import tiny_config

#: Libraries that take a second or more to import.
_SLOW = ("torch", "lightning", "timm", "optuna", "matplotlib", "wandb", "cv2")
_CODE = """
import sys
from lit_landmarks.cli import main
try:
    status = main(sys.argv[1:])
except SystemExit as done:
    status = int(done.code or 0)
import time
print([name for name in SLOW if name in sys.modules], file=sys.stderr)
print(time.process_time(), file=sys.stderr)
sys.exit(status)
""".replace("SLOW", repr(_SLOW))


def answer(*arguments: object, status: int) -> str:
    """What a command prints within a second, in a process of its own, without slow libraries."""
    done = subprocess.run(
        [sys.executable, "-c", _CODE, *map(str, arguments)], capture_output=True, text=True
    )
    *lines, imported, seconds = done.stderr.strip().splitlines()
    assert done.returncode == status, done.stderr
    assert imported == "[]", f"{arguments} imported {imported}"
    # On an idle core half of that; a shared one gives a process twice its time.
    assert float(seconds) < 2.0
    return done.stdout if status == 0 else "\n".join(lines)


_PARTS = {
    "analyse": ["calibrate", "tradeoff", "attention"],
    "data": ["check", "convert", "synthesize"],
    "bench": ["data", "cascade", "sweep", "samplers", "detectors", "peers"],
    "results": ["record", "write", "check"],
}


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_every_verb(verb: str) -> None:
    text = answer(verb, "--help", status=0)
    assert f"usage: python -m lit_landmarks {verb}" in text
    for part in _PARTS.get(verb, []):
        assert part in text


@pytest.mark.parametrize(
    "part", [f"{verb} {part}" for verb, parts in _PARTS.items() for part in parts]
)
def test_help_of_every_part(part: str) -> None:
    assert f"usage: python -m lit_landmarks {part}" in answer(*part.split(), "-h", status=0)


def test_help_of_fit_is_short_and_begins_with_what_people_set() -> None:
    text = answer("fit", "--help", status=0)
    lines = text.splitlines()
    assert len(lines) < 70
    assert max(map(len, lines)) <= 100
    flags = [
        "--config",
        "--run",
        "--resume",
        "--seed_everything",
        "--trainer.max_epochs",
        "--trainer.devices",
        "--trainer.precision",
        "--data.batch_size",
        "--data.frame_size",
        "MuSiCa ",
        "--model.help NAME",
        "--wandb.mode",
        "--help all",
    ]
    text = text.partition("What to run:")[2]
    places = [text.index(flag) for flag in flags]
    assert places == sorted(places)
    assert "--trainer.max_epochs" not in answer("test", "--help", status=0)
    # Defaults are those of the source.
    assert "(32)" in next(line for line in lines if "--data.batch_size" in line)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("methods", ["MuSiCa ", "ASMNet ", "MobileNetBaseline"]),
        ("schemes", ["wflw98 ", "98 points", "dense520_published"]),
        ("datasets", ["Ibug300W", "JsonFaces", "WFLW: 7500 faces to train with"]),
        ("configs", ["data/helen_afw", "musica_helen", "Eight real faces"]),
    ],
)
def test_lists(name: str, parts: list[str]) -> None:
    text = answer("list", name, status=0)
    assert all(part in text for part in parts), text


def _write(folder: Path, change: dict[str, object]) -> Path:
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({**tiny_config(), **change}))
    return path


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["tset"], ["unknown verb 'tset'", "did you mean test?"]),
        (["list", "models"], ["unknown list 'models'", "methods"]),
        (["fit", "--config", "mobilnet"], ["no such file: mobilnet", "mobilenet"]),
        (["validate", "--run", "runs/none"], ["no run directory at runs/none"]),
        (["predict"], ["--run RUN or --ckpt_path FILE"]),
        (["fit", "--resume", "runs/none"], ["no run directory at runs/none"]),
        (["profile", "nowhere.yaml"], ["no such file: nowhere.yaml"]),
        (["profile", "musica", "--model.rnk", 3], ["unknown setting of MuSiCa 'rnk'", "rank"]),
        (["fit", "--config", "musica", "--model.rank", "low"], ["rank: expected int, got low"]),
        (["fit", "--config", "quick", "--seed_evrything", 1], ["--seed_evrything"]),
        (["fit", "--config", "quick", "--trainer.device", 1], ["did you mean --trainer.devices?"]),
        (["fit", "--config", "quick", "--trainer.precision", "half"], ["precision", "'16-mixed'"]),
        (["fit", "--config", "quick", "--data.batch_size", "big"], ["batch_size: expected int"]),
        (["fit", "--config", "quick", "--wandb.mode", "of"], ["'offline'", "got of"]),
        (["fit", "--config", "quick", "--model.frame_size", 64], ["--data.init_args.frame_size"]),
        (["analyse", "attention", "--run", "runs/none"], ["no run directory at runs/none"]),
        (["analyse", "calibrate", "--run", "x", "--mma", "-3"], ["--mma is -3.0"]),
        (["analyse", "tradeoff", "--run", "none"], ["no run directory at none"]),
        (["bench", "cascade", "--run", "none"], ["no run directory at none"]),
        (["bench", "samplers", "--sweep", "none.yaml"], ["no sweep file none.yaml"]),
        (["sweep", "run", "smok"], ["no sweep file smok", "did you mean smoke?"]),
        (["sweep", "status", "studies/none"], ["holds no study"]),
        (["compare", "none"], ["no run directory at none"]),
        (["compare", "a", "--output", "x.pdf"], ["give a .html, .csv or .json file"]),
        (["data", "check", "--dataset", "Wlfw"], ["unknown data set 'Wlfw'", "Wflw?"]),
        (["data", "check", "--dataset", "Wflw"], ["Wflw needs root"]),
        (["data", "check", "--root", "no/such"], ["no folder no/such; correct root, or fetch"]),
        (["data", "convert", "LaPa", "--to", "x", "--layout", "ibgu"], ["unknown layout", "ibug"]),
        (["data", "synthesize", "x", "--source", "Wflw"], ["unknown source of rendered faces"]),
        (["results", "record", "runs/a", "--to", "a.yaml"], ["--table", "results record --help"]),
    ],
    ids=lambda value: "-".join(map(str, value[:4])),
)
def test_plain_mistakes_in_arguments(arguments: list[object], parts: list[str]) -> None:
    line = answer(*arguments, status=2)
    assert all(part in line for part in parts), line
    assert len(line.splitlines()) == 1


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"modle": {"class_path": "ASMNet"}}, ["unknown key 'modle.class_path'", "mine.yaml"]),
        ({"trainer": {"max_epoch": 2}}, ["unknown key 'trainer.max_epoch'", "mine.yaml"]),
        ({"trainer": {"max_epochs": 1.5}}, ["trainer.max_epochs: expected int, got 1.5"]),
        (
            {"seed_everything": "lucky"},
            ["seed_everything: expected int, got 'lucky'; give a whole number from 0"],
        ),
        ({"model": {"class_path": "Musica"}}, ["unknown method 'Musica' in", "MuSiCa?"]),
        (
            {"model": {"class_path": "MuSiCa", "init_args": {"sampling": "fine"}}},
            ["sampling: expected one of 'integer', 'bilinear', got fine"],
        ),
        (
            {"data": {"init_args": {"train": {"a": "SyntheticFace"}}}},
            ["unknown data set 'SyntheticFace'", "did you mean SyntheticFaces?"],
        ),
        (
            {"data": {"init_args": {"train": {"a": {"class_path": "Wflw"}}}}},
            ["Wflw needs a value for root"],
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_plain_mistakes_in_files(
    tmp_path: Path, change: dict[str, object], parts: list[str]
) -> None:
    line = answer("fit", "--config", _write(tmp_path, change), status=2)
    assert all(part in line for part in parts), line


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_a_place_that_is_taken(tmp_path: Path, kind: str) -> None:
    run = tmp_path / "run"
    if kind == "folder":
        run.mkdir()
        (run / "notes.txt").write_text("mine")
    else:
        run.write_text("mine")
    assert f"{run} exists" in answer("fit", "--config", "quick", "--run", run, status=2)


def test_a_list_without_entries_has_no_lines() -> None:
    assert list(format_rows([])) == []
