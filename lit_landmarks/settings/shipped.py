"""Argument and sweep files of the package by name, such as `asmnet` or `data/helen_afw`.

In a checkout they are the repository's `configs/` and `sweeps/`; an installed package carries
copies below `lit_landmarks/_shipped/`.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Literal

Kind = Literal["configs", "sweeps"]

_PACKAGE = Path(__file__).resolve().parents[1]


def shipped_folders(kind: Kind) -> list[Path]:
    """Folders that are searched, the checkout's before the installed package's."""
    checkout = _PACKAGE.parent
    folders = [checkout / kind] if (checkout / "pyproject.toml").is_file() else []
    return [f for f in (*folders, _PACKAGE / "_shipped" / kind) if f.is_dir()]


def shipped_names(kind: Kind) -> list[str]:
    """Names of the shipped files, such as `asmnet` and `data/helen_afw`."""
    names = {
        path.relative_to(folder).with_suffix("").as_posix()
        for folder in shipped_folders(kind)
        for path in folder.rglob("*.yaml")
    }
    return sorted(names)


def find_file(path: Path, kind: Kind) -> Path:
    """The file that a user means by `path`; an existing path wins over a shipped name.

    Args:
        path: a path, or the name of a shipped file with or without `.yaml`.
        kind: argument files or sweep files.

    Returns:
        An existing file or folder if there is one, else `path` as it was given.
    """
    if path.exists() or path.is_absolute() or ".." in path.parts:
        return path
    for folder in shipped_folders(kind):
        for name in (path, path.with_name(f"{path.name}.yaml")):
            if (folder / name).is_file():
                return folder / name
    return path


def shipped_hint(path: Path, kind: Kind) -> str:
    """The cure in the error about a missing file: shipped names close to `path`, or all."""
    names = shipped_names(kind)
    wanted = path.with_suffix("").as_posix() if path.suffix == ".yaml" else path.as_posix()
    close = difflib.get_close_matches(wanted, names, n=3, cutoff=0.5)
    # `helen` is far from `data/helen_afw` as a string, and still what was meant.
    close = close or [name for name in names if wanted and wanted in name][:3]
    if close:
        return f"did you mean {' or '.join(close)}?"
    return "give the path of a YAML file" + (f", or one of {', '.join(names)}" if names else "")
