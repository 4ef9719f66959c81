"""Norms of NME: the lengths of a face by which its errors are divided, one column each."""

from __future__ import annotations

import torch
from torch import Tensor

from lit_landmarks.schemes import LandmarkScheme, get_scheme
from lit_landmarks.types import NORMS as NORMS


def distance(first: Tensor, second: Tensor, annotated: Tensor) -> Tensor:
    """Distance of two points of each face, NaN where one of them is not annotated.

    Args:
        first: (B, D) points.
        second: (B, D) points.
        annotated: (B,) bool, True where both are annotated.

    Returns:
        (B,) in the unit of the points.

    Example:
        >>> a, b = torch.tensor([[0.0, 0.0, 0.0]]), torch.tensor([[2.0, 3.0, 6.0]])
        >>> distance(a, b, torch.tensor([True]))
        tensor([7.])
    """
    nan = torch.full_like(annotated, torch.nan, dtype=first.dtype)
    return torch.where(annotated, (first - second).norm(dim=-1), nan)


def _box_sides(points: Tensor, annotated: Tensor) -> tuple[Tensor, Tensor]:
    """Width and height (B,) of the tight box of the annotated points."""
    low = points.masked_fill(~annotated.unsqueeze(-1), torch.inf).amin(dim=1)
    high = points.masked_fill(~annotated.unsqueeze(-1), -torch.inf).amax(dim=1)
    sides = high - low
    return sides[:, 0], sides[:, 1]


def norm_values(points: Tensor, mask: Tensor | None, scheme: LandmarkScheme | str | None) -> Tensor:
    """Every norm of every face, from its annotated points.

    Args:
        points: (B, N, 2) ground truth, any pixel frame; the result is in the same unit.
        mask: (B, N) bool, True where annotated; None for all. Non-finite points count as missing.
        scheme: gives the eye corners and pupils; None leaves the two eye columns undefined.

    Returns:
        (B, 5) in the order of `NORMS`; NaN where a needed point is missing, where the scheme
        does not define it, or where the length is zero.

    Example:
        The box norm of a face is sqrt(w h) of the tight box of its points, here 3 x 12:

        >>> corners = torch.tensor([[[0.0, 0.0], [3.0, 0.0], [3.0, 12.0]]])
        >>> norm_values(corners, None, None)[0, NORMS.index("box")]
        tensor(6.)
    """
    scheme = get_scheme(scheme) if isinstance(scheme, str) else scheme
    annotated = points.isfinite().all(dim=-1)
    annotated = annotated if mask is None else annotated & mask
    points = points.masked_fill(~annotated.unsqueeze(-1), 0.0)
    undefined = points.new_full((points.shape[0],), torch.nan)
    ocular, pupil = undefined, undefined
    if scheme is not None:
        a, b = scheme.eye_corners
        ocular = distance(points[:, a], points[:, b], annotated[:, a] & annotated[:, b])
        right, left = (list(group) for group in scheme.pupil_groups)
        both = annotated[:, right + left].all(dim=1)
        pupil = distance(points[:, right].mean(dim=1), points[:, left].mean(dim=1), both)
    width, height = _box_sides(points, annotated)
    columns = (ocular, pupil, (width * height).sqrt(), height, torch.hypot(width, height))
    values = torch.stack(columns, dim=1)
    return torch.where(values.isfinite() & (values > 0), values, torch.nan)
