"""Every command and every Python block of README.md runs, on few faces and for one step."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [
    ROOT / "README.md",
    *sorted((ROOT / "lit_landmarks").rglob("README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)

#: Appended to a command of the README so that it takes seconds; what is tested is the command.
SHORT = {
    "fit": ["--trainer.max_epochs=1", "--trainer.limit_train_batches=1",
            "--trainer.limit_val_batches=1", "--trainer.limit_test_batches=1"],
    "validate": ["--trainer.limit_val_batches=1"],
    "test": ["--trainer.limit_test_batches=1"],
    "predict": ["--trainer.limit_predict_batches=1"],
    "profile": ["--repeats=0"],
    "bench": ["--faces=32", "--rounds=1"],
    "sweep": ["--trials=1"],
}  # fmt: skip
#: Put after the configs of a command that trains on rendered faces: fewer of them.
FEW_FACES = """
data:
  init_args:
    train:
      synthetic: {class_path: SyntheticFaces, init_args: {n: 48, seed: 1}}
    val:
      synthetic: {class_path: SyntheticFaces, init_args: {n: 16, seed: 2}}
"""


#: Runs commands (a JSON list of word lists) in one process, so that torch is imported once.
DRIVER = """
import json, sys
from lit_landmarks.cli import main
for words in json.loads(sys.argv[1]):
    status = main(words)
    print("status", status, *words, flush=True)
    if status:
        sys.exit(status)
"""


@dataclass(frozen=True)
class Block:
    """One fenced block of a document."""

    document: Path
    row: int
    language: str
    text: str


def blocks(document: Path) -> Iterator[Block]:
    """The fenced blocks of a document that name a language."""
    text = document.read_text(encoding="utf-8")
    for found in _FENCE.finditer(text):
        yield Block(document, text.count("\n", 0, found.start()) + 1, found[1], found[2])


def commands(text: str) -> list[str]:
    """The commands of a bash block: continued rows joined, comments and blank rows left out."""
    rows = text.replace("\\\n", " ").splitlines()
    return [" ".join(row.split()) for row in rows if row.strip() and not row.startswith("#")]


README = list(blocks(ROOT / "README.md"))
#: Pages that list claims with the commands that show them, and what must then be printed.
CLAIMS = {"metrics": ("1,412,435", "256.50"), "data": ("contact sheet: ", "faces in faces300w")}
_GOLDEN = ["python", "-m", "lit_landmarks.bench.golden"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with what a checkout offers; runs land here."""
    folder = tmp_path_factory.mktemp("readme")
    for name in ("configs", "sweeps", "Makefile", "pyproject.toml", "lit_landmarks", "README.md"):
        if (ROOT / name).exists():
            (folder / name).symlink_to(ROOT / name)
    (folder / "few.yaml").write_text(FEW_FACES)
    return folder


