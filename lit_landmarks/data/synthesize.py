"""Rendered faces written to disk in the files of a published data set: resumable, on all cores.

Faces are made in blocks. When all files of a block are there, its labels are kept in a hidden
folder of the target, which is both the note that the block is done and what `Layout.finish` lists
at the end. A run that was killed goes on with the blocks that are missing, and a run with a larger
number of faces adds to those that are there.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from lit_landmarks.data.check import refuse_bad_faces
from lit_landmarks.data.columns import write_columns
from lit_landmarks.data.index import FaceDataset, FaceIndex
from lit_landmarks.data.label_cache import code_version, read_labels
from lit_landmarks.data.layouts import Face, Layout
from lit_landmarks.errors import UserError
from lit_landmarks.files import write_atomic

#: Hidden folder of notes in the target.
NOTES = ".synthesize"
_BLOCK = 32


def synthesize(
    dataset: FaceDataset, layout: Layout, target: Path, n: int, workers: int | None = None
) -> int:
    """Write faces 0 to n - 1 of a rendered set.

    Args:
        dataset: in the layout's scheme; it must hold n faces or more.
        layout: how they are written.
        target: folder, empty or begun by the same call.
        n: number of faces.
        workers: processes; None takes one for each core.

    Returns:
        How many faces were rendered now; the others were there.

    Raises:
        UserError: the folder holds something else, a file cannot be written, a worker died.
    """
    if layout.scheme not in (None, dataset.scheme):
        raise UserError(
            f"layout {layout.name!r} has scheme {layout.scheme!r}, the faces {dataset.scheme!r};"
            " make them in the layout's scheme"
        )
    notes = target / NOTES
    claim(target, dataset, layout.name)
    blocks = [range(start, min(start + _BLOCK, n)) for start in range(0, n, _BLOCK)]
    missing = [rows for rows in blocks if not _note(notes, rows).is_file()]
    steps = track(
        _run(dataset, layout, target, missing, workers),
        description=f"writing {layout.name}",
        total=len(missing),
        console=Console(stderr=True),
        transient=True,
        disable=len(missing) < 2,
    )
    for _ in steps:
        pass
    layout.finish(target, list(_listed(notes, blocks)))
    return sum(map(len, missing))


def _note(notes: Path, rows: range) -> Path:
    return notes / f"{rows.start:07d}-{rows.stop:07d}.npz"


def claim(target: Path, dataset: FaceDataset, layout: str) -> None:
    """Make the folder ours, or see that it is; a new one only if all faces can be written.

    Args:
        target: the folder.
        dataset: the faces that it is to hold.
        layout: the layout's name.

    Raises:
        UserError: it holds other files, or faces of other arguments or another version; an image
            is damaged or does not hold its face.
    """
    if dataset.rendered:  # the number of faces may grow
        content = dataset.content_key(range(1))
    else:
        index = dataset.index()
        content = dataset.content_key(range(len(index))) + _hash(index.points, index.mask)
    arguments = {k: v for k, v in vars(dataset).items() if _plain(k, v)}
    plan = {
        "layout": layout,
        "source": type(dataset).__name__,
        "arguments": arguments,
        "version": hashlib.sha256((content + code_version()).encode()).hexdigest()[:16],
    }
    file = target / NOTES / "plan.json"
    if file.is_file():
        try:
            stored: Any = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            stored = {}
        if stored != json.loads(json.dumps(plan)):
            keys = [k for k in plan if not isinstance(stored, dict) or stored.get(k) != plan[k]]
            raise UserError(
                f"{target} holds faces of another {' and '.join(keys)}; choose another folder,"
                " or the same arguments to go on"
            )
        return
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(
            f"{target} is not empty and was not begun by data synthesize; choose a new folder"
        )
    if not dataset.rendered:
        refuse_bad_faces(dataset)
    write_atomic(file, json.dumps(plan, indent=2) + "\n")


def _hash(*columns: NDArray[Any]) -> str:
    """A hash of arrays."""
    digest = hashlib.sha256()
    for column in columns:
        digest.update(np.ascontiguousarray(column).data)
    return digest.hexdigest()


def _plain(name: str, value: Any) -> bool:
    # The number of faces may grow; where cache and head file lie changes nothing, and what is in
    # the head file is part of the content.
    plain = isinstance(value, str | int | float | bool | type(None) | list)
    return plain and not name.startswith("_") and name not in ("n", "cache_dir", "device", "head")


def _run(
    dataset: FaceDataset, layout: Layout, target: Path, missing: list[range], workers: int | None
) -> Iterator[None]:
    """Each block as it is done."""
    count = min(workers or os.cpu_count() or 1, len(missing))
    if count <= 1:
        for rows in missing:
            _block(dataset, layout, target, rows)
            yield
        return
    context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    shared = (dataset, layout, target)
    pool = ProcessPoolExecutor(count, context, initializer=_start, initargs=shared)
    try:
        yield from pool.map(_work, missing)
    except BrokenProcessPool as error:
        raise UserError(
            f"a worker died while writing {target} (out of memory?);"
            " run the same command again, it goes on from here, or with fewer --workers"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_job: Callable[[range], None] | None = None


def _start(dataset: FaceDataset, layout: Layout, target: Path) -> None:
    """What a worker keeps between blocks; the processes share the cores, so one thread each."""
    global _job
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _job = lambda rows: _block(dataset, layout, target, rows)  # noqa: E731


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(rows: range) -> None:
    if _job is None:
        raise AssertionError("the pool starts its workers with _start")
    _job(rows)


def _block(dataset: FaceDataset, layout: Layout, target: Path, rows: range) -> None:
    """Render and write some faces, then note that they are there."""
    index = dataset.index_of(rows)
    for face, image in zip(_faces(index, rows), dataset.load(rows), strict=True):
        layout.write(target, Face(**(vars(face) | {"image": image})))
    write_columns(_note(target / NOTES, rows), index)


def _listed(notes: Path, blocks: list[range]) -> Iterator[Face]:
    """The labels of all faces, from the notes."""
    for rows in blocks:
        index = read_labels(_note(notes, rows))
        if index is None or len(index) != len(rows):
            _note(notes, rows).unlink(missing_ok=True)
            raise UserError(f"{_note(notes, rows)} is damaged; run the same command again")
        yield from _faces(index, rows)


def _faces(index: FaceIndex, rows: range) -> Iterator[Face]:
    """Rows of an index as faces without images."""
    unknown = np.full(index.points.shape[1], -1, np.int8)
    for i, row in enumerate(rows):
        yield Face(
            number=row,
            image=None,
            points=index.points[i],
            box=index.box[i],
            visible=unknown if index.visible is None else index.visible[i],
            points3d=None if index.points3d is None else index.points3d[i],
            pose=None if index.pose is None else index.pose[i],
            focal=None if index.focal is None else float(index.focal[i]),
            subsets=tuple(name for name, inside in index.subsets.items() if inside[i]),
        )
