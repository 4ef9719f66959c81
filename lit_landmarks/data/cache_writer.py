"""Building a file of source crops: on all cores, resumable, one builder at a time.

The crops are written to a hidden `.part` file beside the target, which takes the target's name
when it is whole. The builder holds a lock on the `.part` file, which a killed process loses; a
second process waits and then finds the finished file, or goes on where the first was killed.
How many crops are surely on the disk stands in a small `.rows` file, renewed every few seconds.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import os
import shutil
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from lit_landmarks.console import literal_console
from lit_landmarks.data.crop_boxes import Pixels, check_row, cut_square, source_squares
from lit_landmarks.data.index import FaceDataset
from lit_landmarks.errors import UserError
from lit_landmarks.files import write_at

_Advance = Callable[[int], None]

#: Faces that one thread decodes and writes at a time, and that a renderer draws at a time.
_CHUNK, _BLOCK = 16, 128
#: Chunks that may be ahead of the oldest unfinished one, for each thread.
_AHEAD = 4
#: Seconds between two notes of how far a build has come.
_NOTE_SECONDS = 3.0
#: What killed builds left is removed after three days without a write.
_STALE_SECONDS = 3 * 86400.0
#: Smaller builds show no progress bar.
_LONG = 256


def build(
    dataset: FaceDataset, path: Path, shape: tuple[int, ...], scale: float, content: str
) -> None:
    """Make the file `path` of crops `shape`, or wait for the process that is making it.

    Args:
        dataset: the faces.
        path: the file; its name must depend on all that the pixels depend on.
        shape: (n, S, S, 3).
        scale: side of a crop in units of the face box.
        content: `dataset.content_key` of all rows, before any image was read.

    Raises:
        UserError: a bad image or box, no space, no permission, or files that change meanwhile.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path.parent)
        with _claimed(path) as part:
            if part is not None:
                _fill(part, dataset, path, shape, scale, content)
    except OSError as error:
        where = f"{path.parent} (needs {int(np.prod(shape)) / 2**20:.0f} MiB)"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(
                f"disk is full while caching {shape[0]} faces, {where};"
                " free space or set LIT_LANDMARKS_CACHE to a folder on another disk"
            ) from error
        raise UserError(
            f"cannot write the cache ({error.strerror}), {where};"
            " set LIT_LANDMARKS_CACHE to a folder that you may write"
        ) from error


@dataclass(frozen=True)
class _Part:
    """An unfinished file that this process may write."""

    file: int
    path: Path

    @property
    def note(self) -> Path:
        return self.path.with_suffix(".rows")

    def rows_done(self, header: int, row_bytes: int) -> int:
        """Crops that an earlier build surely left in this very file."""
        try:
            inode, rows = map(int, self.note.read_text(encoding="ascii").split())
        except (OSError, ValueError):
            return 0
        stat = os.fstat(self.file)
        whole = stat.st_size >= header + rows * row_bytes
        return rows if inode == stat.st_ino and whole and rows >= 0 else 0

    def keep(self, rows: int) -> None:
        """Note that the first `rows` crops are on the disk."""
        os.fsync(self.file)
        fresh = self.note.with_suffix(".tmp")
        fresh.write_text(f"{os.fstat(self.file).st_ino} {rows}", encoding="ascii")
        fresh.replace(self.note)

    def drop(self) -> None:
        """Remove the file and its note."""
        for file in (self.note, self.path):
            with contextlib.suppress(OSError):
                file.unlink()


