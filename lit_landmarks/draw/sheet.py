"""Contact sheets: many pictures in one, each with a title."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from lit_landmarks.draw.files import Image

_BACKGROUND = 24
_INK = (235, 235, 235)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_STRIP = 18  # pixels above a picture for its title
_SCALE = 0.42


def contact_sheet(
    images: Sequence[Image],
    columns: int = 8,
    titles: Sequence[str] | None = None,
    gap: int = 4,
) -> Image:
    """Lay pictures out in rows; smaller ones stand in the middle of their cell.

    Args:
        images: (h, w, 3) uint8 RGB, of any sizes.
        columns: pictures per row; fewer if there are not so many.
        titles: one per picture; characters outside ASCII are shown as `?`, long ones are cut.
        gap: pixels between cells.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ValueError: no pictures, fewer than one column, or another number of titles.
    """
    if not images or columns < 1:
        raise ValueError(f"a sheet needs pictures and columns, not {len(images)} and {columns}")
    if titles is not None and len(titles) != len(images):
        raise ValueError(f"{len(titles)} titles for {len(images)} pictures")
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    height = max(image.shape[0] for image in images)
    width = max(image.shape[1] for image in images)
    strip = 0 if titles is None else _STRIP
    step_y, step_x = height + strip + gap, width + gap
    sheet = np.full((rows * step_y + gap, columns * step_x + gap, 3), _BACKGROUND, np.uint8)
    for index, image in enumerate(images):
        top = gap + (index // columns) * step_y
        left = gap + (index % columns) * step_x
        y = top + strip + (height - image.shape[0]) // 2
        x = left + (width - image.shape[1]) // 2
        sheet[y : y + image.shape[0], x : x + image.shape[1]] = image
        if titles is not None:
            _title(sheet[top : top + strip, left : left + width], titles[index])
    return sheet


def _title(cell: Image, text: str) -> None:
    """Write one line into a cell of the sheet, cut to its width."""
    text = text.encode("ascii", "replace").decode()
    while text and cv2.getTextSize(text, _FONT, _SCALE, 1)[0][0] > cell.shape[1] - 2:
        text = text[:-1]
    line = np.ascontiguousarray(cell)
    cv2.putText(line, text, (1, _STRIP - 5), _FONT, _SCALE, _INK, 1, cv2.LINE_AA)
    cell[:] = line
