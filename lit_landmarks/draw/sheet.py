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
    legend: Sequence[tuple[str, tuple[int, int, int]]] = (),
) -> Image:
    """Lay pictures out in rows; smaller ones stand in the middle of their cell.

    Args:
        images: (h, w, 3) uint8 RGB, of any sizes.
        columns: pictures per row; fewer if there are not so many.
        titles: one per picture; characters outside ASCII are shown as `?`, long ones are cut.
        gap: pixels between cells.
        legend: what colors mean, in a strip above all.

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
    return np.vstack([_legend(legend, sheet.shape[1]), sheet]) if legend else sheet


def _legend(entries: Sequence[tuple[str, tuple[int, int, int]]], width: int) -> Image:
    """A strip of dots with what their colors mean; it takes more rows where the sheet is narrow."""
    row, rows = 0, [np.full((_STRIP + 4, width, 3), _BACKGROUND, np.uint8)]
    x = 6
    for text, color in entries:
        needed = 16 + cv2.getTextSize(text, _FONT, _SCALE, 1)[0][0]
        if x > 6 and x + needed > width:
            rows.append(np.full_like(rows[0], _BACKGROUND))
            row, x = row + 1, 6
        cv2.circle(rows[row], (x + 4, _STRIP // 2 + 2), 4, color, -1, cv2.LINE_AA)
        cv2.putText(rows[row], text, (x + 13, _STRIP - 3), _FONT, _SCALE, _INK, 1, cv2.LINE_AA)
        x += needed + 16
    return np.vstack(rows)


def _title(cell: Image, text: str) -> None:
    """Write one line into a cell of the sheet, cut to its width."""
    text = text.encode("ascii", "replace").decode()
    while text and cv2.getTextSize(text, _FONT, _SCALE, 1)[0][0] > cell.shape[1] - 2:
        text = text[:-1]
    line = np.ascontiguousarray(cell)
    cv2.putText(line, text, (1, _STRIP - 5), _FONT, _SCALE, _INK, 1, cv2.LINE_AA)
    cell[:] = line
