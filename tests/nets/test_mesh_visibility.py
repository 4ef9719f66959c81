"""Visibility by the mesh against the exact labels of rendered heads."""

from __future__ import annotations

import torch
from torchmetrics.functional.classification import binary_auroc

from lit_landmarks.data.synthetic import SyntheticFaces
from lit_landmarks.nets.mesh_visibility import MeshVisibility
from lit_landmarks.template import mean_face, query_points
from lit_landmarks.template.mesh import scheme_triangles
from lit_landmarks.types import Prediction


def make_mesh() -> MeshVisibility:
    triangles = torch.from_numpy(scheme_triangles("dense520").copy())
    return MeshVisibility(query_points("dense520"), triangles)


def test_exact_shapes_tell_what_the_head_hides() -> None:
    index = SyntheticFaces(n=60, seed=3, max_yaw=70.0, convention="synthetic_3d").index()
    points3d, head3d = torch.from_numpy(index.points3d), torch.from_numpy(index.head3d)
    queries = query_points("ibug68").expand(len(index), -1, -1)
    prediction = Prediction(points3d[..., :2], points3d=points3d, head3d=head3d)
    visibility = make_mesh()(prediction, queries)
    labels = torch.from_numpy(index.visible)
    own = labels != 0  # a hand before the face is not in the shape
    assert binary_auroc(visibility[own], (labels[own] == 1).int()) > 0.98
    right = (visibility > 0.5) == (labels == 1)
    assert right[labels == 1].float().mean() > 0.9
    assert right[labels == 2].float().mean() > 0.9


def test_frontal_face_is_seen_and_its_back_is_not() -> None:
    face = mean_face("ibug68")[None]
    pixels = face * 100 + 200
    queries = query_points("ibug68")[None]
    front = make_mesh()(Prediction(pixels[..., :2], points3d=pixels, head3d=face), queries)
    assert front[0, 17:].min() > 0.5
    turned = pixels * torch.tensor([-1.0, 1.0, -1.0])  # half round about the neck
    back = make_mesh()(Prediction(turned[..., :2], points3d=turned, head3d=face), queries)
    assert back[0, 17:].max() < 0.5


def test_queries_without_a_place_have_no_visibility() -> None:
    face = mean_face("ibug68")[None]
    queries = query_points("ibug68")[None].clone()
    queries[0, 5] = torch.nan
    visibility = make_mesh()(Prediction(face[..., :2], points3d=face, head3d=face), queries)
    assert visibility[0, 5].isnan()
    assert visibility.isnan().sum() == 1


def test_all_that_the_mesh_reads_follows_it_to_another_device() -> None:
    mesh = make_mesh().to("meta")
    constants = [mesh.vertices, mesh.triangles, *mesh.meeting]
    assert {value.device.type for value in constants} == {"meta"}
    inside = vars(mesh).values()
    assert not any(isinstance(value, torch.Tensor | tuple) for value in inside)
    assert not mesh.state_dict(), "constants of the template are not stored"


def test_mixed_precision_does_not_reach_coordinates() -> None:
    index = SyntheticFaces(n=8, seed=5, max_yaw=60.0, convention="synthetic_3d").index()
    points3d, head3d = torch.from_numpy(index.points3d), torch.from_numpy(index.head3d)
    prediction = Prediction(points3d[..., :2], points3d=points3d, head3d=head3d)
    mesh, queries = make_mesh(), query_points("ibug68").expand(len(index), -1, -1)
    expected = mesh(prediction, queries)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(mesh(prediction, queries), expected)
