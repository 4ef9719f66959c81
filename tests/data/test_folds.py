"""Folds of training faces: each face validates once, and what belongs together stays together."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lit_landmarks.data import JsonFaces, LandmarkDataModule, SyntheticFaces
from lit_landmarks.data.folds import Folds, face_links, link_faces, parse_fold
from lit_landmarks.data.layouts import write_image
from lit_landmarks.errors import UserError

FOLDS = 3


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Twelve faces in ten photos: two photos with two faces, three photos of one person."""
    rng = np.random.default_rng(0)
    names = ["a", "a", "b", "b", *"cde"]
    names += [f"Ada_Lovelace_{k:04d}" for k in range(3)] + ["f", "g"]
    faces = []
    for number, name in enumerate(names):
        picture = rng.integers(0, 256, (40 + number, 50, 3), np.uint8)
        if not (tmp_path / f"{name}.png").exists():
            write_image(tmp_path / f"{name}.png", picture)
        points = rng.uniform(5, 35, (68, 2)).round(2).tolist()
        faces.append({"image": f"{name}.png", "points": points})
    head = {"format": "lit_landmarks faces", "version": 1, "scheme": "ibug68"}
    (tmp_path / "faces.json").write_text(json.dumps({**head, "faces": faces}))
    return tmp_path


def module(photos: Path, number: int, **more: object) -> LandmarkDataModule:
    train = {"mine": JsonFaces(root=".")}
    options = {"root": str(photos), "fold": f"{number}/{FOLDS}", "frame_size": 32, **more}
    return LandmarkDataModule(train, cache_dir=str(photos / "cache"), **options)  # type: ignore[arg-type]


def test_every_face_validates_once_and_trains_in_the_other_folds(photos: Path) -> None:
    everything = JsonFaces(root=str(photos)).index()
    validated: list[int] = []
    for number in range(1, FOLDS + 1):
        data = module(photos, number)
        rows = {}
        for role in ("train", "val"):
            index = data.sets[role]["mine"].index()  # type: ignore[index]
            rows[role] = [
                int(np.flatnonzero((everything.points == shape).all((1, 2)))[0])
                for shape in index.points
            ]
            assert index.paths == tuple(
                str(photos / Path(everything.paths[row]).name) for row in rows[role]
            )
        assert sorted(rows["train"] + rows["val"]) == list(range(12))
        for group in ([0, 1], [2, 3], [7, 8, 9]):  # a photo, a photo, a person
            assert len(set(group) & set(rows["val"])) in (0, len(group)), group
        validated += rows["val"]
    assert sorted(validated) == list(range(12))


def test_pixels_are_those_of_the_face(photos: Path) -> None:
    data = module(photos, 1)
    whole = JsonFaces(root=str(photos))
    part = data.sets["val"]["mine"]
    paths = list(whole.index().paths)
    for row, path in enumerate(part.index().paths):
        (pixels,), (expected,) = part.load([row]), whole.load([paths.index(path)])
        np.testing.assert_array_equal(pixels, expected)
        assert part.content_key([row]) == whole.content_key([paths.index(path)])
    assert [(d.role, d.name) for d in data.spec.datasets] == [("train", "mine"), ("val", "mine")]


def test_rendered_sets_stay_in_the_training_beside_photos(photos: Path) -> None:
    heads = SyntheticFaces(n=6, seed=1, image_size=48, visibility=False)
    data = LandmarkDataModule(
        {"mine": JsonFaces(root="."), "heads": heads}, root=str(photos), fold="2/3"
    )
    assert set(data.sets["val"]) == {"mine"}
    assert data.sets["train"]["heads"] is heads
    alone = LandmarkDataModule({"heads": heads}, fold="1/3")
    assert [len(alone.sets[role]["heads"].index()) for role in ("train", "val")] == [4, 2]
    assert alone.sets["val"]["heads"].licence == heads.licence
    assert alone.sets["val"]["heads"].rendered


def test_a_photo_in_two_sets_is_in_one_fold(photos: Path) -> None:
    whole = JsonFaces(root=str(photos))
    folds = Folds({"one": whole, "two": JsonFaces(root=str(photos), last=5)}, FOLDS)
    assert folds.fold_of("one")[-5:].tolist() == folds.fold_of("two").tolist()
    links = face_links(whole)
    assert "person Ada_Lovelace" in links[8]
    # Two faces of one photo share it, and not their points.
    assert len(set(links[0]) & set(links[1])) == 2


def test_links_reach_through_other_faces() -> None:
    groups = link_faces([[["p", "1"], ["q", "1"], ["r"]], [["q", "s"], ["t"]]])
    assert groups[0] == groups[1] == groups[3]
    assert len(set(groups.tolist())) == 3


def test_what_cannot_be_folded_is_refused(photos: Path) -> None:
    faces = SyntheticFaces(n=2, image_size=48)
    with pytest.raises(UserError, match=r"others too \(v\); set data\.init_args\.val to \{\}"):
        LandmarkDataModule({"t": faces}, {"v": faces}, fold="1/5")
    for text in ("0/5", "6/5", "1/1", "1 of 5"):
        with pytest.raises(UserError, match="which fold of how many validates, such as 2/5"):
            parse_fold(text)
    with pytest.raises(UserError, match="2 persons, videos or photos cannot be divided into 5"):
        _ = LandmarkDataModule({"t": faces}, fold="1/5").spec
    with pytest.raises(UserError, match="whole and fold do not go together"):
        module(photos, 1, whole=["mine"])
    # An evaluation of test sets alone has nothing to fold.
    assert LandmarkDataModule({}, {}, {"test": faces}, fold="1/5").sets["train"] == {}
