"""Our own JSON: every column there and back, declared schemes, and every kind of damage."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lit_landmarks.data import FaceIndex, JsonFaces, LandmarkDataModule
from lit_landmarks.data.layouts import write_image
from lit_landmarks.data.layouts.json_faces import JsonHeader, write_faces
from lit_landmarks.errors import UserError
from lit_landmarks.schemes import get_scheme

Attempt = Callable[..., tuple[Any, list[UserError]]]
Copies = Callable[..., tuple[Path, list[Any]]]
MOUTH = {
    "name": "test_mouth4",
    "points": ["right_mouth_corner", "lip_top", "left_mouth_corner", "lip_bottom"],
    "flip": "names",
    "polylines": {"mouth": {"points": [0, "lip_top", 2, 3], "closed": True}},
}
SQUARE = [[10, 20], [20, 15.5], [30, 20], [20, 25]]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes pictures a.png and b.png and a file of faces; returns the folder."""
    for name in ("a.png", "b.png"):
        write_image(tmp_path / "images" / name, np.zeros((48, 48, 3), np.uint8))

    def make(*faces: Any, **header: Any) -> Path:
        head = {"format": "lit_landmarks faces", "version": 1, "scheme": MOUTH} | header
        (tmp_path / "faces.json").write_text(json.dumps(head | {"faces": list(faces)}))
        return tmp_path

    return make


def face(**changes: Any) -> dict[str, Any]:
    return {"image": "images/a.png", "points": SQUARE} | changes


def test_labels_of_a_written_set_come_back(copies: Copies) -> None:
    root, faces = copies("json")
    data = JsonFaces(str(root))
    index = data.index()
    assert (data.scheme, data.convention) == ("ibug68", "synthetic_visible")
    assert index.visible is not None
    assert index.pose is not None
    for row, one in enumerate(faces):
        assert index.points[row] == pytest.approx(one.points, abs=1e-4)
        assert index.box[row] == pytest.approx(one.box, abs=1e-4)
        assert np.array_equal(index.visible[row], one.visible)
        assert index.pose[row] == pytest.approx(one.pose, abs=1e-4)


