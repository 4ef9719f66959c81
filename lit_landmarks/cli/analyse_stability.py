"""`analyse stability`: jitter on still faces, flicker on tracks, and motion on a video."""

from __future__ import annotations

import argparse
import itertools
import math
from pathlib import Path
from typing import TYPE_CHECKING

from rich.progress import track

from lit_landmarks.cli.run_request import add_config, read_run_request
from lit_landmarks.cli.subcommands import Subcommands
from lit_landmarks.console import plain_console
from lit_landmarks.errors import UserError
from lit_landmarks.files import check_folder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lit_landmarks.analysis.records import Array
    from lit_landmarks.analysis.stability import StillJitter
    from lit_landmarks.draw.files import Image
    from lit_landmarks.types import FaceBatch, Prediction

_DESCRIPTION = """How steady are the landmarks of a run?

Still faces of its validation and test sets (or of other data) are cut again with shifts of parts of
a pixel, zooms of a percent, and noise; landmarks should stay where they are in the photo. On sets
that are video (YouTubeFaces, SyntheticTracks) flicker against the labels is measured too. Writes
stability.json and stability.png into RUN/stability.

With --video, a video without labels is measured instead: motion from frame to frame and its second
difference, with the face cut by the box that was given, by the landmarks of the frame before, and
the latter smoothed as `annotate` does (lag: how far that moves the landmarks). Boxes are tight
about the landmarks, from the brows to the chin. Writes video_NAME.json, a plot (.png) and frames
with landmarks (.jpg).

  python -m lit_landmarks analyse stability --run runs/first
  python -m lit_landmarks analyse stability --run runs/first --config configs/data/tracks.yaml
  python -m lit_landmarks analyse stability --run runs/first --video talk.mp4 --box 110 80 250 230
  python -m lit_landmarks analyse stability --run runs/first --video talk.mp4 --boxes boxes.csv"""

#: Frames of a video that are drawn.
_SHOWN = 12


def add_stability(parts: Subcommands) -> None:
    """Adds `analyse stability`."""
    summary = "jitter on still faces, flicker on tracks, motion on a video"
    parser = parts.add("stability", summary, _measure, _DESCRIPTION, takes_settings=True)
    parser.add_argument("--run", type=Path, required=True, help="run directory")
    add_config(parser)
    parser.add_argument("--output", type=Path, help="folder; default RUN/stability")
    parser.add_argument("--faces", type=int, default=200, help="still faces of each set, at most")
    parser.add_argument("--shift", type=float, default=0.5, help="to each side, crop pixels")
    parser.add_argument("--zoom", type=float, default=0.01, help="to each side, share of the size")
    parser.add_argument("--noise", type=float, default=0.02, help="standard deviation, of white")
    parser.add_argument("--video", type=Path, help="video to measure instead")
    boxes = parser.add_mutually_exclusive_group()
    boxes.add_argument(
        "--box",
        type=float,
        nargs=4,
        metavar=("X0", "Y0", "X1", "Y1"),
        help="of the face in the first frame of --video, pixels",
    )
    boxes.add_argument("--boxes", type=Path, help="CSV: frame,x0,y0,x1,y1; each until the next")
    parser.add_argument("--frames", type=int, help="of --video, at most; default all")


def _measure(options: argparse.Namespace) -> int:
    _check(options)
    output = options.output or options.run / "stability"
    return _measure_still(options, output) if options.video is None else _follow(options, output)


def _check(options: argparse.Namespace) -> None:
    """Refuse what the command line alone shows to be wrong.

    Raises:
        UserError: a number is out of range, or options do not belong together.
    """
    for name, least in (("faces", 1), ("frames", 3)):
        value = getattr(options, name)
        if value is not None and value < least:
            raise UserError(f"--{name} is {value}; give {least} or more")
    for name in ("shift", "zoom", "noise"):
        value = getattr(options, name)
        if not (math.isfinite(value) and value > 0):
            raise UserError(f"--{name} is {value}; give a number above 0")
    given = [name for name in ("box", "boxes", "frames") if getattr(options, name) is not None]
    if options.video is None and given:
        raise UserError(f"--{given[0]} is of a video; add --video FILE")
    if options.video is not None and not {"box", "boxes"} & {*given}:
        raise UserError(
            "a video needs the box of its face in the first frame; add --box X0 Y0 X1 Y1 or"
            " --boxes FILE"
        )
    if options.video is not None and (options.config or options.settings):
        unused = options.config[0] if options.config else options.settings[0]
        raise UserError(f"{unused} is not for a video; remove it, or omit --video")


def _measure_still(options: argparse.Namespace, output: Path) -> int:
    request = read_run_request(options.run, options)
    check_folder(output)
    from lit_landmarks.analysis.stability import (
        Disturbances,
        measure_still,
        measure_tracks,
        print_stability,
        write_stability,
    )
    from lit_landmarks.compute import default_device
    from lit_landmarks.settings import Task

    disturbances = Disturbances(options.shift, options.zoom, options.noise)
    method, data = Task(request).load_trained()
    device = default_device()
    method.to(device).eval()

    def predict(faces: FaceBatch) -> Prediction:
        prediction: Prediction = method(faces.inputs)
        return prediction

    still: dict[str, StillJitter] = {}
    tracks: dict[str, float] = {}
    for role in data.measured_roles:
        jitter = measure_still(predict, data, role, disturbances, options.faces, device)
        still |= {f"{role}/{name}": result for name, result in jitter.items()}
        tracks |= measure_tracks(predict, data, role, device)
    console = plain_console()
    print_stability(still, tracks, console)
    write_stability(still, tracks, disturbances, output)
    console.print(f"report: {output}")
    return 0


def _follow(options: argparse.Namespace, output: Path) -> int:
    from lit_landmarks.analysis.face_boxes import FaceBoxes
    from lit_landmarks.analysis.video_stability import follow_face, print_video, write_video
    from lit_landmarks.compute import default_device
    from lit_landmarks.inference import load
    from lit_landmarks.inference.tracker import smooth_track
    from lit_landmarks.pictures.video import VideoFrames

    boxes = FaceBoxes.read(options.boxes) if options.boxes else FaceBoxes({0: options.box})
    video = VideoFrames(options.video)
    check_folder(output)
    landmarker = load(options.run).to(default_device())
    end = video.count if options.frames is None else boxes.first + options.frames
    end = min(end, video.count or end)  # 0 where the file does not say
    frames = track(
        itertools.islice(video, end or None), options.video.name, end or None, transient=True
    )
    shown = {boxes.first + k * (end - boxes.first) // _SHOWN for k in range(_SHOWN)}

    def locate(frame: Image, box: Array) -> NDArray[np.float32]:
        return landmarker(frame, box[None])[0].points

    scheme = landmarker.method.scheme or "ibug68"

    def smooth(points: Array) -> Array:
        return smooth_track(points, scheme, video.rate)

    result = follow_face(frames, locate, boxes, scheme, shown, smooth)
    console = plain_console()
    print_video(result, options.video.name, console)
    source = {"video": options.video.name, "run": str(options.run), "rate": video.rate}
    write_video(result, source, output, f"video_{options.video.stem}")
    console.print(f"report: {output}")
    return 0
