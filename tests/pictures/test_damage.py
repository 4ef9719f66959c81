"""Damaged files are refused, as far as their format can show it; foreign bytes behind are not."""

from __future__ import annotations

import struct
import tracemalloc
import zlib

import numpy as np
import pytest

from lit_landmarks.errors import UserError
from lit_landmarks.pictures import decode_image
from tests.support.picture_files import DAMAGES, ENCODERS, by_opencv, damage, photograph

#: Files of each kind that a damage is tried on, at another place in each.
_TRIES = 20
#: Least share of the changed pictures that is refused, in percent: columns as in `DAMAGES`.
LEAST = {
    "jpeg": (100, 100, 100, 100, 100, 5, 5),
    "jpeg_restarts": (100, 100, 100, 100, 100, 5, 5),
    "jpeg_optimized": (100, 100, 100, 85, 95, 5, 0),
    "jpeg_progressive": (100, 100, 100, 85, 95, 15, 5),
    "png": (100,) * 7,
    "webp": (100, 100, 0, 40, 0, 100, 60),
    "webp_lossless": (100, 100, 0, 0, 0, 100, 0),
    "bmp": (100, 100, 0, 0, 0, 100, 0),
    "ppm": (100, 100, 0, 0, 0, 100, 0),
    "tiff": (100, 100, 0, 0, 0, 100, 0),
    "tiff_lzw": (100, 100, 100, 95, 95, 100, 0),
    "tiff_deflate": (100,) * 7,
    "tiff_packbits": (100, 100, 100, 90, 90, 100, 0),
    "tiff_jpeg": (100, 100, 100, 95, 95, 100, 0),
    "tiff_opencv": (100, 100, 0, 90, 90, 95, 0),
}


def shares(kind: str) -> list[float]:
    """Percent of the files of a kind that are refused, of those whose pixels a damage changes."""
    files = [ENCODERS[kind](photograph(seed)) for seed in range(3)]
    whole = [decode_image(data, "whole") for data in files]
    row = []
    for how in DAMAGES:
        refused = changed = 0
        for seed in range(_TRIES):
            try:
                read = decode_image(damage(files[seed % 3], how, seed), "damaged")
            except UserError:
                refused, changed = refused + 1, changed + 1
                continue
            changed += not np.array_equal(read, whole[seed % 3])
        row.append(100 * refused / max(changed, 1))
    return row


@pytest.mark.parametrize("kind", ENCODERS)
def test_damage_is_refused_as_far_as_the_format_shows_it(kind: str) -> None:
    measured = shares(kind)
    print(f"\n| {kind} | " + " | ".join(f"{share:.0f}" for share in measured) + " |")
    assert all(np.array(measured) >= LEAST[kind]), dict(zip(DAMAGES, measured, strict=True))


@pytest.mark.parametrize("kind", ENCODERS)
@pytest.mark.parametrize(
    "more",
    [b"\0" * 5000, b"\xff\xd8\xff\xe0 another", b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 9],
)
def test_foreign_bytes_behind_a_whole_picture_are_no_damage(kind: str, more: bytes) -> None:
    data = ENCODERS[kind](photograph(5))
    assert np.array_equal(decode_image(data + more, "a"), decode_image(data, "a"))


