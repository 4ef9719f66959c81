"""The floors of the house: a room imports only from lower ones."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "lit_landmarks"

#: From the ground up. Rooms of one floor do not know each other, except where NEIGHBOURS says so.
FLOORS = (
    {"types", "errors", "files", "splitmix", "geometry"},
    {"schemes"},
    {"template", "draw", "metrics", "compute", "nets"},
    {"rendering"},
    {"data", "methods"},
    {"training"},
    {"inference", "export"},
    {"reports"},
    {"settings"},
    {"search"},
    {"cli"},
    {"__main__"},
)
#: `errors` and `types` are the ground that all stand on.
NEIGHBOURS = {
    ("geometry", "types"),
    ("geometry", "errors"),
    ("types", "errors"),
    ("files", "errors"),
}
FLOOR = {room: height for height, rooms in enumerate(FLOORS) for room in rooms}

#: Rooms that only these rooms may import: who reads about landmarks need not pass the renderer.
OPEN_TO = {"rendering": {"data"}}

#: Libraries that only these rooms may import.
ONLY_IN = {
    "wandb": {"training", "reports"},
    "optuna": {"search"},
    "albumentations": {"reports"},
}

FILES = sorted(p for p in PACKAGE.rglob("*.py") if p != PACKAGE / "__init__.py")


def room_of(path: Path) -> str:
    """`data` for lit_landmarks/data/readers/pts.py, `types` for lit_landmarks/types.py."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Row and absolute dotted name of every import of a file, wherever it stands."""
    package = ("lit_landmarks", *path.relative_to(PACKAGE).parent.parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            stem = ".".join((*base, *([node.module] if node.module else [])))
            yield from ((node.lineno, f"{stem}.{alias.name}") for alias in node.names)


def inner_imports(path: Path) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Row and parts below the package of every import of our own modules."""
    for row, name in imports(path):
        head, *rest = name.split(".")
        if head == "lit_landmarks" and rest and not rest[0].startswith("__"):
            yield row, tuple(rest)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_down(path: Path) -> None:
    room = room_of(path)
    assert room in FLOOR, f"{room} has no floor; put it into FLOORS where it belongs"
    wrong = [
        f"{path}:{row} imports {'.'.join(name)}"
        for row, name in inner_imports(path)
        if name[0] != room
        and (room, name[0]) not in NEIGHBOURS
        and FLOOR.get(name[0], len(FLOORS)) >= FLOOR[room]
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_the_renderer_is_used_by_data_alone(path: Path) -> None:
    room = room_of(path)
    wrong = [
        f"{path}:{row} imports {'.'.join(name)}"
        for row, name in inner_imports(path)
        if name[0] != room and room not in OPEN_TO.get(name[0], {room})
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_trackers_and_samplers_stay_in_their_rooms(path: Path) -> None:
    wrong = [
        f"{path}:{row} imports {name}"
        for row, name in imports(path)
        if room_of(path) not in ONLY_IN.get(name.split(".")[0], {room_of(path)})
    ]
    assert not wrong, "\n".join(wrong)


def test_methods_do_not_know_each_other() -> None:
    methods = {p.name for p in (PACKAGE / "methods").iterdir() if (p / "__init__.py").is_file()}
    wrong = [
        f"{path}:{row} imports {'.'.join(name)}"
        for method in methods
        for path in (PACKAGE / "methods" / method).rglob("*.py")
        for row, name in inner_imports(path)
        if name[0] == "methods" and len(name) > 1 and name[1] in methods - {method}
    ]
    assert not wrong, "\n".join(wrong)


def test_every_folder_is_a_package() -> None:
    # Without __init__.py a folder imports from a checkout and is missing from what is installed.
    bare = {p.parent for p in FILES if not (p.parent / "__init__.py").is_file()}
    assert not bare
