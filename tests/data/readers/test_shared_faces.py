"""Faces that training and evaluation sets share are told, and others are not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from lit_landmarks.cli import main
from lit_landmarks.data import Ibug300W, Lp300W, YouTubeFaces
from lit_landmarks.data.shared_faces import (
    NEARLY_SAME,
    CheckedSet,
    describe_shared,
    fingerprint,
    person_names,
)
from tests.support.images import smooth_noise, write_image

Make = Callable[..., Path]
Copies = Callable[..., tuple[Path, list[object]]]


def apart(one: np.ndarray, two: np.ndarray) -> int:
    return int(np.unpackbits(fingerprint(one).signs ^ fingerprint(two).signs).sum())


@pytest.mark.parametrize("how", ["half", "jpeg", "darker"])
def test_a_copy_looks_nearly_the_same_and_another_picture_does_not(how: str) -> None:
    rng = np.random.default_rng(5)
    photo, other = smooth_noise(rng, 240, 320), smooth_noise(rng, 240, 320)
    copy = {
        "half": lambda: cv2.resize(photo, (160, 120), interpolation=cv2.INTER_AREA),
        "jpeg": lambda: cv2.imdecode(cv2.imencode(".jpg", photo, [1, 40])[1], 1),
        "darker": lambda: (photo * 0.7).astype(np.uint8),
    }[how]()
    assert apart(photo, np.asarray(copy, np.uint8)) < NEARLY_SAME
    assert apart(photo, other) > 150
    assert fingerprint(photo).pixels != fingerprint(np.asarray(copy, np.uint8)).pixels


def config(path: Path, train: Path, val: Path) -> Path:
    entry = "{{class_path: Ibug300W, init_args: {{root: {0}}}}}"
    path.write_text(
        "data:\n  init_args:\n"
        f"    train: {{ours: {entry.format(train)}}}\n    val: {{held: {entry.format(val)}}}\n"
    )
    return path


def test_check_of_a_config_names_shared_pictures(
    make_faces: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = make_faces(n=4, root="train")
    val = make_faces(n=2, root="val")
    rng = np.random.default_rng(99)
    for file in val.glob("*.jpg"):
        write_image(file, smooth_noise(rng, 96, 96))
    arguments = ["data", "check", "--config", str(config(tmp_path / "a.yaml", train, val))]
    arguments += ["--sheet", str(tmp_path / "sheets")]
    assert main(arguments) == 0
    assert "warning" not in capsys.readouterr().out
    shutil.copy(train / "face_02.jpg", val / "face_00.jpg")
    photo = cv2.imread(str(train / "face_03.jpg"))
    write_image(val / "face_01.jpg", np.asarray(cv2.resize(photo, (88, 88)), np.uint8))
    assert main(arguments) == 0
    text = capsys.readouterr().out
    assert "warning: train_ours and val_held share 1 pictures with the same pixels" in text
    assert f"{train / 'face_02.jpg'} and {val / 'face_00.jpg'}" in text
    assert "share 1 pictures that look nearly the same" in text
    assert f"{train / 'face_03.jpg'} and {val / 'face_01.jpg'}" in text


def test_the_same_pixels_in_another_file_format(make_faces: Make) -> None:
    train, val = make_faces(n=3, root="train"), make_faces(n=1, root="val")
    photo = cv2.imread(str(train / "face_01.jpg"))
    (val / "face_00.jpg").unlink()
    write_image(val / "face_00.png", np.asarray(photo, np.uint8))
    sets = [CheckedSet(root.name, root is train, Ibug300W(str(root))) for root in (train, val)]
    for one in sets:
        paths = one.dataset.index().paths
        images = one.dataset.load(range(len(paths)))
        one.fingerprints |= {p: fingerprint(i) for p, i in zip(paths, images, strict=True)}
    lines = describe_shared(sets)
    assert len(lines) == 1
    assert lines[0].startswith("train and val share 1 pictures with the same pixels, such as ")
    assert not describe_shared(sets[::-1][:1])


@pytest.mark.parametrize(
    ("part", "photo", "turned"),
    [
        ("afw", "134212_1", "AFW/AFW_134212_1_4"),
        ("helen/trainset", "12799337_1", "HELEN/HELEN_12799337_1_0"),
        ("ibug", "image_008_1", "IBUG/IBUG_image_008_1_2"),
        ("lfpw/testset", "image_0012", "LFPW/LFPW_image_test_0012_3"),
    ],
)
def test_300w_lp_shares_photos_with_300w(
    copies: Copies, make_faces: Make, tmp_path: Path, part: str, photo: str, turned: str
) -> None:
    root, _ = copies("300w_lp", n=3)
    lp = tmp_path / "lp"
    folder, name = turned.split("/")
    for suffix, place in ((".jpg", ""), (".mat", ""), ("_pts.mat", "landmarks/")):
        target = lp / place / folder / f"{name}{suffix}"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / place / "AFW" / f"AFW_image_00000_0{suffix}", target)
    plain = make_faces((part,), n=1, root="300w")
    for file in (plain / part).iterdir():
        file.rename(file.with_stem(photo))
    sets = [CheckedSet("lp", True, Lp300W(str(lp))), CheckedSet("val", False, Ibug300W(str(plain)))]
    assert [line for line in describe_shared(sets) if "share 1 photos by name" in line]


def test_people_by_name(copies: Copies, make_faces: Make, tmp_path: Path) -> None:
    roots = {name: make_faces(n=3, root=name) for name in ("train", "val")}
    names = {"train": ["Ann_Lee_0001", "Ann_Lee_0002", "image_0003"]}
    names["val"] = ["Ann_Lee_0007", "image_0009", "Bo_van_Dyk_0001"]
    for key, root in roots.items():
        for k, name in enumerate(names[key]):
            for suffix in ("jpg", "pts"):
                (root / f"face_{k:02d}.{suffix}").rename(root / f"{name}.{suffix}")
    sets = [CheckedSet(key, key == "train", Ibug300W(str(root))) for key, root in roots.items()]
    assert person_names(sets[0].dataset) == ["Ann_Lee", "Ann_Lee", ""]
    lines = [line for line in describe_shared(sets) if "by name" in line]
    assert len(lines) == 1
    assert "share 1 people by name" in lines[0]


@pytest.mark.parametrize("names", [("train", "val"), ("Training", "test")])
@pytest.mark.parametrize("whole", ["--all", "--root"])
def test_splits_of_one_file_are_compared(
    make_faces: Make,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    names: tuple[str, str],
    whole: str,
) -> None:
    root = make_faces(n=4, root="ours")
    shutil.copy(root / "face_01.jpg", root / "again.jpg")
    pictures = ["face_00.jpg", "face_01.jpg", "face_02.jpg", "again.jpg"]
    rows = [
        {"image": name, "points": [[20, 30], [60, 31], [40, 66 + k]], "split": names[k // 2]}
        for k, name in enumerate(pictures)
    ]
    header = {"format": "lit_landmarks faces", "version": 1}
    scheme = {"name": "three_in_splits", "points": ["a", "b", "c"]}
    (root / "faces.json").write_text(json.dumps({**header, "scheme": scheme, "faces": rows}))
    for label in root.glob("*.pts"):
        label.unlink()
    arguments = ["data", "check", "--sheet", str(tmp_path / "sheet"), whole, str(root)]
    assert main([*arguments, *([] if whole == "--all" else ["--dataset", "JsonFaces"])]) == 0
    text = capsys.readouterr().out
    assert f"{names[0]} and " in text
    assert f"{names[1]} share 1 pictures with the same pixels" in text


def test_the_role_says_what_is_trained_on(
    make_faces: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_faces(n=3, root="ours")
    entry = f"{{class_path: Ibug300W, init_args: {{root: {root}}}}}"
    lines = [f"    train: {{a: {entry}}}", f"    val: {{b_train: {entry}}}"]
    config = tmp_path / "c.yaml"
    config.write_text("\n".join(["data:", "  init_args:", *lines]))
    main(["data", "check", "--sheet", str(tmp_path / "sheet"), "--config", str(config)])
    assert "train_a and val_b_train share 3 pictures" in capsys.readouterr().out


@pytest.mark.real
def test_people_of_youtube_faces(real_data: Path) -> None:
    root = str(real_data / "youtube_faces_keypoints")
    sets = [YouTubeFaces(root, split) for split in ("train", "val")]  # type: ignore[arg-type]
    people = [set(person_names(data)) for data in sets]
    assert "" not in people[0] | people[1]
    assert all(name.count("_") >= 1 and not name[-1].isdigit() for name in people[0])
