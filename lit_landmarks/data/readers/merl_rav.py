"""Reader for MERL-RAV: AFLW's pictures with 68 points and three states of visibility."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from lit_landmarks.data.finding import IMAGE_SUFFIXES, image_files, image_of, match_files
from lit_landmarks.data.index import FilePattern, missing_image
from lit_landmarks.data.readers.common import (
    SPLITS,
    Numbers,
    choice,
    face_box,
    find,
)
from lit_landmarks.data.readers.ibug import read_pts_rows
from lit_landmarks.data.readers.listed import FaceRow, ListedFaces

#: Folders by the view of the head; left and right are the subject's: in `left` the face looks to
#: the image's right (yaw > 0).
MERL_RAV_VIEWS = ("frontal", "lefthalf", "righthalf", "left", "right")
#: The further subset of a view.
_GROUPS = {
    "lefthalf": ("half",),
    "righthalf": ("half",),
    "left": ("profile",),
    "right": ("profile",),
}
_PARENT_FOLDERS = ("", "merl_rav_organized/")
_POINTS = 68
_LAYOUT = (
    "it holds frontal/, left/, lefthalf/, right/ and righthalf/, each with trainset/ and testset/"
    " of .pts beside .jpg, as the owners' organize_merl_rav_using_aflw_and_our_labels.py makes it"
)


class MerlRav(ListedFaces["tuple[Path, dict[str, list[Path]]]"]):
    """MERL-RAV: 15449 faces to train with, 3865 to test, in the full range of poses.

    Layout, as its owners' script makes it (`merl_rav_organized` may be left out)::

        root/merl_rav_organized/<view>/{trainset,testset}/<image>.{jpg,pts}

    with the views frontal, lefthalf, righthalf, left, right. Subsets: the views, `half` (both
    half profiles) and `profile` (both profiles). `.pts` rows code visibility, as the owners
    document: `x y` is visible (1), `-x -y` occluded by something else but placed (0), `-1 -1`
    self-occluded (2) and not placed, so masked. A row of mixed signs (a point beyond the border)
    can mean both and is masked, with visibility unknown (-1).

    The owners give `x y` as the pixel location and do not say from what it counts; it is read as
    counting from 0.

    Args:
        root: folder of the data set.
        split: "train" or "test".
        subset: keep only this subset.
        first, last: keep only so many faces from the start or the end of the list sorted by path.
    """

    scheme: str = "ibug68"
    convention: str = "merl_rav"
    primary_norm: str = "box"
    source: ClassVar[str] = (
        "https://github.com/abhi1kumar/MERL-RAV_dataset (labels), pictures from AFLW:"
        " https://www.tugraz.at/institute/icg/research/team-bischof/lrs/downloads/aflw/"
    )
    licence: ClassVar[str] = "research only; images stay with their owners"
    files: ClassVar[tuple[FilePattern, ...]] = (
        FilePattern(
            tuple(
                f"{a}{v}/{s}set/*.pts"
                for s in SPLITS
                for v in MERL_RAV_VIEWS
                for a in _PARENT_FOLDERS
            ),
            splits={
                s: tuple(f"{a}{v}/{s}set/*.pts" for v in MERL_RAV_VIEWS for a in _PARENT_FOLDERS)
                for s in SPLITS
            },
        ),
    )
    subset_names: ClassVar[tuple[str, ...]] = (*MERL_RAV_VIEWS, "half", "profile")

    def __init__(
        self,
        root: str,
        split: Literal["train", "test"] = "train",
        subset: str | None = None,
        first: int | None = None,
        last: int | None = None,
    ) -> None:
        super().__init__(root, subset, first, last)
        self.split = choice("split", split, SPLITS)

    def _entries(self, root: Path) -> Iterator[tuple[Path, dict[str, list[Path]]]]:
        views = [f"{parent}{view}" for parent in _PARENT_FOLDERS for view in MERL_RAV_VIEWS]
        above = find(root, views, _LAYOUT, self.source).parent
        for view in MERL_RAV_VIEWS:
            folder = above / view / f"{self.split}set"
            images = image_files(folder) if folder.is_dir() else {}
            yield from ((file, images) for file in sorted(match_files(folder, "*.pts")))

    def _face(self, entry: tuple[Path, dict[str, list[Path]]]) -> FaceRow:
        file, images = entry
        shape, visible = decode(read_pts_rows(file, _POINTS))
        mask = (visible == 0) | (visible == 1)
        box = face_box("ground_truth", None, shape[mask], str(file))
        image = image_of(file, images)
        if image is None:
            raise missing_image(file, IMAGE_SUFFIXES)
        view = file.parents[1].name
        return FaceRow(
            points=shape,
            box=box,
            image=image,
            mask=mask,
            subsets=(view, *_GROUPS.get(view, ())),
            visible=visible,
        )


def decode(rows: Numbers) -> tuple[Numbers, NDArray[np.int8]]:
    """Places and visibility of published rows.

    Args:
        rows: (N, 2) as they stand in the file.

    Returns:
        (N, 2) pixels, 0 where there is no place, and (N,) int8: 1 visible, 0 occluded by something
        else, 2 self-occluded, -1 unknown (mixed signs).
    """
    negative = rows < 0
    visible = np.where(negative.all(1), 0, np.where(negative.any(1), -1, 1)).astype(np.int8)
    visible[(rows == -1).all(1)] = 2
    placed = (visible == 0) | (visible == 1)
    return np.where(placed[:, None], np.abs(rows), 0.0), visible
