"""How code looks: lengths, docstrings, and no words of the place where it was written."""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "lit_landmarks"
FILES = sorted(PACKAGE.rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))

Function = ast.FunctionDef | ast.AsyncFunctionDef

# Paths of the machine it was written on; in pieces, so that this file passes its own test.
PLACE_WORDS = re.compile("|".join(["/wor" + "k/", "/tm" + "p/w/", "/tm" + "p/venv", "/roo" + "t/"]))


def tree(path: Path) -> ast.Module:
    """The parsed file."""
    return ast.parse(path.read_text(encoding="utf-8"))


def functions(path: Path) -> Iterator[Function]:
    """Every function of a file, nested ones too."""
    return (node for node in ast.walk(tree(path)) if isinstance(node, Function))


def length(function: Function) -> int:
    """Rows of a function without its docstring, which is not code to follow."""
    end = function.end_lineno or function.lineno
    first = function.body[0]
    doc = 0
    if ast.get_docstring(function) is not None:
        doc = (first.end_lineno or first.lineno) - first.lineno + 1
    return end - function.lineno + 1 - doc


def public(body: list[ast.stmt], prefix: str = "") -> Iterator[tuple[str, ast.ClassDef | Function]]:
    """Public classes and functions, and public methods of public classes, by dotted name."""
    for node in body:
        if isinstance(node, ast.ClassDef | Function) and not node.name.startswith("_"):
            yield prefix + node.name, node
            if isinstance(node, ast.ClassDef):
                yield from public(node.body, f"{prefix}{node.name}.")


def overrides(node: ast.ClassDef | Function) -> bool:
    """Marked as overriding a documented method, or an overload or setter of a documented one."""
    names = {ast.unparse(d).rpartition(".")[2] for d in node.decorator_list}
    return bool(names & {"override", "overload", "setter"})


@pytest.mark.parametrize("path", FILES + TESTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_file_is_short_and_says_what_it_is(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 500
    assert ast.get_docstring(tree(path)), "no module docstring"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_public_names_are_documented(path: Path) -> None:
    bare = [n for n, d in public(tree(path).body) if not ast.get_docstring(d) and not overrides(d)]
    assert not bare


def test_median_file_is_short() -> None:
    sizes = [len(path.read_text(encoding="utf-8").splitlines()) for path in FILES]
    assert statistics.median(sizes) <= 200


def test_nine_functions_in_ten_are_short() -> None:
    sizes = {f"{p.relative_to(ROOT)}:{f.lineno}": length(f) for p in FILES for f in functions(p)}
    long = sorted((n, where) for where, n in sizes.items() if n > 45)
    assert len(long) <= len(sizes) / 10, long
    assert not [item for item in long if item[0] > 90]


def test_no_words_of_a_workplace() -> None:
    listing = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listing.returncode:
        pytest.skip("not a git checkout")
    found = []
    for name in listing.stdout.splitlines():
        path = ROOT / name
        if path.suffix in {".png", ".jpg", ".npz"} or not path.is_file():
            continue
        for row, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if PLACE_WORDS.search(line):
                found.append(f"{name}:{row}: {line.strip()}")
    assert not found, "\n".join(found)


def test_nothing_is_unpickled() -> None:
    loads = re.compile(
        r"\btorch\.load\((?!.*weights_only=True)|\bpickle\.loads?\b|allow_pickle=True"
    )
    found = [
        f"{path}:{row}: {line.strip()}"
        for path in FILES
        for row, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if loads.search(line) and not line.lstrip().startswith("#")
    ]
    assert not found, "\n".join(found)
