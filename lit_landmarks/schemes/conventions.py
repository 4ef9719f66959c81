"""Annotation conventions of data sets: the fixed list that `FaceBatch.convention_id` indexes.

The same scheme is annotated differently by different hands: the jaw line of 300W follows the
visible contour, that of FaceSynthetics is fixed to the skull where a frontal face has its contour,
that of 300W-LP is the border of a fitted model; labels of videos are the output of a tracker. A
method that corrects for such habits stores its codes by these names. The order is part of the
format of checkpoints: append, never reorder.
"""

from __future__ import annotations

from lit_landmarks.errors import UserError

CONVENTIONS: tuple[str, ...] = (
    "300w",
    "wflw",
    "cofw",
    "aflw",
    "merl_rav",
    "300w_lp",
    "lapa",
    "face_synthetics",
    "youtube_faces",
    "position_map",
    "synthetic_visible",
    "synthetic_3d",
    "custom",
    "cofw68",
    "synthetic_displaced",
)


def convention_index(name: str) -> int:
    """Place of a convention in `CONVENTIONS`.

    Raises:
        UserError: unknown name.

    Example:
        >>> convention_index(CONVENTIONS[1])
        1
    """
    if name not in CONVENTIONS:
        raise UserError(f"unknown convention {name!r}; known: {', '.join(CONVENTIONS)}")
    return CONVENTIONS.index(name)
