"""Small copies of gated data sets, written by the layouts: exact labels under pictures of noise."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lit_landmarks.data import FaceDataset, FaceIndex, SyntheticFaces
from lit_landmarks.data.layouts import LAYOUTS, LabelledFace
from lit_landmarks.errors import UserError
from tests.support.images import smooth_noise

Faces = list[LabelledFace]
Copies = Callable[..., tuple[Path, Faces]]
Attempt = Callable[..., tuple[FaceIndex | None, list[UserError]]]

_SIZE = 96


def noise(number: int, height: int = _SIZE, width: int = _SIZE) -> NDArray[np.uint8]:
    """A picture of smooth noise; no two numbers give the same."""
    return smooth_noise(np.random.default_rng(number), height, width)


def labelled(scheme: str, n: int) -> Faces:
    """Faces of rendered heads up to full profile, their pictures replaced by noise."""
    source = SyntheticFaces(n=n, image_size=_SIZE, scheme=scheme, max_yaw=85, visibility=True)
    index = source.index()
    assert index.visible is not None
    assert index.pose is not None
    # Every state in every few faces, whatever the drawn poses hide.
    visible = index.visible.copy()
    visible[1::3, :3] = 0
    visible[2::3, 3:5] = 2
    return [
        LabelledFace(i, noise(i), index.points[i], index.box[i], visible[i], pose=index.pose[i])
        for i in range(n)
    ]


@pytest.fixture(scope="session")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Copies:
    """A function that gives a fresh folder in a layout, and the faces that were written."""
    kept: dict[tuple[str, int], tuple[Path, Faces]] = {}

    def make(layout: str, n: int = 9, fresh: bool = False) -> tuple[Path, Faces]:
        if (layout, n) not in kept:
            root = tmp_path_factory.mktemp(layout)
            written = LAYOUTS[layout]()
            faces = labelled(written.scheme, n)
            for face in faces:
                written.write(root, face)
            written.finish(root, faces)
            kept[layout, n] = root, faces
        root, faces = kept[layout, n]
        if fresh:
            target = tmp_path_factory.mktemp(f"{layout}-changed") / "root"
            root = Path(shutil.copytree(root, target))
        return root, faces

    return make


def _attempt(
    file: Path, content: bytes, data: FaceDataset, load: bool = False
) -> tuple[FaceIndex | None, list[UserError]]:
    """What `data` reads, and refuses, while `file` holds `content`; any other error is a failure.

    The index is None if the whole set is refused. With `load` the pictures are decoded too.
    """
    whole = file.read_bytes()
    index: FaceIndex | None = None
    try:
        file.write_bytes(content)
        index, problems = data.scan()
        if load:
            for row in range(len(index)):
                image = data.load([row])[0]
                assert image.dtype == np.uint8
                assert image.shape[2:] == (3,)
    except UserError as error:
        index, problems = None, [error]
    finally:
        file.write_bytes(whole)
    for problem in problems:
        assert "\n" not in str(problem)
        assert "; " in str(problem), "the cure"
    return index, problems


@pytest.fixture(scope="session")
def attempt() -> Attempt:
    """The function `_attempt`."""
    return _attempt
