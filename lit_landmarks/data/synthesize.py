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
import shutil
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from lit_landmarks.data.check import refuse_bad_faces
from lit_landmarks.data.columns import write_columns
from lit_landmarks.data.index import FaceDataset, FaceIndex
from lit_landmarks.data.label_cache import code_version, read_labels
from lit_landmarks.data.layouts import LabelledFace, Layout
from lit_landmarks.errors import UserError
from lit_landmarks.files import atomic_path, write_atomic

#: Hidden folder of notes in the target.
NOTES = ".synthesize"
_PLAN = "plan.json"
_BLOCK = 32
#: Arguments of rendered faces on which their pictures do not depend.
_LABEL_ARGUMENTS = ("scheme", "convention", "visibility", "primary_norm")


@dataclass(frozen=True)
class _Job:
    """What is written where; see `synthesize`."""

    dataset: FaceDataset
    layout: Layout
    target: Path
    pictures: Path | None

    def write(self, rows: range) -> None:
        """Write some faces, then note that they are there."""
        index = self.dataset.index_of(rows)
        faces = _faces(index, rows)
        if self.pictures is not None:
            for face in faces:
                self._take_picture(self.pictures, face.number)
        else:
            for face, image in zip(faces, self.dataset.load(rows), strict=True):
                self.layout.write(self.target, replace(face, image=image))
        write_columns(_note(self.target / NOTES, rows), index)

    def _take_picture(self, pictures: Path, number: int) -> None:
        name = self.layout.picture_name(number)
        assert name is not None
        source = pictures / name
        if not source.is_file():
            raise UserError(f"no {source}, the picture of face {number}; render more faces there")
        with atomic_path(self.target / name) as place:
            try:
                os.link(source, place)
            except OSError:  # another disk, or a file system without links
                shutil.copyfile(source, place)


