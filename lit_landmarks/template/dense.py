"""The 452 extra points of `dense520`: how they were chosen, and how they get onto another head.

`transfer` brings them onto another head, `places_of_mesh` the points of another head to ours.

The places are stored (`dense_places`), in the unrolled plane of the loft, so that the scheme stays
the same whatever becomes of the mesh; `farthest_places` is how they were found:

    python -c "from lit_landmarks.template.dense import farthest_places; print(farthest_places())"
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from torch import Tensor

from lit_landmarks.errors import UserError
from lit_landmarks.schemes.dense520 import N_MIDDLE, N_SIDE
from lit_landmarks.template import loft
from lit_landmarks.template.head import TemplateHead, template_head
from lit_landmarks.template.loft import Array
from lit_landmarks.template.mean_face import to_head_units
from lit_landmarks.template.position_maps import part_lips
from lit_landmarks.template.surface_points import SurfacePoints, blend
from lit_landmarks.template.surface_search import find_nearest
from lit_landmarks.template.topology import Indices

#: The face: from the hair line to the jaw line (row numbers of the loft), to before the ears
#: (radians from the midline).
_ROWS, _ANGLE = (3.2, 14.0), 1.28
#: The hair line seen from the front: above this height a half ellipse of these half axes, which
#: leaves out the temples' upper corners, where hair lies and scanned heads of other models end.
_BROW_HEIGHT, _HAIR_LINE = -0.30, (0.85, 0.50)
#: Candidates lie on a grid of this many steps per edge of a triangle.
_STEPS = 6
#: No candidate may come closer to the slit between the lips (unrolled plane).
_SEAM_GAP = 0.015
#: How far the spline may pass by its landmarks (head units, about).
_SMOOTHING = 1e-3


def _candidates(head: TemplateHead) -> tuple[Array, Array]:
    """Places in the plane (C, 2) and in the head frame (C, 3) on the right half of the face."""
    skin = head.skin
    half = skin.triangles[(skin.angle[skin.triangles] > -1e-9).all(1)]
    i, j = np.meshgrid(np.arange(_STEPS + 1), np.arange(_STEPS + 1), indexing="ij")
    inside = i + j <= _STEPS
    grid = np.stack([i[inside], j[inside], _STEPS - i[inside] - j[inside]], -1) / _STEPS
    neutral = head.neutral.numpy()[: len(skin.angle)]
    plane = np.einsum("gk,tkc->tgc", grid, loft.unroll(skin.angle, skin.row)[half]).reshape(-1, 2)
    solid = np.einsum("gk,tkc->tgc", grid, neutral[half]).reshape(-1, 3)
    angle, row = loft.roll(plane)
    keep = (angle <= _ANGLE) & (row >= _ROWS[0]) & (row <= _ROWS[1])
    line = loft.unroll(skin.angle[skin.lips[0]], skin.row[skin.lips[0]])
    seam = np.interp(plane[:, 0], line[9:, 0], line[9:, 1])
    slit = plane[:, 0] <= line[-1, 0] + _SEAM_GAP
    keep &= ~(slit & (np.abs(plane[:, 1] - seam) < _SEAM_GAP))
    above = np.minimum(solid[:, 1] - _BROW_HEIGHT, 0.0) / _HAIR_LINE[1]
    keep &= (above == 0) | ((solid[:, 0] / _HAIR_LINE[0]) ** 2 + above**2 <= 1)
    plane, solid = plane[keep], solid[keep]
    _, first = np.unique(np.round(plane, 6), axis=0, return_index=True)
    return plane[first], solid[first]


def farthest_places() -> tuple[Array, Array]:
    """Symmetric farthest-point sampling on the neutral template head, seeded with iBUG's 68.

    Each step takes the candidate of the right half that is farthest from all points chosen so far
    and from its own mirror image, and the mirror image with it; a candidate on the midline is its
    own.

    Returns:
        Places in the unrolled plane of the loft: (N_MIDDLE, 2) on the midline and (N_SIDE, 2) on
        the image's right half, each in the order in which they were chosen.
    """
    head = template_head()
    plane, solid = _candidates(head)
    seeds = head.points("ibug68")
    start = (head.neutral.numpy()[seeds.vertices] * seeds.weights[..., None]).sum(1)
    far = np.full(len(solid), np.inf)
    for seed in start:
        far = np.minimum(far, np.linalg.norm(solid - seed, axis=1))
    middle = plane[:, 0] < 1e-9
    own = np.where(middle, np.inf, 2 * solid[:, 0])
    chosen: tuple[list[Array], list[Array]] = ([], [])
    room = (N_MIDDLE, N_SIDE)
    while any(len(got) < most for got, most in zip(chosen, room, strict=True)):
        full = [len(got) >= most for got, most in zip(chosen, room, strict=True)]
        closed = np.where(middle, full[0], full[1])
        best = int(np.where(closed, -1.0, np.minimum(far, own)).argmax())
        chosen[0 if middle[best] else 1].append(plane[best])
        for mirror in (1.0, -1.0):
            point = solid[best] * np.array([mirror, 1.0, 1.0])
            far = np.minimum(far, np.linalg.norm(solid - point, axis=1))
    return np.stack(chosen[0]), np.stack(chosen[1])


def transfer(
    vertices: Array,
    triangles: Indices,
    landmarks: SurfacePoints,
    mirror: Indices | None = None,
    fitted: bool = False,
) -> SurfacePoints:
    """Transfer `dense520` to another head: the same places of the face.

    The template head is bent onto the other by a thin-plate spline through iBUG's 68 (Bookstein
    1989, with the kernel |r| of space), and each bent point takes the nearest place of the surface.

    Args:
        vertices: (V, 3) neutral head, head frame axes, any unit.
        triangles: (T, 3) of its skin up to the hair line, without eyeballs, teeth, mouth socket.
        landmarks: its 68 points, fixed to the skull.
        mirror: (V,) index of the mirrored vertex of a symmetric head, which makes the points
            symmetric too; None for a head that is not.
        fitted: `landmarks` lie where the fits of 300W-LP have them (`fitted_points`).

    Returns:
        520 points, of which the first 68 are `landmarks`; with `mirror`, extra points of the right
        side are the mirrored ones of the left.
    """
    head = template_head()
    neutral = head.neutral.numpy()
    own = head.fitted_points("dense520") if fitted else head.points("dense520")
    source = (neutral[own.vertices] * own.weights[..., None]).sum(1)
    target = (vertices[landmarks.vertices] * landmarks.weights[..., None]).sum(1)
    bent = _warp_thin_plate(source[:68], target, source)
    index, weight = find_nearest(bent, vertices, triangles)
    if mirror is not None:
        ends = np.cumsum([68, N_MIDDLE, N_SIDE, N_SIDE])
        middle, right, left = (slice(a, b) for a, b in pairwise(ends.tolist()))
        _onto_midline(index, weight, middle, bent, vertices, mirror)
        index[right], weight[right] = mirror[index[left]], weight[left]
    index[:68], weight[:68] = landmarks.vertices, landmarks.weights
    return SurfacePoints(index, weight)


def on_position_maps(
    canonical: Array, face_ind: Indices, sparse: Indices, size: int = 256
) -> SurfacePoints:
    """`dense520` on the vertex list of published position maps, so that their flip is known too.

    The published 520 have no mirror partners; our set, read off the same maps, has.

    Args:
        canonical: (V, 3) the list's vertices on a frontal face, y down, z towards the camera
            (`canonical_vertices.npy` of PRNet).
        face_ind: (V,) pixel of each, row * size + column.
        sparse: (68, 2) column, row of iBUG's points (`uv_kpt_ind` of PRNet, transposed).
        size: side of the maps.

    Returns:
        520 points as vertices of the list and weights: a face with vertices X has them at
        `(X[points.vertices] * points.weights[..., None]).sum(1)`.

    Raises:
        UserError: the files do not belong together.
    """
    number = np.full(size * size, -1)
    number[face_ind] = np.arange(len(face_ind))
    landmarks = number[sparse[:, 1] * size + sparse[:, 0]]
    if len(canonical) != len(face_ind) or (landmarks < 0).any():
        raise UserError(
            f"{len(canonical)} canonical vertices, {len(face_ind)} pixels and key points outside"
            " them do not belong together; take all files of the map's layout from one release"
        )
    grid = number.reshape(size, size)
    a, b, c, d = grid[:-1, :-1], grid[:-1, 1:], grid[1:, :-1], grid[1:, 1:]
    triangles = np.concatenate(
        [np.stack([t.ravel() for t in three], 1) for three in ((a, b, c), (b, d, c))]
    )
    triangles = triangles[(triangles >= 0).all(1)]
    ours = canonical * np.array([1.0, 1.0, -1.0])
    share = np.tile([1.0, 0.0, 0.0], (len(landmarks), 1))
    fixed = SurfacePoints(np.repeat(landmarks[:, None], 3, 1), share)
    return transfer(ours, triangles, fixed, fitted=True)


def places_of_mesh(points: Array, landmarks: Array, scheme: str = "ibug68") -> Tensor:
    """Where on the template points of another head lie, by landmarks that both heads have.

    The other head is bent onto the template by a thin-plate spline through the landmarks, and each
    bent point takes the nearest place of the template's skin. A method of queries can be asked for
    these places.

    Args:
        points: (P, 3) of the other head's skin; right, down and away from the viewer as in images,
            or turned, shifted and scaled in any way.
        landmarks: (N, 3) the points of a scheme on the other head, neutral and fixed to its skull.
        scheme: theirs; four points or more that do not lie in a plane, over all of the face.

    Returns:
        (P, 3) query points as `query_points` gives them.

    Raises:
        UserError: an unknown scheme, one with points that the template lacks, or landmarks of
            another number than its points.
    """
    head = template_head()
    own = head.points(scheme)
    if landmarks.shape != (len(own.vertices), 3) or points.ndim != 2 or points.shape[1] != 3:
        raise UserError(
            f"landmarks of shape {landmarks.shape} and points of shape {points.shape}; give"
            f" ({len(own.vertices)}, 3) landmarks of {scheme} and (P, 3) points"
        )
    neutral = head.neutral.numpy()
    target = (neutral[own.vertices] * own.weights[..., None]).sum(1)
    # Kernel and smoothing are in the units of the template.
    size = np.linalg.norm(target - target.mean(0)) / np.linalg.norm(landmarks - landmarks.mean(0))
    bent = _warp_thin_plate(landmarks * size, target, points * size)
    index, weight = find_nearest(bent, neutral[: len(head.skin.angle)], head.skin.triangles)
    return to_head_units(blend(part_lips()[None], SurfacePoints(index, weight))[0])


def _onto_midline(
    index: Indices, weight: Array, middle: slice, bent: Array, vertices: Array, mirror: Indices
) -> None:
    """Points of the midline lie between the two midline vertices that are nearest to them."""
    line = np.flatnonzero(mirror == np.arange(len(mirror)))
    for number in range(middle.start, middle.stop):
        away = np.linalg.norm(vertices[line] - bent[number], axis=1)
        a, b = line[np.argsort(away)[:2]]
        edge = vertices[b] - vertices[a]
        share = float(np.clip((bent[number] - vertices[a]) @ edge / (edge @ edge), 0.0, 1.0))
        index[number], weight[number] = (a, b, a), (1.0 - share, share, 0.0)


def _warp_thin_plate(source: Array, target: Array, points: Array) -> Array:
    """Apply the thin-plate spline with source -> target to `points`; all (., 3)."""

    def kernel(a: Array) -> Array:
        return np.asarray(np.linalg.norm(a[:, None] - source[None], axis=-1))

    n = len(source)
    flat = np.concatenate([np.ones((n, 1)), source], 1)
    # The lips of a closed mouth share their inner points; a hair of smoothing lets them differ.
    bending = kernel(source) - _SMOOTHING * np.eye(n)
    system = np.block([[bending, flat], [flat.T, np.zeros((4, 4))]])
    weights = np.linalg.solve(system, np.concatenate([target, np.zeros((4, 3))]))
    base = np.concatenate([kernel(points), np.ones((len(points), 1)), points], 1)
    return np.asarray(base @ weights)
