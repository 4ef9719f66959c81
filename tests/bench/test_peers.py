"""Landmark models of others: figures, faces without an answer, and processes that fail."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from lit_landmarks.bench.peers import processes
from lit_landmarks.bench.peers.figures import Faces, bench_peers, read_faces
from lit_landmarks.bench.peers.fitting import fit_peer
from lit_landmarks.bench.peers.models import PEERS, Answer, OurModel, open_peers
from lit_landmarks.cli import main
from lit_landmarks.data import JsonFaces
from lit_landmarks.draw import save_png
from lit_landmarks.errors import UserError
from lit_landmarks.geometry.boxes import BoxMapping, Numbers
from lit_landmarks.methods import METHODS
from lit_landmarks.schemes import get_scheme
from tests.support.blob_faces import BlobPredictor, blob_landmarker, draw_blobs, mean_shape

_CONTOUR = list(get_scheme("ibug68").contour)
#: dlib, as far as the worker asks it: the mean face in the rectangle that the mapping of dlib's
#: detector makes of the square about the landmarks. Its file says at which call it dies, if at all.
_DLIB = """
import json, os, sys, time
class rectangle:
    def __init__(self, left, top, right, bottom):
        self.box = left - 0.5, top - 0.5, right + 0.5, bottom + 0.5
class Point:
    def __init__(self, x, y):
        self.x, self.y = x, y
class Shape:
    def __init__(self, points):
        self.points = points
    def parts(self):
        return [Point(*point) for point in self.points]
class shape_predictor:
    def __init__(self, file):
        self.script = json.load(open(file))
        self.calls = 0
        print("dlib says hello")
    def __call__(self, image, face):
        self.calls += 1
        if self.calls == self.script.get("dies_at"):
            print("out of trees", file=sys.stderr, flush=True)
            os._exit(3)
        time.sleep(self.script.get("sleeps", 0))
        x0, y0, x1, y1 = face.box
        side, x, y, scale = x1 - x0, *self.script["mapping"]
        left = (x0 + x1) / 2 + x * side - scale * side / 2
        top = (y0 + y1) / 2 + y * side - scale * side / 2
        return Shape([(left + a * scale * side, top + b * scale * side)
                      for a, b in self.script["shape"]])
"""


@pytest.fixture
def faces(tmp_path: Path) -> Faces:
    """Five blobs whose labels are the mean face about them."""
    rows = []
    for k in range(5):
        side = 60 + 4 * k
        save_png(draw_blobs([(100, 80 + 3 * k)], side), tmp_path / f"{k}.png")
        first = np.array([100 - side / 2, 80 + 3 * k - side / 2]) - 0.5
        points = (first + mean_shape().numpy() * side).round(3).tolist()
        rows.append({"image": f"{k}.png", "points": points})
    head = {"format": "lit_landmarks faces", "version": 1, "scheme": "ibug68", "units": "pixels"}
    (tmp_path / "faces.json").write_text(json.dumps(head | {"faces": rows}))
    (tmp_path / "boxes.csv").write_text("image,x0,y0,x1,y1\n" + "".join(_csv_rows(rows)))
    return read_faces(JsonFaces(str(tmp_path)), tmp_path / "boxes.csv")


def _csv_rows(rows: list[dict[str, object]]) -> list[str]:
    """Boxes two pixels larger than the labels on each side."""
    lines = []
    for row in rows:
        points = np.array(row["points"])
        box = (*(points.min(0) - 2), *(points.max(0) + 2))
        lines.append(",".join([str(row["image"]), *(f"{v:.2f}" for v in box)]) + "\n")
    return lines


@pytest.fixture
def dlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Puts a made-up dlib before the real one; called, it writes the file of a predictor."""
    (tmp_path / "dlib.py").write_text(_DLIB)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def write(**script: object) -> Path:
        box = PEERS["dlib"].mapping
        inverse = (-box.x / box.scale, -box.y / box.scale, 1 / box.scale)
        shape = {"mapping": inverse, "shape": mean_shape().tolist()}
        (tmp_path / "predictor.dat").write_text(json.dumps(shape | script))
        return tmp_path / "predictor.dat"

    return write


