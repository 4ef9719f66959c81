"""Faces of files, folders, arrays and videos: what is read, in which order, and what goes wrong."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import lit_landmarks.inference.annotation as annotation_module
from lit_landmarks.data import JsonFaces
from lit_landmarks.data.framing import landmark_box
from lit_landmarks.draw import save_png
from lit_landmarks.errors import UserError
from lit_landmarks.inference import Face
from lit_landmarks.inference.annotation import Annotation, annotate
from lit_landmarks.inference.face_list import FaceList, make_header, table_rows
from lit_landmarks.inference.outputs import AnnotationFiles
from lit_landmarks.inference.sources import Source, list_sources
from lit_landmarks.pictures.video import VideoFrames
from tests.support.blob_faces import BlobDetector, BlobPredictor, blob_landmarker, draw_blobs
from tests.support.picture_files import by_pillow
from tests.support.videos import write_video

#: Centers of the blobs of three pictures.
_PLACES = {"a.png": [(60, 60), (150, 80)], "b/c.png": [(100, 70)], "b/empty.png": []}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures with two, one and no face; files that are broken, odd or none at all."""
    for name, places in _PLACES.items():
        save_png(draw_blobs(places), tmp_path / "photos" / name)
    photos = tmp_path / "photos"
    (photos / "b" / "cut.png").write_bytes((photos / "a.png").read_bytes()[:-200])
    (photos / "notes.txt").write_text("no picture")
    (photos / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    (photos / "zero.jpg").write_bytes(b"")
    return photos


def _name(annotation: Annotation, folder: Path) -> str:
    assert annotation.source.path is not None
    return annotation.source.path.relative_to(folder).as_posix()


def test_sources_are_listed_once_in_the_order_of_their_names(folder: Path) -> None:
    names = [Path(s.name).relative_to(folder).as_posix() for s in list_sources(folder)]
    pictures = ["a.png", "b/c.png", "b/cut.png", "b/empty.png", "phone.heic", "zero.jpg"]
    assert names == pictures
    pattern = str(folder / "**" / "*.png")
    again = list_sources([str(folder / "a.png"), pattern, folder])
    assert len(again) == 6
    assert again[0].name == str(folder / "a.png")
    array = np.zeros((4, 4, 3), np.uint8)
    kinds = [s.kind for s in list_sources([array, 0, folder / "clip.MP4", folder / "a.png"])]
    assert kinds == ["array", "camera", "video", "picture"]
    for given, message in (
        (folder / "*.tiff", "no file matches"),
        (folder.parent / "none*", "no file matches"),
        (3.5, "a float is no picture"),
        ([None], "a NoneType is no picture"),
    ):
        with pytest.raises(UserError, match=message):
            list_sources(str(given) if isinstance(given, Path) else given)
    (folder.parent / "void").mkdir()
    with pytest.raises(UserError, match="no picture or video in"):
        list_sources(folder.parent / "void")


def test_faces_of_a_folder_with_broken_files(folder: Path) -> None:
    landmarker = blob_landmarker(batch_size=2)
    results = list(annotate(landmarker, folder, detector=BlobDetector()))
    assert [_name(r, folder) for r in results] == [
        *("a.png", "b/c.png", "b/cut.png", "b/empty.png", "phone.heic", "zero.jpg"),
    ]
    assert [len(r.faces) for r in results] == [2, 1, 0, 0, 0, 0]
    problems = [str(r.problem) for r in results if r.problem]
    assert ["truncated" in problems[0], "HEIC is not read" in problems[1]] == [True, True]
    assert "empty" in problems[2]
    assert all(name in p for name, p in zip(("cut", "phone", "zero"), problems, strict=True))
    for result in results[:2]:
        for face, (x, y) in zip(result.faces, _PLACES[_name(result, folder)], strict=True):
            box = landmark_box(face.points, "ibug68")
            np.testing.assert_allclose(box, [x - 20.5, y - 20.5, x + 19.5, y + 19.5], atol=0.7)
    assert [f.confidence for f in results[0].faces] == pytest.approx([0.9, 0.8])
    assert results[0].faces[0].error == 3.0
    # The two faces of the first picture fill a batch; no face is run alone that could wait.
    predictor = landmarker.method
    assert isinstance(predictor, BlobPredictor)
    assert predictor.faces == [2, 1]


def test_batches_over_pictures_change_no_face() -> None:
    pictures = [draw_blobs([(50 + 7 * k, 60), (150, 60 + 5 * k)]) for k in range(5)]
    together = list(annotate(blob_landmarker(batch_size=8), pictures, detector=BlobDetector()))
    for picture, result in zip(pictures, together, strict=True):
        (alone,) = annotate(blob_landmarker(batch_size=1), picture, detector=BlobDetector())
        for a, b in zip(alone.faces, result.faces, strict=True):
            np.testing.assert_array_equal(a.points, b.points)


def test_boxes_may_be_given_by_file_or_for_all(folder: Path) -> None:
    by_file = {str((folder / "a.png").resolve()): [np.array([130.0, 60, 170, 100])]}
    results = list(annotate(blob_landmarker(), folder, by_file))
    assert [len(r.faces) for r in results] == [1, 0, 0, 0, 0, 0]
    assert results[0].faces[0].points.mean(0) == pytest.approx([150, 80], abs=6)
    assert results[0].faces[0].confidence is None
    (array,) = annotate(blob_landmarker(), draw_blobs([(60, 60)]), boxes=[[40, 40, 80, 80]])
    tensor = torch.from_numpy(draw_blobs([(60, 60)])).permute(2, 0, 1)
    (same,) = annotate(blob_landmarker(), tensor, boxes=[[40, 40, 80, 80]])
    np.testing.assert_array_equal(array.faces[0].points, same.faces[0].points)
    far = list(annotate(blob_landmarker(), [folder / "a.png"], boxes=[[900, 900, 940, 940]]))
    assert "lies wholly outside" in str(far[0].problem)
    with pytest.raises(UserError, match="boxes and a detector"):
        annotate(blob_landmarker(), folder, by_file, BlobDetector())


def test_pictures_are_read_as_viewers_show_them(tmp_path: Path) -> None:
    picture = draw_blobs([(60, 50)])
    # Orientation 6: the stored pixels are turned by a quarter, clockwise, to be shown.
    stored = np.rot90(picture)
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    (tmp_path / "turned.png").write_bytes(by_pillow(stored, "png", exif=exif))
    rgba = np.dstack([picture, np.full(picture.shape[:2], 10, np.uint8)])
    (tmp_path / "alpha.png").write_bytes(by_pillow(rgba, "png"))
    deep = (picture.astype(np.uint16) * 257)[..., ::-1]
    cv2.imwrite(str(tmp_path / "deep.png"), np.ascontiguousarray(deep))
    (tmp_path / "grey.png").write_bytes(by_pillow(picture[..., 0], "png"))
    results = {
        Path(r.source.name).stem: r
        for r in annotate(blob_landmarker(), tmp_path, detector=BlobDetector())
    }
    for name in ("turned", "alpha", "deep"):
        np.testing.assert_array_equal(results[name].image, picture)
        assert results[name].faces[0].points.mean(0) == pytest.approx([60, 50], abs=6)
    assert results["grey"].image is not None
    assert results["grey"].faces == []


def test_lists_are_read_back_as_a_data_set(folder: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    sources, landmarker = list_sources(folder), blob_landmarker()
    with AnnotationFiles(results, sources, landmarker, table=True) as files:
        for annotation in annotate(landmarker, sources, detector=BlobDetector()):
            files.write(annotation)
            if annotation.source.name.endswith("a.png"):
                drawn = annotation
    faces = JsonFaces(str(results), images=str(folder))
    index, problems = faces.scan()
    assert problems == []
    assert [Path(p).name for p in index.paths] == ["a.png", "a.png", "c.png"]
    assert (faces.scheme, faces.convention) == ("ibug68", "custom")
    np.testing.assert_allclose(index.points[:2], [f.points for f in drawn.faces], atol=1e-4)
    np.testing.assert_allclose(index.box[1], drawn.faces[1].box, atol=1e-4)
    np.testing.assert_array_equal(faces.load([2])[0], draw_blobs(_PLACES["b/c.png"]))
    rows = json.loads((results / "faces.json").read_text())["faces"]
    assert rows[1]["prediction"] == {"confidence": pytest.approx(0.8), "error": 3.0}
    table = (results / "faces.csv").read_text().splitlines()
    assert table[0].startswith("image,box_x0,box_y0,box_x1,box_y1,confidence,error,x0,y0,x1,y1")
    assert len(table) == 4
    assert table[3].startswith("b/c.png,")
    assert [float(v) for v in table[3].split(",")[7:9]] == rows[2]["points"][0]
    names = sorted(p.relative_to(results).as_posix() for p in results.rglob("*.jpg"))
    assert names == [f"pictures/{name}.jpg" for name in ("a", "b/c", "b/empty")]
    picture = cv2.imread(str(results / "pictures" / "a.jpg"))[..., ::-1].astype(int)
    assert np.abs(picture - draw_blobs(_PLACES["a.png"])).max() > 60  # something is drawn


def test_a_file_that_is_continued_keeps_its_faces(folder: Path, tmp_path: Path) -> None:
    sources, landmarker = list_sources(folder), blob_landmarker()
    with AnnotationFiles(tmp_path / "r", sources, landmarker, pictures=False) as files:
        files.write(next(annotate(landmarker, sources, detector=BlobDetector())))
    with AnnotationFiles(tmp_path / "r", sources, landmarker, pictures=False) as files:
        assert [s.name for s in files.done] == [str(folder / "a.png")]
        waiting = [s for s in sources if s not in files.done]
        for annotation in annotate(landmarker, waiting, detector=BlobDetector()):
            files.write(annotation)
    rows = json.loads((tmp_path / "r" / "faces.json").read_text())["faces"]
    assert [row["image"] for row in rows] == ["a.png", "a.png", "b/c.png"]
    again = AnnotationFiles(tmp_path / "r", sources, landmarker, pictures=False)
    done = sorted(_name(Annotation(source, []), folder) for source in again.done)
    assert done == ["a.png", "b/c.png", "b/empty.png"]  # without a face, but done
    # A smaller part of the pictures keeps the names that they have.
    one = [s for s in sources if s.name.endswith("c.png")]
    assert AnnotationFiles(tmp_path / "r", one, landmarker).done == set(one)


def test_faces_of_another_kind_or_place_are_no_part_of_a_list(folder: Path, tmp_path: Path) -> None:
    sources, landmarker = list_sources(folder), blob_landmarker()
    with AnnotationFiles(tmp_path / "r", sources, landmarker, "300w", pictures=False) as files:
        files.write(next(annotate(landmarker, sources, detector=BlobDetector())))
    before = (tmp_path / "r" / "faces.json").read_bytes()
    with pytest.raises(UserError, match="has faces of convention '300w', not of 'wflw'; give ano"):
        AnnotationFiles(tmp_path / "r", sources, landmarker, "wflw")
    save_png(draw_blobs([]), tmp_path / "other" / "a.png")
    outside = list_sources(tmp_path / "other" / "a.png")
    with pytest.raises(UserError, match=r"a.png lies outside of .*photos, from which"):
        AnnotationFiles(tmp_path / "r", outside, landmarker, "300w")
    assert (tmp_path / "r" / "faces.json").read_bytes() == before


def test_what_a_killed_process_wrote_is_in_the_list(folder: Path, tmp_path: Path) -> None:
    sources, landmarker = list_sources(folder), blob_landmarker()
    results = list(annotate(landmarker, sources, detector=BlobDetector()))
    killed = AnnotationFiles(tmp_path / "r", sources, landmarker, pictures=False)
    killed.write(results[0])
    assert not (tmp_path / "r" / "faces.json").exists()
    with (tmp_path / "r" / ".faces.jsonl").open("a") as file:
        file.write('{"image": "b/c.png", "poi')  # killed within a line
    with AnnotationFiles(tmp_path / "r", sources, landmarker, pictures=False) as files:
        assert {_name(Annotation(source, []), folder) for source in files.done} == {"a.png"}
        files.write(results[1])
    rows = json.loads((tmp_path / "r" / "faces.json").read_text())["faces"]
    assert [row["image"] for row in rows] == ["a.png", "a.png", "b/c.png"]
    assert not (tmp_path / "r" / ".faces.jsonl").exists()
    # Killed between the list and the removal of the hidden file: no face stands twice.
    (tmp_path / "r" / ".faces.jsonl").write_text(json.dumps(rows[2]) + "\n")
    assert len(FaceList(tmp_path / "r" / "faces.json", make_header(landmarker, None), False)) == 3


def test_nothing_is_written_outside_of_the_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    (here / "out").mkdir(parents=True)
    save_png(draw_blobs([(60, 60)]), here / "near.png")
    monkeypatch.chdir(here)
    sources = list_sources(["near.png", "../photos/a.png", "../here/../photos/b/c.png"])
    landmarker = blob_landmarker()
    with AnnotationFiles(Path("out"), sources, landmarker) as files:
        for annotation in annotate(landmarker, sources, detector=BlobDetector()):
            files.write(annotation)
    drawn = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.jpg"))
    names = [f"here/out/pictures/{n}.jpg" for n in ("here/near", "photos/a", "photos/b/c")]
    assert [name for name in drawn if name != "photos/zero.jpg"] == names
    rows = json.loads((here / "out" / "faces.json").read_text())["faces"]
    assert {row["image"] for row in rows} == {"here/near.png", "photos/a.png", "photos/b/c.png"}


def test_sources_and_paths_may_be_mixed(folder: Path) -> None:
    (first,) = list_sources(folder / "a.png")
    results = annotate(blob_landmarker(), [first, folder / "b" / "c.png"], detector=BlobDetector())
    assert [len(r.faces) for r in results] == [2, 1]


@pytest.mark.parametrize("shape", [(160, 240), (160, 240, 4), (3, 160, 240)])
def test_arrays_of_another_form_are_refused_before_a_detector_reads_them(
    shape: tuple[int, ...],
) -> None:
    detector = BlobDetector()
    (result,) = annotate(blob_landmarker(), np.zeros(shape, np.uint8), detector=detector)
    assert "array 0; convert it to RGB" in str(result.problem)
    assert detector.calls == 0


def test_a_convention_without_an_answer_is_refused(folder: Path, tmp_path: Path) -> None:
    landmarker = blob_landmarker()
    message = "BlobPredictor answers in no convention 'cofw'; it has 300w, wflw"
    with pytest.raises(UserError, match=message):
        annotate(landmarker, folder, detector=BlobDetector(), convention="cofw")
    with pytest.raises(UserError, match=message):
        AnnotationFiles(tmp_path / "r", list_sources(folder), landmarker, "cofw")
    with pytest.raises(UserError, match=message):
        landmarker(draw_blobs([(60, 60)]), [[40, 40, 80, 80]], convention="cofw")
    with pytest.raises(UserError, match="which answers the points of ibug68; omit them"):
        landmarker(draw_blobs([(60, 60)]), [[40, 40, 80, 80]], queries=np.zeros((4, 3)))
    assert not (tmp_path / "r").exists()


def test_missing_points_and_other_figures_in_a_table() -> None:
    rows = [
        {"image": "a.jpg", "points": [[1.0, 2.0], None], "box": [0, 0, 1, 1], "prediction": {}},
        {"image": "b.jpg", "points": [[1, 2], [3, 4]], "box": [0, 0, 1, 1], "pose": [5, 6, 7]},
    ]
    table = table_rows(rows, {"pose", "points"}, 2)
    assert [",".join(map(str, row)) for row in table] == [
        "image,box_x0,box_y0,box_x1,box_y1,yaw,pitch,roll,x0,y0,x1,y1",
        "a.jpg,0,0,1,1,,,,1.0,2.0,,",
        "b.jpg,0,0,1,1,5,6,7,1,2,3,4",
    ]


def _clip(path: Path, frames: int = 24) -> NDArray[np.float64]:
    """A video of two faces; the places of the first (frames, 2)."""
    places = [(70.0 + k, 90.0 - k) for k in range(frames)]
    pictures = [draw_blobs([p, (180, 60)], side=44) for p in places]
    write_video(path, pictures, rate=12.0)
    return np.array(places)


def test_a_video_is_followed_and_written(tmp_path: Path) -> None:
    places = _clip(tmp_path / "clip.mp4")
    landmarker, detector = blob_landmarker(), BlobDetector()
    sources = list_sources(tmp_path / "clip.mp4")
    out = tmp_path / "out"
    points = []
    with AnnotationFiles(out, sources, landmarker, table=True) as files:
        for annotation in annotate(landmarker, sources, detector=detector, smooth=False):
            files.write(annotation)
            assert [face.track for face in annotation.faces] == [0, 1]
            points.append(annotation.faces[0].points.mean(0))
    assert detector.calls == 2  # of 24 frames, 12 a second
    steps = np.array(points) - places
    assert float(np.abs(steps - steps.mean(0)).max()) < 1.5
    video = VideoFrames(out / "videos" / "clip.mp4")
    assert (video.count, video.rate) == (24, 12.0)
    rows = json.loads((out / "videos" / "clip.json").read_text())["faces"]
    assert [(r["track"], r["time"]) for r in rows[:4]] == [(0, 0), (1, 0), (0, 1), (1, 1)]
    assert len(rows) == 48
    assert (out / "videos" / "clip.csv").read_text().startswith("image,track,time,box_x0")
    assert not (out / "faces.json").exists()


def test_an_interrupted_video_says_so_and_is_done_again(tmp_path: Path) -> None:
    _clip(tmp_path / "clip.mp4")
    landmarker = blob_landmarker()
    sources = list_sources(tmp_path / "clip.mp4")

    def write(last: int | None) -> set[Source]:
        with AnnotationFiles(tmp_path / "out", sources, landmarker) as files:
            for annotation in annotate(landmarker, sources, detector=BlobDetector()):
                files.write(annotation)
                if annotation.frame == last:
                    raise KeyboardInterrupt
            return files.done

    with pytest.raises(KeyboardInterrupt):
        write(last=4)
    videos = tmp_path / "out" / "videos"
    assert sorted(p.name for p in videos.iterdir()) == ["clip.partial.json", "clip.partial.mp4"]
    assert VideoFrames(videos / "clip.partial.mp4").count == 5
    assert write(last=None) == set()
    assert sorted(p.name for p in videos.iterdir()) == ["clip.json", "clip.mp4"]


def test_a_damaged_video_is_not_filed_as_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _clip(tmp_path / "clip.mp4")
    landmarker, sources = blob_landmarker(), list_sources(tmp_path / "clip.mp4")
    monkeypatch.setattr(VideoFrames, "__iter__", _five_frames(VideoFrames.__iter__))
    with AnnotationFiles(tmp_path / "out", sources, landmarker, table=True) as files:
        for annotation in annotate(landmarker, sources, detector=BlobDetector()):
            files.write(annotation)
    videos = tmp_path / "out" / "videos"
    suffixes = ("csv", "json", "mp4")
    assert sorted(p.name for p in videos.iterdir()) == [f"clip.partial.{s}" for s in suffixes]
    monkeypatch.undo()
    with AnnotationFiles(tmp_path / "out", sources, landmarker, table=True) as files:
        assert files.done == set()
        for annotation in annotate(landmarker, sources, detector=BlobDetector()):
            files.write(annotation)
    assert sorted(p.name for p in videos.iterdir()) == [f"clip.{s}" for s in suffixes]


def _five_frames(read: Any) -> Any:
    def frames(self: VideoFrames) -> Iterator[NDArray[np.uint8]]:
        yield from itertools.islice(read(self), 5)
        raise UserError("frame 5 of 24 cannot be decoded; restore the file")

    return frames


def test_a_list_that_cannot_be_saved_loses_neither_faces_nor_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _clip(tmp_path / "clip.mp4", frames=6)
    landmarker, sources = blob_landmarker(), list_sources(tmp_path / "clip.mp4")

    def full(self: FaceList, path: Path | None = None) -> None:
        raise UserError("cannot write: No space left on device")

    monkeypatch.setattr(FaceList, "save", full)
    files = AnnotationFiles(tmp_path / "out", sources, landmarker)
    for annotation in annotate(landmarker, sources, detector=BlobDetector()):
        files.write(annotation)
    with pytest.raises(UserError, match="No space"):
        files.__exit__(None)
    videos = tmp_path / "out" / "videos"
    assert sorted(p.name for p in videos.iterdir()) == [".clip.jsonl", "clip.mp4"]
    assert len((videos / ".clip.jsonl").read_text().splitlines()) == 12


def test_a_camera_that_is_read_slowly_keeps_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Camera:
        rate = 30.0

        def __init__(self, number: int) -> None:
            self.number = number

        def __iter__(self) -> Iterator[NDArray[np.uint8]]:
            for x in range(60, 80, 2):
                clock[0] += 0.1  # of ten frames a second, not thirty
                yield draw_blobs([(x, 60)])

    clock = [5.0]
    monkeypatch.setattr(annotation_module, "CameraFrames", Camera)
    monkeypatch.setattr(annotation_module.time, "monotonic", lambda: clock[0])
    landmarker, detector, sources = blob_landmarker(), BlobDetector(), list_sources(0)
    numbers = []
    with AnnotationFiles(tmp_path / "out", sources, landmarker) as files:
        for annotation in annotate(landmarker, sources, detector=detector):
            files.write(annotation)
            numbers.append(annotation.frame)
    assert numbers == pytest.approx(range(0, 30, 3), abs=1)
    assert numbers[0] == 0
    assert VideoFrames(tmp_path / "out" / "videos" / "camera 0.mp4").count == numbers[-1] + 1
    assert detector.calls == 1  # less than a second has passed


def test_faces_as_text() -> None:
    points = np.array([[1.5, 2.25], [np.nan, 3.0]], np.float32)
    face = Face(
        points, "ibug68", np.array([0, 0, 2, 2], np.float32), error=2.5,
        pose=np.array([10.0, -5.0, 0.5], np.float32), confidence=0.875, track=3,
    )  # fmt: skip
    again = Face.from_json(face.to_json())
    np.testing.assert_array_equal(again.points, points)
    np.testing.assert_array_equal(again.pose, face.pose)
    assert (again.error, again.confidence, again.track, again.mma) == (2.5, 0.875, 3, None)
    assert again.points3d is None
    for text in ("{", "[1]", '{"points": [[1, 2]], "box": [1]}', '{"nose": 1}', "3"):
        with pytest.raises(UserError, match=r"give what Face\.to_json has written"):
            Face.from_json(text)


def test_keypoints_of_supervision() -> None:
    supervision = pytest.importorskip("supervision")
    from lit_landmarks.inference import to_keypoints

    faces = [
        Face(
            np.full((68, 2), k, np.float32), "ibug68", np.array([0, 0, k, k], np.float32),
            visibility=np.linspace(0, 1, 68, dtype=np.float32), confidence=0.5 + k / 10,
        )
        for k in (1, 2)
    ]  # fmt: skip
    keypoints = to_keypoints(faces)
    assert isinstance(keypoints, supervision.KeyPoints)
    assert keypoints.xy.shape == (2, 68, 2)
    assert keypoints.xy[1, 5].tolist() == [2, 2]
    assert keypoints.detection_confidence.tolist() == pytest.approx([0.6, 0.7])
    assert keypoints.visible.sum() == 68  # half of the points of each
    assert keypoints.data["box"][1].tolist() == [0, 0, 2, 2]
    assert len(to_keypoints([])) == 0
