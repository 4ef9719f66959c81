"""The MATLAB reader against SciPy's, on what SciPy writes and on real files; then on damage."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.io import loadmat, savemat

from lit_landmarks.data.readers.mat5 import read_mat5
from lit_landmarks.errors import UserError

NUMBERS = ("f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that the examples overwrite."""
    return tmp_path_factory.mktemp("mat") / "x.mat"


def saved(path: Path, packed: bool = False, **values: Any) -> Path:
    savemat(path, values, do_compression=packed)
    return path


@given(
    value=st.sampled_from(NUMBERS).flatmap(
        lambda kind: arrays.arrays(kind, arrays.array_shapes(min_dims=2, max_dims=4, min_side=0))
    ),
    packed=st.booleans(),
)
def test_numbers_are_those_of_scipy(place: Path, value: Any, packed: bool) -> None:
    file = saved(place, packed, before=np.ones(3), x=value)
    mine = read_mat5(file, ["x"])["x"]
    theirs = loadmat(file, mat_dtype=True)["x"]
    assert mine.shape == value.shape == theirs.shape
    assert mine.dtype == value.dtype
    assert np.array_equal(mine, theirs, equal_nan=value.dtype.kind == "f")


def test_text_cells_and_flags(tmp_path: Path) -> None:
    cells = np.empty((3, 1), object)
    cells[:, 0] = ["0/image00002.jpg", "é", np.arange(4.0)]
    file = saved(tmp_path / "x.mat", cells=cells, flag=np.array([[True, False]]), rows=["ab", "cd"])
    found = read_mat5(file, ["cells", "flag", "rows"])
    assert found["cells"].shape == (3, 1)
    assert found["cells"][0, 0].tolist() == ["0/image00002.jpg"]
    assert found["cells"][1, 0].tolist() == ["é"]
    assert found["cells"][2, 0].tolist() == [[0, 1, 2, 3]]
    assert found["flag"].dtype == bool
    assert found["flag"].tolist() == [[True, False]]
    assert found["rows"].tolist() == ["ab", "cd"]


def test_both_byte_orders(tmp_path: Path) -> None:
    def element(kind: int, data: bytes) -> bytes:
        return struct.pack(">II", kind, len(data)) + data + bytes(-len(data) % 8)

    parts = (
        element(6, struct.pack(">II", 6, 0)),  # class double
        element(5, struct.pack(">ii", 1, 3)),
        element(1, b"x"),
        element(3, struct.pack(">hhh", -1, 258, 7)),  # stored as 16-bit numbers
    )
    head = b"MATLAB 5.0".ljust(124) + b"\x01\x00MI"
    (tmp_path / "x.mat").write_bytes(head + element(14, b"".join(parts)))
    assert read_mat5(tmp_path / "x.mat", ["x"])["x"].tolist() == [[-1.0, 258.0, 7.0]]


@pytest.mark.real
def test_real_files_are_read_as_by_scipy(real_data: Path) -> None:
    files = sorted((real_data / "aflw2000").glob("*.mat"))
    assert files
    for file in files:
        theirs = {k: v for k, v in loadmat(file, mat_dtype=True).items() if k[0] != "_"}
        mine = read_mat5(file, list(theirs))
        for name, value in theirs.items():
            assert mine[name].shape == value.shape
            assert np.array_equal(mine[name], value, equal_nan=True)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"y": 1.0}, r"no variable 'x', .*x\.mat; fetch"),
        ({"x": 1j}, r"no readable MATLAB file, .*x\.mat; fetch"),
        ({"x": {"field": 1}}, r"no readable MATLAB file, .*x\.mat; fetch"),
    ],
)
def test_other_kinds_are_refused(tmp_path: Path, values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_mat5(saved(tmp_path / "x.mat", **values), ["x"])


def test_no_file_and_a_newer_version(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no file .*x\.mat; restore"):
        read_mat5(tmp_path / "x.mat", ["x"])
    (tmp_path / "x.mat").write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(99))
    with pytest.raises(UserError, match="no readable MATLAB file"):
        read_mat5(tmp_path / "x.mat", ["x"])


def test_a_few_bytes_that_unpack_to_gigabytes(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("lit_landmarks.data.readers.mat5._MOST_BYTES", 1 << 20)
    packed = zlib.compress(bytes(1 << 22))
    head = b"MATLAB 5.0".ljust(124) + b"\x00\x01IM"
    (tmp_path / "x.mat").write_bytes(head + struct.pack("<II", 15, len(packed)) + packed)
    with pytest.raises(UserError, match="no readable MATLAB file"):
        read_mat5(tmp_path / "x.mat", ["x"])


@given(data=st.data())
def test_damage_is_refused_or_does_no_harm(place: Path, data: st.DataObject) -> None:
    buffer = io.BytesIO()
    names = np.empty((2, 1), object)
    names[:, 0] = ["a.jpg", "b.jpg"]
    savemat(buffer, {"x": np.eye(3), "names": names}, do_compression=data.draw(st.booleans()))
    whole = buffer.getvalue()
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(100, len(whole) - 1))
        patch = data.draw(st.binary(min_size=0, max_size=8))
        whole = whole[:at] + patch + whole[at + data.draw(st.integers(0, 8)) :]
        whole += bytes(max(0, 130 - len(whole)))
    place.write_bytes(whole)
    try:
        found = read_mat5(place, ["x", "names"])
    except UserError as error:
        refused = str(error)
    else:
        assert all(isinstance(value, np.ndarray) for value in found.values())
        return
    assert "\n" not in refused
    assert "; " in refused
