"""Draws the pictures of the site, of faces that the package renders: `python docs/pictures.py`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from lit_landmarks.data.synthetic import SyntheticFaces
from lit_landmarks.draw.files import save_png
from lit_landmarks.draw.overlay import FaceAnnotator, Image
from lit_landmarks.draw.sheet import contact_sheet
from lit_landmarks.geometry import points_box
from lit_landmarks.types import TIGHT_SCALE

FOLDER = Path(__file__).resolve().parent / "pictures"
#: A set, and a face of it that is turned by 46 degrees.
SEED, ROW, SIDE = 26, 3, 256
GREEN, ORANGE = (60, 200, 90), (240, 150, 40)


def _frame(image: Image, box: np.ndarray, color: tuple[int, int, int]) -> None:
    """Draw the sides of a box x0, y0, x1, y1, two pixels wide."""
    x0, y0, x1, y1 = np.clip(np.round(box), 1, len(image) - 2).astype(int)
    for k in (0, 1):
        image[y0 + k, x0 : x1 + 1] = image[y1 - k, x0 : x1 + 1] = color
        image[y0 : y1 + 1, x0 + k] = image[y0 : y1 + 1, x1 - k] = color


def draw_conventions() -> Image:
    """The same turned face as three conventions label it."""
    names = ("synthetic_visible", "synthetic_3d", "300w_lp")
    pictures = []
    for name in names:
        faces = SyntheticFaces(8, SEED, convention=name, image_size=SIDE, visibility=False)
        index = faces.index()
        pictures.append(FaceAnnotator("ibug68").annotate(faces.load([ROW])[0], index.points[ROW]))
    return contact_sheet(pictures, 3, ["visible contour (300W)", "fixed to the skull", "300W-LP"])


def draw_frames() -> Image:
    """Face box and tight crop, and the labels of a face: 68 and 520 points, pose."""
    wide = SyntheticFaces(8, SEED, face_scale=3.2, image_size=SIDE, visibility=False)
    points = wide.index().points[ROW]
    boxes = np.array(wide.load([ROW])[0])
    box = points_box(torch.from_numpy(points)[None], torch.ones(1, len(points)) > 0)[0].numpy()
    _frame(boxes, box, GREEN)
    half = TIGHT_SCALE * (box[2:] - box[:2]).max() / 2
    middle = (box[2:] + box[:2]) / 2
    _frame(boxes, np.concatenate((middle - half, middle + half)), ORANGE)
    near = SyntheticFaces(8, SEED, image_size=SIDE, visibility=False)
    dense = SyntheticFaces(8, SEED, scheme="dense520", convention="3d", image_size=SIDE)
    posed = FaceAnnotator("ibug68").annotate(
        near.load([ROW])[0], near.index().points[ROW], pose=near.index().pose[ROW]
    )
    many = FaceAnnotator("dense520").annotate(
        dense.load([ROW])[0], dense.index().points[ROW], visible=dense.index().visible[ROW]
    )
    titles = ["face box and tight crop", "68 points and head pose", "520 points, hidden ones open"]
    return contact_sheet([boxes, posed, many], 3, titles)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    save_png(draw_conventions(), FOLDER / "conventions.png")
    save_png(draw_frames(), FOLDER / "labels.png")
