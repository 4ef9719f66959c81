"""What annotation tools export, read; and COCO keypoints, written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO

from lit_landmarks.cli import main
from lit_landmarks.data import (
    CocoKeypoints,
    CvatXml,
    DlibXml,
    FaceDataset,
    JsonFaces,
    LabelMe,
    SyntheticFaces,
)
from lit_landmarks.data.convert import convert_to_coco, convert_to_json
from lit_landmarks.data.recognize import walk
from lit_landmarks.errors import UserError
from lit_landmarks.schemes import get_scheme, mirror_pairs
from lit_landmarks.schemes.imported import chain_edges
from tests.support.images import write_image

NAMES = ["right eye", "left eye", "nose", "right mouth", "left mouth"]
FIRST = [[20.5, 30.25], [44, 30], [32, 40], [24.5, 50], [40, 50.5]]
SECOND = [[23.5, 31.25], [47, 31], [35, 41], [27.5, 51], [43, 51.5]]


def xml(path: Path, body: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'<?xml version="1.0" encoding="utf-8"?>\n{body}\n', encoding="utf-8")
    return path.parent


def datumaro_coco(root: Path) -> Path:
    """What datumaro 1.13.12 (`Dataset.export(..., "coco_person_keypoints")`) wrote of two faces."""
    for k in range(2):
        write_image(root / "images" / "train" / f"photo {k}.png", 90, (80, 96))
    pictures = [
        {"id": k, "width": 96, "height": 80, "file_name": f"photo {k}.png", "license": 0}
        for k in range(2)
    ]
    row: dict[str, Any] = {"category_id": 1, "segmentation": [], "area": 2400.0, "iscrowd": 0}
    row["bbox"] = [10.0, 12.0, 50.0, 48.0]
    states = [[2, 2, 1, 2, 0], [2] * 5]
    rows = [
        row
        | {"id": k + 1, "image_id": k, "num_keypoints": 5 - states[k].count(0)}
        | {"keypoints": [v for p, s in zip(face, states[k], strict=True) for v in (*p, s)]}
        for k, face in enumerate((FIRST, SECOND))
    ]
    category = {"id": 1, "name": "face", "supercategory": "", "keypoints": NAMES}
    document = {
        "licenses": [{"name": "", "id": 0, "url": ""}],
        "categories": [category | {"skeleton": [[0, 1], [3, 4]]}],
        "images": pictures,
        "annotations": rows,
    }
    file = root / "annotations" / "person_keypoints_train.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(document))
    return root


def test_coco_of_datumaro(tmp_path: Path) -> None:
    faces = CocoKeypoints(str(datumaro_coco(tmp_path)))
    index = faces.index()
    scheme = get_scheme(faces.scheme)
    assert scheme.point_names == tuple(NAMES)
    assert scheme.flip == (1, 0, 2, 4, 3)
    assert scheme.polylines == {"line0": ((0, 1), False), "line1": ((3, 4), False)}
    assert index.points[0, :4].tolist() == FIRST[:4]
    assert index.points[1].tolist() == SECOND
    assert index.mask.tolist() == [[True] * 4 + [False], [True] * 5]
    assert index.visible is not None
    assert index.visible.tolist() == [[1, 1, 0, 1, -1], [1] * 5]
    assert index.box.tolist() == [[10, 12, 60, 60]] * 2
    assert [Path(p).name for p in index.paths] == ["photo 0.png", "photo 1.png"]
    shifted = CocoKeypoints(str(tmp_path), first_pixel=0.5).index()
    assert shifted.points[1].tolist() == (np.array(SECOND) - 0.5).tolist()
    assert [type(d).__name__ for _, d in walk(tmp_path)] == ["CocoKeypoints"]


def test_coco_of_roboflow_and_of_label_studio(tmp_path: Path) -> None:
    """Pictures beside the file, or under a name of the server; crowds and masks are passed over."""
    write_image(tmp_path / "train" / "a.jpg", 90)
    write_image(tmp_path / "studio" / "images" / "a.jpg", 90)
    triple = [10, 12, 2, 40, 11, 2, 25, 50, 1]
    base = {"category_id": 1, "image_id": 7, "bbox": [8, 9, 40, 50]}
    mask = {"segmentation": {"counts": [1, 2], "size": [64, 64]}, "iscrowd": 1}
    for place, name in (("train", "a.jpg"), ("studio", "/data/upload/1/a.jpg")):
        document = {
            "images": [{"id": 7, "file_name": name}],
            "categories": [
                {"id": 0, "name": "faces", "supercategory": "none"},
                {
                    "id": 1,
                    "name": "mark",
                    "keypoints": ["L", "R", "m"],
                    "skeleton": [[1, 2], [2, 3]],
                },
            ],
            "annotations": [
                base | {"id": 0, "keypoints": triple},
                base | {"id": 1, "keypoints": [0] * 9, "num_keypoints": 0},
                base | mask | {"id": 2, "keypoints": triple},
                base | {"id": 3, "segmentation": [[1, 2, 3, 4, 5, 6]]},
            ],
        }
        file = "_annotations.coco.json" if place == "train" else "result.json"
        (tmp_path / place / file).write_text(json.dumps(document))
        faces = CocoKeypoints(str(tmp_path / place))
        assert faces.index().points.tolist() == [[[10, 12], [40, 11], [25, 50]]]
        assert get_scheme(faces.scheme).flip == (1, 0, 2)
        assert get_scheme(faces.scheme).polylines == {"line0": ((0, 1, 2), False)}
    assert sorted(name for name, _ in walk(tmp_path)) == ["studio", "train"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keypoints": [1, 2, 2, 3]}, r"4 numbers in keypoints, not x, y, v of 5 points"),
        ({"keypoints": [1, 2, 7] * 5}, r"visibility of 'right eye' is 7, .*; give 0, 1 or 2"),
        ({"keypoints": ["a", 2, 2] * 5}, r"x 'a' is no number"),
        (
            {"keypoints": [float("nan"), 2, 2] * 5},
            r"'right eye' is no place, .*; give visibility 0",
        ),
        ({"image_id": 9}, r"no image of id 9"),
    ],
)
def test_bad_annotation_is_named_and_the_other_is_read(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    file = datumaro_coco(tmp_path) / "annotations" / "person_keypoints_train.json"
    document = json.loads(file.read_text())
    document["annotations"][1] |= change
    file.write_text(json.dumps(document))
    with pytest.raises(UserError, match=message) as error:
        CocoKeypoints(str(tmp_path)).index()
    assert f"{file}:annotations[1]" in str(error.value)
    index, problems = CocoKeypoints(str(tmp_path)).scan()
    assert (len(index), len(problems)) == (1, 1)


@pytest.mark.parametrize("name", ["../../secret.png", "/tmp/secret.png", "C:\\x\\secret.png", ".."])
def test_pictures_outside_of_the_root_are_not_read(tmp_path: Path, name: str) -> None:
    root = datumaro_coco(tmp_path / "root")
    write_image(tmp_path / "secret.png", 90)
    file = root / "annotations" / "person_keypoints_train.json"
    document = json.loads(file.read_text())
    document["images"][0]["file_name"] = name
    file.write_text(json.dumps(document))
    with pytest.raises(UserError, match=r"no image, .*annotations\[0\]|is not below"):
        CocoKeypoints(str(root)).index()


@pytest.mark.parametrize("scheme", ["ibug68", "wflw98"])
def test_coco_is_written_as_pycocotools_reads_it(tmp_path: Path, scheme: str) -> None:
    source = SyntheticFaces(n=3, image_size=64, scheme=scheme)
    assert convert_to_coco(source, tmp_path / "coco") == 3
    old = source.index()
    coco = COCO(str(tmp_path / "coco" / "annotations.json"))
    category = coco.loadCats(coco.getCatIds())[0]
    assert category["keypoints"] == list(get_scheme(scheme).point_names)
    edges = sum(len(i) - 1 + closed for i, closed in get_scheme(scheme).polylines.values())
    assert len(category["skeleton"]) == edges
    for row, annotation in enumerate(coco.loadAnns(coco.getAnnIds())):
        table = np.array(annotation["keypoints"]).reshape(-1, 3)
        assert table[:, :2] == pytest.approx(old.points[row], abs=1e-3)
        assert coco.annToMask(annotation | {"segmentation": [[0, 0, 9, 0, 9, 9]]}).shape == (64, 64)
    new = CocoKeypoints(str(tmp_path / "coco"))
    assert new.scheme == scheme
    assert new.index().points == pytest.approx(old.points, abs=1e-3)
    assert new.index().box == pytest.approx(old.box, abs=1e-3)
    assert old.visible is not None
    assert new.index().visible is not None
    assert ((new.index().visible == 1) == (old.visible == 1)).all()  # type: ignore[union-attr]


def test_two_faces_of_a_picture_share_it_in_coco(tmp_path: Path) -> None:
    write_image(tmp_path / "own" / "a.png", 90)
    rows = [{"image": "a.png", "points": [None, *FIRST[1:]]}, {"image": "a.png", "points": SECOND}]
    head = {"format": "lit_landmarks faces", "version": 1}
    head |= {"scheme": {"name": "test_two_faces", "points": NAMES}}  # type: ignore[dict-item]
    (tmp_path / "own" / "faces.json").write_text(json.dumps(head | {"faces": rows}))
    out = tmp_path / "out"
    arguments = ["data", "convert", "JsonFaces", "--root", str(tmp_path / "own"), "--to", str(out)]
    assert main([*arguments, "--layout", "coco"]) == 0
    assert [f.name for f in (out / "images").iterdir()] == ["000000.png"]
    document = json.loads((out / "annotations.json").read_text())
    assert [row["num_keypoints"] for row in document["annotations"]] == [4, 5]
    assert document["annotations"][0]["keypoints"][:3] == [0, 0, 0]
    assert CocoKeypoints(str(out)).index().mask[0].tolist() == [False, *[True] * 4]


CVAT_OF_DATUMARO = """<annotations>
  <version>1.1</version>
  <meta><task><labels><label><name>face</name></label></labels></task></meta>
  <image id="0" name="photo 0.png" width="96" height="80">
    <points label="face" occluded="0" outside="0" keyframe="0"
     points="20.50,30.25;44.00,30.00;32.00,40.00;24.50,50.00;40.00,50.50" z_order="0" group_id="1">
    </points>
    <box label="face" occluded="0" xtl="10.00" ytl="12.00" xbr="60.00" ybr="60.00" group_id="1">
    </box>
  </image>
  <image id="1" name="photo 1.png" width="96" height="80">
    <points label="face" occluded="0" outside="0" keyframe="0"
     points="23.50,31.25;47.00,31.00;35.00,41.00;27.50,51.00;43.00,51.50" z_order="0" group_id="2">
    </points>
  </image>
