"""SPIGA against the published model's sizes and against values worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from lit_landmarks.compute import count_mma
from lit_landmarks.geometry.camera import against_ray, from_ray, pose_camera, project
from lit_landmarks.geometry.rotations import euler_to_matrix
from lit_landmarks.methods.spiga import SPIGA
from lit_landmarks.methods.spiga.cascade import CascadeOptions, GraphCascade, GraphLayer, Step
from lit_landmarks.methods.spiga.fields import edge_lines
from lit_landmarks.methods.spiga.light import expected_points
from lit_landmarks.methods.spiga.loss import (
    SPIGALossOptions,
    coordinate_loss,
    map_loss,
    pose_loss,
    sum_over_stacks,
)
from lit_landmarks.methods.spiga.network import project_face
from lit_landmarks.methods.spiga.targets import draw_edges, pose_targets
from lit_landmarks.nets.attention import LandmarkAttention
from lit_landmarks.nets.error_head import ErrorHeadOptions
from lit_landmarks.schemes import get_scheme
from lit_landmarks.template import mean_face
from lit_landmarks.types import FaceInputs

SMALL = CascadeOptions(nodes=8, width=8, layers=1, heads=2, position_width=8, decoder=(8,))


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


# ---- sizes of the published model (measured on the authors' code) ----------------------------


@pytest.mark.parametrize(
    ("scheme", "millions", "backbone", "windows", "graph", "position", "gigas"),
    [
        ("ibug68", 58.97, 25.26, 19.27, 13.74, 0.70, 20.9),
        ("wflw98", 59.09, 25.33, 19.27, 13.74, 0.74, 22.2),
    ],
)
def test_sizes_are_those_of_the_published_model(
    scheme: str,
    millions: float,
    backbone: float,
    windows: float,
    graph: float,
    position: float,
    gigas: float,
) -> None:
    method = SPIGA(scheme=scheme, frame_size=256)
    network = method.network
    unused = count(network.backbone.heads[-1])  # the published model is without
    assert (count(method) - unused) / 1e6 == pytest.approx(millions, abs=0.005)
    assert (count(network.backbone) - unused) / 1e6 == pytest.approx(backbone, abs=0.005)
    steps = list(network.cascade.steps)
    assert sum(count(step.encode) for step in steps) / 1e6 == pytest.approx(windows, abs=0.005)
    assert sum(count(step.position) for step in steps) / 1e6 == pytest.approx(position, abs=0.005)
    parts = [part for step in steps for part in (step.layers, step.decode)]
    assert sum(map(count, parts)) / 1e6 == pytest.approx(graph, abs=0.005)
    assert count_mma(method, method.example()).mma / 1e3 == pytest.approx(gigas, abs=0.06)


def test_shapes_of_the_published_model() -> None:
    method = SPIGA(scheme="wflw98", frame_size=256).eval().to("meta")
    field = method.network.backbone(torch.zeros(1, 3, 256, 256, device="meta"))
    assert [maps.shape for maps, _ in field.stacks] == [(1, 256, 64, 64)] * 4
    assert [vector.shape for _, vector in field.stacks] == [(1, 256)] * 4
    step = method.network.cascade.steps[0]
    points = torch.zeros(1, 98, 2, device="meta")
    assert step(field.features, points)[2].shape == (4, 1, 4, 98, 98)


def test_there_are_13_edges_of_68_points_and_15_of_98() -> None:
    for scheme, lines, shared in (("ibug68", 13, 8), ("wflw98", 15, 10)):
        edges = edge_lines(get_scheme(scheme))
        members = [point for line in edges for point in line]
        assert len(edges) == lines
        assert sum(members.count(point) == 2 for point in set(members)) == shared
    left_out = set(range(98)) - set(members)
    assert left_out == {96, 97}  # the pupils: let through everywhere


# ---- windows, moves, attention -----------------------------------------------------------------


def test_samples_of_a_window_are_as_far_apart_as_published() -> None:
    column, row = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="xy")
    maps = torch.stack((column, row))[None]
    # The landmark at pixel 127.5 of a crop of 256 lies between pixels 31 and 32 of 64.
    points = torch.tensor([[[128 / 256, 96.0 / 256]]])
    for window, spacing in ((0.25, 2.5), (0.125, 7 / 6), (0.0625, 0.5)):
        cut = Step(2, 2, window, SMALL).cut(maps, points)[0, 0]
        assert torch.allclose(cut[:, 3, 3], torch.tensor([31.5, 23.5]))
        assert torch.allclose(cut[0, 0].diff(), torch.tensor(spacing), atol=1e-5)
        assert torch.allclose(cut[1, :, 0].diff(), torch.tensor(spacing), atol=1e-5)


def test_a_window_beside_the_map_reads_its_border() -> None:
    maps = torch.ones(1, 1, 16, 16)
    cut = Step(2, 1, 0.25, SMALL).cut(maps, torch.tensor([[[-3.0, 0.5], [0.5, 4.0]]]))
    assert torch.allclose(cut, torch.tensor(1.0))


def test_moves_are_at_most_half_a_window() -> None:
    torch.manual_seed(0)
    cascade = GraphCascade(5, 4, CascadeOptions(**{**vars(SMALL), "nodes": 8})).eval()
    for step in cascade.steps:
        step.decode[-1].bias.data.fill_(99.0)
    start = torch.full((2, 5, 2), 0.5)
    points = cascade(torch.randn(2, 4, 16, 16), torch.zeros(2, 3), start).points
    moves = points.diff(dim=0).amax((1, 2, 3))
    assert torch.allclose(moves, torch.tensor([0.125, 0.0625, 0.03125]))
    assert torch.allclose(points[-1] - start, torch.tensor(0.21875))


def test_no_weights_no_move() -> None:
    cascade = GraphCascade(5, 4, SMALL).eval()
    for step in cascade.steps:
        step.decode[-1].weight.data.zero_()
        step.decode[-1].bias.data.zero_()
    start = torch.rand(2, 5, 2)
    points = cascade(torch.randn(2, 4, 16, 16), torch.zeros(2, 3), start).points
    assert torch.equal(points, start.expand(4, -1, -1, -1))


@pytest.mark.parametrize("kind", ["dot", "additive"])
def test_dense_attention_is_that_of_torch_geometric(kind: Any) -> None:
    torch.manual_seed(0)
    # Double precision: single rounds sums that nearly cancel differently on different processors.
    attention = LandmarkAttention(32, heads=4, kind=kind).double()
    results = []
    for form in ("dense", "pyg"):
        attention.form = form
        values = torch.linspace(-2, 2, 3 * 7 * 32, dtype=torch.float64).sin()
        nodes = values.view(3, 7, 32).requires_grad_()
        messages, weights = attention(nodes)
        messages.square().sum().backward()
        gradients = [nodes.grad, *[p.grad.clone() for p in attention.parameters()]]
        attention.zero_grad()
        results.append([messages, weights, *gradients])
    for dense, graph in zip(*results, strict=True):
        assert torch.allclose(dense, graph, atol=1e-9)
    single = attention.float()(values.float().view(3, 7, 32))[0]
    assert torch.allclose(single, messages.float(), atol=1e-5)
    assert torch.allclose(weights.sum(-1), torch.tensor(1.0, dtype=torch.float64))
    assert weights.std() > 1e-3


def test_uniform_attention_is_the_mean_of_the_values() -> None:
    torch.manual_seed(0)
    attention, nodes = LandmarkAttention(8, heads=2, kind="uniform"), torch.randn(2, 5, 8)
    messages, weights = attention(nodes)
    expected = attention.conv(nodes.mean(1, keepdim=True)).expand(-1, 5, -1)
    assert torch.allclose(messages, expected, atol=1e-6)
    assert torch.equal(weights, torch.full((2, 2, 5, 5), 0.2))


def test_layers_treat_all_landmarks_alike_and_a_step_does_not() -> None:
    torch.manual_seed(0)
    order = torch.randperm(9)
    layer = GraphLayer(8, 8, SMALL).eval()
    nodes = torch.randn(2, 9, 8)
    assert torch.allclose(layer(nodes[:, order])[0], layer(nodes)[0][:, order], atol=1e-6)
    step = Step(9, 4, 0.25, SMALL).eval()
    maps, points = torch.randn(2, 4, 16, 16), torch.rand(2, 9, 2)
    permuted = step(maps, points[:, order])[0]
    assert not torch.allclose(permuted, step(maps, points)[0][:, order], atol=1e-4)


def test_displacements_are_to_all_others_in_order() -> None:
    step = Step(3, 4, 0.25, SMALL)
    points = torch.tensor([[[0.0, 0.0], [0.1, 0.0], [0.0, 0.2]]])
    expected = torch.tensor([[-0.1, 0.0, 0.0, -0.2], [0.1, 0.0, 0.1, -0.2], [0.0, 0.2, -0.1, 0.2]])
    assert torch.allclose(step.displacements(points)[0], expected)


# ---- pose ----------------------------------------------------------------------------------------


def test_posit_gives_back_the_pose_of_projected_faces() -> None:
    torch.manual_seed(0)
    template, faces = mean_face("wflw98"), 500
    angles = (torch.rand(faces, 3) * 2 - 1) * torch.tensor([75.0, 30.0, 30.0])
    shift = torch.rand(faces, 3) * torch.tensor([0.6, 0.6, 1.5]) + torch.tensor([-0.3, -0.7, 3.0])
    pose = torch.cat((angles, shift), 1)
    points = project_face(template, pose) * 256 - 0.5
    assert torch.allclose(points, project(template, pose, *pose_camera(256)), atol=1e-3)
    mask = torch.ones(faces, 98, dtype=torch.bool)
    scheme = get_scheme("wflw98")
    made, ok = pose_targets(points, mask, template, scheme.pose_mask(), 256)
    assert ok.all()
    assert (made - pose)[:, :3].abs().max() < 0.03
    assert (made - pose)[:, 3:].abs().max() < 0.002


def test_angles_against_the_line_of_sight_and_back() -> None:
    torch.manual_seed(0)
    angles = (torch.rand(100, 3) * 2 - 1) * torch.tensor([90.0, 60.0, 60.0])
    shift = torch.rand(100, 3) * torch.tensor([2.0, 2.0, 3.0]) + torch.tensor([-1.0, -1.0, 2.0])
    rotation = euler_to_matrix(angles)
    back = from_ray(against_ray(rotation, shift), shift)
    assert (back - rotation).abs().max() < 1e-4


def test_a_pose_from_outside_is_where_the_cascade_starts() -> None:
    method = SPIGA.tiny().eval()
    image, pose = torch.rand(2, 3, 64, 64), torch.tensor([[30.0, 5.0, -10.0, 0.1, -0.4, 3.5]])
    pose = pose.expand(2, -1)
    prediction = method(FaceInputs(image, pose=pose))
    assert torch.equal(prediction.pose, pose)
    shown = against_ray(euler_to_matrix(method._in_camera(pose)[:, :3]), pose[:, 3:])
    assert torch.allclose(shown, euler_to_matrix(pose[:, :3]), atol=1e-5)
    start = project_face(method.network.template, method._in_camera(pose)) * 64 - 0.5
    assert torch.allclose(prediction.stages[0], start)


def test_points_from_outside_are_where_the_cascade_starts() -> None:
    method, points = SPIGA.tiny().eval(), torch.rand(2, 68, 2) * 60
    prediction = method(FaceInputs(torch.rand(2, 3, 64, 64), points=points))
    assert torch.allclose(prediction.stages[0], points, atol=1e-4)
    assert not torch.allclose(prediction.points, points, atol=1e-4)


def test_the_pose_alone_is_that_of_the_prediction_and_costs_no_cascade() -> None:
    method = SPIGA.tiny().eval()
    inputs = FaceInputs(torch.rand(2, 3, 64, 64))
    assert torch.equal(method.estimate_pose(inputs), method(inputs).pose)
    counted = count_mma(_PoseAlone(method), method.example()).mma
    assert counted == pytest.approx(method.stage_costs()[0])
    assert counted < method.stage_costs()[1]


class _PoseAlone(torch.nn.Module):
    def __init__(self, method: SPIGA) -> None:
        super().__init__()
        self.method = method

    def forward(self, inputs: FaceInputs) -> Tensor:
        return self.method.estimate_pose(inputs)


def test_a_start_at_the_heat_maps_is_in_single_precision_under_autocast() -> None:
    """Places in 16 bits would be off by a quarter of a pixel, and mix with those of the steps."""
    torch.manual_seed(0)
    method = SPIGA.tiny(start="heatmaps", error_head=ErrorHeadOptions()).eval()
    inputs = FaceInputs(torch.rand(2, 3, 64, 64))
    assert method.early_exit is not None
    first_leaves = torch.tensor([[torch.inf, 0.0], [-torch.inf, -torch.inf]])
    with torch.no_grad(), method.early_exit.use_face_thresholds(first_leaves):
        with torch.autocast("cpu", torch.bfloat16):
            field = method.network.backbone(inputs.image)
            answer = method.network.backbone.answer(field)[0]
            prediction = method(inputs)
        assert answer.points.dtype == prediction.points.dtype == torch.float32
        assert prediction.exit_stage.tolist() == [0, 2]
        torch.testing.assert_close(prediction.stages[0], answer.points * 64 - 0.5)


# ---- targets and losses --------------------------------------------------------------------------


def test_an_edge_runs_through_its_landmarks() -> None:
    points = torch.tensor([[[5.0, 10.0], [12.0, 4.0], [20.0, 9.0], [26.0, 20.0]]])
    mask = torch.ones(1, 4, dtype=torch.bool)
    maps, drawn = draw_edges(points, mask, [(0, 1, 2, 3)], side=32)
    assert drawn.all()
    for x, y in points[0].long().tolist():
        assert maps[0, 0, y, x] == pytest.approx(1.0, abs=0.02)
    assert maps[0, 0, 30, 2] == 0.0  # cut off beyond three deviations
    line, _ = draw_edges(points[:, [0, 2]], mask[:, :2], [(0, 1)], side=32)
    # From (12, 12) to the line through (5, 10) and (20, 9).
    distance = (7.0 * 1.0 + 2.0 * 15.0) / math.hypot(15.0, 1.0)
    assert line[0, 0, 12, 12] == pytest.approx(math.exp(-0.5 * distance**2), abs=1e-4)


def test_an_edge_with_a_missing_landmark_is_not_drawn() -> None:
    points = torch.tensor([[[5.0, 10.0], [torch.nan, torch.nan], [20.0, 9.0]]])
    maps, drawn = draw_edges(points, points[..., 0].isfinite(), [(0, 1), (0, 2)], side=32)
    assert drawn.tolist() == [[False, True]]
    assert maps.isfinite().all()
    assert not maps[0, 0].any()


def test_losses_by_hand() -> None:
    options = SPIGALossOptions()
    target = torch.zeros(1, 2, 2)
    shape = torch.tensor([[[[0.5 / 64, 0.0], [3.0 / 64, 0.0]]]])
    mask = torch.tensor([[True, True]])
    # Smooth L1 with beta 1, in pixels of a grid of 64: 0.125 and 2.5 over four coordinates.
    assert coordinate_loss(shape, target, mask, options).item() == pytest.approx(2.625 / 4)
    assert coordinate_loss(shape, target, mask[:, :1] & mask.new_tensor([[True, False]]), options)[
        0
    ].item() == pytest.approx(0.125 / 2)
    l1 = SPIGALossOptions(coordinates="l1")
    assert coordinate_loss(shape, target, mask, l1).item() == pytest.approx(3.5 / 4)
    assert sum_over_stacks([torch.tensor(1.0)] * 4).item() == 15.0
    pose = torch.tensor([[1.0, 2.0, 2.0, 0.0, 0.0, 1.0], [9.0] * 6])
    valid = torch.tensor([True, False])
    assert pose_loss(pose, torch.zeros(2, 6), valid, "degrees").item() == 10.0
    scaled = 0.01 + 0.04 + 0.04 + (1 / 0.3) ** 2
    assert pose_loss(pose, torch.zeros(2, 6), valid, "scaled").item() == pytest.approx(scaled)
    same = torch.rand(2, 3, 4, 4)
    assert map_loss(same, same, torch.ones(2, 3, dtype=torch.bool)).item() == 0.0


def test_pixels_point_to_landmarks_between_them() -> None:
    logits = torch.zeros(1, 1, 8, 8)
    logits[0, 0, 2, 3] = 50.0
    features = torch.zeros(1, 1, 8, 8)
    features[0, 0, 2, 3] = 0.5
    points = expected_points(logits, features, torch.tensor([[0.5], [-1.0]]), torch.zeros(2))
    assert torch.allclose(points[0, 0] * 8, torch.tensor([3.75, 2.0]))


def test_mean_offset_is_that_of_maps_of_offsets() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(2, 4, 6, 6, generator=generator)
    features = torch.randn(2, 5, 6, 6, generator=generator)
    weight, bias = torch.randn(8, 5, generator=generator), torch.randn(8, generator=generator)
    shares = logits.flatten(2).softmax(-1)[:, :, None]
    maps = torch.nn.functional.conv2d(features, weight[:, :, None, None], bias)
    y, x = torch.meshgrid(torch.arange(6) + 0.5, torch.arange(6) + 0.5, indexing="ij")
    places = torch.stack((x, y)).flatten(1) + maps.unflatten(1, (4, 2)).flatten(3)
    expected = (shares * places).sum(-1) / 6
    assert torch.allclose(expected_points(logits, features, weight, bias), expected, atol=1e-5)