@contextlib.contextmanager
def _claimed(path: Path) -> Iterator[_Part | None]:
    """The locked unfinished file of `path`, or None if another process has finished it."""
    part = path.with_name(f".{path.stem}.part")
    while True:
        file = os.open(part, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if not _lock(file, path):
                os.close(file)
                file = -1  # its number may be given to a file of another thread
                part = path.with_name(f".{path.stem}-{uuid.uuid4().hex}.part")
                file = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
            if path.exists():
                if os.fstat(file).st_size == 0:  # ours, made a moment too late
                    _Part(file, part).drop()
                yield None
                return
            # Its owner may have removed the file while we waited for the lock.
            if part.exists() and part.stat().st_ino == os.fstat(file).st_ino:
                yield _Part(file, part)
                return
        finally:
            with contextlib.suppress(OSError):
                os.close(file)  # gives the lock back


def _lock(file: int, path: Path) -> bool:
    """Wait for the lock; False where the file system has none."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        literal_console(stderr=True).print(
            f"another process is caching {path.name}; waiting for it"
        )
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL):
            raise
        return False
    return True


def _fill(
    part: _Part,
    dataset: FaceDataset,
    path: Path,
    shape: tuple[int, ...],
    scale: float,
    content: str,
) -> None:
    """Write what is missing and give the file its name."""
    header = _header(shape)
    row_bytes = int(np.prod(shape[1:]))
    done = part.rows_done(len(header), row_bytes)
    try:
        if shutil.disk_usage(path.parent).free < (shape[0] - done) * row_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if not done:
            os.ftruncate(part.file, 0)
            write_at(part.file, header, 0)
        _write_crops(part, dataset, shape, scale, done, len(header))
        os.fsync(part.file)
        if dataset.content_key(range(shape[0])) != content:
            raise UserError(
                f"images of {type(dataset).__name__} changed while they were cached; run it again"
            )
        part.path.replace(path)
        with contextlib.suppress(OSError):
            part.note.unlink()
    except Exception:
        # An interrupted build (no Exception) stays to be resumed; a failed one would fail again.
        part.drop()
        raise


def _header(shape: tuple[int, ...]) -> bytes:
    """The start of a `.npy` file of uint8."""
    buffer = io.BytesIO()
    described = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, described)
    return buffer.getvalue()


def _write_crops(
    part: _Part, dataset: FaceDataset, shape: tuple[int, ...], scale: float, done: int, start: int
) -> None:
    """Crops from row `done` on, in chunks that threads decode, cut and write by themselves."""
    squares = source_squares(dataset.index().box, scale)
    row_bytes = int(np.prod(shape[1:]))

    def cut(row: int, image: Pixels) -> Pixels:
        check_row(dataset, row, image)
        return cut_square(image, squares[row], shape[1])

    def work(rows: range) -> int:
        # Written by calls, not through a map: a full disk is then an error and no bus fault.
        crops = np.empty((len(rows), *shape[1:]), np.uint8)
        if dataset.rendered:
            for crop, row, image in zip(crops, rows, dataset.load(rows), strict=True):
                crop[:] = cut(row, image)
        else:  # one file after the other, so that its pixels are still near and then freed
            for k, row in enumerate(rows):
                crops[k] = cut(row, dataset.load([row])[0])
        write_at(part.file, crops.data.cast("B"), start + rows.start * row_bytes)
        return len(rows)

    noted = time.monotonic()
    with _progress(type(dataset).__name__, shape[0], done) as advance:
        for count in _in_order(work, done, shape[0], dataset.rendered):
            done += count
            advance(count)
            if time.monotonic() - noted > _NOTE_SECONDS:
                part.keep(done)
                noted = time.monotonic()


@contextlib.contextmanager
def _progress(name: str, total: int, done: int) -> Iterator[_Advance]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=total < _LONG) as bar:
        task = bar.add_task(f"caching {name}", total=total, completed=done)
        yield lambda count: bar.advance(task, count)


def _in_order(work: Callable[[range], int], first: int, last: int, rendered: bool) -> Iterator[int]:
    """`work` of every chunk, results in order; a renderer is called from this thread only."""
    size = _BLOCK if rendered else _CHUNK
    chunks = [range(start, min(start + size, last)) for start in range(first, last, size)]
    if rendered:
        yield from map(work, chunks)
        return
    threads = os.cpu_count() or 1
    pool = ThreadPoolExecutor(threads, thread_name_prefix="caching")
    waiting: deque[Future[int]] = deque()
    try:
        for chunk in chunks:
            waiting.append(pool.submit(work, chunk))
            if len(waiting) > _AHEAD * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _sweep(folder: Path) -> None:
    """Remove what killed builds left behind long ago."""
    for pattern in (".*.part", ".*.rows", ".*.tmp"):
        for file in folder.glob(pattern):
            with contextlib.suppress(OSError):  # another process swept it
                if time.time() - file.stat().st_mtime > _STALE_SECONDS:
                    file.unlink()