</annotations>"""


def test_cvat_of_datumaro(tmp_path: Path) -> None:
    """What datumaro 1.13.12 (`Dataset.export(..., "cvat")`) wrote, shortened."""
    root = xml(tmp_path / "train.xml", CVAT_OF_DATUMARO)
    for k in range(2):
        write_image(root / "images" / f"photo {k}.png", 90, (80, 96))
    faces = CvatXml(str(root))
    assert faces.index().points.tolist() == [FIRST, SECOND]
    assert faces.index().box.tolist() == [[10, 12, 60, 60], [23.5, 31, 47, 51.5]]
    assert get_scheme(faces.scheme).flip is None
    assert [type(d).__name__ for _, d in walk(tmp_path)] == ["CvatXml"]


SKELETON = """
<meta><job><labels>
 <label><name>head</name><type>skeleton</type><svg>
  &lt;line x1="1" data-type="edge" data-node-from="4" data-node-to="9"&gt;&lt;/line&gt;
  &lt;circle r="1" data-node-id="4" data-label-name="eye_r"&gt;&lt;/circle&gt;
  &lt;circle r="1" data-node-id="9" data-label-name="eye_l"&gt;&lt;/circle&gt;
  &lt;circle r="1" data-node-id="2" data-label-name="chin"&gt;&lt;/circle&gt;
 </svg></label>
 <label><name>chin</name><type>points</type><parent>head</parent></label>