def execute(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command with this Python, this package and two quiet threads."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "2"}
    return subprocess.run(
        words,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )


def arguments(command: str) -> list[str] | None:
    """What follows `python -m lit_landmarks`, shortened; None for a command of another tool."""
    words = shlex.split(command, comments=True)
    if words[:3] != ["python", "-m", "lit_landmarks"]:
        return None
    words = [os.path.expandvars(word) for word in words[3:]]
    if "--resume" in words:
        # A finished run has nothing left to do, unless it is given one more epoch.
        return [*words, "--trainer.max_epochs=2"]
    few = words[0] == "fit" and "configs/data/" not in command
    short = [option for option in SHORT.get(words[0], []) if option.split("=")[0] not in words]
    return [*words, *(["--config", "few.yaml"] if few else []), *short]


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_blocks_have_a_known_language() -> None:
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        assert not re.findall(r"^```\n[^`]*?^```$", text, re.MULTILINE) or "```text" in text
        unknown = {b.language for b in blocks(document)} - {"bash", "python", "text", "yaml"}
        assert not unknown, f"{document}: {unknown}"


def test_installation_commands_name_what_exists() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    seen = 0
    for block in README:
        for command in commands(block.text) if block.language == "bash" else ():
            words = shlex.split(command, comments=True)
            if words[0] == "make":
                assert words[1] in targets, f"README.md:{block.row}: no target {words[1]}"
            elif "pip" in words:
                asked = re.findall(r"\[([\w,]+)\]", command)
                assert {e for group in asked for e in group.split(",")} <= extras.keys()
            elif arguments(command) is None:
                known = {("python3", "-m", "venv"), ("git", "clone")}
                assert any(tuple(words[: len(k)]) == k for k in known), command
            seen += 1
    assert seen


@pytest.mark.slow
def test_every_command_of_the_readme_runs(folder: Path) -> None:
    # In order, and in one test: later commands and `lit_landmarks.load` read earlier runs.
    data = Path(os.environ["LIT_LANDMARKS_DATA"])
    asked = [
        words
        for block in README
        for command in (commands(block.text) if block.language == "bash" else ())
        if (words := arguments(command)) is not None
        and ("$LIT_LANDMARKS_DATA" not in block.text or data.is_dir())
    ]
    assert {"fit", "profile", "validate"} <= {words[0] for words in asked}
    done = execute([sys.executable, "-c", DRIVER, json.dumps(asked)], folder)
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    assert done.stdout.count("\nstatus 0 ") == len(asked)
    # The output that the README shows is the output; only the padding of a terminal may differ.
    told = {" ".join(row.split()) for row in done.stdout.splitlines()}
    shown = [row for block in README if block.language == "text" for row in block.text.splitlines()]
    assert {" ".join(row.split()) for row in shown} <= told
    for block in (b for b in README if b.language == "python" and "runs/first" in b.text):
        loaded = execute([sys.executable, "-c", block.text], folder)
        assert loaded.returncode == 0, loaded.stderr[-3000:]
        assert loaded.stdout == "(68, 2)\n"


def test_the_module_is_a_command(folder: Path) -> None:
    done = execute([sys.executable, "-m", "lit_landmarks", "--help"], folder)
    assert done.returncode == 0
    assert "usage: python -m lit_landmarks" in done.stdout
    done = execute([sys.executable, "-m", "lit_landmarks", "train"], folder)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "block",
    [b for b in README if b.language == "python" and "runs/first" not in b.text],
    ids=lambda b: f"row{b.row}",
)
def test_every_python_block_of_the_readme_runs(block: Block, folder: Path) -> None:
    done = execute(
        [sys.executable, "-W", "error::DeprecationWarning:__main__", "-c", block.text], folder
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
@pytest.mark.parametrize("page", CLAIMS)
def test_every_check_that_a_page_names_is_there(page: str, folder: Path) -> None:
    data, asked = Path(os.environ["LIT_LANDMARKS_DATA"]), []
    for block in blocks(ROOT / "lit_landmarks" / page / "README.md"):
        if "$LIT_LANDMARKS_DATA" in block.text and not data.is_dir():
            continue
        for command in commands(block.text) if block.language == "bash" else ():
            words = shlex.split(command, comments=True)
            if words[:3] == ["python", "-m", "pytest"]:
                # They run with the other tests; here: that they are where the page says.
                paths = [word.split("::")[0] for word in words[3:] if not word.startswith("-")]
                assert paths, command
                assert all((ROOT / path).exists() for path in paths), command
            elif words[:3] == _GOLDEN:
                told = [sys.executable, *words[1:3], os.path.expandvars(words[3])]
                done = execute(told, folder)
                assert (done.returncode, done.stderr) == (0, "")
            else:
                called = arguments(command)
                assert called is not None, command
                asked.append(called)
    done = execute([sys.executable, "-c", DRIVER, json.dumps(asked)], folder)
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    assert all(text in done.stdout for text in CLAIMS[page])


def test_links_lead_somewhere() -> None:
    broken = []
    beside_code = (ROOT / "lit_landmarks").rglob("*.md")
    for document in [*ROOT.glob("*.md"), *beside_code, *(ROOT / "docs").rglob("*.md")]:
        prose = _FENCE.sub("", document.read_text(encoding="utf-8"))
        for target in re.findall(r"\]\(([^)#]+)\)", prose):
            if "://" not in target and not (document.parent / target).exists():
                broken.append(f"{document.relative_to(ROOT)} -> {target}")
    assert not broken
