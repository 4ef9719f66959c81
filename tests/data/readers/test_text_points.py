"""FaceSynthetics, LaPa and YouTube Faces: points as text, in published layouts and damaged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lit_landmarks.data import FaceSynthetics, LaPa, YouTubeFaces
from lit_landmarks.data.readers.text import cut_short, number
from lit_landmarks.errors import UserError

Copies = Callable[..., tuple[Path, list[Any]]]
Attempt = Callable[..., tuple[Any, list[UserError]]]
ODD = ("nan", "-inf", "1e300", "", "x", "1_0", "0 0", "\x00", "\N{DEGREE SIGN}", "../../x", "1,5")


def test_face_synthetics_labels_come_back(copies: Copies) -> None:
    root, faces = copies("face_synthetics")
    (root / "000000_seg.png").write_bytes(b"")
    data = FaceSynthetics(str(root))
    index = data.index()
    for row, face in enumerate(faces):
        assert index.points[row] == pytest.approx(face.points, abs=6e-4)
        assert index.box[row] == pytest.approx([*face.points.min(0), *face.points.max(0)], abs=6e-4)
        assert np.array_equal(data.load([row])[0], face.image)
    assert [Path(p).name for p in FaceSynthetics(str(root), last=2).index().paths] == [
        "000007.png",
        "000008.png",
    ]


def test_lapa_labels_come_back_in_their_split(copies: Copies) -> None:
    root, faces = copies("lapa", n=11)
    for split, numbers in (("train", [*range(8), 10]), ("val", [8]), ("test", [9])):
        index = LaPa(str(root), split).index()  # type: ignore[arg-type]
        assert [Path(p).parts[-3] for p in index.paths] == [split] * len(numbers)
        for row, k in enumerate(numbers):
            assert index.points[row] == pytest.approx(faces[k].points, abs=1e-4)
    archive = root.parent / "archive"
    archive.mkdir()
    (archive / "LaPa").symlink_to(root)
    assert len(LaPa(str(archive)).index()) == 9
    with pytest.raises(UserError, match=r"split: 'dev' is unknown; take train or val or test"):
        LaPa(str(root), "dev")  # type: ignore[arg-type]


def test_youtube_labels_tracks_and_times(copies: Copies) -> None:
    root, faces = copies("youtube_faces", n=18)
    index = YouTubeFaces(str(root)).index()
    numbers = [*range(12), *range(15, 18)]
    for row, k in enumerate(numbers):
        assert index.points[row] == pytest.approx(faces[k].points, abs=1e-3)
    assert index.track is not None
    assert index.time is not None
    assert index.track.tolist() == [k for k in range(5) for _ in range(3)]
    assert index.time.tolist() == [0, 1, 2] * 5
    assert len(YouTubeFaces(str(root), "val").index()) == 3


def test_youtube_name_that_stands_twice_means_the_last(copies: Copies) -> None:
    root, faces = copies("youtube_faces", fresh=True)
    file = root / "train_frames_keypoints.csv"
    lines = file.read_text().splitlines()
    name = lines[1].partition(",")[0]
    again = ",".join([name, *lines[2].split(",")[1:]])
    file.write_text("\n".join([*lines, again, ""]))
    index = YouTubeFaces(str(root)).index()
    assert len(index) == len(faces)
    assert index.points[0] == pytest.approx(faces[1].points, abs=1e-3)
    # The earlier row does not come back when the last one is bad.
    file.write_text("\n".join([*lines, f"{name},1,2", ""]))
    index, problems = YouTubeFaces(str(root)).scan()
    assert name not in [Path(p).name for p in index.paths]
    assert f"2 numbers, not 136, {file}:{len(lines) + 1}; fetch" in str(problems[0])


def test_youtube_names_of_the_first_release(copies: Copies) -> None:
    root, faces = copies("youtube_faces", fresh=True)
    (root / "train").rename(root / "training")
    (root / "train_frames_keypoints.csv").rename(root / "training_frames_keypoints.csv")
    assert len(YouTubeFaces(str(root)).index()) == len(faces)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (FaceSynthetics, r"no folder .*none; correct root, or fetch .*FaceSynthetics; it holds"),
        (LaPa, r"no folder .*none; correct root.*lapa-dataset; it holds train/"),
        (YouTubeFaces, r"no folder .*none; .*P1_Facial_Keypoints; it holds train/"),
    ],
)
def test_missing_folder_says_where_to_get_it(
    tmp_path: Path, make: Callable[[str], Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        make(str(tmp_path / "none")).index()
    with pytest.raises(UserError, match=r"it holds"):
        make(str(tmp_path)).index()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[:-1], r"69 points, not 70, .*_ldmks\.txt:70; annotate"),
        (lambda rows: [*rows, "1 1"], r"71 points, not 70, .*_ldmks\.txt:72; annotate"),
        (lambda rows: [*rows[:4], "1 x", *rows[5:]], r"'1 x' is no point x y, .*\.txt:5; "),
        (lambda rows: [*rows[:4], "1 2 3", *rows[5:]], r"'1 2 3' is no point x y, .*\.txt:5; "),
        (lambda rows: [*rows[:4], "", *rows[5:]], r"'' is no point x y, .*\.txt:5; "),
        (lambda rows: [*rows[:4], "nan 1", *rows[5:]], r"point 4 \(nan, 1\.0\) is no pixel"),
        (lambda rows: ["3 3"] * 70, r"all points lie on one line, .*\.txt; annotate"),
    ],
)
def test_bad_file_is_named_and_the_others_are_kept(
    copies: Copies, change: Callable[[list[str]], list[str]], message: str
) -> None:
    root, faces = copies("face_synthetics", fresh=True)
    file = root / "000001_ldmks.txt"
    file.write_text("\n".join([*change(file.read_text().splitlines()), ""]))
    with pytest.raises(UserError, match=message):
        FaceSynthetics(str(root)).index()
    index, problems = FaceSynthetics(str(root)).scan()
    assert (len(index), len(problems)) == (len(faces) - 1, 1)


def test_picture_that_is_missing_or_outside(copies: Copies) -> None:
    root, _ = copies("face_synthetics", fresh=True)
    (root / "000003.png").unlink()
    with pytest.raises(UserError, match=r"no image, .*000003\.png; restore"):
        FaceSynthetics(str(root)).index()
    root, _ = copies("lapa", fresh=True)
    (root / "train" / "images" / "000002_0.jpg").unlink()
    with pytest.raises(UserError, match=r"no image, .*000002_0 \(\.jpg, .*\); restore"):
        LaPa(str(root)).index()
    root, _ = copies("youtube_faces", fresh=True)
    file = root / "train_frames_keypoints.csv"
    for name in ("../secret.jpg", "/etc/hosts", "a/../../b.jpg", "", "x" * 5000):
        lines = file.read_text().splitlines()
        lines[1] = ",".join([name, *lines[1].split(",")[1:]])
        file.write_text("\n".join([*lines, ""]))
        with pytest.raises(UserError, match=r"is not below .*train_frames_keypoints\.csv:2; "):
            YouTubeFaces(str(root)).index()


def test_numbers_and_cut_files() -> None:
    assert number("12.50") == 12.5
    with pytest.raises(ValueError, match="1_0"):
        number("1_0")
    assert cut_short("1.500 2.500\n3.500 4.5")
    assert cut_short("a,1.50,2.50,3")
    assert not cut_short("1.500 2.500\n3.500 4.500")
    assert not cut_short("1.500 2.5\n")


@pytest.mark.parametrize(
    ("layout", "make", "name"),
    [
        ("face_synthetics", FaceSynthetics, "000001_ldmks.txt"),
        ("lapa", LaPa, "train/landmarks/000001_0.txt"),
        ("youtube_faces", YouTubeFaces, "train_frames_keypoints.csv"),
    ],
)
@given(data=st.data())
def test_damaged_text_is_read_right_or_refused(
    copies: Copies,
    attempt: Attempt,
    layout: str,
    make: Callable[[str], Any],
    name: str,
    data: st.DataObject,
) -> None:
    root, faces = copies(layout, n=6)
    truth = make(str(root)).index()
    points = dict(zip(truth.paths, truth.points, strict=True))
    whole = (root / name).read_bytes()
    lines = whole.decode().splitlines()
    kind = data.draw(st.sampled_from(["drop", "double", "cell", "cut", "bytes"]))
    at = data.draw(st.integers(0, len(lines) - 1))
    raw = whole
    if kind == "drop":
        raw = "\n".join([*lines[:at], *lines[at + 1 :], ""]).encode()
    elif kind == "double":
        raw = "\n".join([*lines[:at], lines[at], *lines[at:], ""]).encode()
    elif kind == "cell":
        comma = "," if layout == "youtube_faces" else " "
        cells = lines[at].split(comma)
        cells[data.draw(st.integers(0, len(cells) - 1))] = data.draw(st.sampled_from(ODD))
        lines[at] = comma.join(cells)
        raw = "\n".join([*lines, ""]).encode()
    elif kind == "cut":
        raw = whole[: data.draw(st.integers(0, len(whole) - 1))]
    else:
        raw = whole[:at] + data.draw(st.binary(min_size=1, max_size=30)) + whole[at:]
    index, problems = attempt(root / name, raw, make(str(root)))
    assert len(faces) >= len(problems)
    if index is None or kind == "bytes":  # a byte more can be another digit: another number
        return
    for row, path in enumerate(index.paths):
        assert np.abs(index.points[row] - points[path]).max() < 1e-3


@pytest.mark.real
def test_real_faces(real_data: Path) -> None:
    rendered = FaceSynthetics(str(real_data / "face_synthetics")).index()
    assert len(rendered) == 50
    assert rendered.points[0, 0] == pytest.approx([192.230, 262.053], abs=1e-3)
    # The pupils lie in their eyes, far from all else.
    between = np.linalg.norm(rendered.points[:, 36] - rendered.points[:, 45], axis=1)
    for pupil, corners in ((68, (36, 39)), (69, (42, 45))):
        away = rendered.points[:, pupil] - rendered.points[:, corners].mean(1)
        assert (np.linalg.norm(away, axis=1) < 0.2 * between).all()
    frames = [
        YouTubeFaces(str(real_data / "youtube_faces_keypoints"), split).index()  # type: ignore[arg-type]
        for split in ("train", "val")
    ]
    assert [len(index) for index in frames] == [3081, 381]
    assert all(index.time is not None and set(index.time) == {0, 1, 2} for index in frames)


@pytest.mark.real
def test_last_row_of_a_real_name_fits_its_picture_better(real_data: Path) -> None:
    """Eyes are darker than what lies around them: under the right row more than under the other."""
    import cv2

    root = real_data / "youtube_faces_keypoints"
    rows: dict[str, list[np.ndarray[Any, Any]]] = {}
    for line in (root / "train_frames_keypoints.csv").read_text().splitlines()[1:]:
        name, *cells = line.split(",")
        rows.setdefault(name, []).append(np.array(cells, float).reshape(68, 2))
    better = []
    for name, (first, *later) in sorted(rows.items()):
        if not later or np.abs(first - later[-1]).max() < 8:
            continue
        image = cv2.imread(str(root / "train" / name), cv2.IMREAD_GRAYSCALE)
        assert image is not None
        soft = cv2.GaussianBlur(image, (0, 0), 1.5).astype(float)
        better.append(_darkness(soft, later[-1]) > _darkness(soft, first))
    assert len(better) > 100
    assert np.mean(better) > 0.85


def _darkness(image: np.ndarray[Any, Any], points: np.ndarray[Any, Any]) -> float:
    """How much darker the eyes are than the cheeks below them, in grey levels."""
    height, width = image.shape
    down = points[33] - points[27]
    eyes = np.stack([points[36:42].mean(0), points[42:48].mean(0)])
    places = np.stack([eyes, eyes + 0.5 * down]).round().astype(int)
    x, y = places[..., 0].clip(0, width - 1), places[..., 1].clip(0, height - 1)
    grey = image[y, x].mean(1)
    return float(grey[1] - grey[0])
