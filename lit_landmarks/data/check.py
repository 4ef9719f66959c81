"""Reading a whole data set to find what is wrong with it: the `data check` verb's work."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from torch import Tensor

from lit_landmarks.data.crop_boxes import check_row
from lit_landmarks.data.framing import cut_faces
from lit_landmarks.data.index import FaceDataset, FaceIndex
from lit_landmarks.data.outliers import label_outliers
from lit_landmarks.data.pose import posit_angles
from lit_landmarks.data.shared_faces import Fingerprint, fingerprint
from lit_landmarks.draw import LEGEND, FaceAnnotator, Image, contact_sheet
from lit_landmarks.draw.overlay import OCCLUDED, PREDICTED
from lit_landmarks.errors import UserError
from lit_landmarks.geometry import invert_affine, transform_points
from lit_landmarks.pictures import Grid, orientation_tag
from lit_landmarks.schemes import get_scheme
from lit_landmarks.template import has_mean_face
from lit_landmarks.types import CropSpec, PoseKind

_QUANTILES = (0.0, 0.05, 0.5, 0.95, 1.0)
#: Width of a bin of the pose histogram in degrees; the outer ones are open.
_BIN, _BINS = 15, 12
_ANGLES = ("yaw", "pitch", "roll")
#: Labels that score so many times the median of the set are reported; 1 % of a clean set do.
_SUSPECT = 2.4
_SHEET_CROP = CropSpec(256, "tight", 1.8)
_BLOCK = 256
_SUSPECTS_SHOWN = 24
_LEGEND = (LEGEND[0], ("occluded label", OCCLUDED))


@dataclass(frozen=True)
class Suspect:
    """A face whose labels the others do not expect.

    Attributes:
        row: its number in the data set.
        where: file, or data set and row.
        score: standard deviations of its least likely point from where it should be.
        point: name of that point.
        residual: the same distance in percent of the face box.
    """

    row: int
    where: str
    score: float
    point: str
    residual: float


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
        grid: pixels on which the points are taken to lie.
        own: `pixel_grid` is an argument of the data set.
        turned: pictures whose orientation tag is not 1, and the tag.
        quantiles: name of a figure -> its 0, 5, 50, 95 and 100 % quantiles.
        hidden: share of points without annotation.
        outside: share of annotated points that lie outside their image (a few are normal).
        poses: yaw, pitch, roll -> faces in each bin of 15 degrees from -90 on.
        pose_kind: whether the data set gives these angles or POSIT makes them.
        sheet: contact sheet of overlays, or None without a good row.
        ranking: every face by falling distance from what the other faces' shapes predict.
        suspect_sheet: contact sheet of the first of them, with the expected place in orange.
    """

    name: str
    scheme: str
    convention: str
    faces: int
    subsets: dict[str, int] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    problems: list[str] = field(default_factory=list)
    grid: Grid = "stored"
    own: bool = False
    turned: dict[str, int] = field(default_factory=dict)
    quantiles: dict[str, tuple[float, ...]] = field(default_factory=dict)
    hidden: float = 0.0
    outside: float = 0.0
    poses: dict[str, tuple[int, ...]] = field(default_factory=dict)
    pose_kind: PoseKind = "given"
    sheet: Image | None = None
    ranking: list[Suspect] = field(default_factory=list)
    suspect_sheet: Image | None = None

    @property
    def ok(self) -> bool:
        """True if there are faces and nothing is wrong."""
        return self.faces > 0 and not self.problems

    def lines(self, most: int = 20) -> list[str]:
        """The report as text, at most so many problems."""
        lines = [f"{self.name}: {self.faces} faces, {self.scheme}, convention {self.convention}"]
        if self.labels:
            lines.append(f"labels beside the points: {', '.join(self.labels)}")
        lines += [f"  subset {name}: {count}" for name, count in sorted(self.subsets.items())]
        if self.quantiles:
            heading = " ".join(f"{100 * q:>7.0f}%" for q in _QUANTILES)
            lines.append(f"  {'quantiles':<18}{heading}")
        for name, values in self.quantiles.items():
            lines.append(f"  {name:<18}" + " ".join(f"{v:8.1f}" for v in values))
        lines += self._pose_lines()
        lines.append(
            f"  points not annotated {100 * self.hidden:.2f} %, "
            f"outside their image {100 * self.outside:.2f} %"
        )
        lines += self._turned_lines()
        lines.append(f"{len(self.problems)} bad rows" + (":" if self.problems else ""))
        lines += [f"  {problem}" for problem in self.problems[:most]]
        if len(self.problems) > most:
            lines.append(f"  ... and {len(self.problems) - most} more")
        return lines + self._suspect_lines(most)

    def _turned_lines(self) -> list[str]:
        if not self.turned:
            return []
        some = ", ".join(
            f"{Path(path).name} ({tag})" for path, tag in list(self.turned.items())[:3]
        )
        lines = [
            f"  pictures with an orientation tag other than 1: {len(self.turned)}, such as {some};",
            f"  points are taken to lie on the pictures as {self.grid}",
        ]
        if self.own:
            other = "stored" if self.grid == "shown" else "shown"
            lines[-1] += f"; if they do not, set pixel_grid: {other}"
        return lines

    def _pose_lines(self) -> list[str]:
        if not self.poses:
            return []
        origin = {"given": "given by the data set", "posit": "made by POSIT from the points"}
        lines = [f"  pose {origin[self.pose_kind]}"]
        starts = [f"{_BIN * (i - _BINS // 2):>6}" for i in range(_BINS)]
        lines.append(f"  {'faces from degree':<18}" + "".join(starts))
        for name, counts in self.poses.items():
            lines.append(f"  {name:<18}" + "".join(f"{count:>6}" for count in counts))
        return lines

    def _suspect_lines(self, most: int) -> list[str]:
        if not self.ranking:
            return []
        usual = float(np.median([s.score for s in self.ranking]))
        suspects = [s for s in self.ranking if s.score >= _SUSPECT * usual]
        lines = [
            f"{len(suspects)} faces have a label that the others do not expect"
            + ":" * bool(suspects)
        ]
        for one in suspects[: min(most, 10)]:
            lines.append(
                f"  {one.where}: {one.point} is {one.residual:.1f} % of the face box off"
                f" ({one.score:.1f} standard deviations)"
            )
        return lines


