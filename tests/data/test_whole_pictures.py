"""Frames that hold whole pictures, and how much of them the faces cover."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lit_landmarks.data import Ibug300W, LandmarkDataModule
from tests.data.conftest import face_points
from tests.support.images import smooth_noise, write_image, write_pts


def test_large_and_small_faces_are_measured_apart(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, face in (("a", 24), ("b", 140), ("c", 20)):  # of 300 pixels
        write_image(tmp_path / f"{name}.jpg", smooth_noise(rng, 200, 300))
        write_pts(tmp_path / f"{name}.pts", 40 + face_points(rng, face))
    photos = Ibug300W(str(tmp_path))
    sides = [(b[2:] - b[:2]).max() for b in photos.index().box]
    module = LandmarkDataModule(
        train={}, test={"photos": Ibug300W(str(tmp_path))}, frame="wide", whole=["photos"]
    )
    index = module.sets["test"]["photos"].index()
    large = [side >= 0.15 * 300 for side in sides]
    assert sorted(large) == [False, False, True]
    assert index.subsets["face_from_15"].tolist() == large
    assert index.subsets["face_below_15"].tolist() == [not one for one in large]
    assert module.spec.subsets == ("face_below_15", "face_from_15")
    # The frame holds the picture: its box is that of no face.
    middle = (index.box[:, :2] + index.box[:, 2:]) / 2
    np.testing.assert_allclose(middle, np.tile([149.5, 99.5], (3, 1)), atol=0.01)
