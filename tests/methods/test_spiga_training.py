"""SPIGA in use: phases, early exit, options, starts from outside, refusals, export."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from lit_landmarks.compute import count_mma
from lit_landmarks.errors import UserError
from lit_landmarks.methods.spiga import SPIGA
from lit_landmarks.methods.spiga.cascade import CascadeOptions
from lit_landmarks.methods.spiga.fields import BackboneLandmarks
from lit_landmarks.methods.spiga.loss import (
    SPIGALossOptions,
)
from lit_landmarks.nets.error_head import ErrorHeadOptions
from lit_landmarks.settings import Task
from lit_landmarks.settings.request import read_request
from lit_landmarks.types import FaceInputs
from tests.methods.test_every_method import PointsOf
from tests.methods.test_onnx import check_any_batch

SMALL = CascadeOptions(nodes=8, width=8, layers=1, heads=2, position_width=8, decoder=(8,))
TINY = replace(SMALL, windows=(0.5, 0.25))


def test_three_phases_as_one_fit() -> None:
    phases = SPIGA.tiny().phases
    assert phases.ends(750) == [450, 600, 750]
    names = [(phase.name, list(phase.learns), sorted(phase.losses)) for phase in phases.phases]
    landmarks = ["edges", "heatmaps", "points"]
    assert names == [
        ("landmarks", ["network.backbone"], landmarks),
        ("pose", ["network.backbone"], sorted([*landmarks, "pose"])),
        ("cascade", ["network.cascade"], ["cascade"]),
    ]
    assert [phase.judged for phase in phases.phases] == [False, False, True]
    rate = phases.factor(SPIGA.tiny().schedule, 750)
    epochs = (0, 379, 380, 449, 450, 549, 550, 600, 699, 700)
    drops = [rate((epoch + 0.5) / 750) for epoch in epochs]
    assert drops == pytest.approx([1, 1, 0.1, 0.1, 1, 1, 0.1, 1, 1, 0.1])


class AfterEpochs(Callback):
    """The state after each epoch, and which losses there were."""

    def __init__(self) -> None:
        self.states: list[dict[str, Tensor]] = []
        self.losses: list[set[str]] = []

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.states.append({k: v.detach().clone() for k, v in pl_module.state_dict().items()})
        named = {k.split("loss_")[1] for k in trainer.callback_metrics if "train/loss_" in k}
        self.losses.append(named)


def test_each_phase_teaches_its_part_alone(make_data: Callable[..., Any], tmp_path: Path) -> None:
    torch.manual_seed(0)
    method, watch = SPIGA.tiny(), AfterEpochs()
    before = {k: v.clone() for k, v in method.state_dict().items()}
    trainer = Trainer(
        default_root_dir=tmp_path,
        accelerator="cpu",
        max_epochs=5,  # three of landmarks, one with the pose, one of the cascade
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        callbacks=[watch],
    )
    trainer.fit(method, make_data(4))

    def changed(first: dict[str, Tensor], second: dict[str, Tensor]) -> set[str]:
        names = {k for k, v in first.items() if not torch.equal(v, second[k])}
        return {".".join(name.split(".")[:2]) for name in names}

    states = [before, *watch.states]
    assert [changed(a, b) for a, b in pairwise(states)] == [
        *[{"network.backbone"}] * 4,
        {"network.cascade"},
    ]
    unmoved = [name for name in before if name.startswith("network.backbone.pose.")]
    assert all(torch.equal(before[name], states[3][name]) for name in unmoved)
    assert not all(torch.equal(before[name], states[4][name]) for name in unmoved)
    landmarks = {"points", "heatmaps", "edges"}
    assert watch.losses[0] == landmarks
    assert watch.losses[3] == {*landmarks, "pose"}
    assert "cascade" in watch.losses[4]


def test_faces_leave_after_any_stage() -> None:
    torch.manual_seed(0)
    method = SPIGA.tiny(error_head=ErrorHeadOptions()).eval()
    inputs = FaceInputs(torch.rand(6, 3, 64, 64))
    whole = method(inputs)
    assert whole.stages.shape == (3, 6, 68, 2)
    assert whole.exit_stage.tolist() == [2] * 6
    errors = whole.error.detach()
    method.early_exit.set_thresholds([float(errors[0].median()) + 1e-6, 1e9])
    early = method(inputs)
    first = errors[0] <= errors[0].median()
    assert early.exit_stage.tolist() == [0 if leaves else 1 for leaves in first.tolist()]
    assert torch.allclose(early.points[first], whole.stages[0][first], atol=1e-4)
    assert torch.allclose(early.points[~first], whole.stages[1][~first], atol=1e-3)
    assert early.attention[0][first].isnan().all()


def test_some_faces_leave_and_some_stay() -> None:
    torch.manual_seed(0)
    method = SPIGA.tiny(error_head=ErrorHeadOptions()).eval()
    inputs = FaceInputs(torch.rand(6, 3, 64, 64))
    whole = method(inputs)
    errors = whole.error.detach()
    first = errors[0] <= errors[0].sort().values[1]
    second = ~first & (errors[1] <= errors[1][~first].median())
    limits = [errors[0][first].max() + 1e-6, errors[1][second].max() + 1e-6]
    method.early_exit.set_thresholds([float(limit) for limit in limits])
    early = method(inputs)
    expected = torch.where(first, 0, torch.where(second, 1, 2))
    assert sorted(set(expected.tolist())) == [0, 1, 2]
    assert torch.equal(early.exit_stage, expected)
    stopped = whole.stages[expected, torch.arange(6)]
    assert torch.allclose(early.points, stopped, atol=1e-3)


@pytest.mark.parametrize(
    "options",
    [
        {"start": "mean"},
        {"start": "heatmaps"},
        {"colors": "bgr"},
        {"loss": SPIGALossOptions(coordinates="wing", pose_units="degrees")},
        *({"cascade": replace(TINY, squash=squash)} for squash in ("tanh", "arctan")),
        *({"cascade": replace(TINY, attention=kind)} for kind in ("additive", "uniform")),
        {"cascade": replace(TINY, detach=True, position=False)},
        {"cascade": replace(TINY, form="pyg")},
        {"cascade": replace(TINY, windows=())},
        {"backbone": "mobilenetv3_small_050", "strides": [8, 32], "channels": 8},
    ],
    ids=str,
)
def test_every_option_learns(options: dict[str, Any], make_faces: Callable[..., Any]) -> None:
    torch.manual_seed(0)
    method = SPIGA.tiny(training="joint", **options).train()
    faces = make_faces(4)
    optimizer = torch.optim.Adam(method.parameters(), lr=2e-3)
    totals = []
    for _ in range(12):
        optimizer.zero_grad()
        total = method.total_loss(method.phase_losses(method(faces.inputs), faces))
        total.backward()
        optimizer.step()
        totals.append(float(total.detach()))
    assert totals[-1] < 0.9 * totals[0]
    unmoved = [name for name, p in method.named_parameters() if p.grad is None]
    assert not unmoved


def test_a_loss_without_weight_is_not_learnt(make_faces: Callable[..., Any]) -> None:
    faces = make_faces(2)
    method = SPIGA.tiny(training="joint", loss=SPIGALossOptions(pose=0.0, edges=0.0, cascade=2.0))
    losses = method.phase_losses(method(faces.inputs), faces)
    assert set(losses) == {"points", "heatmaps", "cascade"}
    expected = 4 * losses["points"] + 50 * losses["heatmaps"] + 2 * losses["cascade"]
    assert torch.allclose(method.total_loss(losses), expected)
    without_cascade = SPIGALossOptions(cascade=0.0)
    joint = SPIGA.tiny(training="joint", loss=without_cascade).train()
    assert len(joint(faces.inputs).stages) == 1  # nothing would learn from the steps
    names = [phase.name for phase in SPIGA.tiny(loss=without_cascade).phases.phases]
    assert names == ["landmarks", "pose"]


def test_a_normalizer_learns_where_the_backbone_sees_landmarks(
    make_faces: Callable[..., Any],
) -> None:
    """The gradient of its crop is that of finite differences, in pixels of the same crop."""
    torch.manual_seed(0)
    faces = make_faces(2)
    shape = torch.rand(2, 68, 2)
    crop = torch.tensor([[[1.2, 0.1, 3.0], [-0.1, 1.2, 5.0]]]).expand(2, -1, -1).clone()
    method = SPIGA.tiny(loss=SPIGALossOptions(heatmaps=0.0, edges=0.0, pose=0.0))
    answer = BackboneLandmarks(shape, torch.zeros(2, 68, 16, 16), torch.zeros(2, 6))

    def loss(zoom: Tensor) -> Tensor:
        moved = torch.cat((crop[..., :2] * zoom, crop[..., 2:]), -1)
        unit = SimpleNamespace(detach=lambda: crop)  # the crop in whose pixels it is measured
        moved.detach = unit.detach  # type: ignore[method-assign]
        return method._backbone_losses((answer,), moved, faces)["points"]

    zoom = torch.tensor(1.0, dtype=torch.float32, requires_grad=True)
    (slope,) = torch.autograd.grad(loss(zoom), zoom)
    step = 1e-2
    finite = (loss(torch.tensor(1 + step)) - loss(torch.tensor(1 - step))) / (2 * step)
    assert slope.item() == pytest.approx(finite.item(), rel=0.02)


def test_an_unfinished_pose_from_outside_gives_way_to_the_networks_own() -> None:
    method, image = SPIGA.tiny().eval(), torch.rand(2, 3, 64, 64)
    pose = torch.tensor([[10.0, 0.0, 0.0, 0.0, -0.4, 3.5], [10.0, 0.0, 0.0, *[torch.nan] * 3]])
    stages = method(FaceInputs(image, pose=pose)).stages
    own = method(FaceInputs(image)).stages
    assert torch.allclose(stages[0, 1], own[0, 1])
    assert not torch.allclose(stages[0, 0], own[0, 0], atol=0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frame_size": 100}, "frame_size"),
        ({"cascade": replace(TINY, windows=(0.0625,))}, "a window of 0.0625"),
        ({"stacks": 0}, "0 hourglasses"),
        ({"loss": SPIGALossOptions(sigma=0.3)}, "sigma 0.3"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        SPIGA.tiny(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 1}, "cascade.samples is 1"),
        ({"layers": 0}, "cascade.layers is 0"),
        ({"windows": (0.25, -1.0)}, "windows"),
        ({"squash": "sigmoid"}, "choose one of"),
    ],
)
def test_cascades_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        CascadeOptions(**options)


def test_hourglasses_do_not_learn_from_one_face(make_faces: Callable[..., Any]) -> None:
    with pytest.raises(UserError, match="batch_size to 2"):
        SPIGA.tiny().train()(make_faces(1).inputs)


@pytest.mark.parametrize("limit", [100, 250, 1000])
def test_named_builds_keep_their_limits(limit: int) -> None:
    config = Path(__file__).resolve().parents[2] / "configs" / f"spiga_{limit}mma.yaml"
    method = Task(read_request("fit", ["--config", str(config)])).build_method()
    mma = count_mma(method, method.example()).mma
    assert mma < limit
    if limit == 100:
        assert 20_901 / mma > 200


def test_a_light_build_as_onnx(tmp_path: Path) -> None:
    torch.manual_seed(0)
    light = {"backbone": "mobilenetv3_small_050", "strides": [8, 32], "channels": 8}
    method = PointsOf(SPIGA.tiny(start="heatmaps", **light)).eval()
    image = torch.rand(3, 3, 64, 64)
    check_any_batch(method, image, tmp_path, counts=(1, 3))
