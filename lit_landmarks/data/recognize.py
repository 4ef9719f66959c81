"""Which data sets lie below a folder: by the files that each class of `DATASETS` declares."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lit_landmarks.data.finding import is_clutter
from lit_landmarks.data.index import DATASETS, FaceDataset, FilePattern
from lit_landmarks.errors import UserError

#: Folders are searched so deep below the one that is asked for.
_DEPTH = 5


def walk(root: Path) -> Iterator[tuple[str, FaceDataset]]:
    """Every data set below a folder, with its split; a name and the data set each.

    Names are unique, of the folder below `root` and the split: "wflw_test".

    Raises:
        UserError: `root` is no folder.
    """
    if not root.is_dir():
        raise UserError(f"no folder {root}; correct the path")
    taken: set[str] = set()
    for place, dataset in _below(root, 0, set()):
        parts = place.relative_to(root).parts or (root.resolve().name,)
        if place.is_file():
            parts = (*parts[:-1], place.stem)
        split = getattr(dataset, "split", None)
        name = "_".join((*parts, *([str(split)] if split is not None else [])))
        if name in taken:
            name += f"_{type(dataset).__name__.lower()}"
        taken.add(name)
        yield name, dataset


def unrecognized(root: Path) -> list[Path]:
    """Folders right below `root` that hold no data set of a class that there is."""
    folders = [f for f in sorted(root.iterdir()) if f.is_dir() and not is_clutter(f.name)]
    if any(not pattern.loose for _, pattern in _matches(root)):
        return []
    return [f for f in folders if not any(True for _ in _below(f, 1, set()))]


def _matches(folder: Path) -> list[tuple[type[FaceDataset], FilePattern]]:
    """Classes whose files lie in a folder; general patterns only if nothing else matches."""
    matches = [
        (cls, pattern)
        for cls in DATASETS.values()
        for pattern in cls.files
        if pattern.matches(folder)
    ]
    if any(not (pattern.general or pattern.loose) for _, pattern in matches):
        return [(cls, pattern) for cls, pattern in matches if not pattern.general]
    return matches


def _below(folder: Path, depth: int, visited: set[Path]) -> Iterator[tuple[Path, FaceDataset]]:
    """The data sets of a folder and those below it; what is in `visited` was looked at before."""
    if (real := folder.resolve()) in visited:
        return
    visited.add(real)
    matches = _matches(folder)
    for cls, pattern in matches:
        make: Any = cls
        for place, arguments in cls.recognize(folder, pattern):
            yield place, make(**arguments)
    roots = [pattern for _, pattern in matches if not pattern.loose]
    covered = {name for pattern in roots for name in pattern.covers}
    if (roots and not covered) or depth >= _DEPTH:
        return
    # Links last: a folder that is there by itself keeps its own name.
    for child in sorted(folder.iterdir(), key=lambda f: (f.is_symlink(), f)):
        if child.is_dir() and child.name not in covered and not is_clutter(child.name):
            yield from _below(child, depth + 1, visited)
