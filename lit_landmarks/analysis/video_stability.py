"""Stability of landmarks on a video without labels: motion from frame to frame, and jitter.

Without a truth, the first difference of the landmarks mixes the motion of the face with flicker.
The second difference leaves nothing of even motion, so that what remains is mostly jitter. Compare
methods on the same frames and boxes only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor

from lit_landmarks.analysis.face_boxes import FaceBoxes
from lit_landmarks.analysis.records import Array
from lit_landmarks.analysis.stability import summarize
from lit_landmarks.console import print_figures
from lit_landmarks.data.framing import landmark_box
from lit_landmarks.draw.files import Image, save_jpeg
from lit_landmarks.draw.overlay import FaceAnnotator
from lit_landmarks.draw.plots import new_figure, save_figure
from lit_landmarks.draw.sheet import contact_sheet
from lit_landmarks.errors import UserError
from lit_landmarks.metrics import motion
from lit_landmarks.metrics.groups import POINT_GROUPS
from lit_landmarks.metrics.norms import NORMS, norm_values
from lit_landmarks.schemes import get_scheme
from lit_landmarks.training.run_directory import write_json

#: Landmarks (N, 2) in pixels of a picture, of the face in a box (4,).
Locate = Callable[[Image, Array], NDArray[Any]]

#: How the face is cut out of a frame: by its given box, or by the landmarks of the frame before.
WAYS = ("given", "followed")
#: Landmarks of the second way after a filter in time.
SMOOTHED = "smoothed"
#: A followed box that is so many times smaller or larger than the given one has lost its face.
_LOST = 3.0
#: A second difference of independent errors has 1 + 4 + 1 times their variance.
_SECOND = math.sqrt(6.0)


@dataclass(frozen=True)
class FaceVideo:
    """Landmarks of one face in T frames of a video.

    Attributes:
        points: way of cutting, or "smoothed" -> (T, N, 2) in pixels of the frames.
        scheme: of the points.
        first: number of the first frame.
        lost: frames after which the followed face was found again by its given box.
        pictures: number of a frame -> the frame with the followed landmarks.
    """

    points: Mapping[str, Array]
    scheme: str
    first: int
    lost: int
    pictures: Mapping[int, Image]


def follow_face(
    frames: Iterable[Image],
    locate: Locate,
    boxes: FaceBoxes,
    scheme: str,
    shown: Iterable[int] = (),
    smooth: Callable[[Array], Array] | None = None,
) -> FaceVideo:
    """Runs a method over the frames of a video, from the first one that has a box.

    Args:
        frames: all frames from number 0.
        locate: the method.
        boxes: of the face.
        scheme: of its points.
        shown: numbers of the frames that are drawn.
        smooth: filter in time, of points (T, N, 2); None for none.

    Raises:
        UserError: fewer than three frames from the first box on, or a box outside the picture.
    """
    drawn, annotator = {*shown}, FaceAnnotator(scheme)
    points: dict[str, list[Array]] = {way: [] for way in WAYS}
    pictures: dict[int, Image] = {}
    followed: Array | None = None
    lost = 0
    for number, frame in enumerate(frames):
        if number < boxes.first:
            continue
        given = boxes.at(number)
        for way, box in zip(WAYS, (given, given if followed is None else followed), strict=True):
            points[way].append(np.asarray(locate(frame, box), np.float64))
        followed = landmark_box(points["followed"][-1], scheme)
        if not _holds_face(followed, given, frame):
            followed, lost = None, lost + 1
        if number in drawn:
            pictures[number] = annotator.annotate(frame, predicted=points["followed"][-1])
    if len(points["given"]) < 3:
        raise UserError(
            f"{len(points['given'])} frames from the first box on; three or more show jitter"
        )
    stacked = {way: np.stack(values) for way, values in points.items()}
    if smooth is not None:
        stacked[SMOOTHED] = smooth(stacked["followed"])
    return FaceVideo(stacked, scheme, boxes.first, lost, pictures)


def _holds_face(box: Array, given: Array, frame: Image) -> bool:
    """Whether a followed box can still be about its face."""
    if not np.isfinite(box).all():
        return False
    side, usual = (float((b[2:] - b[:2]).max()) for b in (box, given))
    middle = (box[:2] + box[2:]) / 2
    inside = bool((middle >= 0).all() and (middle < frame.shape[1::-1]).all())
    return inside and usual / _LOST < side < usual * _LOST


def measure_motion(points: Array, scheme: str) -> dict[str, dict[str, Array]]:
    """Motion of the landmarks of a video in percent of the face's size, frame by frame.

    The size is the box norm (the root of the area of the tight box) of the predicted points.

    Args:
        points: (T, N, 2) pixels.
        scheme: of the points.

    Returns:
        Group of landmarks -> figure -> a value for each frame: "displacement" from the frame
        before, (T - 1,); "acceleration", the second difference, (T - 2,), both means over
        landmarks; "jitter", (T - 2,), the root mean square error of a landmark that would give
        this acceleration if errors were independent from frame to frame and the face moved evenly.
    """
    places = torch.from_numpy(points)
    norm = norm_values(places, None, None)[:, NORMS.index("box")]
    layout = get_scheme(scheme)
    groups = (range(layout.n_points), layout.inner, layout.contour)
    return {
        group: _motion_of(places[:, list(rows)], norm)
        for group, rows in zip(POINT_GROUPS, groups, strict=True)
        if len(rows)
    }


def measure_lag(video: FaceVideo) -> Array:
    """Distance (T,) of smoothed landmarks from those before, in percent of the face's size.

    It is the jitter that the filter removes, and how far it lags behind in motion.
    """
    before, after = (torch.from_numpy(video.points[way]) for way in ("followed", SMOOTHED))
    norm = norm_values(before, None, None)[:, NORMS.index("box")]
    distance = torch.linalg.vector_norm(after - before, dim=-1).mean(-1)
    return np.asarray((100.0 * distance / norm).numpy())


def _motion_of(places: Tensor, norm: Tensor) -> dict[str, Array]:
    pairs = torch.stack([places[:-1], places[1:]], 1)
    runs = torch.stack([places[:-2], places[1:-1], places[2:]], 1)
    second = runs[:, 2] - 2.0 * runs[:, 1] + runs[:, 0]
    root = second.square().sum(-1).mean(-1).sqrt() / _SECOND
    figures = {
        "displacement": motion.flicker(pairs, torch.zeros_like(pairs), norm[1:]),
        "acceleration": motion.acceleration(runs, norm[1:-1]),
        "jitter": 100.0 * root / norm[1:-1],
    }
    # Where a prediction is no number, nothing is steady.
    return {k: torch.where(v.isnan(), torch.inf, v).numpy() for k, v in figures.items()}


def summarize_video(video: FaceVideo) -> dict[str, Any]:
    """Mean, median and 95th percentile over frames, by way of cutting and group of landmarks."""
    ways = {
        way: {
            group: {name: summarize(values) for name, values in figures.items()}
            for group, figures in measure_motion(points, video.scheme).items()
        }
        for way, points in video.points.items()
    }
    frames = len(next(iter(video.points.values())))
    if SMOOTHED in ways:
        ways[SMOOTHED]["all"]["lag"] = summarize(measure_lag(video))
    return {"first_frame": video.first, "frames": frames, "norm": "box", "lost": video.lost, **ways}


def print_video(video: FaceVideo, title: str, console: Console) -> None:
    """Prints the figures of all landmarks."""
    rows = []
    for way, points in video.points.items():
        figures = measure_motion(points, video.scheme)["all"]
        if way == SMOOTHED:
            figures["lag"] = measure_lag(video)
        for name, values in figures.items():
            rows.append((way, name, *(f"{figure:.3f}" for figure in summarize(values).values())))
    columns = ("cut by boxes", "figure", "mean", "median", "p95")
    print_figures(f"{title}, percent of the face's size", columns, rows, labels=2, console=console)
    if video.lost:
        console.print(f"the followed face was lost {video.lost} times")


def write_video(video: FaceVideo, more: Mapping[str, Any], folder: Path, name: str) -> None:
    """Writes NAME.json, NAME.png (jitter frame by frame) and NAME.jpg (frames with landmarks).

    Args:
        video: what was measured.
        more: entries of the JSON file that say where it comes from.
        folder: where to.
        name: of the files.
    """
    write_json(folder / f"{name}.json", {**more, **summarize_video(video)})
    figure, axes = new_figure(width=9.0, title=name)
    for way, points in video.points.items():
        jitter = measure_motion(points, video.scheme)["all"]["jitter"]
        numbers = video.first + 1 + np.arange(len(jitter))
        label = way if way == SMOOTHED else f"{way} boxes"
        axes.plot(numbers, jitter, label=label, linewidth=0.9)
    axes.set(xlabel="frame", ylabel="jitter, % of the face's size", ylim=(0, None))
    axes.legend(frameon=False)
    save_figure(figure, folder / f"{name}.png")
    if video.pictures:
        titles = [f"frame {number}" for number in video.pictures]
        sheet = contact_sheet([*video.pictures.values()], columns=4, titles=titles)
        save_jpeg(sheet, folder / f"{name}.jpg")
