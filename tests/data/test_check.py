"""`check_dataset`: pose histogram, and the labels that it calls suspect."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from lit_landmarks.data import Ibug300W, SyntheticFaces, check_dataset
from lit_landmarks.data.layouts import write_image, write_text
from lit_landmarks.errors import UserError
from lit_landmarks.pictures import decode_image
from tests.support.picture_files import ENCODERS, damage, photograph

Make = Callable[..., Path]


@pytest.fixture(scope="module")
def rendered() -> SyntheticFaces:
    return SyntheticFaces(n=60, max_yaw=30, visibility=False)


def _write(root: Path, faces: SyntheticFaces, spoilt: dict[int, tuple[int, float]]) -> None:
    for row in range(faces.n):
        points = faces.index().points[row].copy() + 1
        if row in spoilt:
            point, by = spoilt[row]
            points[point, 0] += by
        rows = "\n".join(f"{x:.4f} {y:.4f}" for x, y in points)
        write_text(root / f"{row:02d}.pts", f"version: 1\nn_points: 68\n{{\n{rows}\n}}\n")
        write_image(root / f"{row:02d}.jpg", np.full((192, 192, 3), 90, np.uint8))


def test_suspects_are_named_with_point_and_file(tmp_path: Path, rendered: SyntheticFaces) -> None:
    _write(tmp_path, rendered, {7: (33, 15.0), 31: (48, -14.0)})
    report = check_dataset(Ibug300W(str(tmp_path)), sheet_faces=4)
    assert report.ok, "a suspect is no bad row"
    first = {(Path(s.where).name, s.point) for s in report.ranking[:2]}
    assert first == {("07.jpg", "subnasale"), ("31.jpg", "right_mouth_corner")}
    assert len(report.ranking) == 60
    assert report.suspect_sheet is not None
    told = "\n".join(report.lines())
    assert "faces have a label that the others do not expect:" in told
    assert "07.jpg: subnasale is" in told
    # The expected place is drawn: orange, which nothing else in the grey pictures is.
    sheet = report.suspect_sheet.astype(int)
    assert (np.abs(sheet - [255, 96, 40]).sum(-1) < 30).any()


def test_histogram_counts_every_face_once(rendered: SyntheticFaces) -> None:
    report = check_dataset(rendered, sheet_faces=2)
    for name, counts in report.poses.items():
        assert sum(counts) == 60, name
    yaw = rendered.index().pose[:, 0]  # type: ignore[index]
    assert report.poses["yaw"][6] == int(((yaw >= 0) & (yaw < 15)).sum())
    assert report.poses["yaw"][5] == int(((yaw >= -15) & (yaw < 0)).sum())
    assert not report.ranking, "labels of rendered faces are exact"
    assert any(line.split()[:1] == ["yaw"] for line in report.lines())


def test_a_bad_image_is_ranked_neither_first_nor_last(make_faces: Make) -> None:
    root = make_faces(n=40)
    (root / "face_03.jpg").write_bytes(b"no image")
    cv2.imwrite(str(root / "face_05.jpg"), np.zeros((9, 9, 3), np.uint8))
    report = check_dataset(Ibug300W(str(root)), sheet_faces=2)
    assert len(report.problems) == 2
    assert {s.row for s in report.ranking} == set(range(40)) - {3, 5}
    assert report.faces == 38


def test_a_cut_or_damaged_png_is_told_by_us_alone(capfd: pytest.CaptureFixture[str]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    data = cv2.imencode(".png", noise)[1].tobytes()
    assert np.array_equal(decode_image(data, "a.png"), noise[..., ::-1])
    assert decode_image(data + b"more", "a.png").shape == (32, 32, 3)
    flipped = data[:500] + bytes([data[500] ^ 1]) + data[501:]
    for bad in (data[:30], data[:900], data[:-4], data[:-13], flipped):
        with pytest.raises(UserError, match=r"PNG is truncated or damaged, a\.png;"):
            decode_image(bad, "a.png")
    streams = capfd.readouterr()
    assert streams.out + streams.err == ""


def test_check_names_each_damaged_picture(make_faces: Make) -> None:
    root = make_faces(n=6)
    for number, (kind, how) in enumerate(
        [("jpeg", "400 bytes overwritten"), ("jpeg_progressive", "400 bytes inserted")]
    ):
        data = ENCODERS[kind](photograph(number))
        (root / f"face_{number:02d}.jpg").write_bytes(damage(data, how, number))
    report = check_dataset(Ibug300W(str(root)))
    assert report.faces == 4
    assert [f"face_0{k}.jpg" in problem for k, problem in enumerate(report.problems)] == [True] * 2