def check_dataset(
    dataset: FaceDataset,
    sheet_faces: int = 64,
    fingerprints: dict[str, Fingerprint] | None = None,
) -> CheckReport:
    """Read every label and decode every image; go on after a bad row.

    Args:
        dataset: what to check; of a rendered set only the faces of the sheet are rendered.
        sheet_faces: faces on the contact sheet, spread over the data set.
        fingerprints: filled with that of each picture by its path, for `describe_shared`.

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
    report.grid, report.own = dataset.grid, hasattr(dataset, "pixel_grid")
    report.turned = _turned(index)
    shown = set(np.linspace(0, len(index) - 1, min(sheet_faces, len(index))).astype(int).tolist())
    tiles: list[tuple[int, Image]] = []
    sizes = np.zeros((len(index), 2), np.float32)
    good, reported = np.ones(len(index), bool), set(problems)
    rows = range(len(index)) if not dataset.rendered else sorted(shown)
    console = Console(stderr=True)
    steps = track(
        _images(dataset, list(rows)),
        description=f"checking {escape(report.name)}",
        total=len(rows),
        console=console,
        transient=True,
        disable=len(rows) < _BLOCK,
    )
    for row, image in steps:
        if isinstance(image, UserError):
            if str(image) not in reported:  # a mistake in the arguments spoils every face
                problems.append(str(image))
                reported.add(str(image))
            good[row] = False
            continue
        sizes[row] = image.shape[1], image.shape[0]
        if fingerprints is not None and index.paths and index.paths[row] not in fingerprints:
            fingerprints[index.paths[row]] = fingerprint(image)
        if row in shown:
            tiles.append((row, _tile(dataset, index, row, image)))
    _count(report, index.select(good), sizes[good], dataset.rendered)
    if not dataset.rendered:  # those labels are exact
        _rank(report, dataset, index, good)
    if tiles:
        titles = [_title(index, row) for row, _ in tiles]
        report.sheet = contact_sheet([tile for _, tile in tiles], 8, titles, legend=_LEGEND)
    return report


def _turned(index: FaceIndex) -> dict[str, int]:
    """Pictures whose orientation tag is not 1, and the tag; files that cannot be read have none."""

    def tag(path: str) -> int:
        try:
            return orientation_tag(Path(path).read_bytes())
        except OSError:
            return 1

    paths = list(dict.fromkeys(index.paths))
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        tags = zip(paths, pool.map(tag, paths, chunksize=64), strict=True)
        return {path: tag for path, tag in tags if tag != 1}


def refuse_bad_faces(dataset: FaceDataset) -> None:
    """Decode every image, for verbs that write the faces elsewhere.

    Raises:
        UserError: the first image that cannot be decoded, or whose face box is not in it.
    """
    rows = range(len(dataset.index()))
    steps = track(
        _images(dataset, list(rows)),
        description="checking images",
        total=len(rows),
        console=Console(stderr=True),
        transient=True,
        disable=len(rows) < _BLOCK,
    )
    for _, image in steps:
        if isinstance(image, UserError):
            raise image


def _images(
    dataset: FaceDataset, rows: list[int]
) -> Iterator[tuple[int, NDArray[np.uint8] | UserError]]:
    """Every image in order, or what is wrong with it."""

    def one(row: int) -> NDArray[np.uint8] | UserError:
        try:
            image = dataset.load([row])[0]
            check_row(dataset, row, image)
            return image
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
        _record_quantiles(report, "image width px", sizes[:, 0])
        _record_quantiles(report, "image height px", sizes[:, 1])
    box = index.box
    _record_quantiles(report, "face box side px", (box[:, 2:] - box[:, :2]).max(1))
    report.pose_kind = "posit" if index.pose is None else "given"
    angles = index.pose if index.pose is not None else _pose(index, report.scheme)
    edges = _BIN * (np.arange(1, _BINS) - _BINS // 2)
    for name, column in zip(_ANGLES, angles.T, strict=True):
        finite = column[np.isfinite(column)]
        _record_quantiles(report, f"{name} degrees", finite)
        if len(finite):
            counts = np.bincount(np.digitize(finite, edges), minlength=_BINS)
            report.poses[name] = tuple(counts.tolist())


def _rank(
    report: CheckReport, dataset: FaceDataset, index: FaceIndex, good: NDArray[np.bool_]
) -> None:
    """Rank the faces by how little their labels are believed, and draw the first."""
    rows = np.flatnonzero(good)
    outliers = label_outliers(index.points[good], index.mask[good], index.box[good])
    if outliers is None:
        return
    names = get_scheme(dataset.scheme).point_names
    order = outliers.worst(len(rows))
    report.ranking = [
        Suspect(
            row=int(rows[i]),
            where=index.paths[rows[i]] if index.paths else f"{report.name}:{rows[i]}",
            score=float(outliers.score[i]),
            point=names[outliers.point[i]],
            residual=float(outliers.residual[i]),
        )
        for i in order
    ]
    tiles, titles = [], []
    for i in order[:_SUSPECTS_SHOWN]:
        row, point = int(rows[i]), int(outliers.point[i])
        expected = np.full(index.points.shape[1:], np.nan)
        expected[point] = outliers.expected[i]
        tiles.append(_tile(dataset, index, row, dataset.load([row])[0], expected))
        titles.append(f"{row} {names[point]} {outliers.score[i]:.1f} sd")
    expected_place = ("expected place", PREDICTED)
    report.suspect_sheet = contact_sheet(tiles, 8, titles, legend=(*_LEGEND, expected_place))


def _record_quantiles(report: CheckReport, name: str, values: NDArray[np.float32]) -> None:
    """Quantiles of a per-face quantity into the report; nothing for no face."""
    if len(values):
        report.quantiles[name] = tuple(float(v) for v in np.quantile(values, _QUANTILES))


def _pose(index: FaceIndex, scheme: str) -> NDArray[np.float32]:
    """(n, 3) angles by POSIT; NaN where there are none."""
    if not has_mean_face(scheme):
        return np.full((len(index), 3), np.nan, np.float32)
    focal = None if index.focal is None else torch.from_numpy(index.focal)
    points, mask = torch.from_numpy(index.points), torch.from_numpy(index.mask)
    angles, ok = posit_angles(points, mask, scheme, focal)
    return np.asarray(torch.where(ok[:, None], angles, torch.nan).numpy(), np.float32)


def _tile(
    dataset: FaceDataset,
    index: FaceIndex,
    row: int,
    image: Image,
    expected: NDArray[np.float64] | None = None,
) -> Image:
    crops, crop_to_image = cut_faces(image, index.box[row : row + 1], _SHEET_CROP)
    to_crop = invert_affine(crop_to_image[0].double())

    def place(points: NDArray[Any]) -> Tensor:
        return transform_points(to_crop, torch.from_numpy(points).double())

    visible = None if index.visible is None else index.visible[row]
    return FaceAnnotator(dataset.scheme, residuals=expected is not None).annotate(
        crops[0],
        place(index.points[row]),
        mask=index.mask[row],
        visible=visible,
        predicted=None if expected is None else place(expected),
    )


def _title(index: FaceIndex, row: int) -> str:
    return f"{row} {Path(index.paths[row]).name}" if index.paths else str(row)
