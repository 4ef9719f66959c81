"""What pictures come from: files, folders, patterns, arrays, videos and cameras, one by one."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from torch import Tensor

from lit_landmarks.data.finding import IMAGE_SUFFIXES, files_below
from lit_landmarks.errors import UserError
from lit_landmarks.pictures.video import VIDEO_SUFFIXES

Kind = Literal["picture", "video", "camera", "array"]

#: Pictures of kinds that are not read: in a folder they are named, not passed over.
_UNREAD = (".gif", ".heic", ".heif", ".avif", ".jxl", ".jp2", ".exr", ".hdr")


@dataclass(frozen=True, eq=False)
class Source:
    """One picture, video or camera.

    Attributes:
        name: path as it was given, or what the picture is called in messages.
        kind: how it is read.
        path: of a file, else None.
        value: the array, or the number of the camera.
    """

    name: str
    kind: Kind
    path: Path | None = None
    value: Any = None

    @property
    def moves(self) -> bool:
        """Whether it has frames in which faces are followed."""
        return self.kind in ("video", "camera")


def list_sources(given: Any) -> list[Source]:
    """The pictures and videos that something names, each once.

    Args:
        given: a file, a folder (with all below it, in the order of their names), a pattern with
            `*`, `?`, `[...]` and `**`, an array (H, W, 3) uint8 or a tensor as `Landmarker` takes,
            the number of a camera, a `Source`, or a list of these.

    Raises:
        UserError: nothing is there, or a value is of another kind.

    Example:
        >>> [source.name for source in list_sources([np.zeros((4, 4, 3), np.uint8)] * 2)]
        ['array 0', 'array 1']
    """
    values = list(given) if isinstance(given, list | tuple) else [given]
    sources: dict[Any, Source] = {}
    arrays = 0
    for value in values:
        if isinstance(value, Source):
            sources.setdefault(value if value.path is None else value.path.absolute(), value)
        elif isinstance(value, np.ndarray | Tensor):
            sources["array", arrays] = Source(f"array {arrays}", "array", value=value)
            arrays += 1
        elif isinstance(value, bool) or not isinstance(value, int | str | os.PathLike):
            raise UserError(
                f"a {type(value).__name__} is no picture; give a path, an array, the number of a"
                " camera, or a list of these"
            )
        elif isinstance(value, int):
            sources["camera", value] = Source(f"camera {value}", "camera", value=value)
        else:
            for path in _paths(os.fspath(value)):
                kind: Kind = "video" if path.suffix.lower() in VIDEO_SUFFIXES else "picture"
                sources.setdefault(path.absolute(), Source(str(path), kind, path))
    return list(sources.values())


def _paths(text: str) -> Iterator[Path]:
    """The files that a path or pattern names.

    Raises:
        UserError: none.
    """
    path = Path(text).expanduser()
    if path.is_dir():
        files: Iterable[Path] = files_below(path, {*IMAGE_SUFFIXES, *VIDEO_SUFFIXES, *_UNREAD})
        if not files:
            raise UserError(f"no picture or video in {path}; correct the path")
        yield from files
    elif path.exists() or not glob.has_magic(text):
        yield path  # a file that is missing is named when it is read
    else:
        places = map(Path, glob.glob(str(path), recursive=True))  # noqa: PTH207 - also absolute ones
        matches = sorted(place for place in places if place.is_file())
        if not matches:
            raise UserError(f"no file matches {text}; correct the pattern")
        yield from matches