</labels></job></meta>"""


def points_of(*rows: tuple[str, str, str, str]) -> str:
    return "".join(
        f'<points label="{a}" outside="{b}" occluded="{c}" points="{d}"></points>\n'
        for a, b, c, d in rows
    )


def test_skeletons_of_cvat_images(tmp_path: Path) -> None:
    one = points_of(("chin", "0", "1", "30,55.5"), ("eye_r", "0", "0", "20,20"))
    one += points_of(("eye_l", "1", "0", "40,20"))
    two = points_of(("eye_l", "0", "0", "41,20"), ("eye_r", "0", "0", "21,20"))
    root = xml(
        tmp_path / "annotations.xml",
        f'<annotations>{SKELETON}<image id="3" name="sub/a.png" width="64" height="64">'
        f'<skeleton label="head">{one}</skeleton><box label="car" xtl="1" ytl="1" xbr="2" ybr="2"/>'
        f'<skeleton label="head">{two}{points_of(("chin", "0", "0", "31,55"))}</skeleton>'
        "</image></annotations>",
    )
    write_image(root / "images" / "sub" / "a.png", 90)
    faces = CvatXml(str(root))
    scheme, index = get_scheme(faces.scheme), faces.index()
    assert scheme.point_names == ("eye_r", "eye_l", "chin")
    assert (scheme.flip, scheme.polylines) == ((1, 0, 2), {"line0": ((0, 1), False)})
    assert index.points.tolist() == [[[20, 20], [0, 0], [30, 55.5]], [[21, 20], [41, 20], [31, 55]]]
    assert index.visible is not None
    assert index.visible.tolist() == [[1, -1, 0], [1, 1, 1]]


def test_tracks_of_cvat_video(tmp_path: Path) -> None:
    def skeleton(frame: int, x: int, outside: str = "0") -> str:
        rows = [("eye_r", "20"), ("eye_l", "40")]
        points = points_of(*((n, outside, "0", f"{int(v) + x},20") for n, v in rows))
        points += points_of(("chin", outside, "0", f"{30 + x},55"))
        return f'<skeleton frame="{frame}" keyframe="1">{points}</skeleton>'

    root = xml(
        tmp_path / "annotations.xml",
        f'<annotations>{SKELETON}<track id="0" label="head">{skeleton(0, 0)}{skeleton(12, 3)}'
        f'{skeleton(13, 0, "1")}</track><track id="1" label="head">{skeleton(12, -7)}</track>'
        "</annotations>",
    )
    for frame in (0, 12, 13):
        write_image(root / "images" / f"frame_{frame:06d}.PNG", 90)
    index = CvatXml(str(root)).index()
    assert [Path(p).stem for p in index.paths] == ["frame_000000", "frame_000012", "frame_000012"]
    assert index.points[:, 0].tolist() == [[20, 20], [23, 20], [13, 20]]
    assert index.track is not None
    assert index.time is not None
    assert (index.track.tolist(), index.time.tolist()) == ([0, 0, 1], [0, 12, 12])


@pytest.mark.parametrize("part", ["<!DOCTYPE a [<!ENTITY b 'x'>]>", "<!DOCTYPE a SYSTEM 'b.dtd'>"])
@pytest.mark.parametrize("reader", [CvatXml, DlibXml])
def test_xml_with_a_document_type_is_refused(
    tmp_path: Path, part: str, reader: type[CvatXml] | type[DlibXml]
) -> None:
    xml(tmp_path / "a.xml", f"{part}\n<annotations><b points='1,2'/></annotations>")
    with pytest.raises(UserError, match=r"XML with a document type, .*a\.xml:2; remove"):
        reader(str(tmp_path), file="a.xml").index()
    (tmp_path / "a.xml").write_text("<annotations><b></annotations>")
    with pytest.raises(UserError, match=r"no XML: mismatched tag.*, .*a\.xml:1; export"):
        reader(str(tmp_path), file="a.xml").index()


def test_parts_of_dlib_are_sorted_by_number(tmp_path: Path) -> None:
    places = {name: (10 + 3 * int(name), 20 + (7 * int(name)) % 31) for name in map(str, range(12))}
    shuffled = ["10", "2", "0", "11", "1", "9", "3", "8", "4", "7", "5", "6"]
    parts = "".join(f"<part name='{n}' x='{places[n][0]}' y='{places[n][1]}'/>" for n in shuffled)
    fewer = "".join(
        f"<part name='{n}' x='{places[n][0]}' y='{places[n][1]}'/>" for n in shuffled[3:]
    )
    box = "box top='15' left='8' width='40' height='41'"
    xml(
        tmp_path / "training.xml",
        "<dataset><name>x</name><images>\n"
        f"<image file='a.jpg'><{box}>{parts}</box><{box} ignore='1'>{parts}</box></image>\n"
        f"<image file='b/a.jpg'><{box}>{fewer}</box><{box}/></image></images></dataset>",
    )
    for name in ("a.jpg", "b/a.jpg"):
        write_image(tmp_path / name, 90)
    faces = DlibXml(str(tmp_path))
    index = faces.index()
    assert get_scheme(faces.scheme).point_names == tuple(map(str, range(12)))
    assert index.points[0].tolist() == [list(places[str(k)]) for k in range(12)]
    assert index.mask[1].tolist() == [k not in (0, 2, 10) for k in range(12)]
    assert index.box[0].tolist() == [8, 15, 47, 55]
    assert Path(index.paths[1]).parent.name == "b"
    assert [type(d).__name__ for _, d in walk(tmp_path)] == ["DlibXml"]
    with pytest.raises(UserError, match=r"scheme 'ibug68' has 68 points, the file names 12, "):
        DlibXml(str(tmp_path), scheme="ibug68").index()


def labelme(path: Path, image: str, *shapes: tuple[str, list[list[float]], int | None]) -> None:
    """A file as LabelMe 5 and 6 save it."""
    rows = [
        {
            "label": label,
            "points": places,
            "group_id": group,
            "description": "",
            "shape_type": {1: "point", 2: "rectangle"}.get(len(places), "polygon"),
            "flags": {},
            "mask": None,
        }
        for label, places, group in shapes
    ]
    document = {"version": "5.4.1", "flags": {}, "shapes": rows, "imagePath": image}
    document |= {"imageData": None, "imageHeight": 64, "imageWidth": 64}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2))


LABELME_OF_LABELME = """{"version": "6.3.1", "flags": {}, "shapes": [
{"label": "right_eye", "points": [[10.5, 12.25]], "group_id": 1,
 "shape_type": "point", "flags": {}, "description": "", "mask": null},
{"label": "left_eye", "points": [[30.0, 11.75]], "group_id": 1,
 "shape_type": "point", "flags": {}, "description": "", "mask": null},
{"label": "nose_tip", "points": [[20.125, 20.5]], "group_id": 1,
 "shape_type": "point", "flags": {}, "description": "", "mask": null},
{"label": "right_eye", "points": [[30.5, 22.25]], "group_id": 2,
 "shape_type": "point", "flags": {}, "description": "", "mask": null},
{"label": "left_eye", "points": [[50.0, 21.75]], "group_id": 2,
 "shape_type": "point", "flags": {}, "description": "", "mask": null},
{"label": "nose_tip", "points": [[40.125, 30.5]], "group_id": 2,
 "shape_type": "point", "flags": {}, "description": "", "mask": null}],
"imagePath": "anna.png", "imageData": null, "imageHeight": 48, "imageWidth": 64}
"""


def test_labelme_of_labelme(tmp_path: Path) -> None:
    """What labelme 6.3.1 (`LabelFile.save`) wrote of two faces, without its indents."""
    write_image(tmp_path / "anna.png", 90, (48, 64))
    (tmp_path / "anna.json").write_text(LABELME_OF_LABELME)
    faces = LabelMe(str(tmp_path))
    index = faces.index()
    scheme = get_scheme(faces.scheme)
    assert scheme.point_names == ("left_eye", "nose_tip", "right_eye")
    assert scheme.flip == (2, 1, 0)
    assert index.mask.all()
    expected = [[30.0, 11.75], [20.125, 20.5], [10.5, 12.25]]
    assert index.points[0].tolist() == expected
    assert index.points[1].tolist() == [[x + 20, y + 10] for x, y in expected]
    assert convert_to_json(faces, tmp_path / "out") == 2
    assert np.array_equal(JsonFaces(str(tmp_path / "out")).index().points, index.points)


def test_labelme_with_and_without_groups(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg", 90)
    write_image(tmp_path / "pictures" / "b.jpg", 90)
    labelme(
        tmp_path / "a.json",
        "a.jpg",
        ("leftEye", [[40, 20]], None),
        ("rightEye", [[20, 20.5]], None),
        ("chin", [[30, 50]], None),
        ("hair", [[1, 1], [2, 2], [3, 1]], None),
        ("face", [[55, 58], [12, 8]], None),
    )
    labelme(
        tmp_path / "labels" / "b.json",
        "..\\pictures\\b.jpg",
        ("rightEye", [[10, 20]], 1),
        ("chin", [[15, 30]], 1),
        ("leftEye", [[60, 21]], 2),
        ("rightEye", [[40, 20]], 2),
        ("chin", [[50, 41]], 2),
    )
    faces = LabelMe(str(tmp_path))
    index = faces.index()
    assert get_scheme(faces.scheme).point_names == ("chin", "leftEye", "rightEye")
    assert get_scheme(faces.scheme).flip == (0, 2, 1)
    assert index.points[0].tolist() == [[30, 50], [40, 20], [20, 20.5]]
    assert index.mask[1].tolist() == [True, False, True]
    assert index.points[2].tolist() == [[50, 41], [60, 21], [40, 20]]
    assert index.box[0].tolist() == [12, 8, 55, 58]
    assert [Path(p).name for p in index.paths] == ["a.jpg", "b.jpg", "b.jpg"]
    # As our own JSON nothing is lost, and the declared scheme comes along.
    assert convert_to_json(faces, tmp_path / "out") == 3
    own = JsonFaces(str(tmp_path / "out"))
    assert (own.scheme, own.index().mask.tolist()) == (faces.scheme, index.mask.tolist())
    assert np.array_equal(own.index().points, index.points)
    labelme(tmp_path / "c.json", "a.jpg", *[("eye", [[4, 2]], None), ("lip", [[4, 9]], None)] * 2)
    with pytest.raises(
        UserError, match=r"two points 'eye' in one face, .*c\.json; give the points"
    ):
        LabelMe(str(tmp_path)).index()


def test_points_that_share_a_label_are_numbered(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg", 90)
    labelme(
        tmp_path / "a.json", "a.jpg", *[("mark", [[10.0 + 9 * k, 8.0 * k]], None) for k in range(5)]
    )
    faces: FaceDataset = LabelMe(str(tmp_path), scheme="test_marks5")
    assert faces.scheme == "test_marks5"
    assert get_scheme("test_marks5").point_names == ("0", "1", "2", "3", "4")
    assert faces.index().points[0, 3].tolist() == [37, 24]


@pytest.mark.parametrize(
    ("names", "flip"),
    [
        (["eye.L", "eye.R", "nose"], (1, 0, 2)),
        (["Left Brow Outer", "Right Brow Outer"], (1, 0)),
        (["lefteye", "righteye", "upright"], (1, 0, 2)),
        (["mouthRight", "tip", "mouthLeft"], (2, 1, 0)),
        (["RightEye", "nose"], None),
        (["a", "b"], None),
        (["eye_left", "eye-left"], None),
    ],
)
def test_mirror_pairs_by_name(names: list[str], flip: tuple[int, ...] | None) -> None:
    assert mirror_pairs(names) == flip


def test_edges_become_paths_and_each_is_drawn_once() -> None:
    edges = [(0, 1), (1, 2), (1, 3), (4, 5), (5, 6), (6, 4), (1, 0), (7, 7)]
    paths = chain_edges(edges)
    drawn = [
        frozenset(pair)
        for indices, closed in paths
        for pair in zip(indices, indices[1:] + indices[: int(closed)], strict=False)
    ]
    assert sorted(map(sorted, drawn)) == [[0, 1], [1, 2], [1, 3], [4, 5], [4, 6], [5, 6]]
    assert sum(closed for _, closed in paths) == 1


@pytest.mark.parametrize("grid", ["shown", "stored"])
def test_turned_pictures_keep_their_points_in_coco(tmp_path: Path, grid: Any) -> None:
    """A picture of 96 x 80 pixels as shown, stored on its side: the export turns or rewrites it."""
    write_image(tmp_path / "own" / "a.jpg", 90, (96, 80))
    plain = (tmp_path / "own" / "a.jpg").read_bytes()
    tag = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    block = b"\xff\xe1" + (len(tag) + 2).to_bytes(2, "big") + tag
    (tmp_path / "own" / "a.jpg").write_bytes(plain[:2] + block + plain[2:])
    head = {"format": "lit_landmarks faces", "version": 1, "pixel_grid": grid}
    head |= {"scheme": {"name": "test_turned", "points": NAMES}}
    rows = [{"image": "a.jpg", "points": FIRST}]
    (tmp_path / "own" / "faces.json").write_text(json.dumps(head | {"faces": rows}))
    own = JsonFaces(str(tmp_path / "own"))
    assert convert_to_coco(own, tmp_path / "out") == 1
    back = CocoKeypoints(str(tmp_path / "out"))
    assert back.index().points[0].tolist() == FIRST
    assert back.load([0])[0].shape == own.load([0])[0].shape
    assert own.load([0])[0].shape[:2] == ((80, 96) if grid == "shown" else (96, 80))
