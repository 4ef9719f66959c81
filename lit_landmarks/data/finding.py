"""Finding files as users' disks hold them: links, foreign files, case, Unicode forms.

- Linked folders are searched; a folder that can be reached in several ways (also by a loop of
  links) is searched once.
- What file managers and archives leave behind is passed over: names that begin with a dot (`._x`,
  `.DS_Store`), `Thumbs.db`, `desktop.ini`, `__MACOSX`, `@eaDir` and the like.
- The case of a suffix does not count (`.PTS`, `.JPG`); nor does it matter whether accents are
  composed (NFC) or not (NFD), which differs between systems.
- A label without a named picture takes the one beside it of its name; if there are several (a
  mask, a preview), none is chosen: that is an error which names them.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path

from lit_landmarks.errors import UserError

#: Picture files that are looked for beside labels that do not name theirs.
IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".webp", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm"),
)

_CLUTTER = {
    "thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
    "__macosx",
    "@eadir",
    "#recycle",
    "$recycle.bin",
    "system volume information",
    "lost+found",
}


def is_clutter(name: str) -> bool:
    """True for files and folders of file managers and archives, and for hidden ones."""
    return name.startswith(".") or name.lower() in _CLUTTER


def composed(name: str) -> str:
    """A name with composed accents (NFC), so that names of several systems compare."""
    return unicodedata.normalize("NFC", name)


def match_files(folder: Path, pattern: str) -> Iterator[Path]:
    """Files and folders that a pattern matches, unsorted.

    Args:
        folder: where it starts; nothing matches in a folder that is not there.
        pattern: names with `*`, `?` and `[...]`, separated by `/`; case does not count in a last
            name with one of them (a folder of another case is a place of its own), and `**` has no
            meaning.
    """
    part, _, rest = pattern.partition("/")
    if any(sign in part for sign in "*?["):
        plain = composed if rest else _plain
        places = (
            folder / name
            for name in _names(folder)
            if fnmatchcase(plain(name), plain(part)) and not is_clutter(name)
        )
    else:
        places = (place for place in (folder / part,) if place.exists())
    for place in places:
        if rest:
            yield from match_files(place, rest)
        else:
            yield place


def files_below(root: Path, suffixes: Collection[str]) -> list[Path]:
    """Files with one of some suffixes in a folder and all below it, sorted by path.

    Args:
        root: the folder.
        suffixes: in lower case, with their dot.

    Raises:
        UserError: a folder cannot be read, or a link that may mean one leads nowhere.
    """
    files: list[Path] = []
    waiting, linked, visited = [root], list[Path](), set[tuple[int, int]]()
    while waiting or linked:
        # Links last: a folder that is there by itself keeps its own name.
        folder = waiting.pop() if waiting else linked.pop(0)
        try:
            stat = folder.stat()
            if (stat.st_dev, stat.st_ino) in visited:
                continue
            visited.add((stat.st_dev, stat.st_ino))
            with os.scandir(folder) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            raise UserError(
                f"cannot read folder {folder} ({error.strerror}); correct its permissions or links"
            ) from error
        for entry in listed:
            if is_clutter(entry.name):
                continue
            path = Path(entry.path)
            if path.is_dir() if entry.is_symlink() else entry.is_dir():
                (linked if entry.is_symlink() else waiting).append(path)
            elif path.suffix.lower() in suffixes:
                files.append(path)
            elif entry.is_symlink() and not path.suffix and not path.exists():
                raise UserError(
                    f"the link {path} leads nowhere; correct it (is a disk missing?) or remove it"
                )
    return sorted(files)


def image_files(folder: Path) -> dict[str, list[Path]]:
    """Picture files of a folder by stem, composed."""
    images: dict[str, list[Path]] = {}
    for name in sorted(_names(folder)):
        file = folder / name
        if file.suffix.lower() in IMAGE_SUFFIXES and not is_clutter(name) and file.is_file():
            images.setdefault(composed(file.stem), []).append(file)
    return images


def image_of(label: Path, images: Mapping[str, Sequence[Path]]) -> Path | None:
    """The picture of a label's name; None if there is none.

    Args:
        label: the file; its suffix does not count.
        images: as `image_files` gives them.

    Raises:
        UserError: there are several.
    """
    files = images.get(composed(label.stem), ())
    if len(files) > 1:
        names = ", ".join(file.name for file in files)
        raise UserError(
            f"{len(files)} pictures of one name ({names}), {label}; leave the annotated one here"
            " and move the others elsewhere"
        )
    return files[0] if files else None


def locate(folder: Path, name: str) -> Path:
    r"""The file of a name as a label gives it.

    Args:
        folder: where the name starts.
        name: relative path.

    Returns:
        `folder / name` if it is there; else the one file whose name differs in case or in the form
        of its accents alone, or that a name with `\` means; else `folder / name`.
    """
    exact = folder / name
    if exact.exists():
        return exact
    place = folder
    for part in Path(name.replace("\\", "/")).parts:
        if (place / part).exists():
            place = place / part
            continue
        others = _by_plain_name(place).get(_plain(part), ())
        if len(others) != 1:
            return exact
        place = place / others[0]
    return place


def _names(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:  # faster than a path for each of 100,000 files
            return [entry.name for entry in entries]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise UserError(
            f"cannot read folder {folder} ({error.strerror}); correct its permissions or links"
        ) from error


def _plain(name: str) -> str:
    return composed(name).lower()


def _by_plain_name(folder: Path) -> Mapping[str, Sequence[str]]:
    """Names of a folder in lower case and composed -> names as they are."""
    try:
        return _listed(folder, folder.stat().st_mtime_ns)
    except OSError:
        return {}


@lru_cache(maxsize=8)
def _listed(folder: Path, _changed: int) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for name in _names(folder):
        if not is_clutter(name):
            names.setdefault(_plain(name), []).append(name)
    return names
