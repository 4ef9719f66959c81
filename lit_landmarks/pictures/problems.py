"""What can be wrong with a picture file."""

from __future__ import annotations

#: Cure of damage.
FETCH = "fetch the file again or remove its row"
#: Cure of what is not read.
SAVE = "save it as 8-bit PNG or JPEG"


class PictureError(Exception):
    """A picture that is damaged or not read.

    Args:
        problem: what is wrong.
        cure: what to do about it.
    """

    def __init__(self, problem: str, cure: str = FETCH) -> None:
        super().__init__(problem)
        self.problem, self.cure = problem, cure


def check_size(width: int, height: int) -> None:
    """Refuse sizes that no decoder takes.

    Raises:
        PictureError: no pixel, or more than 2^30 of them, or a side of more than a million.
    """
    if width < 1 or height < 1:
        raise PictureError(f"picture of {width} x {height} pixels")
    if width * height > 1 << 30 or max(width, height) > 1_000_000:
        raise PictureError(
            f"picture of {width} x {height} pixels is too large (2^30 in all, a million per side)",
            "scale it down, and its points with it",
        )
