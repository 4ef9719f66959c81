"""MuSiCa: published size and cost, patches, early exit, and what each option does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from onnxruntime import InferenceSession
from torch import Tensor, nn

from lit_landmarks.compute import count_mma
from lit_landmarks.errors import UserError
from lit_landmarks.methods.musica import MuSiCa, MuSiCaNet, choose_patches
from lit_landmarks.methods.musica.network import Pyramid
from lit_landmarks.nets.error_head import error_norm
from lit_landmarks.nets.windows import Sampling
from lit_landmarks.types import FaceBatch

SIZE = 64


def test_published_size_and_cost() -> None:
    with torch.device("meta"):
        method = MuSiCa(frame_size=228)
    cost = count_mma(method, method.example().to("meta"))
    assert cost.parameters == 27_965_307
    assert cost.mma == pytest.approx(96.6, abs=0.05)
    assert cost.mma_min == pytest.approx(96.57 / 3, abs=0.05)
    assert cost.mma_max == cost.mma
    assert 0 < cost.mma_preprocess < 5


@pytest.mark.parametrize(("scheme", "patches", "mma", "millions"), [
    ("ibug68", 34, 48.8, 14.6), ("ibug68", 19, 27.7, 8.7),
    ("wflw98", None, 138.8, 39.9), ("wflw98", 49, 70.0, 20.6),
])  # fmt: skip
def test_cost_of_other_builds(
    scheme: str, patches: int | None, mma: float, millions: float
) -> None:
    with torch.device("meta"):
        method = MuSiCa(scheme=scheme, patches=patches, frame_size=128)
    cost = count_mma(method, method.example().to("meta"))
    assert cost.mma == pytest.approx(mma, abs=0.06)
    assert cost.parameters / 1e6 == pytest.approx(millions, abs=0.06)


def test_a_factored_head_is_under_five_million() -> None:
    with torch.device("meta"):
        method = MuSiCa(rank=32, frame_size=128)
    assert count_mma(method, method.example()).parameters < 5e6


def test_pyramid_keeps_places_and_is_standardised() -> None:
    ramp = torch.linspace(0, 1, 64).expand(1, 3, 64, 64).clone()
    finest, half, quarter = Pyramid(3)(ramp)
    assert finest.mean().abs() < 1e-5
    assert finest.std() == pytest.approx(1.0, abs=0.02)
    # Level-1 pixel i lies at 2 i + 0.5 of level 0: the ramp there is the mean of both pixels.
    wanted = (finest[..., 0::2] + finest[..., 1::2])[:, :, ::2] / 2
    torch.testing.assert_close(half[..., 2:-2], wanted[..., 2:-2], atol=1e-4, rtol=0)
    assert quarter.shape == (1, 3, 16, 16)
    flat = Pyramid(2)(torch.full((1, 3, 8, 8), 0.5))
    assert all(level.abs().max() < 1e-3 for level in flat)


def _net(levels: tuple[int, ...] = (2, 1, 0)) -> MuSiCaNet:
    torch.manual_seed(0)
    net = MuSiCaNet(6, (0, 2, 3, 5), levels=levels, hidden=16).eval()
    net.mean.copy_(torch.rand(6, 2) * 0.5 - 0.25)
    for step in net.iterations:
        torch.nn.init.normal_(step.head.weight, std=0.2)
    return net


def test_faces_that_are_done_leave_and_the_others_are_as_without() -> None:
    net, image = _net(), torch.rand(9, 3, SIZE, SIZE)
    whole = net(image)
    threshold = whole.error[:2].median(dim=1).values
    found = net(image, stop=threshold)
    leaves_first = whole.error[0] < threshold[0]
    leaves_second = ~leaves_first & (whole.error[1] < threshold[1])
    wanted = torch.where(leaves_first, 0, torch.where(leaves_second, 1, 2))
    assert torch.equal(found.exits, wanted)
    assert 0 < leaves_first.sum() < 9
    for face in range(9):
        last = int(wanted[face])
        torch.testing.assert_close(found.points[-1, face], whole.points[last, face])
        torch.testing.assert_close(found.error[-1, face], whole.error[last, face])
        assert found.attention[last + 1 :, face].isnan().all()
        assert not found.attention[: last + 1, face].isnan().any()


@pytest.mark.parametrize("level", [float("inf"), float("-inf")])
def test_all_or_none_may_leave(level: float) -> None:
    net, image = _net(), torch.rand(3, 3, SIZE, SIZE)
    found = net(image, stop=torch.tensor([level, level]))
    assert found.points.shape == (3, 3, 6, 2)
    assert (found.exits == (0 if level > 0 else 2)).all()
    assert torch.equal(found.points[-1], net(image, count=1 if level > 0 else 3).points[-1])


def test_an_early_face_costs_less(make_faces: Callable[..., FaceBatch]) -> None:
    method = MuSiCa(frame_size=SIZE, patches=19).eval()
    faces = make_faces(4)
    assert method(faces.inputs).mma is not None
    costs = method.stage_costs()
    assert costs[0] < costs[1] < costs[2] == pytest.approx(27.7, abs=0.06)
    assert method.early_exit is not None
    method.early_exit.exit_thresholds.fill_(1e9)
    prediction = method(faces.inputs)
    assert prediction.exit_stage is not None
    assert prediction.mma is not None
    assert (prediction.exit_stage == 0).all()
    assert (prediction.mma == costs[0]).all()
    method.early_exit.enabled = False
    assert (method(faces.inputs).mma == costs[2]).all()  # type: ignore[union-attr]


def test_losses_are_those_worked_by_hand(make_faces: Callable[..., FaceBatch]) -> None:
    faces = make_faces(2)
    faces.mask[1, 10:] = False
    torch.manual_seed(0)
    authors = MuSiCa(frame_size=SIZE, error_units="l1")
    prediction = authors(faces.inputs)
    losses = authors.losses(prediction, faces)
    points = error = 0.0
    for stage, told in zip(prediction.stages, prediction.aux, strict=True):
        for face in range(2):
            norm = (faces.points[face, 36] - faces.points[face, 45]).norm()
            norm = norm if face == 0 else error_norm(faces)[1]
            off = (stage[face] - faces.points[face])[faces.mask[face]].abs().sum(-1).mean() / norm
            points += 0.5 * off.item()
            error += 0.5 * (off - told[face]).abs().item()
    assert losses["points"].item() == pytest.approx(points, rel=1e-4)
    assert losses["error"].item() == pytest.approx(error, rel=1e-4)


@pytest.mark.parametrize("detach", [True, False])
def test_the_error_estimate_may_pull_at_the_landmarks_or_not(
    detach: bool, make_faces: Callable[..., FaceBatch]
) -> None:
    torch.manual_seed(0)
    method = MuSiCa(frame_size=SIZE, detach_error=detach)
    method.losses(method(make_faces(2).inputs), make_faces(2))["error"].backward()
    head = method.network.iterations[-1].head
    assert bool(head.weight.grad[:-1].any()) is not detach
    assert head.weight.grad[-1].any()


@pytest.mark.parametrize(
    ("patches", "told"),
    [
        ([0, 1, 2, 68], "landmark 68"), ([-1, 2, 3, 4], "landmark -1"), ([1, 1, 2, 3], "twice"),
        ([1, 2], "4 or more"), (3, "4 to 68"), (69, "4 to 68"),
    ],
)  # fmt: skip
def test_bad_patches(patches: list[int] | int, told: str) -> None:
    with pytest.raises(UserError, match=told):
        choose_patches("ibug68", patches)


def test_patches_are_spread_over_the_face() -> None:
    few = choose_patches("ibug68", 19)
    assert len(few) == len(set(few)) == 19
    assert set(few) & set(range(17))
    assert set(few) & set(range(36, 42))
    assert set(few) & set(range(42, 48))
    assert set(choose_patches("ibug68", 10)) <= set(few)


def test_bad_settings() -> None:
    with pytest.raises(UserError, match="halved"):
        MuSiCa(frame_size=66)
    with pytest.raises(UserError, match="one to eight numbers of halvings"):
        MuSiCa(levels=[4, 3, 2, 1, 0])
    with pytest.raises(UserError, match="rank"):
        MuSiCa(rank=0)
    with pytest.raises(UserError, match="recurrent_scale"):
        MuSiCa(recurrent_scale=0.0)
    with pytest.raises(UserError, match="scheme"):
        MuSiCa(scheme=None)


def test_levels_may_repeat_and_gradients_may_end_at_an_iteration() -> None:
    image = torch.rand(2, 3, 64, 64)
    for detach in (False, True):
        net = _net((1, 0, 0))
        net.detach_points = detach
        found = net(image)
        assert found.points.shape == (3, 2, 6, 2)
        found.points[-1].sum().backward()
        # Through the state the first iteration still hears of the last one's error.
        first, last = (net.iterations[k].head.weight.grad for k in (0, 2))  # type: ignore[union-attr]
        assert last is not None
        assert last.abs().max() > 0
        assert (first is None or not first.any()) == detach


def test_the_recurrent_layer_begins_the_same_and_moves_less() -> None:
    image = torch.rand(4, 3, SIZE, SIZE)
    states, nets = [], []
    for scale in (1.0, 0.1):
        torch.manual_seed(0)
        nets.append(MuSiCaNet(6, (0, 2, 3, 5), hidden=16, recurrent_scale=scale))
        nets[-1].iterations[0].recurrent.register_forward_hook(
            lambda _, __, out: states.append(out.detach())
        )
    first = [net(image).points for net in nets]
    torch.testing.assert_close(first[0], first[1])
    for net in nets:
        step = torch.optim.Adam([net.iterations[0].recurrent.weight], lr=1e-3)
        net(image).points.square().mean().backward()
        step.step()
        net(image)
    moved = [(states[3 + 2 * k] - states[k]).abs().mean().item() for k in (0, 1)]
    assert moved[1] == pytest.approx(0.1 * moved[0], rel=0.1)


class Points(nn.Module):
    """The last points of the cascade, as an export sees them."""

    def __init__(self, net: MuSiCaNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> Tensor:
        cascade = self.net(image)
        return cascade.points[-1]  # type: ignore[no-any-return]


def test_an_exported_cascade_takes_any_batch() -> None:
    net = Points(_net()).eval()
    shapes = ({0: torch.export.Dim("batch")},)
    program = torch.export.export(net, (torch.rand(2, 3, SIZE, SIZE),), dynamic_shapes=shapes)
    for count in (1, 3, 7):
        image = torch.rand(count, 3, SIZE, SIZE)
        torch.testing.assert_close(program.module()(image), net(image))


@pytest.mark.slow
@pytest.mark.parametrize("sampling", ["integer", "bilinear"])
def test_an_onnx_graph_takes_any_batch(sampling: Sampling, tmp_path: Path) -> None:
    net = _net()
    net.sampling = sampling
    points = Points(net).eval()
    shapes = ({0: torch.export.Dim("batch")},)
    example = (torch.rand(2, 3, SIZE, SIZE),)
    program = torch.onnx.export(points, example, dynamo=True, dynamic_shapes=shapes, verbose=False)
    assert program is not None
    program.save(tmp_path / "net.onnx")
    session = InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    (entry,) = session.get_inputs()
    for count in (1, 3, 7):
        image = torch.rand(count, 3, SIZE, SIZE)
        (exported,) = session.run(None, {entry.name: image.numpy()})
        with torch.no_grad():
            assert (torch.from_numpy(exported) - points(image)).abs().max() < 0.01
