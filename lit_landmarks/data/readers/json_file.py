"""The file of the JSON format (`json_faces`): its header, and its faces one by one.

A file that holds one face to a line, as this package writes it, is read line by line, so that the
memory does not grow with the file. Any other JSON is read whole; so is a damaged file, which then
tells what is wrong.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO, TypeVar

from lit_landmarks.data.readers.common import check_name
from lit_landmarks.data.readers.json_rows import UNITS
from lit_landmarks.data.readers.text import decode_text
from lit_landmarks.documents import parse_json
from lit_landmarks.errors import UserError
from lit_landmarks.metrics import NORMS
from lit_landmarks.pictures import GRIDS
from lit_landmarks.schemes import LandmarkScheme, convention_index, declare_scheme, get_scheme

T = TypeVar("T")

#: What stands in the file's `format` and `version`.
FORMAT, VERSION = "lit_landmarks faces", 1
_KEYS = (
    "format",
    "version",
    "scheme",
    "convention",
    "primary_normaliser",
    "source",
    "licence",
    "units",
    "pixel_grid",
    "faces",
)
#: The line after which each line is a face, and the one after the last.
OPENING, CLOSING = '"faces": [', "]}"


class OtherFormError(Exception):
    """Not one face to a line."""


def read_header(path: Path) -> dict[str, Any]:
    """What holds for all faces; a scheme that the file declares is known from then on.

    Returns:
        `scheme` (its name), `convention`, `primary_normaliser`, `pixel_grid`, `source`, `licence`
        and `units` (None if not stated).

    Raises:
        UserError: the file is missing, is no JSON, or its header is wrong.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            document = _opening(file, path)
    except (OSError, ValueError, RecursionError, OtherFormError):
        document = _whole(path)
    return check_header(document, path)


def faces_by_line(path: Path) -> Iterator[Any]:
    """The faces of a file that holds one to a line, unchecked.

    Raises:
        OtherFormError: it is not of this form; what was given until then is not to be used.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            _opening(file, path)
            more, any_face = True, False
            for line in file:
                text = line.strip()
                if not text and not any_face:
                    continue  # a list of no face
                if text == CLOSING:
                    if (more and any_face) or file.read().strip():
                        raise OtherFormError
                    return
                any_face = True
                if not more:
                    raise OtherFormError
                more = text.endswith(",")
                yield parse_json(text.removesuffix(","), path, finite=True)
    except (OSError, ValueError, RecursionError) as error:
        raise OtherFormError from error
    raise OtherFormError


def faces_at_once(path: Path) -> list[Any]:
    """The faces of any file, unchecked.

    Raises:
        UserError: the file is missing, is no JSON or has no list of faces.
    """
    faces = _whole(path).get("faces")
    if not isinstance(faces, list):
        raise UserError(f'"faces" is no list, {path}; write one')
    return faces


def _opening(file: TextIO, path: Path) -> dict[str, Any]:
    """The document without its faces; the file stands at the first of them."""
    head: list[str] = []
    for line in file:
        if line.strip() == OPENING:
            document = parse_json("".join(head) + OPENING + CLOSING, path, finite=True)
            if isinstance(document, dict):
                return document
            break
        head.append(line)
    raise OtherFormError


def _whole(path: Path) -> dict[str, Any]:
    try:
        document = parse_json(decode_text(path.read_bytes()), path, finite=True)
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"no file {path}; write it as the docstring of JsonFaces says") from error
    except json.JSONDecodeError as error:
        raise UserError(f"no JSON: {error.msg}, {path}:{error.lineno}; correct the file") from error
    except (ValueError, RecursionError) as error:
        cure = "correct the file (null stands for a point that was not set)"
        raise UserError(f"no readable JSON, {path}; {cure}") from error
    if not isinstance(document, dict):
        raise UserError(f'no "format": "{FORMAT}", {path}; write it as JsonFaces documents')
    return document


def check_header(document: dict[str, Any], path: Path) -> dict[str, Any]:
    """What holds for all faces of a file, as `read_header` returns it, from its JSON object.

    Raises:
        UserError: a key or a value of it is wrong.
    """
    if document.get("format") != FORMAT:
        raise UserError(f'no "format": "{FORMAT}", {path}; write it as JsonFaces documents')
    odd = [key for key in document if key not in _KEYS]
    if odd:
        raise UserError(f"unknown key {odd[0][:40]!r}, {path}; known: {', '.join(_KEYS)}")
    if document.get("version") != VERSION:
        version = str(document.get("version"))[:40]
        raise UserError(f"version {version} of the format, {path}; {VERSION} is read")
    scheme = _scheme(document.get("scheme"), path)
    convention = document.get("convention", "custom")
    has_eyes = scheme.eye_corners[0] != scheme.eye_corners[1]
    norm = document.get("primary_normaliser", "interocular" if has_eyes else "box")
    if not isinstance(convention, str) or norm not in NORMS:
        names = ", ".join(NORMS)
        raise UserError(
            f"convention is text, primary_normaliser one of {names}, {path}; correct it"
        )
    _known(convention_index, convention, path)
    if norm in ("interocular", "interpupil") and not has_eyes:
        raise UserError(f"{norm} needs eye_corners in the scheme, {path}; add them or take box")
    units = document.get("units")
    if units not in (None, *UNITS):
        raise UserError(f"units is none of {', '.join(UNITS)}, {path}; correct it")
    grid = document.get("pixel_grid", "shown")
    if grid not in GRIDS:
        raise UserError(f"pixel_grid is none of {', '.join(GRIDS)}, {path}; correct it")
    return {
        "scheme": scheme.name,
        "convention": convention,
        "primary_normaliser": norm,
        "units": units,
        "pixel_grid": grid,
        "source": str(document.get("source", "")),
        "licence": str(document.get("licence", "")),
    }


def _scheme(value: Any, path: Path) -> LandmarkScheme:
    """The scheme that the file names or declares."""
    if isinstance(value, str):
        return _known(get_scheme, value, path)
    if isinstance(value, dict) and isinstance(value.get("name"), str):
        check_name("scheme", value["name"], str(path))
    return declare_scheme(value, str(path))


def _known(look_up: Callable[[str], T], name: str, path: Path) -> T:
    """What a name stands for; an error tells the file too."""
    try:
        return look_up(name)
    except UserError as error:
        what, _, cure = str(error).partition("; ")
        raise UserError(f"{what}, {path}; {cure}") from error
