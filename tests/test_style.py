"""What ruff, import-linter and deptry do not hold: lengths, unpickling, paths of one machine."""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / "lit_landmarks").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))

# Home and work folders of a machine; in pieces, so that this file passes its own test.
MACHINE_PATHS = re.compile(
    "|".join(["/wor" + "k/", "/tm" + "p/w/", "/tm" + "p/venv", "/roo" + "t/"])
)


def count_rows(path: Path) -> int:
    """Rows of a file."""
    return len(path.read_text(encoding="utf-8").splitlines())


def function_lengths(path: Path) -> Iterator[tuple[int, str]]:
    """Rows without docstring, and `file:row`, of every function, nested ones too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            rows = (node.end_lineno or node.lineno) - node.lineno + 1
            if ast.get_docstring(node) is not None:
                docstring = node.body[0]
                rows -= (docstring.end_lineno or docstring.lineno) - docstring.lineno + 1
            yield rows, f"{path.relative_to(ROOT)}:{node.lineno}"


def test_files_are_short() -> None:
    rows = {str(path.relative_to(ROOT)): count_rows(path) for path in FILES + TESTS}
    assert {path: n for path, n in rows.items() if n > 500} == {}
    assert statistics.median(count_rows(path) for path in FILES) <= 200


def test_nine_functions_in_ten_are_short() -> None:
    lengths = [item for path in FILES for item in function_lengths(path)]
    long = sorted(item for item in lengths if item[0] > 45)
    assert len(long) <= len(lengths) / 10, long
    assert [item for item in long if item[0] > 90] == []


def test_no_paths_of_a_machine() -> None:
    listing = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listing.returncode:
        pytest.skip("not a git checkout")
    hits = [
        f"{name}:{row}: {line.strip()}"
        for name in listing.stdout.splitlines()
        if (ROOT / name).is_file() and (ROOT / name).suffix not in {".ckpt", ".png", ".jpg", ".npz"}
        for row, line in enumerate((ROOT / name).read_text(encoding="utf-8").splitlines(), 1)
        if MACHINE_PATHS.search(line)
    ]
    assert hits == []


def test_nothing_is_unpickled() -> None:
    loads = re.compile(
        r"\btorch\.load\((?!.*weights_only=True)|\bpickle\.loads?\b|allow_pickle=True"
    )
    hits = [
        f"{path.relative_to(ROOT)}:{row}: {line.strip()}"
        for path in FILES
        for row, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if loads.search(line) and not line.lstrip().startswith("#")
    ]
    assert hits == []
