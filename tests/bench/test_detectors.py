"""Detectors on faces whose boxes are known: faces found, others, mapping, and the file of boxes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lit_landmarks.bench.detectors import bench_detectors, detect_all, write_boxes
from lit_landmarks.data import JsonFaces
from lit_landmarks.data.readers.detector_boxes import best_box, read_detector_boxes
from lit_landmarks.draw import save_png
from lit_landmarks.errors import UserError
from tests.support.blob_faces import BlobDetector, draw_blobs, mean_shape


@pytest.fixture
def blobs(tmp_path: Path) -> JsonFaces:
    """Five labelled blobs; beside two of them stands one without a label."""
    faces = []
    for k in range(5):
        others = [(200.0, 100.0)] if k < 2 else []
        side = 30 + 4 * k
        save_png(draw_blobs([(60, 60 + 3 * k), *others], side), tmp_path / f"{k}.png")
        first = np.array([60 - side / 2, 60 + 3 * k - side / 2]) - 0.5
        points = (first + mean_shape().numpy() * side).round(3).tolist()
        faces.append({"image": f"{k}.png", "points": points})
    head = {"format": "lit_landmarks faces", "version": 1, "scheme": "ibug68", "units": "pixels"}
    (tmp_path / "faces.json").write_text(json.dumps(head | {"faces": faces}))
    return JsonFaces(str(tmp_path))


def test_figures_of_a_detector_that_is_exact(blobs: JsonFaces) -> None:
    figures = bench_detectors({"blobs": BlobDetector()}, blobs, repeats=1)["blobs"]
    assert (figures.faces, figures.found, figures.others) == (5, 5, 2)
    mapping, scatter = figures.mapping, figures.scatter
    assert (mapping.x, mapping.y, mapping.scale) == pytest.approx((0, 0.08, 0.8), abs=1e-3)
    assert max(scatter.x, scatter.y, scatter.log_size) < 1e-3
    assert figures.milliseconds > 0


def test_each_labeled_face_of_a_picture_is_no_other_one(tmp_path: Path) -> None:
    faces = []
    for k in range(3):
        side = 30 + 4 * k
        save_png(draw_blobs([(60, 60), (200, 100)], side), tmp_path / f"{k}.png")
        for x, y in ((60, 60), (200, 100)):
            points = np.array([x - side / 2, y - side / 2]) - 0.5 + mean_shape().numpy() * side
            faces.append({"image": f"{k}.png", "points": points.round(3).tolist()})
    head = {"format": "lit_landmarks faces", "version": 1, "scheme": "ibug68", "units": "pixels"}
    (tmp_path / "faces.json").write_text(json.dumps(head | {"faces": faces}))
    both = JsonFaces(str(tmp_path))
    figures = bench_detectors({"blobs": BlobDetector()}, both, repeats=1)["blobs"]
    assert (figures.faces, figures.found, figures.others) == (6, 6, 0)


def test_the_share_of_the_side_is_made_by_a_border(blobs: JsonFaces) -> None:
    sizes: list[tuple[int, ...]] = []

    class Sizes(BlobDetector):
        def detect(self, image: np.ndarray) -> object:  # type: ignore[override]
            sizes.append(image.shape[:2])
            return super().detect(image)

    detect_all({"sizes": Sizes()}, blobs, share=0.1)
    # Sides of the faces are 30 to 46 pixels.
    assert sizes == [(300, 300), (340, 340), (380, 380), (420, 420), (460, 460)]


def test_boxes_are_written_as_readers_take_them(blobs: JsonFaces, tmp_path: Path) -> None:
    assert write_boxes(tmp_path / "more" / "boxes.csv", BlobDetector(), blobs) == 7
    boxes = read_detector_boxes(tmp_path / "more" / "boxes.csv")
    for path, box in zip(blobs.index().paths, blobs.index().box, strict=True):
        found = best_box(boxes, Path(path), box.astype(float))
        assert found is not None
        np.testing.assert_allclose(found, box, atol=0.02)


def test_a_file_of_boxes_that_cannot_be_read_names_the_option_of_the_user(tmp_path: Path) -> None:
    for more, option in ((), "detector_csv"), (("--boxes",), "--boxes"):
        with pytest.raises(UserError, match=rf"boxes, .*none\.csv; correct {option}$"):
            read_detector_boxes(tmp_path / "none.csv", *more)


def test_a_detector_that_finds_nothing_has_no_mapping(blobs: JsonFaces) -> None:
    class Blind(BlobDetector):
        def detect(self, image: np.ndarray) -> object:  # type: ignore[override]
            return super().detect(np.zeros_like(image))

    with pytest.raises(UserError, match="0 of 5 faces found; a mapping needs 3"):
        bench_detectors({"blind": Blind()}, blobs)
