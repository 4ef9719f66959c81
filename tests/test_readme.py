"""Every command and every Python block of README.md runs, on few faces and for one step."""

from __future__ import annotations

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
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "lit_landmarks").rglob("README.md"))]
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)

#: Appended to a command of the README so that it takes seconds; what is tested is the command.
SHORT = {
    "fit": ["--trainer.max_epochs=1", "--trainer.limit_train_batches=1",
            "--trainer.limit_val_batches=1", "--trainer.limit_test_batches=1"],
    "validate": ["--trainer.limit_val_batches=1"],
    "test": ["--trainer.limit_test_batches=1"],
    "predict": ["--trainer.limit_predict_batches=1"],
    "profile": ["--repeats=1"],
    "bench": ["--faces=32", "--rounds=1"],
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
        words, cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False
    )


def runnable(command: str) -> list[str] | None:
    """The words to run for a command of ours, shortened; None for a command of another tool."""
    words = shlex.split(command, comments=True)
    if words[:3] != ["python", "-m", "lit_landmarks"]:
        return None
    few = words[3] == "fit" and "--config" in words and "configs/data/" not in command
    more = ["--config", "few.yaml"] if few else []
    if "--resume" in words:
        # A finished run has nothing left to do, unless it is given one more epoch.
        return [sys.executable, *words[1:], "--trainer.max_epochs=2"]
    return [sys.executable, *words[1:], *more, *SHORT.get(words[3], [])]


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
            elif runnable(command) is None:
                known = {("python3", "-m", "venv"), ("git", "clone"), (".", ".venv/bin/activate")}
                assert any(tuple(words[: len(k)]) == k for k in known), command
            seen += 1
    assert seen


@pytest.mark.slow
def test_every_command_of_the_readme_runs(folder: Path) -> None:
    # In one test and in order: later commands read the runs that earlier ones made.
    data = Path(os.environ["LIT_LANDMARKS_DATA"])
    ran = []
    for block in README:
        for command in commands(block.text) if block.language == "bash" else ():
            words = runnable(command)
            if words is None or ("$LIT_LANDMARKS_DATA" in command and not data.is_dir()):
                continue
            words = [os.path.expandvars(word) for word in words]
            done = execute(words, folder)
            assert done.returncode == 0, f"README.md:{block.row}: {command}\n{done.stderr[-3000:]}"
            ran.append(words[3])
    assert {"fit", "profile", "validate", "data"} <= set(ran)


@pytest.mark.slow
@pytest.mark.parametrize(
    "block",
    [b for b in README if b.language == "python"],
    ids=lambda b: f"row{b.row}",
)
def test_every_python_block_of_the_readme_runs(block: Block, folder: Path) -> None:
    done = execute(
        [sys.executable, "-W", "error::DeprecationWarning:__main__", "-c", block.text], folder
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_links_lead_somewhere() -> None:
    broken = []
    for document in [*DOCUMENTS, ROOT / "CONTRIBUTING.md"]:
        prose = _FENCE.sub("", document.read_text(encoding="utf-8"))
        for target in re.findall(r"\]\(([^)#]+)\)", prose):
            if "://" not in target and not (document.parent / target).exists():
                broken.append(f"{document.relative_to(ROOT)} -> {target}")
    assert not broken