def synthesize(
    dataset: FaceDataset,
    layout: Layout,
    target: Path,
    n: int,
    workers: int | None = None,
    pictures: Path | None = None,
) -> int:
    """Write faces 0 to n - 1 of a rendered set.

    Args:
        dataset: in the layout's scheme; it must hold n faces or more.
        layout: how they are written.
        target: folder, empty or begun by the same call.
        n: number of faces.
        workers: processes; None takes one for each core.
        pictures: folder of the same faces with other labels, whose pictures are taken (linked,
            where the file system can) instead of rendered once more.

    Returns:
        How many faces were written now; the others were there.

    Raises:
        UserError: the folder holds something else, a file cannot be written, a worker died;
            `pictures` shows other faces, or lacks some.
    """
    if layout.scheme not in (None, dataset.scheme):
        raise UserError(
            f"layout {layout.name!r} has scheme {layout.scheme!r}, the faces {dataset.scheme!r};"
            " make them in the layout's scheme"
        )
    notes = target / NOTES
    if pictures is not None:
        check_pictures(pictures, dataset, layout)
    claim(target, dataset, layout)
    blocks = [range(start, min(start + _BLOCK, n)) for start in range(0, n, _BLOCK)]
    missing = [rows for rows in blocks if not _note(notes, rows).is_file()]
    steps = track(
        _run(_Job(dataset, layout, target, pictures), missing, workers),
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


def claim(target: Path, dataset: FaceDataset, layout: Layout | str) -> None:
    """Make the folder ours, or see that it is; a new one only if all faces can be written.

    Args:
        target: the folder.
        dataset: the faces that it is to hold.
        layout: of the folder, or its name. With a layout, rendered faces of an older version are
            accepted where a few of them come out alike today.

    Raises:
        UserError: it holds other files, or faces of other arguments or of a version that renders
            or labels otherwise; an image is damaged or does not hold its face.
    """
    plan = _plan(dataset, layout if isinstance(layout, str) else layout.name)
    file = target / NOTES / _PLAN
    if file.is_file():
        stored = _read_plan(file)
        if stored != plan:
            keys = [key for key in plan if stored.get(key) != plan[key]]
            if (
                keys == ["version"]
                and isinstance(layout, Layout)
                and _comes_out_alike(target, dataset, layout)
            ):
                write_atomic(file, json.dumps(plan, indent=2) + "\n")
                return
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


def check_pictures(pictures: Path, dataset: FaceDataset, layout: Layout) -> None:
    """See that a folder shows the faces of a data set, whatever their labels.

    Args:
        pictures: a folder that `synthesize` wrote.
        dataset: the faces, with labels of another scheme or convention.
        layout: of both.

    Raises:
        UserError: it does not, or the layout has no picture that stands alone.
    """
    if layout.picture_name(0) is None:
        raise UserError(
            f"layout {layout.name!r} does not share pictures; take layout 'columns', or render"
        )
    plan, stored = _plan(dataset, layout.name), _read_plan(pictures / NOTES / _PLAN)
    for both in (plan, stored):
        arguments = both.get("arguments", {})
        both["arguments"] = {k: v for k, v in arguments.items() if k not in _LABEL_ARGUMENTS}
    if stored != plan:
        keys = [key for key in plan if stored.get(key) != plan[key]]
        if keys == ["version"] and _comes_out_alike(pictures, dataset, layout, labels=False):
            return
        raise UserError(
            f"{pictures} does not hold the pictures of these faces (it differs in"
            f" {' and '.join(keys)}); name the folder that was rendered with the same arguments"
        )


def _comes_out_alike(
    folder: Path, dataset: FaceDataset, layout: Layout, labels: bool = True
) -> bool:
    """Whether a few faces of a folder, made again, have the same files and labels to the byte.

    The version covers all code that pictures and labels follow from, most of whose changes move
    no pixel: hours of rendering need not be thrown away for them.
    """
    notes = sorted((folder / NOTES).glob("*.npz"))
    if not notes or not dataset.rendered:
        return False
    return all(
        _is_as_rendered(folder, note, dataset, layout, labels)
        for note in {notes[0], notes[len(notes) // 2], notes[-1]}
    )


def _is_as_rendered(
    folder: Path, note: Path, dataset: FaceDataset, layout: Layout, labels: bool
) -> bool:
    """Whether the first face of a block comes out as its files and note have it."""
    stored, first = read_labels(note), int(note.name.split("-")[0])
    rows = range(first, first + 1)
    index = dataset.index_of(rows)
    if labels and (
        stored is None or not np.array_equal(stored.points[:1], index.points, equal_nan=True)
    ):
        return False
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        for face, image in zip(_faces(index, rows), dataset.load(rows), strict=True):
            layout.write(root, replace(face, image=image))
        files = [file for file in root.rglob("*") if file.is_file()]
        return all(_is_copy(folder / file.relative_to(root), file) for file in files)


def _is_copy(file: Path, other: Path) -> bool:
    return file.is_file() and file.read_bytes() == other.read_bytes()


def _plan(dataset: FaceDataset, layout: str) -> dict[str, Any]:
    """What a folder of faces is made of, as its plan file holds it."""
    if dataset.rendered:  # the number of faces may grow
        content = dataset.content_key(range(1))
    else:
        index = dataset.index()
        content = dataset.content_key(range(len(index))) + _hash(index.points, index.mask)
    plan: dict[str, Any] = {
        "layout": layout,
        "source": type(dataset).__name__,
        "arguments": {k: v for k, v in vars(dataset).items() if _plain(k, v)},
        "version": hashlib.sha256((content + code_version()).encode()).hexdigest()[:16],
    }
    return cast(dict[str, Any], json.loads(json.dumps(plan)))


def _read_plan(file: Path) -> dict[str, Any]:
    try:
        stored: Any = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        stored = None
    return stored if isinstance(stored, dict) else {}


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


def _run(job: _Job, missing: list[range], workers: int | None) -> Iterator[None]:
    """Each block as it is done."""
    count = min(workers or os.cpu_count() or 1, len(missing))
    if count <= 1:
        for rows in missing:
            job.write(rows)
            yield
        return
    context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    pool = ProcessPoolExecutor(count, context, initializer=_start, initargs=(job,))
    try:
        yield from pool.map(_work, missing)
    except BrokenProcessPool as error:
        raise UserError(
            f"a worker died while writing {job.target} (out of memory?);"
            " run the same command again, it goes on from here, or with fewer --workers"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_job: _Job | None = None


def _start(job: _Job) -> None:
    """What a worker keeps between blocks; the processes share the cores, so one thread each."""
    global _job
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _job = job


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(rows: range) -> None:
    if _job is None:
        raise AssertionError("the pool starts its workers with _start")
    _job.write(rows)


def _listed(notes: Path, blocks: list[range]) -> Iterator[LabelledFace]:
    """The labels of all faces, from the notes."""
    for rows in blocks:
        index = read_labels(_note(notes, rows))
        if index is None or len(index) != len(rows):
            _note(notes, rows).unlink(missing_ok=True)
            raise UserError(f"{_note(notes, rows)} is damaged; run the same command again")
        yield from _faces(index, rows)


def _faces(index: FaceIndex, rows: range) -> Iterator[LabelledFace]:
    """Rows of an index as faces without images."""
    unknown = np.full(index.points.shape[1], -1, np.int8)
    for i, row in enumerate(rows):
        yield LabelledFace(
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
