"""Where the key points of published position maps lie on the ICT head.

The identities of the ICT head are bent onto the canonical face of the maps, which is the mean of
the Basel face model, by iterated closest points; each key point then takes the nearest place of the
bent head, and the same place of the mean head says where the fits of 300W-LP have it. The table
`template.fitted_points.OFFSETS` was made so:

    python -m lit_landmarks.rendering.ict.registration HEAD.npz MAP_LAYOUT_DIR
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lit_landmarks.rendering.ict.model import Array, IctModel, Indices, load_model
from lit_landmarks.rendering.ict.sites import Places
from lit_landmarks.rendering.ict.surface import Surface
from lit_landmarks.schemes import get_scheme

#: Identity modes that may bend, rounds, and vertices of the other face that are compared.
_MODES, _ROUNDS, _VERTICES = 30, 40, 6000
#: Weights of steps along the surface (against those across it), of the landmarks inside the face,
#: and of the prior of the identities.
_ALONG, _LANDMARKS, _PRIOR = 0.2, 2.0, 0.3
#: Share of the vertices that take part: what is farthest away has no partner.
_PART = 0.95
#: The points inside the face, of which both heads mean nearly the same places.
_INNER = slice(17, 68)


@dataclass(frozen=True)
class Registration:
    """The other face's key points on the ICT head.

    Attributes:
        fixed: (68, 3) the ICT head's own points at rest.
        fitted: (68, 3) the key points at rest, made symmetric.
        distance: median distance of the surfaces, across them, in head units.
    """

    fixed: Array
    fitted: Array
    distance: float


def register(model: IctModel, face: Array, key_points: Indices, seed: int = 0) -> Registration:
    """Bend the ICT head onto a face and read off where that face's key points lie.

    Args:
        model: the ICT head.
        face: (V, 3) vertices of a neutral frontal face: x right, y down, z away from the camera.
        key_points: (68,) its vertices at iBUG's points.
        seed: of the choice of vertices.
    """
    outer, inner = Places(model).outer.triangles, model.ibug68[_INNER]
    vertices = face[np.random.default_rng(seed).permutation(len(face))[:_VERTICES]]
    landmarks = face[key_points[_INNER]]
    shape, distance = model.mean, np.inf
    to_head = _fit_similarity(landmarks, shape[inner])
    for _ in range(_ROUNDS):
        index, weights = Surface(shape, outer).closest(to_head(vertices))
        near = (shape[index] * weights[..., None]).sum(1)
        away = np.linalg.norm(near - to_head(vertices), axis=1)
        part = away < np.quantile(away, _PART)
        to_head = _fit_similarity(
            np.concatenate([vertices[part], np.repeat(landmarks, 10, 0)]),
            np.concatenate([near[part], np.repeat(shape[inner], 10, 0)]),
        )
        matches = _Matches(index[part], weights[part], to_head(vertices[part]))
        shape, distance = _bend(model, shape, matches, to_head(landmarks))
    index, weights = Surface(shape, outer).closest(to_head(face[key_points]))
    rest = (model.mean[index] * weights[..., None]).sum(1)
    return Registration(_make_symmetric(model.mean[model.ibug68]), _make_symmetric(rest), distance)


@dataclass(frozen=True)
class _Matches:
    """Places (P, 3) and their partners on the mesh: vertices (P, 3) and weights (P, 3)."""

    vertices: Indices
    weights: Array
    places: Array


def _bend(
    model: IctModel, shape: Array, matches: _Matches, landmarks: Array
) -> tuple[Array, float]:
    """The identity nearest to its partners (V, 3), and the median distance across the surface."""
    modes = model.identity[:_MODES].astype(np.float64)
    inner, weights = model.ibug68[_INNER], matches.weights[..., None]
    corners = shape[matches.vertices]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    moves = (modes[:, matches.vertices] * weights).sum(2)
    wanted = matches.places - (model.mean[matches.vertices] * weights).sum(1)
    across = np.abs(((matches.places - (corners * weights).sum(1)) * normals).sum(1))
    rows = [
        (moves * normals).sum(2).T,
        _ALONG * moves.transpose(1, 2, 0).reshape(-1, _MODES),
        _LANDMARKS * modes[:, inner].transpose(1, 2, 0).reshape(-1, _MODES),
        _PRIOR * np.eye(_MODES),
    ]
    right = [
        (wanted * normals).sum(1),
        _ALONG * wanted.reshape(-1),
        _LANDMARKS * (landmarks - model.mean[inner]).reshape(-1),
        np.zeros(_MODES),
    ]
    identity = np.linalg.lstsq(np.concatenate(rows), np.concatenate(right), rcond=None)[0]
    return model.mean + np.tensordot(identity, modes, 1), float(np.median(across))


def _fit_similarity(source: Array, target: Array) -> Callable[[Array], Array]:
    """The similarity that takes points to others with the least square error (Umeyama, 1991)."""
    start, end = source.mean(0), target.mean(0)
    left, sizes, right = np.linalg.svd((source - start).T @ (target - end))
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(left @ right))])
    turn = (left * signs) @ right * (sizes @ signs) / ((source - start) ** 2).sum()
    return lambda points: np.asarray((points - start) @ turn + end)


def _make_symmetric(points: Array) -> Array:
    """The mean of iBUG's points (68, 3) and their mirror image."""
    order = np.array(get_scheme("ibug68").flip)
    return np.asarray((points + points[order] * np.array([-1.0, 1.0, 1.0])) / 2)


def read_map_face(layout: Path) -> tuple[Array, Indices]:
    """The canonical face of position maps, and its vertices at iBUG's points.

    Args:
        layout: folder of `canonical_vertices.npy`, `face_ind.txt`, `uv_kpt_ind.txt` (PRNet).

    Returns:
        (V, 3) x right, y down, z away from the camera; (68,).
    """
    face = np.load(layout / "canonical_vertices.npy") * np.array([1.0, 1.0, -1.0])
    pixels = np.loadtxt(layout / "face_ind.txt").astype(np.int64)
    column, row = np.loadtxt(layout / "uv_kpt_ind.txt").astype(np.int64)
    place = {pixel: number for number, pixel in enumerate(pixels.tolist())}
    return face, np.array([place[pixel] for pixel in (row * 256 + column).tolist()])


def main(head: Path, layout: Path) -> None:
    """Print the offsets of the points of the right half of the picture and of the midline."""
    result = register(load_model(head), *read_map_face(layout))
    scheme = get_scheme("ibug68")
    right, left = scheme.eye_corners
    unit = np.linalg.norm(result.fixed[right] - result.fixed[left])
    print(f"surfaces {result.distance:.4f} head units apart in the median")
    for name, way in zip(scheme.point_names, (result.fitted - result.fixed) / unit, strict=True):
        if not name.startswith("right_"):
            print(f'    "{name}": ({way[0]:.4f}, {way[1]:.4f}, {way[2]:.4f}),')


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
