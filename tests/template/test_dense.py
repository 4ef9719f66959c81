"""`dense520`: symmetric, even, on the face; exact in position maps; the same places elsewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from lit_landmarks.data import SyntheticFaces
from lit_landmarks.errors import UserError
from lit_landmarks.geometry.position_map import read_map
from lit_landmarks.rendering.labels import PlacedHeads
from lit_landmarks.rendering.parametric import parametric_head
from lit_landmarks.schemes import get_map, get_scheme
from lit_landmarks.schemes.dense520 import N_MIDDLE, N_SIDE, published_order
from lit_landmarks.template import dense_places, mean_face, places_of_mesh, query_points
from lit_landmarks.template.dense import farthest_places, on_position_maps, transfer
from lit_landmarks.template.position_maps import face_layout
from lit_landmarks.template.surface_points import SurfacePoints


@pytest.fixture(scope="module")
def faces() -> SyntheticFaces:
    return SyntheticFaces(
        n=24,
        seed=3,
        max_yaw=90,
        image_size=256,
        scheme="dense520",
        convention="3d",
        visibility=False,
    )


@pytest.fixture(scope="module")
def placed(faces: SyntheticFaces) -> PlacedHeads:
    return PlacedHeads.of(parametric_head(), faces.faces(range(24)))


def test_the_stored_places_are_those_that_the_sampling_finds() -> None:
    middle, side = farthest_places()
    np.testing.assert_allclose(dense_places.MIDDLE, middle[:, 1], atol=1e-4)
    np.testing.assert_allclose(dense_places.SIDE, side, atol=1e-4)
    assert (len(middle), len(side)) == (N_MIDDLE, N_SIDE)
    assert (middle[:, 0] == 0).all()
    assert (side[:, 0] > 0.03).all()


def test_flip_mirrors_the_mean_face() -> None:
    points = mean_face("dense520")
    flip = list(get_scheme("dense520").flip or ())
    mirrored = points[flip] * torch.tensor([-1.0, 1.0, 1.0])
    assert torch.allclose(mirrored, points, atol=1e-6)
    # No point but those of the midline could take its own mirror image's place.
    nearest = torch.cdist(points * torch.tensor([-1.0, 1.0, 1.0]), points).argmin(1)
    inner = [i for i in range(68, 520)]
    assert nearest[inner].tolist() == [flip[i] for i in inner]


def test_points_are_spread_evenly_over_the_face() -> None:
    points = mean_face("dense520").double()
    apart = torch.cdist(points, points).fill_diagonal_(torch.inf).amin(1)
    extra = apart[68:]
    assert float(extra.min()) > 0.06
    assert float(extra.max()) < 0.12
    # Any first part of the extra points is spread as well: it lies further apart than the whole.
    few = torch.cat([points[:68], points[68 + N_MIDDLE : 68 + N_MIDDLE + 40]])
    away = torch.cdist(few, few).fill_diagonal_(torch.inf).amin(1)[68:]
    assert float(away.min()) > 1.8 * float(extra.min())


def test_the_68_of_the_dense_labels_are_the_sparse_labels(faces: SyntheticFaces) -> None:
    dense, sparse = faces.labels(range(24)), faces.labels(range(24), "ibug68")
    points, mask = get_map("dense520", "ibug68").apply(dense.points)
    assert bool(mask.all())
    assert torch.equal(points, sparse.points)
    assert torch.equal(dense.head3d[:, :68], sparse.head3d)
    index = faces.index()
    assert index.points3d is not None
    assert index.points3d.shape == (24, 520, 3)


def test_map_gives_the_520_and_the_projected_68(faces: SyntheticFaces, placed: PlacedHeads) -> None:
    layout = face_layout()
    actual = read_map(placed.position_maps(layout), layout.pixels)
    labels, sparse = faces.labels(range(24)), faces.labels(range(24), "ibug68")
    assert float((actual[:, :68, :2] - sparse.points).norm(dim=-1).max()) < 1e-3
    assert float((actual - labels.points3d).norm(dim=-1).max()) < 1e-3


def test_maps_have_no_holes_and_are_smooth(placed: PlacedHeads) -> None:
    layout = face_layout()
    assert bool(layout.table.mask.all())
    maps = placed.position_maps(layout)
    across = (maps[:, :, 1:] - maps[:, :, :-1]).norm(dim=-1)
    down = (maps[:, 1:] - maps[:, :-1]).norm(dim=-1)
    # Neighbours on the map are neighbours on the face; an opened mouth is the longest step.
    assert float(across.flatten(1).quantile(0.999)) < 4
    assert float(down.flatten(1)[:, ::7].quantile(0.999)) < 6


def test_a_small_map_says_that_it_is_too_small() -> None:
    with pytest.raises(ValueError, match="share a pixel of a 32 px map"):
        face_layout(size=32)
    assert face_layout("ibug68", 192).pixels.shape == (68, 2)


def _moved(vertices: Tensor) -> Tensor:
    """Another head: wider, longer, and bent without losing its symmetry."""
    scale = torch.tensor([9.0, 11.0, 10.0], dtype=torch.float64)
    bend = 0.06 * torch.sin(2.0 * vertices[:, [1, 0, 1]].abs())
    bend[:, 0] *= vertices[:, 0].sign() * vertices[:, 0].abs().clamp_max(0.3) / 0.3
    return (vertices + bend) * scale + torch.tensor([0.0, 3.0, -5.0])


def test_transfer_finds_the_same_places_on_a_bent_head() -> None:
    head = parametric_head()
    skin = head.skin
    vertices = _moved(head.neutral[: len(skin.angle)]).numpy()
    actual = transfer(vertices, skin.triangles, head.points("ibug68"), skin.mirror)
    own = head.points("dense520")

    def places(points: SurfacePoints) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        return np.asarray((vertices[points.vertices] * points.weights[..., None]).sum(1))

    apart = np.linalg.norm(places(actual) - places(own), axis=1) / 10
    assert apart[:68].max() == 0
    assert np.quantile(apart, 0.95) < 0.05
    assert apart.max() < 0.15
    flip = list(get_scheme("dense520").flip or ())
    mirrored = places(actual)[flip] * np.array([-1.0, 1.0, 1.0])
    np.testing.assert_allclose(places(actual), mirrored, atol=1e-9)
    assert (actual.weights >= 0).all()
    np.testing.assert_allclose(actual.weights.sum(1), 1.0)


@pytest.mark.real
def test_transfer_onto_the_ict_head(real_data: Path) -> None:
    with np.load(real_data / "ict_facekit.npz", allow_pickle=False) as data:
        vertices = data["mean"].astype(np.float64) * np.array([1.0, -1.0, -1.0])
        quads, chosen = data["quads"], data["ibug68"].astype(np.int64)
    quads = quads[(quads < 11248).all(1)].astype(np.int64)
    triangles = np.concatenate([quads[:, :3], quads[:, [0, 2, 3]]])
    one = np.stack([np.ones(68), np.zeros(68), np.zeros(68)], 1)
    landmarks = SurfacePoints(np.repeat(chosen[:, None], 3, 1), one)
    face = vertices[:11248]
    mirror = np.arange(len(vertices))
    cloud = torch.from_numpy(face).float()
    turned = cloud * torch.tensor([-1.0, 1.0, 1.0])
    mirror[: len(face)] = torch.cat([torch.cdist(t, cloud).argmin(1) for t in turned.split(1024)])
    actual = transfer(vertices, triangles, landmarks, mirror)
    points = (vertices[actual.vertices] * actual.weights[..., None]).sum(1)
    flip = list(get_scheme("dense520").flip or ())
    off = points[68:] - (points[flip] * np.array([-1.0, 1.0, 1.0]))[68:]
    eyes = np.linalg.norm(points[36] - points[45])
    assert np.abs(off).max() < 0.01 * eyes
    cloud = torch.from_numpy(points)
    apart = torch.cdist(cloud, cloud).fill_diagonal_(torch.inf).amin(1)[68:] / eyes
    assert float(apart.min()) > 0.05
    assert float(apart.max()) < 0.13


def test_published_order_puts_the_68_first_and_refuses_nonsense() -> None:
    places = [500 - 3 * i for i in range(68)]
    order = published_order(places)
    assert list(order[:68]) == places
    assert sorted(order) == list(range(520))
    assert list(order[68:]) == sorted(order[68:])
    for bad in (places[:67], [*places[:67], places[0]], [*places[:67], 520], [*places[:67], -1]):
        with pytest.raises(UserError, match="68 different numbers from 0 to 519"):
            published_order(bad)


@pytest.mark.real
def test_our_set_on_published_position_maps(real_data: Path) -> None:
    folder = real_data / "position_maps"
    canonical = np.load(folder / "canonical_vertices.npy", allow_pickle=False)
    face_ind = np.loadtxt(folder / "face_ind.txt").astype(np.int64)
    sparse = np.loadtxt(folder / "uv_kpt_ind.txt").astype(np.int64).T
    actual = on_position_maps(canonical, face_ind, sparse)
    points = (canonical[actual.vertices] * actual.weights[..., None]).sum(1)
    column_row = np.stack([face_ind % 256, face_ind // 256], 1)[actual.vertices[:68, 0]]
    np.testing.assert_array_equal(column_row, sparse)
    flip = list(get_scheme("dense520").flip or ())
    eyes = np.linalg.norm(points[36] - points[45])
    off = np.linalg.norm(points[flip] * np.array([-1.0, 1.0, 1.0]) - points, axis=1) / eyes
    # The published mean face is not quite symmetric, nor are its 68.
    assert np.quantile(off, 0.95) < 0.04
    cloud = torch.from_numpy(points)
    apart = torch.cdist(cloud, cloud).fill_diagonal_(torch.inf).amin(1)[68:] / eyes
    assert float(apart.quantile(0.05)) > 0.04
    with pytest.raises(UserError, match="from one release"):
        on_position_maps(canonical[:-1], face_ind, sparse)
    with pytest.raises(UserError, match="from one release"):
        on_position_maps(canonical, face_ind, sparse * 0)


def test_points_of_another_head_find_their_places_on_the_template() -> None:
    """The template turned, scaled and moved is another head whose places are those of our own."""
    own, landmarks = (mean_face(name).double().numpy() for name in ("dense520", "ibug68"))
    turn = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))[0]
    points, marks = (face @ turn * 12.5 + [3.0, -80.0, 40.0] for face in (own, landmarks))
    away = np.linalg.norm(places_of_mesh(points, marks) - query_points("dense520"), axis=1)
    names = get_scheme("dense520").point_names
    lips = np.array(["lip" in name or "mouth" in name for name in names])
    assert away[~lips].max() < 0.06  # of the distance of the eye corners
    assert np.median(away) < 0.01
    with pytest.raises(UserError, match=r"landmarks of shape \(520, 3\)"):
        places_of_mesh(marks, points)


def test_a_longer_face_is_bent_onto_the_template() -> None:
    own, landmarks = (mean_face(name).double().numpy() for name in ("dense520", "ibug68"))

    def lengthen(face: np.ndarray) -> np.ndarray:
        return face * [1.0, 1.15, 0.9] + 0.05 * np.sin(3.0 * face)

    away = places_of_mesh(lengthen(own), lengthen(landmarks)) - query_points("dense520")
    assert np.median(np.linalg.norm(away, axis=1)) < 0.02
