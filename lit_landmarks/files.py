"""File writes: whole files through a temporary name and a rename, and whole rows at a place."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

from lit_landmarks.errors import UserError


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Context that gives a temporary path, renamed to `path` when the block ends without error.

    The temporary name has the suffix of `path`; parent folders are created.

    Raises:
        UserError: the file cannot be written (no space, no permission, a folder is in the way).
    """
    temporary = path.with_name(f".{os.getpid()}-{uuid.uuid4().hex[:8]}.{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"cannot write {path}: {reason}; choose another folder") from error
    finally:
        with contextlib.suppress(OSError):  # gone after success; there may be no folder at all
            temporary.unlink()


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write a whole file, text as UTF-8, through `atomic_path`."""
    # Names of files on disk may hold bytes that are no UTF-8.
    data = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


@contextlib.contextmanager
def hold_lock(path: Path) -> Iterator[None]:
    """Context that one process at a time is in, for a file that several would make; others wait.

    The lock of a process that dies is free. Where there are no locks, all go on at once.

    Args:
        path: the file; the lock is beside it while it is held.
    """
    lock = path.with_name(f".{path.name}.lock")
    file = None
    with contextlib.suppress(OSError):  # whoever writes the file says what is wrong with the folder
        lock.parent.mkdir(parents=True, exist_ok=True)
        file = _wait_for_lock(lock)
    try:
        yield
    finally:
        if file is not None:
            with contextlib.suppress(OSError):
                lock.unlink()
            os.close(file)


def _wait_for_lock(lock: Path) -> int:
    """Descriptor of the locked file."""
    while True:
        file = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            # Its holder may have removed the file while we waited.
            if lock.stat().st_ino == os.fstat(file).st_ino:
                return file
        except FileNotFoundError:
            pass
        except OSError:
            os.close(file)
            raise
        os.close(file)


def write_at(file: int, data: bytes | memoryview, offset: int) -> None:
    """Write everything from a place of an open file on; the system may take it in pieces.

    Args:
        file: descriptor.
        data: bytes.
        offset: place of the first, from the start of the file.

    Raises:
        OSError: it cannot be written; a part of it may have been.
    """
    view = memoryview(data)
    while view:
        count = os.pwrite(file, view, offset)
        view, offset = view[count:], offset + count


def check_folder(folder: Path) -> None:
    """Check that a folder, existing or not, can be written to; leaves no file or folder behind.

    Raises:
        UserError: it is a file, or cannot be made or written to.
    """
    missing: list[Path] = []
    try:
        missing += [place for place in (folder, *folder.parents) if not place.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = "it is a file" if folder.is_file() else error.strerror or str(error)
        raise UserError(f"cannot write to {folder}: {reason}; choose another folder") from error
    finally:
        for place in missing:
            with contextlib.suppress(OSError):  # never made, or no longer empty
                place.rmdir()
