"""What serves a model of others best, measured on faces that it is not judged by.

Each was trained with boxes in a way of its own, and MediaPipe places other points than iBUG's 68.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from rich.console import Console

from lit_landmarks.bench.peers.figures import (
    OWN_BOXES,
    Faces,
    face_errors,
    pick_points,
    show_progress,
)
from lit_landmarks.bench.peers.models import OtherModel, Peer
from lit_landmarks.errors import UserError
from lit_landmarks.geometry.boxes import BoxMapping, Numbers
from lit_landmarks.metrics.norms import NORMS, norm_values

#: Steps of the search, by which box sides and shifts down are changed, coarse ones first.
_STEPS = ((0.2, 0.1), (0.1, 0.05), (0.05, 0.025))


@dataclass(frozen=True)
class Fit:
    """What serves a model best.

    Attributes:
        mapping: from the square about the landmarks to the box that it is given.
        rows: which of its points lie closest to iBUG's 68; None if it answers these.
        nme_inner: mean error of the inner 51 points with both, percent.
    """

    mapping: BoxMapping
    rows: tuple[int, ...] | None
    nme_inner: float


def fit_peer(peer: OtherModel, faces: Faces) -> Fit:
    """The box mapping, and the points for iBUG's 68, with the least error of the inner 51.

    Args:
        peer: the search begins at its mapping, and leaves it at another one.
        faces: that are used for nothing else.

    Raises:
        UserError: the model stops, or answers no face.
    """
    images = [faces.dataset.load([row])[0] for row in range(len(faces.points))]

    @functools.cache
    def fit(scale: float, down: float) -> Fit:
        """What a mapping gives; a face without an answer counts as one with an error of 100 %."""
        peer.mapping = BoxMapping(peer.mapping.x, down, scale)
        answers: list[Numbers | None] = []
        for image, box in zip(images, faces.boxes[OWN_BOXES], strict=True):
            peer.show(image)
            answers.append(peer.locate(box).points)
        rows = None if peer.rows is None else closest_points(answers, faces)
        chosen = None if rows is None else np.array(rows)
        errors = face_errors([pick_points(points, chosen) for points in answers], faces)[:, 1]
        return Fit(peer.mapping, rows, float(errors.nan_to_num(nan=100.0, posinf=100.0).mean()))

    best = fit(peer.mapping.scale, peer.mapping.y)
    for wide, high in _STEPS:
        center = None
        while center != best:
            center = best
            sides = [round(center.mapping.scale + step * wide, 4) for step in (-1, 0, 1)]
            places = [round(center.mapping.y + step * high, 4) for step in (-1, 0, 1)]
            around = [fit(*place) for place in product(sides, places) if place[0] > 0]
            best = min((best, *around), key=lambda one: one.nme_inner)
    return best


def fit_peers(peers: Mapping[str, Peer | str], faces: Faces) -> dict[str, Fit]:
    """`fit_peer` of every model of others that is installed.

    Raises:
        UserError: none is, or one stops.
    """
    fits = {}
    for name, peer in show_progress(list(peers.items()), "models"):
        if isinstance(peer, OtherModel):
            fits[name] = fit_peer(peer, faces)
    if not fits:
        raise UserError("; ".join(f"{n}: {p}" for n, p in peers.items()) or "no model; give --peer")
    return fits


def print_fits(fits: Mapping[str, Fit], console: Console) -> None:
    """The lines of `models.PEERS` and their errors."""
    for name, one in fits.items():
        console.print(f"{name}: {one.mapping}, inner 51 {one.nme_inner:.2f} %")
        if one.rows is not None:
            console.print(f"  points {one.rows}")


def closest_points(answers: list[Numbers | None], faces: Faces) -> tuple[int, ...]:
    """For each of iBUG's 68 the point of a model that lies closest to it in the mean.

    Args:
        answers: (N, 2) points of each face, or None.
        faces: with n labels (68, 2).

    Raises:
        UserError: no face has an answer.
    """
    answered = {row: points for row, points in enumerate(answers) if points is not None}
    if not answered:
        raise UserError("the model answers no face; give photos with faces that are seen well")
    rows = list(answered)
    points = torch.from_numpy(np.stack(list(answered.values()))).float()
    norms = norm_values(faces.points, faces.mask, "ibug68")[rows, NORMS.index("interocular")]
    # (n, 68, N) distances
    away = torch.cdist(faces.points[rows], points) / norms[:, None, None]
    away = away.masked_fill(~faces.mask[rows][:, :, None], torch.nan)
    return tuple(away.nanmean(0).argmin(1).tolist())
