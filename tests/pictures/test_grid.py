"""The orientation tag: one rule in every format that has one, on both grids."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps, PngImagePlugin

from lit_landmarks.data import Ibug300W, JsonFaces
from lit_landmarks.data.cache import source_crops
from lit_landmarks.data.check import check_dataset
from lit_landmarks.data.convert import convert_to_json
from lit_landmarks.errors import UserError
from lit_landmarks.pictures import GRIDS, decode_image, orientation_tag
from tests.support.images import write_pts
from tests.support.picture_files import by_pillow

#: Formats with a tag, and how to write them without loss where there is such a way.
_TAGGED: dict[str, dict[str, object]] = {
    "JPEG": {"quality": 100, "subsampling": 0},
    "PNG": {},
    "WEBP": {"lossless": True},
    "TIFF": {},
}
#: Corners of a picture in the order top left, top right, bottom left, bottom right.
_COLORS = np.array([[250, 0, 0], [0, 250, 0], [0, 0, 250], [250, 250, 250]], np.uint8)


def corners(image: np.ndarray) -> list[int]:
    """Which of `_COLORS` stands in each corner."""
    ends = image[[4, 4, -5, -5], [4, -5, 4, -5]].astype(int)
    away = np.abs(ends[:, None] - _COLORS.astype(int)).sum(2)
    assert away.min(1).max() < 30
    return [int(k) for k in away.argmin(1)]


def stored(height: int = 32, width: int = 48) -> np.ndarray:
    image = np.empty((height, width, 3), np.uint8)
    image[: height // 2, : width // 2], image[: height // 2, width // 2 :] = _COLORS[:2]
    image[height // 2 :, : width // 2], image[height // 2 :, width // 2 :] = _COLORS[2:]
    return image


def tagged(kind: str, tag: int) -> bytes:
    exif = Image.Exif()
    exif[274] = tag
    return by_pillow(stored(), kind, exif=exif, **_TAGGED[kind])


#: Corners of the picture as the Exif standard says that it is shown, by tag.
_SHOWN = {
    1: [0, 1, 2, 3],
    2: [1, 0, 3, 2],
    3: [3, 2, 1, 0],
    4: [2, 3, 0, 1],
    5: [0, 2, 1, 3],
    6: [2, 0, 3, 1],
    7: [3, 1, 2, 0],
    8: [1, 3, 0, 2],
}


@pytest.mark.parametrize("kind", _TAGGED)
@pytest.mark.parametrize("tag", _SHOWN)
def test_every_tag_in_every_format_on_both_grids(kind: str, tag: int) -> None:
    data = tagged(kind, tag)
    assert orientation_tag(data) == tag
    plain, turned = decode_image(data, "a"), decode_image(data, "a", "shown")
    assert plain.shape == (32, 48, 3)
    assert corners(plain) == [0, 1, 2, 3]
    assert turned.shape == ((48, 32, 3) if tag > 4 else (32, 48, 3))
    assert corners(turned) == _SHOWN[tag]
    assert turned.flags.c_contiguous


@pytest.mark.parametrize("kind", _TAGGED)
def test_turned_as_pillow_turns(kind: str, tmp_path: Path) -> None:
    for tag in (5, 7):
        (tmp_path / "a").write_bytes(tagged(kind, tag))
        with Image.open(tmp_path / "a") as image:
            expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB")).astype(int)
        read = decode_image(tagged(kind, tag), "a", "shown").astype(int)
        assert np.abs(read - expected).max() <= 2


@pytest.mark.parametrize("order", ["<", ">"])
def test_tags_in_either_byte_order_as_long_numbers_and_without_meaning(order: str) -> None:
    def exif(tag: int, kind: int) -> bytes:
        value = struct.pack(f"{order}{'H' if kind == 3 else 'I'}", tag).ljust(4, b"\0")
        head = (b"II" if order == "<" else b"MM") + struct.pack(
            f"{order}HIHHHI", 42, 8, 1, 274, kind, 1
        )
        body = b"Exif\0\0" + head + value + bytes(4)
        jpeg = by_pillow(stored(), "JPEG", quality=95)
        return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]

    assert [orientation_tag(exif(tag, 3)) for tag in (6, 0, 9, 3)] == [6, 1, 1, 3]
    assert [orientation_tag(exif(tag, 4)) for tag in (8, 70_000)] == [8, 1]
    cut = exif(6, 3)
    assert orientation_tag(cut.replace(struct.pack(f"{order}I", 8), b"\xff" * 4, 1)) == 1


def own_faces(root: Path, tag: int, **header: str) -> Path:
    """A photo of 32 x 48 stored pixels, and points in its first stored quarter."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "a.jpg").write_bytes(tagged("JPEG", tag))
    scheme = {"name": "grid_points3", "points": ["a", "b", "c"]}
    face = {"image": "a.jpg", "points": [[4, 4], [12, 5], [9, 11]]}
    document = {"format": "lit_landmarks faces", "version": 1, "scheme": scheme, **header}
    (root / "faces.json").write_text(json.dumps({**document, "faces": [face]}))
    return root


