"""The landmark models that `bench peers` measures: ours, and those of others by name.

A model of others runs in a process of its own: their packages want versions that ours do not.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from lit_landmarks.bench.peers.processes import Worker, pinned
from lit_landmarks.compute.latency import cpu_threads
from lit_landmarks.errors import UserError
from lit_landmarks.geometry.boxes import BoxMapping, Numbers
from lit_landmarks.inference import Landmarker
from lit_landmarks.inference.loading import load
from lit_landmarks.schemes import get_map

#: For each of iBUG's 68 the vertex of MediaPipe's mesh that lies closest to it in the mean, over
#: 200 photos of HELEN's training set, by the network with attention (`bench peers --fit`). A table
#: fitted to the network without it lowers the error of that one by less than 0.01 %.
_MESH_FOR_IBUG68: tuple[int, ...] = (
    *(127, 227, 177, 215, 172, 136, 149, 148, 152),
    *(377, 378, 365, 397, 435, 401, 447, 356),
    *(70, 63, 105, 66, 107, 336, 296, 334, 293, 300),
    *(168, 197, 195, 4, 75, 97, 2, 326, 460),
    *(33, 160, 158, 155, 153, 144, 382, 385, 387, 263, 373, 380),
    *(61, 39, 37, 0, 267, 304, 291, 321, 314, 17, 84, 181),
    *(78, 82, 13, 312, 308, 317, 14, 87),
)


@dataclass(frozen=True)
class Answer:
    """What a model says of a face.

    Attributes:
        points: (N, 2) pixels of the picture, centers at integers; None where it sees no face.
        milliseconds: from picture and box to the points.
    """

    points: Numbers | None
    milliseconds: float


class Peer(Protocol):
    """A landmark model that is measured.

    Attributes:
        size: bytes of its weights.
        mma: millions of multiply-adds of a face; None if they are unknown, or it has none.
        rows: which of its points are iBUG's 68; None if it answers these.
    """

    size: int
    mma: float | None
    rows: NDArray[np.int64] | None

    def show(self, image: NDArray[np.uint8]) -> None:
        """The picture (H, W, 3) RGB of the next boxes."""

    def locate(self, box: Numbers) -> Answer:
        """Points of the face whose landmarks lie in a box (4,).

        Raises:
            UserError: the model cannot go on.
        """

    def close(self) -> None:
        """Frees what it holds."""


@dataclass(frozen=True)
class PeerSpec:
    """How a model of others is run.

    Attributes:
        model: name of it in its program.
        install: how to get what it needs.
        mapping: from the square about the landmarks to the box that it is given.
        options: of it.
        mma: where its program does not count them.
        rows: see `Peer`.
        files: usual place of its file or folder; None if they come with its package.
        program: beside this file.
        interpreter: that runs the program.
    """

    model: str
    install: str
    mapping: BoxMapping
    options: Mapping[str, Any] = field(default_factory=dict)
    mma: float | None = None
    rows: tuple[int, ...] | None = None
    files: str | None = None
    program: str = "worker.py"
    interpreter: str = sys.executable


_MEDIAPIPE = (
    "pip install mediapipe==0.10.14 in an environment of its own, Python 3.12 or older,"
    " --python mediapipe=PYTHON"
)
_DLIB = 'pip install "lit-landmarks[dlib]" and apt-get install libdlib-data, or --files dlib=FILE'
_FACE_API = (
    "npm install --prefix DIR @vladmandic/face-api@1.7.15 @tensorflow/tfjs@4.22.0"
    " @tensorflow/tfjs-backend-wasm@4.22.0, --files face-api=DIR"
)


def _mesh(mapping: BoxMapping, mma: float, model: str = "mediapipe", **options: Any) -> PeerSpec:
    return PeerSpec(model, _MEDIAPIPE, mapping, options, mma, _MESH_FOR_IBUG68)


def _face_api(mapping: BoxMapping, tiny: bool) -> PeerSpec:
    return PeerSpec(
        "face-api",
        _FACE_API,
        mapping,
        {"tiny": tiny},
        files="face-api",
        program="face_api.cjs",
        interpreter="node",
    )


#: Millions of multiply-adds of the convolutions in MediaPipe 0.10.14's face_landmark.tflite and
#: face_landmark_with_attention.tflite (there without its warps), from the shapes in the files.
_MESH_MMA, _ATTENTION_MMA = 34.97904, 43.476672
#: Of Debian's package libdlib-data.
_DLIB_FILE = "/usr/share/dlib/shape_predictor_68_face_landmarks.dat"

#: Models of others by name. Mappings are those that serve each best on 200 photos of HELEN's
#: training set (`bench peers --fit`); dlib's is close to that from its own detector's boxes.
PEERS: dict[str, PeerSpec] = {
    "mediapipe": _mesh(BoxMapping(y=-0.05, scale=1.5), _MESH_MMA),
    "mediapipe:twice": _mesh(BoxMapping(y=-0.05, scale=1.3), 2 * _MESH_MMA, passes=2),
    "mediapipe:attention": _mesh(BoxMapping(y=-0.075, scale=1.55), _ATTENTION_MMA, attention=True),
    "mediapipe:tracking": _mesh(
        BoxMapping(scale=2.5), _MESH_MMA, "mediapipe_tracking", share=1 / 2.5
    ),
    "dlib": PeerSpec("dlib", _DLIB, BoxMapping(y=-0.129, scale=1.11), files=_DLIB_FILE),
    "face-api": _face_api(BoxMapping(y=0.075, scale=1.2), tiny=False),
    "face-api:tiny": _face_api(BoxMapping(y=0.05, scale=1.2), tiny=True),
}


class OtherModel:
    """A model of others in its process.

    Args:
        name: of `PEERS`.
        interpreter: program that runs it; None for that of the spec.
        files: its file or folder; None for that of the spec.

    Raises:
        UserError: something is not installed.
    """

    def __init__(self, name: str, interpreter: str | None = None, files: str | None = None) -> None:
        spec = PEERS[name]
        self.mapping = spec.mapping
        self.rows = None if spec.rows is None else np.array(spec.rows)
        program = interpreter or spec.interpreter
        if shutil.which(program) is None:
            raise UserError(f"not installed, no program {program}; {spec.install}")
        options = dict(spec.options)
        if spec.files is not None:
            place = Path(files or spec.files)
            if not place.exists():
                raise UserError(f"not installed, nothing at {place}; {spec.install}")
            options["files"] = str(place)
        command = [program, str(Path(__file__).parent / spec.program), spec.model]
        self._worker = Worker(name, command, options)
        hello = self._worker.read()
        if "problem" in hello:
            self._worker.close()
            raise UserError(f"not installed ({hello['problem']}); {spec.install}")
        self.size = int(hello["bytes"])
        self.mma = spec.mma if hello["mma"] is None else float(hello["mma"])

    def show(self, image: NDArray[np.uint8]) -> None:
        """See `Peer`."""
        self._worker.send({"image": image.shape[:2]}, np.ascontiguousarray(image).tobytes())

    def locate(self, box: Numbers) -> Answer:
        """See `Peer`."""
        square = self.mapping(_square(box))[0]
        self._worker.send({"box": square.tolist()})
        answer = self._worker.read()
        points = answer["points"]
        return Answer(None if points is None else np.asarray(points), float(answer["ms"]))

    def close(self) -> None:
        """See `Peer`."""
        self._worker.close()


def _square(box: Numbers) -> Numbers:
    """(4,) the square about a box whose side is the longer one, as crops are cut."""
    center, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]).max() / 2
    return np.concatenate([center - half, center + half])


@dataclass
class OurModel:
    """A method of this suite, or a graph that was exported from one.

    Args:
        landmarker: on the CPU.
        convention: in which it is asked to answer, if it can.
        size: bytes of its file, for a graph.

    Raises:
        UserError: it does not answer iBUG's 68 points.
    """

    landmarker: Landmarker
    convention: str | None = None
    size: int = 0
    mma: float | None = None
    rows: NDArray[np.int64] | None = None
    _image: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((1, 1, 3), np.uint8))

    def __post_init__(self) -> None:
        """Read size, cost and points off the method."""
        method = self.landmarker.method
        if isinstance(method, torch.nn.Module) and not self.size:
            self.size = sum(t.nbytes for t in (*method.parameters(), *method.buffers()))
        self.mma = self.landmarker.notes.get("mma", self.mma)
        self.rows = get_map(method.scheme or "ibug68", "ibug68").source_index.numpy()
        if (self.rows < 0).any():
            raise UserError(f"{method.scheme} has not all of iBUG's 68 points; give another run")
        if self.convention not in method.answer_conventions:
            self.convention = None

    @classmethod
    def open(cls, source: str, convention: str | None) -> OurModel:
        """A run, registered weights or an exported graph, by what `inference.load` takes."""
        path = Path(source)
        return cls(load(source), convention, path.stat().st_size if path.is_file() else 0)

    def show(self, image: NDArray[np.uint8]) -> None:
        """See `Peer`."""
        self._image = image

    def locate(self, box: Numbers) -> Answer:
        """See `Peer`."""
        start = time.perf_counter()
        face = self.landmarker(self._image, box[None], convention=self.convention)[0]
        spent = 1000 * (time.perf_counter() - start)
        return Answer(np.asarray(face.points, np.float64), spent)

    def close(self) -> None:
        """See `Peer`."""


@contextlib.contextmanager
def open_peers(
    runs: Sequence[str],
    names: Sequence[str],
    programs: Mapping[str, str],
    files: Mapping[str, str],
    convention: str | None = None,
    core: int | None = None,
) -> Iterator[dict[str, Peer | str]]:
    """Context of models by name, ours first, all on one thread of one core; closed at its end.

    Args:
        runs: ours: runs, registered weights or exported graphs.
        names: of `PEERS`. One that is not installed is there with the reason.
        programs: `OtherModel`'s `interpreter`, by the name before the colon.
        files: likewise.
        convention: of the labels, in which ours are asked to answer.
        core: of the CPU; None for the last.

    Raises:
        UserError: an unknown name, or a run that cannot be read.
    """
    families = list(dict.fromkeys(name.partition(":")[0] for name in PEERS))
    for wrong in (*(set(names) - set(PEERS)), *({*programs, *files} - set(families))):
        choices = PEERS if wrong in names else families
        raise UserError(f"no model {wrong!r} of others; take {', '.join(choices)}")
    peers: dict[str, Peer | str] = {}
    with pinned(core), cpu_threads(1):
        try:
            for source in runs:
                peers[source] = OurModel.open(source, convention)
            for name in names:
                family = name.partition(":")[0]
                try:
                    peers[name] = OtherModel(name, programs.get(family), files.get(family))
                except UserError as error:
                    peers[name] = str(error)
            yield peers
        finally:
            for peer in peers.values():
                if not isinstance(peer, str):
                    peer.close()