def test_a_thumbnail_with_an_end_of_its_own_hides_no_cut() -> None:
    data = ENCODERS["jpeg"](photograph(1))
    small = ENCODERS["jpeg"](photograph(2, 32, 32))
    block = b"\xff\xe2" + struct.pack(">H", len(small) + 2) + small
    whole = data[:2] + block + data[2:]
    assert np.array_equal(decode_image(whole, "a"), decode_image(data, "a"))
    for cut in (len(block) + 900, len(whole) - 2, len(whole) - 700):
        with pytest.raises(UserError, match=r"JPEG is truncated or damaged.*, a\.jpg; fetch"):
            decode_image(whole[:cut], "a.jpg")


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, rows: int, bits: int = 8, extra: bytes = b"") -> bytes:
    """A grey PNG that holds so many rows, with right checksums."""
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    body = zlib.compress((b"\0" + bytes(width * bits // 8)) * rows)
    chunks = _chunk(b"IHDR", header) + extra + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def test_png_with_too_few_rows_or_a_bad_chunk_that_need_not_be_there() -> None:
    assert decode_image(png(20, 10, 10), "a").shape == (10, 20, 3)
    bad = _chunk(b"tEXt", b"Title\0mine")
    broken = bad[:-1] + bytes([bad[-1] ^ 1])
    for data in (png(20, 10, 7), png(20, 10, 10, extra=broken)):
        with pytest.raises(UserError, match="; fetch the file again"):
            decode_image(data, "a.png")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (png(40_000, 30_000, 1), "40000 x 30000 pixels is too large"),
        (png(2_000_000, 2, 2), "2000000 x 2 pixels is too large"),
        (b"P5 50000 40000 255\n" + bytes(99), "50000 x 40000 pixels is too large"),
        (b"", "the file is empty"),
        (bytes(4096), "the file is empty"),
        (b"GIF89a" + bytes(50), "GIF is not read"),
        (b"\0\0\0\x18ftypheic" + bytes(50), "HEIC is not read"),
        (b"<html>not found</html>", "cannot decode the image"),
    ],
)
def test_what_is_no_picture_that_is_read(data: bytes, message: str) -> None:
    with pytest.raises(UserError, match=rf"{message}.*, pic; ") as error:
        decode_image(data, "pic")
    assert "\n" not in str(error.value)


def test_sizes_beyond_any_decoder_in_jpeg_and_bmp() -> None:
    photo = photograph(0, 32, 32)
    jpeg = bytearray(ENCODERS["jpeg"](photo))
    at = jpeg.index(b"\xff\xc0") + 5
    jpeg[at : at + 4] = struct.pack(">HH", 65_000, 60_000)
    bmp = bytearray(by_opencv(photo, ".bmp"))
    bmp[18:26] = struct.pack("<ii", 60_000, -30_000)
    for data, size in ((jpeg, "60000 x 65000"), (bmp, "60000 x 30000")):
        with pytest.raises(UserError, match=rf"{size} pixels is too large .*, a; scale it down"):
            decode_image(bytes(data), "a")


def deflated_tiff(width: int, height: int, strips: list[bytes], photometric: int = 1) -> bytes:
    """A TIFF of the given strips, each of as many rows, packed by Deflate."""
    samples = 3 if photometric == 6 else 1
    packed = [zlib.compress(strip) for strip in strips]
    starts = np.cumsum([8, *map(len, packed)]).tolist()
    tags = {256: width, 257: height, 259: 8, 262: photometric, 277: samples}
    tags |= {278: len(strips[0]) // width}
    lists = {258: [8] * samples, 273: starts[:-1], 279: [len(block) for block in packed]}
    more, entries = b"", {}
    after = starts[-1] + 2 + 12 * (len(tags) + len(lists)) + 4
    for tag, values in lists.items():
        place = values[0] if len(values) == 1 else after + len(more)
        entries[tag] = struct.pack("<HHII", tag, 4, len(values), place)
        more += b"" if len(values) == 1 else struct.pack(f"<{len(values)}I", *values)
    entries |= {tag: struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items()}
    directory = struct.pack("<H", len(entries)) + b"".join(v for _, v in sorted(entries.items()))
    head = struct.pack("<2sHI", b"II", 42, starts[-1])
    return head + b"".join(packed) + directory + bytes(4) + more


def test_the_last_strip_of_a_tiff_may_be_as_long_as_the_others() -> None:
    whole = deflated_tiff(20, 12, [b"\x64" * 160, b"\xc8" * 160])
    assert decode_image(whole, "a")[:, 0, 0].tolist() == [100] * 8 + [200] * 4
    for bad in (159, 161):
        with pytest.raises(UserError, match=r"TIFF is truncated or damaged, a; fetch"):
            decode_image(deflated_tiff(20, 16, [b"\x64" * 160, b"\xc8" * bad]), "a")


@pytest.mark.parametrize("photometric", [1, 6])
def test_a_small_strip_of_a_tiff_unpacks_to_no_more_than_it_may(photometric: int) -> None:
    data = deflated_tiff(20, 10, [bytes(1 << 25)], photometric)
    assert len(data) < 40_000
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=r"TIFF is truncated or damaged, a; fetch"):
            decode_image(data, "a")
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", ["jpeg", "jpeg_optimized", "jpeg_progressive"])
@pytest.mark.parametrize(("first", "count"), [(1, 1), (20, 12), (60, 5)])
def test_quantization_steps_of_zero_are_damage(kind: str, first: int, count: int) -> None:
    data = bytearray(ENCODERS[kind](photograph(4)))
    at = data.index(b"\xff\xdb") + 4 + first
    data[at : at + count] = bytes(count)
    with pytest.raises(UserError, match=r"JPEG is damaged: a quantization step of 0, a; fetch"):
        decode_image(bytes(data), "a")