def quarter(dataset: JsonFaces | Ibug300W) -> int:
    """Which of `_COLORS` lies below the points of the first face."""
    x, y = dataset.index().points[0].mean(0).astype(int)
    color = dataset.load([0])[0][y, x].astype(int)
    return int(np.abs(color - _COLORS.astype(int)).sum(1).argmin())


@pytest.mark.parametrize(("tag", "shown"), [(3, 3), (8, 1)])
def test_own_points_lie_on_the_shown_picture_unless_told_otherwise(
    tmp_path: Path, tag: int, shown: int
) -> None:
    root = str(own_faces(tmp_path / "own", tag))
    assert quarter(JsonFaces(root)) == shown
    assert quarter(JsonFaces(root, pixel_grid="stored")) == 0
    said = str(own_faces(tmp_path / "said", tag, pixel_grid="stored"))
    assert quarter(JsonFaces(said)) == 0
    assert quarter(JsonFaces(said, pixel_grid="shown")) == shown
    keys = {JsonFaces(root, pixel_grid=grid).content_key([0]) for grid in GRIDS}
    assert len(keys) == 2
    crops = [
        source_crops(JsonFaces(root, pixel_grid=grid), 8, 1.0, tmp_path / "cache") for grid in GRIDS
    ]
    assert not np.array_equal(*crops)


@pytest.mark.parametrize("tag", [5, 6])
def test_folder_of_pts_is_shown_and_parts_of_300w_are_stored(tmp_path: Path, tag: int) -> None:
    points = np.random.default_rng(0).uniform(3, 11, (68, 2))
    for name in ("mine", "helen"):
        (tmp_path / name).mkdir()
        write_pts(tmp_path / name / "a.pts", points)
        (tmp_path / name / "a.png").write_bytes(tagged("PNG", tag))
    shown = _SHOWN[tag][0]
    assert quarter(Ibug300W(str(tmp_path / "mine"))) == shown
    assert quarter(Ibug300W(str(tmp_path / "mine"), pixel_grid="stored")) == 0
    assert quarter(Ibug300W(str(tmp_path / "helen"))) == 0
    assert quarter(Ibug300W(str(tmp_path / "helen"), pixel_grid="shown")) == shown
    for name in ("mine", "helen"):
        source = Ibug300W(str(tmp_path / name))
        convert_to_json(source, tmp_path / f"{name}_json")
        assert quarter(JsonFaces(str(tmp_path / f"{name}_json"))) == quarter(source)


def test_check_counts_the_pictures_whose_tag_is_not_1(tmp_path: Path) -> None:
    points = np.random.default_rng(0).uniform(3, 11, (68, 2))
    for k, tag in enumerate((1, 4, 7, 1, 2)):
        write_pts(tmp_path / f"{k}.pts", points)
        (tmp_path / f"{k}.webp").write_bytes(tagged("WEBP", tag))
    report = check_dataset(Ibug300W(str(tmp_path)))
    assert {Path(path).name: tag for path, tag in report.turned.items()} == {
        "1.webp": 4,
        "2.webp": 7,
        "4.webp": 2,
    }
    text = "\n".join(report.lines())
    assert "tag other than 1: 3, such as 1.webp (4), 2.webp (7), 4.webp (2)" in text
    assert "on the pictures as shown; if they do not, set pixel_grid: stored" in text
    assert "orientation" not in "\n".join(
        check_dataset(Ibug300W(str(tmp_path), last=1, first=4)).lines()
    )


@pytest.mark.parametrize(
    "make", [lambda r: JsonFaces(r, pixel_grid="turned"), lambda r: JsonFaces(r)]
)
def test_unknown_grid(tmp_path: Path, make: Callable[[str], JsonFaces]) -> None:
    root = own_faces(tmp_path, 1, pixel_grid="upright")
    with pytest.raises(UserError, match="pixel_grid"):
        make(str(root)).index()


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("order", ["II", "MM"])
def test_exif_in_a_text_of_a_png_is_heeded(compressed: bool, order: str) -> None:
    form = "<" if order == "II" else ">"
    entry = struct.pack(f"{form}HHIHH", 274, 3, 1, 8, 0)
    block = order.encode() + struct.pack(f"{form}HIH", 42, 8, 1) + entry + bytes(4)
    digits = (b"Exif\0\0" + block).hex()
    lines = "\n".join(digits[k : k + 36] for k in range(0, len(digits), 36))
    texts = PngImagePlugin.PngInfo()
    text = f"\nexif\n{len(block) + 6:8d}\n{lines}\n"
    texts.add_text("Raw profile type exif", text, zip=compressed)
    data = by_pillow(stored(), "PNG", pnginfo=texts)
    assert orientation_tag(data) == 8
    assert corners(decode_image(data, "a", "shown")) == _SHOWN[8]


def test_an_empty_exif_block_hides_no_other() -> None:
    jpeg = tagged("JPEG", 6)
    empty = b"\xff\xe1\x00\x08Exif\0\0"
    assert orientation_tag(jpeg[:2] + empty + jpeg[2:]) == 6