@given(data=st.data())
def test_every_column_there_and_back(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    root = tmp_path_factory.mktemp("json")
    write_image(root / "a.png", np.zeros((480, 480, 3), np.uint8))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    n = data.draw(st.integers(1, 4))

    def maybe(column: Any) -> Any:
        return column if data.draw(st.booleans()) else None

    points = rng.uniform(-50, 500, (n, 68, 2)).astype(np.float32)
    mask = rng.random((n, 68)) < 0.8
    depth = np.concatenate([points, rng.normal(0, 99, (n, 68, 1)).astype(np.float32)], axis=2)
    pose = rng.uniform(-90, 90, (n, 3)).astype(np.float32)
    pose[0] = np.nan
    subset = rng.random(n) < 0.5
    index = FaceIndex(
        points=np.where(mask[..., None], points, np.float32(0)),
        mask=mask,
        box=np.tile(np.array([0, 1, 450, 451.5], np.float32), (n, 1)),
        paths=("a.png",) * n,
        visible=maybe(rng.integers(-1, 3, (n, 68)).astype(np.int8)),
        points3d=maybe(depth),
        head3d=maybe(rng.normal(0, 1, (n, 68, 3)).astype(np.float32)),
        pose=pose if n > 1 else None,
        focal=maybe(rng.uniform(100, 900, n).astype(np.float32)),
        subsets={"odd": subset} if subset.any() else {},
        track=maybe(rng.integers(0, 9, n)),
        time=maybe(rng.integers(0, 999, n)),
    )
    header = JsonHeader("ibug68", "wflw", "height", "somewhere", "free")
    write_faces(root / "faces.json", index, index.paths, header, ["train"] * n)
    dataset = JsonFaces(str(root), split="train")
    back = dataset.index()
    assert (dataset.convention, dataset.primary_norm) == ("wflw", "height")
    for name in (
        "points",
        "mask",
        "box",
        "visible",
        "points3d",
        "head3d",
        "pose",
        "focal",
        "track",
        "time",
    ):
        a, b = getattr(index, name), getattr(back, name)
        assert (a is None) == (b is None), name
        if a is not None:
            assert a.dtype == b.dtype
            assert np.allclose(a, b, atol=6e-5, equal_nan=True), name
    assert {k: v.tolist() for k, v in back.subsets.items()} == {
        k: v.tolist() for k, v in index.subsets.items()
    }


@pytest.mark.parametrize("indent", [None, 0, 3])
def test_any_form_of_json_reads_the_same(
    copies: Copies, attempt: Attempt, indent: int | None
) -> None:
    root, _ = copies("json")
    data = JsonFaces(str(root))
    whole = (root / "faces.json").read_text()
    lines = whole.splitlines()
    assert len([line for line in lines if '"image"' in line]) == len(data.index())
    other = json.dumps(json.loads(whole), indent=indent).encode()
    index, problems = attempt(root / "faces.json", other, JsonFaces(str(root)))
    assert not problems
    assert index.paths == data.index().paths
    for name in ("points", "box", "visible", "pose", "mask"):
        assert np.array_equal(getattr(index, name), getattr(data.index(), name))
    # What follows the end, a comma too many and a comma that is missing are told with their line.
    for damaged in (
        [*lines, "1"],
        [*lines[:-2], f"{lines[-2]},", lines[-1]],
        [*lines[:-3], lines[-3].removesuffix(","), *lines[-2:]],
    ):
        index, problems = attempt(root / "faces.json", "\n".join(damaged).encode(), data)
        assert index is None
        with pytest.raises(UserError, match=r"no JSON: .*faces\.json:\d+; correct the file"):
            raise problems[0]


def test_declared_scheme_is_used(write: Callable[..., Path]) -> None:
    blind = face(points=[*SQUARE[:3], None], box=[8, 8, 32, 32], subsets=["blur"], split="test")
    root = write(face(), blind | {"image": "images/b.png"})
    data = JsonFaces(str(root))
    assert (data.scheme, data.primary_norm, data.convention) == (
        "test_mouth4",
        "box",
        "custom",
    )
    scheme = get_scheme("test_mouth4")
    assert scheme.flip == (2, 1, 0, 3)
    assert scheme.polylines == {"mouth": ((0, 1, 2, 3), True)}
    index = data.index()
    assert index.mask.tolist() == [[True] * 4, [True, True, True, False]]
    assert index.box.tolist() == [[10, 15.5, 30, 25], [8, 8, 32, 32]]
    assert index.subsets["blur"].tolist() == [False, True]
    tight = JsonFaces(str(root), boxes="ground_truth").index()
    assert tight.box[1].tolist() == [10, 15.5, 30, 20]
    assert len(JsonFaces(str(root), split="test").index()) == 1
    with pytest.raises(UserError, match=r"no face of split 'dev' in .*faces\.json; correct split"):
        JsonFaces(str(root), split="dev").index()
    # Written again, the declaration comes along.
    write_faces(
        root / "again.json", index, ["images/a.png"] * 2, JsonHeader(data.scheme, "custom", "box")
    )
    again = JsonFaces(str(root), file="again.json")
    assert (again.scheme, again.primary_norm) == ("test_mouth4", "box")
    assert np.array_equal(again.index().points, index.points)


def test_batch_of_a_declared_scheme(write: Callable[..., Path], tmp_path: Path) -> None:
    root = write(face(), face(image="images/b.png"))
    module = LandmarkDataModule(
        root=str(root.parent),
        train={"mine": JsonFaces(root.name)},
        scheme="test_mouth4",
        frame_size=32,
        cache_dir=str(tmp_path / "cache"),
    )
    batch = next(iter(module.batches("train", random=False)))
    assert batch.points.shape == (2, 4, 2)
    assert bool(batch.mask.all())


def test_scheme_without_flip_is_not_mirrored(write: Callable[..., Path]) -> None:
    plain = {"name": "test_plain2", "points": ["a", "b"], "eye_corners": ["a", "b"]}
    data = JsonFaces(str(write(face(points=SQUARE[1:3]), scheme=plain)))
    assert data.primary_norm == "interocular"
    assert get_scheme(data.scheme).flip is None
    assert get_scheme(data.scheme).pupil_groups == ((0,), (1,))


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"format": "coco"}, r'no "format": "lit_landmarks faces", .*faces\.json; write it'),
        ({"version": 2}, r"version 2 of the format, .*; 1 is read"),
        ({"extra": 1}, r"unknown key 'extra', .*; known: format, version, scheme"),
        ({"scheme": None}, r"scheme is no name and no object"),
        ({"scheme": "ibug86"}, r"unknown landmark scheme 'ibug86'"),
        ({"scheme": MOUTH | {"lines": 1}}, r"scheme has a key 'lines', .*; known: name, points"),
        ({"scheme": {"name": "x"}}, r"scheme needs a name and a list of point names"),
        ({"scheme": MOUTH | {"name": "ibug68"}}, r"'ibug68' exists already; choose another name"),
        ({"scheme": {"name": "q", "points": ["a", "a"]}}, r"2 different point names"),
        ({"scheme": MOUTH | {"name": "q", "flip": [1, 2, 3, 0]}}, r"flipping twice"),
        ({"scheme": MOUTH | {"name": "q", "flip": [1, 0]}}, r"flipping twice"),
        ({"scheme": MOUTH | {"name": "q", "eye_corners": [0]}}, r"eye_corners are two points"),
        ({"scheme": MOUTH | {"name": "q", "pupils": [[0], []]}}, r"pupils are two lists of"),
        (
            {"scheme": MOUTH | {"name": "q", "contour": ["ear"]}},
            r"contour: there is no point 'ear'",
        ),
        (
            {"scheme": MOUTH | {"name": "q", "contour": [True]}},
            r"contour: there is no point 'True'",
        ),
        ({"scheme": MOUTH | {"name": "q", "polylines": {"m": 1}}}, r"polylines is no list"),
        ({"scheme": MOUTH | {"name": "q", "polylines": {"m": {"ends": 1}}}}, r"a polyline is a"),
        ({"convention": "mine"}, r"unknown convention 'mine', .*faces\.json; known: "),
        ({"scheme": "ibug69"}, r"unknown landmark scheme 'ibug69', .*faces\.json; known: "),
        ({"scheme": MOUTH | {"name": "a/b"}}, r"scheme 'a/b' is no name, .*faces\.json; take up"),
        ({"scheme": MOUTH | {"name": "a" * 65}}, r"scheme 'a{40}' is no name"),
        ({"convention": 1}, r"convention is text, primary_normaliser one of interocular"),
        ({"primary_normaliser": []}, r"convention is text, primary_normaliser one of interocular"),
        ({"primary_normaliser": "interocular"}, r"interocular needs eye_corners in the scheme"),
    ],
)
def test_bad_header_is_told(
    write: Callable[..., Path], header: dict[str, Any], message: str
) -> None:
    root = write(face(), **header)
    for ask in (lambda d: d.index(), lambda d: d.scheme):
        with pytest.raises(UserError, match=message) as error:
            ask(JsonFaces(str(root)))
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([], r"a face needs image and points, .*faces\.json:faces\[1\]; add them"),
        ({"image": "images/a.png"}, r"a face needs image and points"),
        (face(boxes=[1, 2, 3, 4]), r"unknown key 'boxes', .*; known: image, points, box"),
        (face(points=SQUARE[:3]), r"3 points, not 4, .*faces\[1\]; null stands for a missing one"),
        (face(points="ab"), r"no list of points, not 4"),
        (face(points=[*SQUARE[:3], [1, 2, 3]]), r"points\[3\] is not 2 numbers"),
        (face(points=[*SQUARE[:3], [1, "2"]]), r"points\[3\]: a value is no number below 1e\+06"),
        (face(points=[*SQUARE[:3], [1, True]]), r"points\[3\]: a value is no number"),
        (face(points=[*SQUARE[:3], [1, 10**400]]), r"points\[3\]: a value is no number"),
        (face(points=[None] * 4), r"all points lie on one line"),
        (face(box=[1, 2, 1, 4]), r"box \(1, 2, 1, 4\) has no area"),
        (face(box=[100, 100, 140, 140]), r"does not meet the points"),
        (face(box=[1, 2, 3]), r"box is not 4 numbers"),
        (face(visible=[1, 1, 1]), r"visible is not 4 of -1, 0, 1 and 2"),
        (face(visible=[1, 1, 1, 3]), r"visible is not 4 of -1, 0, 1 and 2"),
        (face(visible=[1, 1, 1, True]), r"visible is not 4 of -1, 0, 1 and 2"),
        (face(points3d=SQUARE), r"points3d\[0\] is not 3 numbers"),
        (face(points3d=[[*SQUARE[0], 5], None, [33, 20, 0], None]), r"points3d\[2\] lies 3.0 pix"),
        (face(pose=[1, 2]), r"pose is not 3 numbers"),
        (face(pose=[1, -361, 2]), r"pose has an angle of -361 degrees, .*faces\[1\]; give -360"),
        (face(focal=0), r"focal is 0, .*; give pixels above 0"),
        (face(focal=[3]), r"focal: a value is no number"),
        (face(subsets="blur"), r"subsets a list of text"),
        (face(subsets=["a/b"]), r"subset 'a/b' is no name, .*faces\[1\]; take up to 64 letters"),
        (face(split=3), r"image and split are text"),
        (face(image=3), r"image and split are text"),
        (face(track=1.5), r"track is no whole number from 0"),
        (face(time=10**30), r"time is no whole number from 0"),
        (face(image="none.png"), r"no image, .*none\.png; restore"),
        (face(image="../a.png"), r"path '\.\./a\.png' is not below .*faces\[1\]; correct"),
        (face(image="/etc/hosts"), r"path '/etc/hosts' is not below"),
        (face(image="a\0.png"), r"is not below"),
        (face(image="\ud800"), r"is not below"),
        (face(image=""), r"is not below"),
    ],
)
def test_bad_face_is_named_and_the_others_are_kept(
    write: Callable[..., Path], bad: Any, message: str
) -> None:
    root = write(face(), bad, face(image="images/b.png"))
    with pytest.raises(UserError, match=message) as error:
        JsonFaces(str(root)).index()
    assert "\n" not in str(error.value)
    index, problems = JsonFaces(str(root)).scan()
    assert (len(index), len(problems)) == (2, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"no JSON: .*, .*faces\.json:1; correct"),
        ('{"format":\n 1,}', r"no JSON: .*, .*faces\.json:2; correct"),
        ('{"format": NaN}', r"NaN is no number in JSON, .*faces\.json; correct"),
        ('{"format": 1, "format": 2}', r"key 'format' stands in row 1 and again, .*:1; remove"),
        ("[" * 100_000, r"no readable JSON|no JSON"),
        ("[1]", r'no "format"'),
        (
            '{"format": "lit_landmarks faces", "version": 1, "scheme": "ibug68", "faces": {}}',
            r'"faces" is no list, .*faces\.json; write one',
        ),
        ("\xff\xff", r"no readable JSON"),
        ("1" * 5000, r"no readable JSON|no \"format\""),
    ],
)
def test_what_is_no_json_is_told(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "faces.json").write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match=message) as error:
        JsonFaces(str(tmp_path)).index()
    assert "\n" not in str(error.value)


