"""Reading a whole data set to find what is wrong with it: the `data check` verb's work."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from lit_landmarks import heads
from lit_landmarks.data.index import FaceDataset, FaceIndex
from lit_landmarks.data.squares import check_box, cut_square, source_squares
from lit_landmarks.draw import Image, contact_sheet, overlay
from lit_landmarks.errors import UserError
from lit_landmarks.geometry import box_crop, invert_affine, pose_camera, posit, transform_points
from lit_landmarks.schemes import get_scheme

_QUANTILES = (0.0, 0.05, 0.5, 0.95, 1.0)
_SHEET_SIZE = 256
_SHEET_SCALE = 1.8
_BLOCK = 256


@dataclass
class CheckReport:
    """What was found.

    Attributes:
        name: class of the data set.
        scheme, convention: how it is annotated.
        faces: good rows.
        subsets: good rows of each subset.
        labels: optional labels it carries.
        problems: one line per bad row: what, where, cure.
        quantiles: name of a figure -> its 0, 5, 50, 95 and 100 % quantiles.
        hidden: share of points without annotation.
        outside: share of annotated points that lie outside their image (a few are normal).
        sheet: contact sheet of overlays, or None without a good row.
    """

    name: str
    scheme: str
    convention: str
    faces: int
    subsets: dict[str, int] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    problems: list[str] = field(default_factory=list)
    quantiles: dict[str, tuple[float, ...]] = field(default_factory=dict)
    hidden: float = 0.0
    outside: float = 0.0
    sheet: Image | None = None

    @property
    def ok(self) -> bool:
        """True if there are faces and nothing is wrong."""
        return self.faces > 0 and not self.problems

    def lines(self, most: int = 20) -> list[str]:
        """The report as text, at most so many problems."""
        told = [f"{self.name}: {self.faces} faces, {self.scheme}, convention {self.convention}"]
        if self.labels:
            told.append(f"labels beside the points: {', '.join(self.labels)}")
        told += [f"  subset {name}: {count}" for name, count in sorted(self.subsets.items())]
        if self.quantiles:
            heading = " ".join(f"{100 * q:>7.0f}%" for q in _QUANTILES)
            told.append(f"  {'quantiles':<18}{heading}")
        for name, values in self.quantiles.items():
            told.append(f"  {name:<18}" + " ".join(f"{v:8.1f}" for v in values))
        told.append(
            f"  points not annotated {100 * self.hidden:.2f} %, "
            f"outside their image {100 * self.outside:.2f} %"
        )
        told.append(f"{len(self.problems)} bad rows" + (":" if self.problems else ""))
        told += [f"  {problem}" for problem in self.problems[:most]]
        if len(self.problems) > most:
            told.append(f"  ... and {len(self.problems) - most} more")
        return told


def check_dataset(dataset: FaceDataset, sheet_faces: int = 64) -> CheckReport:
    """Read every label and decode every image; go on after a bad row.

    Args:
        dataset: what to check; of a rendered set only the faces of the sheet are rendered.
        sheet_faces: faces on the contact sheet, spread over the data set.

    Raises:
        UserError: the root is missing or holds nothing to read.
    """
    index, errors = dataset.scan()
    problems = [str(error) for error in errors]
    report = CheckReport(
        name=type(dataset).__name__,
        scheme=dataset.scheme,
        convention=dataset.convention,
        faces=len(index),
        problems=problems,
    )
    if not len(index):
        return report
    shown = set(np.linspace(0, len(index) - 1, min(sheet_faces, len(index))).astype(int).tolist())
    tiles: list[tuple[int, Image]] = []
    sizes = np.zeros((len(index), 2), np.float32)
    good = np.ones(len(index), bool)
    rows = range(len(index)) if not dataset.rendered else sorted(shown)
    console = Console(stderr=True)
    steps = track(
        _images(dataset, list(rows)),
        description=f"checking {report.name}",
        total=len(rows),
        console=console,
        transient=True,
        disable=len(rows) < _BLOCK,
    )
    for row, image in steps:
        if isinstance(image, UserError):
            problems.append(str(image))
            good[row] = False
            continue
        sizes[row] = image.shape[1], image.shape[0]
        if row in shown:
            tiles.append((row, _tile(dataset, index, row, image)))
    _count(report, index.select(good), sizes[good], dataset.rendered)
    if tiles:
        titles = [_title(index, row) for row, _ in tiles]
        report.sheet = contact_sheet([tile for _, tile in tiles], columns=8, titles=titles)
    return report


def _images(
    dataset: FaceDataset, rows: list[int]
) -> Iterator[tuple[int, NDArray[np.uint8] | UserError]]:
    """Every image in order, or what is wrong with it."""

    def one(row: int) -> NDArray[np.uint8] | UserError:
        try:
            return check_box(dataset, row, dataset.load([row])[0])
        except UserError as error:
            return error

    with ThreadPoolExecutor(1 if dataset.rendered else os.cpu_count() or 1) as pool:
        for start in range(0, len(rows), _BLOCK):
            block = rows[start : start + _BLOCK]
            yield from zip(block, pool.map(one, block), strict=True)


def _count(
    report: CheckReport, index: FaceIndex, sizes: NDArray[np.float32], rendered: bool
) -> None:
    """Fill in counts and quantiles of the good rows."""
    report.faces = len(index)
    report.subsets = {name: int(column.sum()) for name, column in index.subsets.items()}
    report.labels = tuple(sorted(index.labels))
    if not len(index):
        return
    report.hidden = float(1 - index.mask.mean())
    if not rendered:
        inside = ((index.points >= -0.5) & (index.points < sizes[:, None] - 0.5)).all(-1)
        report.outside = float((index.mask & ~inside).sum() / max(index.mask.sum(), 1))
        _quantiles(report, "image width px", sizes[:, 0])
        _quantiles(report, "image height px", sizes[:, 1])
    box = index.box
    _quantiles(report, "face box side px", (box[:, 2:] - box[:, :2]).max(1))
    angles = index.pose if index.pose is not None else _pose(index, report.scheme)
    for name, column in zip(("yaw", "pitch", "roll"), angles.T, strict=True):
        _quantiles(report, f"{name} degrees", column[np.isfinite(column)])


def _quantiles(report: CheckReport, name: str, values: NDArray[np.float32]) -> None:
    if len(values):
        report.quantiles[name] = tuple(float(v) for v in np.quantile(values, _QUANTILES))


def _pose(index: FaceIndex, scheme: str) -> NDArray[np.float32]:
    """(n, 3) angles by POSIT in a frame around each box; NaN where there are none."""
    if not heads.has_mean_face(scheme):
        return np.full((len(index), 3), np.nan, np.float32)
    model, carries = heads.mean_face(scheme), get_scheme(scheme).pose_mask()
    size = 128
    frame = invert_affine(box_crop(torch.from_numpy(index.box), size, _SHEET_SCALE))
    points = transform_points(frame, torch.from_numpy(index.points))
    mask = torch.from_numpy(index.mask) & carries
    pose, ok = posit(points, mask, model, *pose_camera(size))
    return np.asarray(torch.where(ok[:, None], pose[:, :3], torch.nan).numpy(), np.float32)


def _tile(dataset: FaceDataset, index: FaceIndex, row: int, image: Image) -> Image:
    square = source_squares(index.box[row : row + 1], _SHEET_SCALE)[0]
    ratio = square[2] / _SHEET_SIZE
    points = (index.points[row] - square[:2] + 0.5) / ratio - 0.5
    visible = None if index.visible is None else index.visible[row]
    return overlay(
        cut_square(image, square, _SHEET_SIZE),
        points,
        mask=index.mask[row],
        scheme=dataset.scheme,
        visible=visible,
    )


def _title(index: FaceIndex, row: int) -> str:
    return f"{row} {Path(index.paths[row]).name}" if index.paths else str(row)
