"""`IctFaces`: labels in both conventions on the same pictures, and what errors say."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from lit_landmarks.data import IctFaces
from lit_landmarks.errors import UserError


@pytest.fixture(scope="module")
def file(real_data: Path) -> str:
    path = real_data / "ict_facekit.npz"
    if not path.is_file():
        pytest.skip("no ict_facekit.npz; make it with `data convert ict-facekit`")
    return str(path)


def test_both_conventions_label_the_same_pictures(file: str) -> None:
    faces = [
        IctFaces(n=4, seed=2, head=file, image_size=96, convention=c) for c in ("visible", "3d")
    ]
    assert faces[0].content_key([0, 1]) == faces[1].content_key([0, 1])
    assert np.array_equal(faces[0].render([1]), faces[1].render([1]))
    visible, fixed = (f.index() for f in faces)
    assert np.array_equal(visible.points[:, 17:], fixed.points[:, 17:])
    assert np.array_equal(visible.pose, fixed.pose)  # type: ignore[arg-type]
    assert np.abs(visible.points[:, :17] - fixed.points[:, :17]).max() > 1.0
    for index in (visible, fixed):
        assert index.points3d is not None
        assert np.allclose(index.points3d[..., :2], index.points, atol=1e-4)
        assert np.abs(index.points3d[..., 2].mean(1)).max() < 1.0
        assert set(np.unique(index.visible)) <= {0, 1, 2}  # type: ignore[arg-type]


def test_eyes_of_the_labels_are_eyes_in_the_picture(file: str) -> None:
    """Between the lids is another colour than on the cheek: labels and pixels belong together."""
    faces = IctFaces(n=12, seed=4, head=file, image_size=160, max_yaw=20, max_pitch=10, max_roll=10)
    index, images = faces.index(), faces.render(range(12))
    assert index.visible is not None
    differs = []
    for points, seen, image in zip(index.points, index.visible, images, strict=True):
        if not (seen[36:48] == 1).all():
            continue
        x, y = points[36:42].mean(0).round().astype(int)
        cheek = (0.5 * (points[39] + points[31])).round().astype(int)
        eye = image[y - 1 : y + 2, x - 1 : x + 2].mean()
        skin = image[cheek[1] - 1 : cheek[1] + 2, cheek[0] - 1 : cheek[0] + 2].mean()
        differs.append(abs(eye - skin))
    assert len(differs) >= 4
    assert np.median(differs) > 15


def test_backgrounds_come_from_the_folder(file: str, tmp_path: Path) -> None:
    plain = IctFaces(n=2, head=file, image_size=64)
    for name, color in (("a.png", (0, 0, 255)), ("b.jpg", (0, 0, 255))):
        cv2.imwrite(str(tmp_path / name), np.full((40, 60, 3), color, np.uint8))
    faces = IctFaces(n=2, head=file, image_size=64, backgrounds=str(tmp_path))
    assert faces.content_key([0]) != plain.content_key([0])
    corner = faces.render([0, 1])[:, :4, :4].reshape(-1, 3).mean(0)
    assert corner[0] > corner[1] + 40
    before = faces.content_key([0])
    (tmp_path / "b.jpg").unlink()
    assert faces.content_key([0]) != before


def test_bad_arguments_are_told(file: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="data convert ict-facekit"):
        IctFaces(n=1, head=str(tmp_path / "none.npz")).index()
    with pytest.raises(UserError, match="no folder of backgrounds"):
        IctFaces(n=1, head=file, backgrounds=str(tmp_path / "none")).render([0])
    with pytest.raises(UserError, match="no jpg or png"):
        IctFaces(n=1, head=file, backgrounds=str(tmp_path)).render([0])
    (tmp_path / "c.jpg").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"c\.jpg"):
        IctFaces(n=1, head=file, backgrounds=str(tmp_path)).render([0])
    with pytest.raises(UserError, match="convention"):
        IctFaces(n=1, head=file, convention="wflw")
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04 not a head")
    with pytest.raises(UserError, match="cannot read the head file"):
        IctFaces(n=1, head=str(tmp_path / "bad.npz")).index()


def test_a_copied_head_file_gives_the_same_faces(real_data: Path, tmp_path: Path) -> None:
    """Its place and time are of no account, so that a set of 100,000 heads goes on elsewhere."""
    source = real_data / "ict_facekit.npz"
    copy = tmp_path / "head.npz"
    copy.write_bytes(source.read_bytes())
    keys = {IctFaces(head=str(path)).content_key([0, 1]) for path in (source, copy)}
    os.utime(copy, (1, 1))
    assert {IctFaces(head=str(copy)).content_key([0, 1])} == keys
    copy.write_bytes(source.read_bytes() + b"\0")
    assert IctFaces(head=str(copy)).content_key([0, 1]) not in keys
    with pytest.raises(UserError, match=r"cannot find .*none"):
        IctFaces(head=str(tmp_path / "none.npz")).content_key([0])


def test_bare_heads_are_the_same_faces_with_nothing_before_them(real_data: Path) -> None:
    more = {"head": str(real_data / "ict_facekit.npz"), "n": 24, "seed": 3, "image_size": 64}
    worn, bare = IctFaces(**more), IctFaces(**more, bare=True)  # type: ignore[arg-type]
    a, b = worn.index(), bare.index()
    assert np.array_equal(a.points, b.points)
    assert a.visible is not None
    assert b.visible is not None
    assert (a.visible == 0).any()  # hidden by hair, wear or a hand
    assert not (b.visible == 0).any()
    assert worn.content_key([0]) != bare.content_key([0])
    rows = range(6)
    assert any(
        not np.array_equal(x, y) for x, y in zip(worn.load(rows), bare.load(rows), strict=True)
    )
