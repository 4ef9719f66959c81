"""Pictures of other depths and color kinds: read in 8 bits, or refused with the cure."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from lit_landmarks.errors import UserError
from lit_landmarks.pictures import decode_image
from tests.support.picture_files import by_opencv, by_pillow, photograph

#: 16-bit files: grey and color, in each format that has them.
_WIDE = [
    (".png", 1),
    (".png", 3),
    (".png", 4),
    (".tiff", 1),
    (".tiff", 3),
    (".pgm", 1),
    (".ppm", 3),
]


@pytest.mark.parametrize(("suffix", "channels"), _WIDE)
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_sensors_of_fewer_bits_in_16_bit_files(suffix: str, channels: int, bits: int) -> None:
    photo = photograph(3, 64, 64)[..., : min(channels, 3)]
    photo[0, 0] = 255
    rng = np.random.default_rng(bits)
    fine = (photo.astype(np.uint16) << (bits - 8)) | rng.integers(0, 1 << (bits - 8), photo.shape)
    pixels = fine.astype(np.uint16)
    if channels == 4:
        pixels = np.dstack([pixels, np.full((64, 64), 65535, np.uint16)])
    data = by_opencv(pixels[..., 0] if channels == 1 else pixels, suffix)
    expected = np.repeat(photo, 3, 2) if channels == 1 else photo
    assert np.array_equal(decode_image(data, "a"), expected)


@pytest.mark.parametrize(("largest", "value", "expected"), [(1023, 512, 128), (100, 90, 230)])
def test_pnm_states_its_range(largest: int, value: int, expected: int) -> None:
    kind = ">u2" if largest > 255 else "u1"
    for letter, channels in ((b"P5", 1), (b"P6", 3)):
        head = letter + b"\n# a comment\n6 4\n%d\n" % largest
        image = decode_image(head + np.full(24 * channels, value, kind).tobytes(), "a")
        assert image.shape == (4, 6, 3)
        assert (image == expected).all()
    with pytest.raises(UserError, match=rf"PNM holds {largest + 9}, more than its {largest}"):
        decode_image(head + np.full(72, largest + 9, kind).tobytes(), "a")


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_one_bit_palette_and_grey_become_colors(kind: str) -> None:
    photo = Image.fromarray(photograph(2, 64, 64))
    for mode in ("1", "P", "L"):
        picture = photo.convert(mode)
        buffer = io.BytesIO()
        picture.save(buffer, kind)
        expected = np.asarray(picture.convert("RGB"))
        assert np.array_equal(decode_image(buffer.getvalue(), "a"), expected)


def test_bits_of_pbm_are_black_where_they_are_set() -> None:
    bits = np.random.default_rng(0).integers(0, 2, (5, 11), np.uint8)
    data = b"P4 11 5\n" + np.packbits(bits, axis=1).tobytes()
    assert np.array_equal(decode_image(data, "a")[..., 1], 255 * (1 - bits))


def test_alpha_is_ignored_and_refused_where_it_is_mixed_in() -> None:
    photo = photograph(1, 64, 64)
    clear = np.dstack([photo, np.full((64, 64), 255, np.uint8)])
    half = clear.copy()
    half[:20, :, 3], half[20:40, :, 3] = 0, 128
    for kind in ("PNG", "WEBP"):
        options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
        assert np.array_equal(decode_image(by_pillow(half, kind, **options), "a"), photo)
    for packing in (None, "tiff_lzw", "tiff_adobe_deflate"):
        read = decode_image(by_pillow(clear, "TIFF", compression=packing), "a")
        assert np.array_equal(read, photo)
        with pytest.raises(UserError, match=r"transparent pixels, a; save it without"):
            decode_image(by_pillow(half, "TIFF", compression=packing), "a")
    grey = Image.fromarray(photo).convert("L")
    both = grey.copy()
    both.putalpha(Image.fromarray(half[..., 3]))
    buffer = io.BytesIO()
    both.save(buffer, "PNG")
    assert np.array_equal(decode_image(buffer.getvalue(), "a")[..., 0], np.asarray(grey))


@pytest.mark.parametrize(("kind", "tolerance"), [("JPEG", 6), ("TIFF", 1)])
def test_cmyk_is_converted(kind: str, tolerance: int) -> None:
    picture = Image.fromarray(photograph(4, 64, 64)).convert("CMYK")
    buffer = io.BytesIO()
    picture.save(buffer, kind, **({"quality": 100, "subsampling": 0} if kind == "JPEG" else {}))
    read = decode_image(buffer.getvalue(), "a").astype(int)
    assert np.abs(read - np.asarray(picture.convert("RGB")).astype(int)).max() <= tolerance


def test_grey_jpeg_has_three_equal_channels() -> None:
    grey = photograph(6, 64, 64)[..., 0]
    read = decode_image(by_pillow(grey, "JPEG", quality=100), "a")
    assert read.shape == (64, 64, 3)
    assert (read == read[..., :1]).all()
    assert np.abs(read[..., 0].astype(int) - grey).max() <= 3


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (by_opencv(np.zeros((8, 8), np.float32), ".tiff"), "floating-point"),
        (by_opencv(np.zeros((8, 8), np.float64), ".tiff"), "floating-point"),
        (by_pillow(np.zeros((8, 8), np.int32), "TIFF"), "signed"),
        (b"PF\n8 8\n-1.0\n" + bytes(768), "PNM of kind PF is not read"),
        (b"P3 1 1 255 1 2 3\n", "PNM of kind P3 is not read"),
    ],
)
def test_pixels_without_a_range_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(UserError, match=rf"{message}.*, pic; save it as 8-bit PNG or JPEG"):
        decode_image(data, "pic")