def test_parts_are_read_as_the_whole(write: Callable[..., Path], tmp_path: Path) -> None:
    more = {"box": [4, 5, 40, 41], "subsets": ["blur"]}
    root = write(
        face(split="train", **more),
        face(image="images/b.png", split="test", **more),
        face(image="images/b.png", split="val"),
        pixel_grid="shown",
    )
    whole = JsonFaces(str(root), boxes="ground_truth", subset="blur", pixel_grid="stored")
    index = whole.index()
    parts: dict[str, Any] = whole.parts()
    assert list(parts) == ["train", "test"], "no face of val is in the subset"
    for row, part in enumerate(parts.values()):
        assert (part.boxes, part.subset, part.grid) == ("ground_truth", "blur", "stored")
        assert part.index().box.tolist() == index.box[row : row + 1].tolist() != [more["box"]]
    assert list(JsonFaces(str(root), first=2).parts()) == []  # before anything was read
    few = JsonFaces(str(root), first=2)
    assert len(few.index()) == 2
    assert list(few.parts()) == ["train", "test", "val"][: len(few.parts())]
    assert all(len(part.index()) == 1 for part in few.parts().values())


def test_missing_file_says_how_to_write_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no file .*faces\.json; write it as the docstring of"):
        JsonFaces(str(tmp_path)).index()


_LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=6))
_VALUES = st.recursive(
    _LEAVES,
    lambda one: st.lists(one, max_size=4) | st.dictionaries(st.text(max_size=6), one, max_size=3),
    max_leaves=6,
)


@given(data=st.data())
def test_damaged_files_are_read_right_or_refused(
    copies: Copies, attempt: Attempt, data: st.DataObject
) -> None:
    root, faces = copies("json", n=4)
    file = root / "faces.json"
    whole = file.read_bytes()
    document = json.loads(whole)
    kind = data.draw(st.sampled_from(["key", "head", "rows", "cut", "bytes"]))
    if kind == "key":
        row = data.draw(st.sampled_from(document["faces"]))
        row[data.draw(st.sampled_from([*row, "track", "subsets", "odd"]))] = data.draw(_VALUES)
    elif kind == "head":
        document[data.draw(st.sampled_from(sorted(document)))] = data.draw(_VALUES)
    elif kind == "rows":
        document["faces"] = data.draw(st.permutations(document["faces"]))[1:]
    raw = json.dumps(document).encode("utf-8", "surrogatepass")
    if kind == "cut":
        raw = whole[: data.draw(st.integers(0, len(whole) - 2))]
    elif kind == "bytes":
        at = data.draw(st.integers(0, len(whole)))
        raw = whole[:at] + data.draw(st.binary(min_size=1, max_size=20)) + whole[at:]
    index, _ = attempt(file, raw, JsonFaces(str(root)))
    if kind == "cut" and raw.rstrip() != whole.rstrip():
        assert index is None
    if index is None or kind == "bytes":
        return
    for row, path in enumerate(index.paths):
        truth = faces[int(Path(path).stem)].points
        if kind == "rows":
            assert index.points[row] == pytest.approx(truth, abs=1e-4)
        # A drawn value can never pass for 68 points.
        assert np.abs(index.points[row] - truth).max() < 1e-3
