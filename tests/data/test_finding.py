"""Files as users' disks hold them: links, loops, foreign files, case, accents, encodings."""

from __future__ import annotations

import codecs
import json
import os
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lit_landmarks.data import (
    Aflw2000,
    CocoKeypoints,
    FaceDataset,
    FaceSynthetics,
    Ibug300W,
    JsonFaces,
    LabelMe,
    LaPa,
    Lp300W,
    MerlRav,
    PositionMaps,
    Wflw,
    YouTubeFaces,
)
from lit_landmarks.data.face_keys import face_keys, match_faces
from lit_landmarks.data.finding import files_below, is_clutter, locate, match_files
from lit_landmarks.data.layouts import LAYOUTS
from lit_landmarks.data.recognize import walk
from lit_landmarks.data.synthesize import synthesize
from lit_landmarks.data.synthetic import SyntheticFaces
from lit_landmarks.errors import UserError
from tests.data.conftest import MakeFaces
from tests.support.images import smooth_noise, write_image

#: Readers that look for files by themselves: class, layout that writes them, arguments.
_READERS: dict[str, tuple[type[FaceDataset], dict[str, str]]] = {
    "ibug": (Ibug300W, {}),
    "merl_rav": (MerlRav, {"split": "train"}),
    "lapa": (LaPa, {"split": "train"}),
    "300w_lp": (Lp300W, {}),
    "aflw2000": (Aflw2000, {}),
    "face_synthetics": (FaceSynthetics, {}),
    "position_maps": (PositionMaps, {}),
    "wflw": (Wflw, {"split": "train"}),
    "youtube_faces": (YouTubeFaces, {"split": "train"}),
    "json": (JsonFaces, {}),
}


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A function that writes a few faces in a layout, once, and gives their folder."""
    folders: dict[str, Path] = {}

    def write(name: str) -> Path:
        if name not in folders:
            layout = LAYOUTS[name]()
            source = SyntheticFaces(n=12, image_size=96, scheme=layout.scheme, visibility=True)
            folders[name] = tmp_path_factory.mktemp(name) / "root"
            synthesize(source, layout, folders[name], 12, 1)
        return folders[name]

    return write


def read(name: str, root: Path) -> FaceDataset:
    cls, arguments = _READERS[name]
    make: Callable[..., FaceDataset] = cls
    return make(str(root), **arguments)


@pytest.mark.parametrize("name", _READERS)
def test_what_file_managers_leave_is_passed_over_by_every_reader(
    name: str, written: Callable[[str], Path], tmp_path: Path
) -> None:
    whole = read(name, written(name)).index()
    root = tmp_path / "copy"
    shutil.copytree(written(name), root)
    for file in [f for f in root.rglob("*") if f.is_file()]:
        (file.parent / f"._{file.name}").write_bytes(b"\0\x05\x16\x07")
    for folder in [root, *(f for f in root.rglob("*") if f.is_dir())]:
        for clutter in ("Thumbs.db", ".DS_Store", "desktop.ini"):
            (folder / clutter).write_bytes(b"x")
    shutil.copytree(written(name), root / "__MACOSX")
    index = read(name, root).index()
    assert len(index) == len(whole)
    assert np.array_equal(index.points, whole.points)


@pytest.mark.parametrize("name", _READERS)
def test_a_root_and_folders_below_it_may_be_links(
    name: str, written: Callable[[str], Path], tmp_path: Path
) -> None:
    real = tmp_path / "real"
    shutil.copytree(written(name), real)
    whole = len(read(name, real).index())
    root = tmp_path / "root"
    root.mkdir()
    for entry in real.iterdir():
        (root / entry.name).symlink_to(entry)
    (tmp_path / "linked").symlink_to(real)
    assert len(read(name, tmp_path / "linked").index()) == whole
    if name == "json":  # a link that leads out of the folder is refused, with the cure
        with pytest.raises(UserError, match=r"not below .*: link the whole folder"):
            read(name, root).index()
    else:
        assert len(read(name, root).index()) == whole


@pytest.mark.parametrize("name", ["ibug", "lapa", "aflw2000", "300w_lp", "face_synthetics", "wflw"])
def test_the_case_of_suffixes_does_not_count(
    name: str, written: Callable[[str], Path], tmp_path: Path
) -> None:
    root = tmp_path / "copy"
    shutil.copytree(written(name), root)
    pictures = (".jpg", ".png")
    labels = (".pts", ".mat") if name in ("ibug", "aflw2000") else ()
    for file in [f for f in root.rglob("*") if f.suffix in (*pictures, *labels)]:
        file.rename(file.with_suffix(file.suffix.upper()))
    assert len(read(name, root).index()) == len(read(name, written(name)).index())


def test_linked_folders_and_loops_are_read_once(make_faces: MakeFaces, tmp_path: Path) -> None:
    root = make_faces(("one", "two/deep"), n=2)
    elsewhere = make_faces(("",), n=3, root="elsewhere")
    (root / "two" / "more").symlink_to(elsewhere)
    (root / "two" / "again").symlink_to(root / "one")
    (root / "one" / "up").symlink_to(root)
    names = [Path(path).relative_to(root).as_posix() for path in Ibug300W(str(root)).index().paths]
    assert names == [
        "one/face_00.jpg",
        "one/face_01.jpg",
        "two/deep/face_00.jpg",
        "two/deep/face_01.jpg",
        "two/more/face_00.jpg",
        "two/more/face_01.jpg",
        "two/more/face_02.jpg",
    ]
    assert [name for name, _ in walk(root)] == ["one", "two_deep", "two_more"]


@pytest.mark.parametrize("target", ["nowhere", "loop"])
def test_a_link_to_a_folder_that_is_not_there_is_told(
    make_faces: MakeFaces, tmp_path: Path, target: str
) -> None:
    root = make_faces(("part",), n=2)
    (root / "part" / "loop").symlink_to(tmp_path / target if target != "loop" else "loop")
    with pytest.raises(UserError, match=r"the link .*part/loop leads nowhere; correct it"):
        Ibug300W(str(root)).index()


def test_each_data_set_below_a_folder_with_a_loop_is_named_once(
    make_faces: MakeFaces, tmp_path: Path, written: Callable[[str], Path]
) -> None:
    (tmp_path / "all").mkdir()
    shutil.copytree(written("face_synthetics"), tmp_path / "all" / "fs")
    (tmp_path / "all" / "aflw").symlink_to(written("aflw2000"))
    (tmp_path / "all" / "loop").symlink_to(tmp_path / "all")
    (tmp_path / "all" / "__MACOSX").mkdir()
    (tmp_path / "all" / "__MACOSX" / "a_ldmks.txt").write_text("x")
    assert sorted(name for name, _ in walk(tmp_path / "all")) == ["aflw", "fs"]


@pytest.mark.parametrize(("photo", "other"), [(".png", ".bmp"), (".bmp", ".jpg"), (".JPG", ".jpg")])
def test_several_pictures_of_one_name_are_refused_by_name(
    make_faces: MakeFaces, photo: str, other: str
) -> None:
    root = make_faces(n=3)
    image = smooth_noise(np.random.default_rng(0), 96, 96)
    (root / "face_01.jpg").unlink()
    for suffix in (photo, other):
        write_image(root / f"face_01{suffix}", image)
    index, problems = Ibug300W(str(root)).scan()
    assert len(index) == 2
    message = str(problems[0])
    assert f"face_01{photo}" in message
    assert f"face_01{other}" in message
    assert "face_01.pts; leave the annotated one here" in message


@pytest.mark.parametrize("name", ["lapa", "merl_rav", "position_maps"])
def test_other_readers_refuse_several_pictures_too(
    name: str, written: Callable[[str], Path], tmp_path: Path
) -> None:
    root = tmp_path / "copy"
    shutil.copytree(written(name), root)
    first = Path(read(name, root).index().paths[0])
    write_image(first.with_suffix(".bmp"), 9)
    _, problems = read(name, root).scan()
    assert len(problems) == 1
    assert "2 pictures of one name" in str(problems[0])


def test_two_labels_of_one_name_are_refused(make_faces: MakeFaces) -> None:
    root = make_faces(n=2)
    shutil.copy(root / "face_00.pts", root / "face_00.PTS")
    index, problems = Ibug300W(str(root)).scan()
    assert len(index) == 1
    assert ["2 label files of one name" in str(problem) for problem in problems] == [True, True]


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
@pytest.mark.parametrize("name", ["José", "Ångström", "한글"])
def test_accents_composed_or_not(make_faces: MakeFaces, forms: tuple[str, str], name: str) -> None:
    root = make_faces(n=1)
    label, picture = (unicodedata.normalize(form, name) for form in forms)
    (root / "face_00.pts").rename(root / f"{label}.pts")
    (root / "face_00.jpg").rename(root / f"{picture}.jpg")
    index = Ibug300W(str(root)).index()
    assert Path(index.paths[0]).is_file()
    x0, y0, x1, y1 = index.box[0]
    (root / "boxes.csv").write_text(f"image,x0,y0,x1,y1\n{label}.jpg,{x0},{y0},{x1 + 3},{y1}\n")
    detected = Ibug300W(str(root), boxes="detector", detector_csv=str(root / "boxes.csv"))
    assert detected.index().box[0][2] == pytest.approx(x1 + 3, abs=1e-3)
    scheme = {"name": "accent3", "points": ["a", "b", "c"]}
    face = {"image": f"{label}.JPG", "points": [[40, 40], [62, 45], [49, 61]]}
    head = {"format": "lit_landmarks faces", "version": 1, "scheme": scheme, "faces": [face]}
    (root / "faces.json").write_text(json.dumps(head))
    assert Path(JsonFaces(str(root)).index().paths[0]).is_file()


def test_names_with_the_separator_of_another_system(tmp_path: Path) -> None:
    (tmp_path / "pictures" / "Day1").mkdir(parents=True)
    file = write_image(tmp_path / "pictures" / "Day1" / "a.PNG", 9)
    assert locate(tmp_path, "pictures\\Day1\\a.png") == file
    assert locate(tmp_path, "pictures/day1/a.png") == file
    assert locate(tmp_path, "pictures\\day2\\a.png") == tmp_path / "pictures\\day2\\a.png"
    write_image(tmp_path / "pictures" / "Day1" / "a.Png", 9)
    assert not locate(tmp_path, "pictures/Day1/a.png").exists()  # which of the two?


def test_patterns_and_clutter(tmp_path: Path) -> None:
    for name in ("b.PTS", "a.pts", "._a.pts", ".a.pts", "c.txt", "sub/d.pts", ".trash/e.pts"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    names = sorted(f.relative_to(tmp_path).as_posix() for f in match_files(tmp_path, "*.pts"))
    assert names == ["a.pts", "b.PTS"]
    assert [f.name for f in match_files(tmp_path, "*/*.pts")] == ["d.pts"]
    assert [f.name for f in files_below(tmp_path, (".pts",))] == ["a.pts", "b.PTS", "d.pts"]
    assert not list(match_files(tmp_path / "none", "*.pts"))
    assert all(map(is_clutter, ("THUMBS.DB", "__MACOSX", "@eaDir", "._x", ".git")))
    assert not any(map(is_clutter, ("thumbs.jpg", "_x", "a._b")))


@pytest.mark.parametrize(
    "mark", [codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE], ids=["utf-8", "le", "be"]
)
@pytest.mark.parametrize(
    "name", ["lapa", "face_synthetics", "wflw", "youtube_faces", "json", "ibug"]
)
def test_marks_of_the_encoding(
    name: str, mark: bytes, written: Callable[[str], Path], tmp_path: Path
) -> None:
    encoding = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le"}.get(mark, "utf-16-be")
    root = tmp_path / "copy"
    shutil.copytree(written(name), root)
    for file in root.rglob("*"):
        if file.suffix in (".txt", ".csv", ".pts", ".json"):
            file.write_bytes(mark + file.read_text(encoding="utf-8").encode(encoding))
    index, whole = read(name, root).index(), read(name, written(name)).index()
    assert np.array_equal(index.points, whole.points)


@pytest.mark.parametrize("mark", [codecs.BOM_UTF8, codecs.BOM_UTF16_LE])
@pytest.mark.parametrize("apart", [", ", ";"])
def test_boxes_as_spreadsheets_write_them(make_faces: MakeFaces, mark: bytes, apart: str) -> None:
    root = make_faces(n=1)
    x0, y0, x1, y1 = Ibug300W(str(root)).index().box[0]
    rows = [["image", "x0", "y0", "x1", "y1"], ["face_00.jpg", *map(str, (x0, y0, x1 + 2, y1))]]
    text = "\r\n".join(apart.join(row) for row in rows)
    encoding = "utf-8" if mark == codecs.BOM_UTF8 else "utf-16-le"
    (root / "boxes.csv").write_bytes(mark + text.encode(encoding))
    dataset = Ibug300W(str(root), boxes="detector", detector_csv=str(root / "boxes.csv"))
    assert dataset.index().box[0][2] == pytest.approx(x1 + 2, abs=1e-3)


def test_empty_files_are_named(make_faces: MakeFaces) -> None:
    root = make_faces(n=4)
    for name in ("face_00.pts", "face_02.jpg"):
        (root / name).write_bytes(b"")
    dataset = Ibug300W(str(root))
    index, problems = dataset.scan()
    assert [Path(path).name for path in index.paths] == [f"face_0{k}.jpg" for k in (1, 2, 3)]
    assert "face_00.pts" in str(problems[0])
    with pytest.raises(UserError, match=r"the file is empty, .*face_02\.jpg"):
        dataset.load([1])


def _labelme(file: Path, image: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    places = [[9 + 20 * k, 12 + 17 * (k % 3)] for k in range(4)]
    shapes = [
        {"label": f"p{k}", "points": [place], "shape_type": "point", "group_id": None}
        for k, place in enumerate(places)
    ]
    file.write_text(json.dumps({"flags": {}, "shapes": shapes, "imagePath": image}))


def _coco(file: Path, image: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    face = {"image_id": 1, "category_id": 1, "keypoints": [9, 9, 2, 70, 12, 2, 30, 60, 1]}
    category = {"id": 1, "name": "face", "keypoints": ["a", "b", "c"]}
    images = [{"id": 1, "file_name": image}]
    document = {"images": images, "annotations": [face], "categories": [category]}
    file.write_text(json.dumps(document))


def test_labels_of_annotation_tools_in_linked_folders_and_in_capitals(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    _labelme(root / "a.json", "a.png")
    _labelme(elsewhere / "B.JSON", "..\\elsewhere\\b.png")
    _labelme(root / "__MACOSX" / "c.json", "c.png")
    (root / "._a.json").write_bytes(b"\0\5")
    for picture in (root / "A.PNG", elsewhere / "b.png"):
        write_image(picture, 90, (96, 96))
    (root / "more").symlink_to(elsewhere)
    (root / "more again").symlink_to(elsewhere)
    index = LabelMe(str(root)).index()
    assert [Path(path).relative_to(root).as_posix() for path in index.paths] == [
        "A.PNG",
        "more/b.png",
    ]


@pytest.mark.parametrize(
    "name",
    [
        "caf\u00e9 1.jpg",
        "photos/CAFE\u0301 1.JPG",
        "C:\\Users\\me\\caf\u00e9 1.jpg",
        "https://host/x/caf%C3%A9%201.jpg?token=1",
        "/data/local-files/?d=photos/caf%C3%A9%201.jpg",
        "caf%C3%A9 1.jpg",
    ],
)
def test_pictures_of_annotation_tools_by_whatever_name(tmp_path: Path, name: str) -> None:
    _coco(tmp_path / "root" / "X.JSON", name)
    elsewhere = tmp_path / "disk"
    elsewhere.mkdir()
    write_image(elsewhere / "cafe\u0301 1.JPG", 90, (96, 96))
    (tmp_path / "root" / "photos").symlink_to(elsewhere)
    for clutter in ("@eaDir", ".thumbnails", "__MACOSX"):
        (tmp_path / "root" / clutter).mkdir()
        write_image(tmp_path / "root" / clutter / "cafe\u0301 1.JPG", 90, (9, 9))
    assert len(CocoKeypoints(str(tmp_path / "root")).index()) == 1


def test_names_that_are_no_utf8(make_faces: MakeFaces) -> None:
    root = make_faces(("",), n=2)
    for file in sorted(root.iterdir())[:2]:
        file.rename(root / (os.fsdecode(b"caf\xe9") + file.suffix))
    data = Ibug300W(str(root))
    assert len(data.index()) == 2
    assert data.content_key([0, 1]) != data.content_key([1])
    assert np.array_equal(match_faces(face_keys(data), face_keys(data)), [0, 1])