class LabelModel:
    """Answers the labels of the face in a box, moved by a share of the eyes' distance.

    Args:
        faces: whose boxes it is asked for.
        moved: which of the 68 points.
        shift: to the right, in distances of the outer eye corners.
        silent: faces that it does not answer.
        milliseconds: that it says it takes, plus what other processes take of it, call by call.
    """

    size, mma, rows = 3_500_000, 12.5, None

    def __init__(
        self,
        faces: Faces,
        moved: list[int] | slice = slice(None),
        shift: float = 0.0,
        silent: tuple[int, ...] = (),
        milliseconds: float = 2.0,
    ) -> None:
        self.faces, self.moved, self.shift = faces, moved, shift
        self.silent, self.milliseconds, self.calls = silent, milliseconds, 0

    def show(self, image: np.ndarray) -> None:
        assert image.shape == (160, 240, 3)

    def locate(self, box: Numbers) -> Answer:
        self.calls += 1
        boxes = np.concatenate(list(self.faces.boxes.values()))
        row = int(np.abs(boxes - box).sum(1).argmin()) % len(self.faces.points)
        busy = self.milliseconds + self.calls % 3
        if row in self.silent:
            return Answer(None, busy)
        points = self.faces.points[row].double().numpy().copy()
        eyes = np.linalg.norm(points[36] - points[45])
        points[self.moved, 0] += self.shift * eyes
        return Answer(points, busy)

    def close(self) -> None: ...


def test_errors_failures_and_costs(faces: Faces) -> None:
    peers = {
        "exact": LabelModel(faces),
        "contour": LabelModel(faces, _CONTOUR, 0.08, milliseconds=5.0),
        "far": LabelModel(faces, shift=0.12),
        "absent": "not installed; pip install it",
    }
    figures = bench_peers(peers, faces, rounds=3)
    assert list(figures["exact"].boxes) == ["own", "detector"]
    for kind in ("own", "detector"):
        exact, contour, far = (figures[n].boxes[kind] for n in ("exact", "contour", "far"))
        assert (exact.nme, exact.nme_inner, exact.fr10) == pytest.approx((0, 0, 0), abs=1e-4)
        # 17 of 68 points are off by 8 %
        assert (contour.nme, contour.nme_inner) == pytest.approx((2.0, 0.0), abs=1e-3)
        assert (far.nme, far.nme_inner, far.fr10) == pytest.approx((12, 12, 100), abs=1e-3)
    # the fastest of the rounds, in which a call in three takes no time beside its own
    assert figures["exact"].milliseconds == 2.0
    assert figures["contour"].ratio == 2.5
    assert figures["exact"].ratio == 1.0
    assert (figures["exact"].megabytes, figures["exact"].mma) == (3.5, 12.5)
    assert figures["absent"].problem == "not installed; pip install it"
    assert figures["absent"].boxes == {}


def test_a_face_without_an_answer_is_a_failure_and_in_no_mean(faces: Faces) -> None:
    figures = bench_peers({"shy": LabelModel(faces, shift=0.05, silent=(1, 4))}, faces, rounds=1)
    boxes = figures["shy"].boxes["own"]
    assert boxes.answered == 3
    assert (boxes.nme, boxes.fr10) == pytest.approx((5.0, 40.0), abs=1e-3)


def test_a_model_that_answers_nothing_has_no_error(faces: Faces) -> None:
    figures = bench_peers({"blind": LabelModel(faces, silent=(0, 1, 2, 3, 4))}, faces, rounds=1)
    boxes = figures["blind"].boxes["own"]
    assert (boxes.answered, boxes.fr10) == (0, 100.0)
    assert (boxes.nme, boxes.nme_inner) == (None, None)


def test_ours_answer_beside_them_in_the_convention_of_the_labels(faces: Faces) -> None:
    ours = OurModel(blob_landmarker(), "300w")
    image = faces.dataset.load([2])[0]
    ours.show(image)
    answer = ours.locate(faces.boxes["own"][2])
    np.testing.assert_allclose(answer.points, faces.points[2].numpy(), atol=0.5)
    assert answer.milliseconds > 0
    assert ours.convention == "300w"
    # one that the method does not answer in is not asked for
    assert OurModel(blob_landmarker(), "custom").convention is None
    boxes = bench_peers({"ours": ours}, faces, rounds=1)["ours"].boxes
    assert boxes["own"].nme < 1.0


