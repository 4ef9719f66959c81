"""Denominators of NME: one column per name in `NORMALISERS`, NaN where a face has none."""

from __future__ import annotations

import torch
from torch import Tensor

from lit_landmarks.schemes import LandmarkScheme, get_scheme
from lit_landmarks.types import NORMALISERS as NORMALISERS


def _distance(a: Tensor, b: Tensor, known: Tensor) -> Tensor:
    nan = torch.full_like(known, torch.nan, dtype=a.dtype)
    return torch.where(known, (a - b).norm(dim=-1), nan)


def _box_sides(points: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Width and height (B,) of the tight box of the annotated points."""
    inf = torch.inf
    low = points.masked_fill(~known.unsqueeze(-1), inf).amin(dim=1)
    high = points.masked_fill(~known.unsqueeze(-1), -inf).amax(dim=1)
    sides = high - low
    return sides[:, 0], sides[:, 1]


def normaliser_values(
    points: Tensor, mask: Tensor | None, scheme: LandmarkScheme | str | None
) -> Tensor:
    """Every normaliser of every face, from its annotated points.

    Args:
        points: (B, N, 2) ground truth, any pixel frame; the result is in the same unit.
        mask: (B, N) bool, True where annotated; None for all. Non-finite points count as missing.
        scheme: gives the eye corners and pupils; None leaves the two eye columns undefined.

    Returns:
        (B, 5) in the order of `NORMALISERS`; NaN where a needed point is missing, where the scheme
        does not define it, or where the length is zero.
    """
    scheme = get_scheme(scheme) if isinstance(scheme, str) else scheme
    known = points.isfinite().all(dim=-1)
    known = known if mask is None else known & mask
    points = points.masked_fill(~known.unsqueeze(-1), 0.0)
    undefined = points.new_full((points.shape[0],), torch.nan)
    ocular, pupil = undefined, undefined
    if scheme is not None:
        a, b = scheme.eye_corners
        ocular = _distance(points[:, a], points[:, b], known[:, a] & known[:, b])
        one, other = (list(group) for group in scheme.pupil_groups)
        seen = known[:, one + other].all(dim=1)
        pupil = _distance(points[:, one].mean(dim=1), points[:, other].mean(dim=1), seen)
    width, height = _box_sides(points, known)
    columns = (ocular, pupil, (width * height).sqrt(), height, torch.hypot(width, height))
    values = torch.stack(columns, dim=1)
    return torch.where(values.isfinite() & (values > 0), values, torch.nan)