def test_size_of_ours_is_that_of_weights_or_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = METHODS["MuSiCa"].tiny()
    landmarker = blob_landmarker()
    landmarker.method = method
    tensors = (*method.parameters(), *method.buffers())
    assert OurModel(landmarker).size == sum(t.numel() * t.element_size() for t in tensors)
    (tmp_path / "first.onnx").write_bytes(bytes(321))
    monkeypatch.setattr("lit_landmarks.bench.peers.models.load", lambda _: blob_landmarker())
    assert OurModel.open(str(tmp_path / "first.onnx"), None).size == 321


def test_points_of_another_scheme_are_mapped_or_refused() -> None:
    landmarker = blob_landmarker()
    landmarker.method = Wider()
    assert OurModel(landmarker).rows[0] == 0
    assert len(OurModel(landmarker).rows) == 68
    landmarker.method.scheme = "cofw29"
    with pytest.raises(UserError, match="cofw29"):
        OurModel(landmarker)


class Wider(BlobPredictor):
    scheme = "wflw98"


def test_a_process_answers_beside_one_that_is_not_installed(
    faces: Faces, dlib: Callable[..., Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    files = [f"dlib={dlib()}", f"face-api={tmp_path}"]
    arguments = ["--dataset", "JsonFaces", "--root", str(tmp_path), "--rounds", "1"]
    arguments += ["--detector_boxes", str(tmp_path / "boxes.csv"), "--files", *files]
    arguments += ["--peer", "mediapipe", "dlib", "face-api"]
    assert main(["bench", "peers", *arguments, "--python", f"face-api={tmp_path}/node"]) == 0
    text = capsys.readouterr().out
    assert "mediapipe: not installed (No module named 'mediapipe'); pip install mediapipe" in text
    assert f"face-api: not installed, no program {tmp_path}/node; npm install --prefix DIR" in text
    assert main(["bench", "peers", *arguments, "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    measured = figures["dlib"]
    # rectangles of dlib are whole pixels
    assert measured["boxes"]["own"]["nme"] < 2.0
    assert measured["boxes"]["detector"]["nme"] > measured["boxes"]["own"]["nme"]
    assert measured["ratio"] == 1.0
    assert figures["mediapipe"]["milliseconds"] is None


def test_all_run_on_one_core(faces: Faces, dlib: Callable[..., Path]) -> None:
    before = os.sched_getaffinity(0)
    core = min(before)
    with open_peers([], ["dlib"], {}, {"dlib": str(dlib())}, core=core) as peers:
        worker = peers["dlib"]._worker._process.pid  # type: ignore[union-attr]
        assert os.sched_getaffinity(worker) == os.sched_getaffinity(0) == {core}
        assert torch.get_num_threads() == 1
    assert os.sched_getaffinity(0) == before


def test_a_process_that_dies_is_one_line(faces: Faces, dlib: Callable[..., Path]) -> None:
    with open_peers([], ["dlib"], {}, {"dlib": str(dlib(dies_at=4))}) as peers:
        peers["exact"] = LabelModel(faces)
        figures = bench_peers(peers, faces, rounds=1)
    problem = "face 2 of 5: dlib ended with status 3: out of trees"
    assert figures["dlib"].problem == problem
    assert figures["exact"].boxes["own"].answered == 5


def test_a_process_that_talks_nonsense_is_one_line() -> None:
    worker = processes.Worker("node", [sys.executable, "-c", "print('Hi there')"], {})
    with pytest.raises(UserError, match=r"node answers b'Hi there\\n', no JSON; leave it out"):
        worker.read()
    worker.close()


def test_a_process_that_says_nothing_is_given_up(
    faces: Faces, dlib: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_peers([], ["dlib"], {}, {"dlib": str(dlib(sleeps=30))}) as peers:
        monkeypatch.setattr(processes, "PATIENCE", 0.2)
        figures = bench_peers(peers, faces, rounds=1)
    assert figures["dlib"].problem == "face 1 of 5: dlib gives no answer for 0.2 s; leave it out"


def test_a_predictor_that_cannot_be_read_is_one_line(dlib: Callable[..., Path]) -> None:
    file = dlib()
    file.write_text("nonsense")
    with open_peers([], ["dlib"], {}, {"dlib": str(file)}) as peers:
        assert str(peers["dlib"]).startswith("not installed (Expecting value: line 1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--peer", "mediapip"], "no model 'mediapip' of others; take mediapipe, mediapipe:twice"),
        (["--python", "node=x"], "no model 'node' of others; take mediapipe, dlib, face-api"),
        (["--files", "x.dat"], "--files x.dat: give NAME=PATH, such as dlib=x.dat"),
        (["--core", "4096"], "--core 4096; take one of"),
        (["--rounds", "0"], "--rounds is 0; give 1 or more"),
        (["--run", "none"], "none"),
    ],
)
def test_wrong_arguments(
    faces: Faces,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    data = ["--dataset", "JsonFaces", "--root", str(tmp_path)]
    assert main(["bench", "peers", *data, "--peer", "dlib", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_face_without_a_detected_box(faces: Faces, tmp_path: Path) -> None:
    (tmp_path / "boxes.csv").write_text("image,x0,y0,x1,y1\n0.png,1,1,9,9\n")
    with pytest.raises(UserError, match=r"no box for .*0\.png in .*boxes\.csv; add its row"):
        read_faces(JsonFaces(str(tmp_path)), tmp_path / "boxes.csv")


def test_fit_finds_box_and_points(faces: Faces) -> None:
    right = BoxMapping(y=-0.1, scale=1.3)
    order = np.random.default_rng(0).permutation(80)

    class Mesh:
        """68 of 80 points are iBUG's in another order, exact if its box is the right one."""

        mapping, rows = BoxMapping(), np.arange(68)

        def show(self, image: np.ndarray) -> None: ...

        def locate(self, box: Numbers) -> Answer:
            given, wanted = self.mapping(box[None])[0], right(box[None])[0]
            step = (given[2:] - given[:2]) / (wanted[2:] - wanted[:2])
            row = int(np.abs(faces.boxes["own"] - box).sum(1).argmin())
            points = faces.points[row].double().numpy()
            points = (points - wanted[:2]) * step + given[:2]
            return Answer(np.concatenate([points, points[:12] + 50.0])[order], 1.0)

    fit = fit_peer(Mesh(), faces)  # type: ignore[arg-type]
    assert (fit.mapping.y, fit.mapping.scale) == pytest.approx((-0.1, 1.3))
    # the inner lips of the mean face touch
    shape, rows = mean_shape(), order[list(fit.rows or ())]
    torch.testing.assert_close(shape[rows], shape)
    assert fit.nme_inner == pytest.approx(0, abs=1e-3)


@pytest.mark.slow
@pytest.mark.real
def test_real_models_find_real_data(real_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Those below `$LIT_LANDMARKS_PEERS` are installed as the README says; others are skipped."""
    below = Path(os.environ.get("LIT_LANDMARKS_PEERS", "envs"))
    python, file = below / "mediapipe/bin/python", below / "dlib.dat"
    arguments = ["--root", str(real_data / "300w/helen/trainset"), "--last", "10"]
    arguments += ["--python", f"mediapipe={python}"]
    arguments += ["--files", f"face-api={below / 'face-api'}", *([f"dlib={file}"] * file.is_file())]
    assert main(["bench", "peers", *arguments, "--rounds", "1", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    limits = {"mediapipe": 5.0, "dlib": 4.0, "face-api": 6.5}
    measured = {name: one for name, one in figures.items() if one["problem"] is None}
    for name, one in measured.items():
        assert one["boxes"]["own"]["answered"] == 10, name
        assert one["boxes"]["own"]["nme_inner"] < limits[name.partition(":")[0]], name
    if not measured:
        pytest.skip(next(iter(figures.values()))["problem"])
