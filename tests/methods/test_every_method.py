"""What holds for every registered method, alone and with each part: it learns, reloads, exports."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from torch import Tensor, nn

from lit_landmarks.compute import count_mma
from lit_landmarks.errors import UserError
from lit_landmarks.geometry import euler_to_matrix
from lit_landmarks.methods import METHODS, LandmarkModule
from lit_landmarks.methods.identity import IDENTITY
from lit_landmarks.methods.phases import Phase, Phases
from lit_landmarks.methods.schedules import Constant
from lit_landmarks.nets.early_exit import EarlyExitOptions
from lit_landmarks.nets.error_head import ErrorHeadOptions
from lit_landmarks.nets.head3d import Head3dOptions
from lit_landmarks.nets.label_shift import LabelShiftOptions
from lit_landmarks.schemes import convention_index
from lit_landmarks.training.checkpoints import load_method, load_weights
from lit_landmarks.types import FaceBatch, FaceInputs, Prediction
from tests.support.toys import OffsetPerConvention, OneView

SIZE = 64
#: Each part as a configuration switches it on.
PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "nothing": dict,
    "error_head": lambda: {"error_head": ErrorHeadOptions()},
    "early_exit": lambda: {"early_exit": EarlyExitOptions(enabled=True)},
    "normalizer": lambda: {"normalizer": OneView(crop_size=32, zoom=0.75, angle=10.0)},
    "correction": lambda: {"correction": OffsetPerConvention(conventions=["300w", "wflw"])},
    "head3d": lambda: {"head3d": Head3dOptions()},
    "label_shift": lambda: {"label_shift": LabelShiftOptions(["300w", "wflw"])},
}

every_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS.keys())
every_part = pytest.mark.parametrize("part", PARTS)


def build(method: type[LandmarkModule], part: str = "nothing", **more: Any) -> LandmarkModule:
    torch.manual_seed(0)
    if part == "head3d" and method.answers_queries:
        pytest.skip("it has a 3D head of its own")
    return method.tiny(schedule=Constant(), **PARTS[part](), **more)


def quiet(root: Path, **more: Any) -> Trainer:
    return Trainer(
        default_root_dir=root,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **{"enable_checkpointing": False, **more},
    )


@every_method
@every_part
def test_two_steps_then_it_evaluates_predicts_and_reloads(
    method: type[LandmarkModule], part: str, make_data: Callable[..., Any], tmp_path: Path
) -> None:
    module, data = build(method, part), make_data()
    module.phases = Phases([Phase("all", until=1.0)])  # two steps of all that any phase teaches
    trainer = quiet(tmp_path, max_epochs=2)
    trainer.fit(module, data)
    end = trainer.callback_metrics
    assert end["val/nme"].isfinite()
    assert "val/blobs/nme_interocular" in end
    test = trainer.test(module, data, verbose=False)[0]
    assert test["test/nme"] == pytest.approx(float(end["val/nme"]), rel=1e-3)
    (prediction,) = trainer.predict(module, data)
    assert prediction.points.shape == data.faces.points.shape
    assert prediction.points.grad_fn is None

    path = tmp_path / "one.ckpt"
    trainer.save_checkpoint(path)
    stored = torch.load(path, weights_only=True)
    assert stored[IDENTITY]["scheme"] == "ibug68"
    assert not [key for key in stored["state_dict"] if key.startswith("metrics.")]
    again, said = load_method(path)
    assert said["init_args"]["frame_size"] == SIZE
    # The trained one computes with channels last, which rounds differently.
    torch.testing.assert_close(
        again(data.faces.inputs).points, module.eval()(data.faces.inputs).points, atol=1e-3, rtol=0
    )


@every_method
@every_part
@pytest.mark.parametrize("clip", [None, 1.0], ids=["free", "clipped"])
def test_mixed_precision_keeps_coordinates_whole(
    method: type[LandmarkModule],
    part: str,
    clip: float | None,
    make_data: Callable[..., Any],
    tmp_path: Path,
) -> None:
    """With a fused optimizer, which mixed precision alone would refuse to clip."""
    data = make_data()

    def fused(groups: Any) -> torch.optim.Optimizer:
        return torch.optim.AdamW(groups, lr=1e-3, fused=True)

    module = build(method, part, optimizer=fused)
    module.phases = Phases([Phase("all", until=1.0)])
    trainer = quiet(tmp_path, max_epochs=2, precision="bf16-mixed", gradient_clip_val=clip)
    trainer.fit(module, data)
    assert trainer.callback_metrics["val/nme"].isfinite()
    assert trainer.callback_metrics["train/loss"].dtype == torch.float32
    (mixed,) = trainer.predict(module, data)
    tensors = {k: v for k, v in vars(mixed).items() if isinstance(v, Tensor)}
    assert not {k for k, v in tensors.items() if v.dtype == torch.bfloat16}
    single = module.eval()(data.faces.inputs).points
    # Eight bits would put points of 64 pixels a quarter of a pixel off; features may differ.
    assert (mixed.points * 8 % 1 != 0).any(), "no grid of eighths of a pixel"
    assert (mixed.points - single).abs().mean() < 1.0


@every_method
@every_part
def test_every_parameter_has_a_gradient(
    method: type[LandmarkModule], part: str, make_data: Callable[..., Any]
) -> None:
    module, faces = build(method, part), make_data().faces
    if part == "correction":
        faces.convention_id[1] = convention_index("wflw")
    if module.needs.statistics:
        module.set_shape_statistics(make_data().shape_statistics())
    module.phases = Phases([Phase("all", until=1.0)])  # what is learnt in any phase
    losses = module.phase_losses(module(faces.inputs), faces)
    module.total_loss(losses).backward()
    assert not [n for n, p in module.named_parameters() if p.grad is None or not p.grad.any()]
    assert all(loss.ndim == 0 for loss in losses.values())


@every_method
def test_loss_falls(method: type[LandmarkModule], make_data: Callable[..., Any]) -> None:
    module, data = build(method), make_data()
    if module.needs.statistics:
        module.set_shape_statistics(data.shape_statistics())
    module.train()
    optimizer = module.make_optimizer(module.parameter_groups())
    totals = []
    for _ in range(60):
        total = module.total_loss(module.phase_losses(module(data.faces.inputs), data.faces))
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(total.item())
    assert sum(totals[-3:]) < 0.5 * sum(totals[:3])


@every_method
def test_points_are_in_pixels_of_the_input_whatever_the_crop(
    method: type[LandmarkModule], make_faces: Callable[..., FaceBatch]
) -> None:
    module = build(method, "normalizer").eval()
    normalizer = module.normalizer
    assert normalizer is not None
    inputs = make_faces(2).inputs
    crop = normalizer(inputs)
    inside = module.predict(crop.inputs)
    outside = module(inputs)
    homogeneous = nn.functional.pad(inside.points, (0, 1), value=1.0)
    torch.testing.assert_close(outside.points, homogeneous @ crop.to_input.mT)
    assert torch.equal(outside.crop, crop.to_input)
    if inside.pose is not None:
        # The crop lies turned by 10 degrees in the input, and so does the head, as a label would.
        turn = euler_to_matrix(torch.tensor([0.0, 0.0, 10.0]))
        expected = turn @ euler_to_matrix(inside.pose[:, :3])
        torch.testing.assert_close(euler_to_matrix(outside.pose[:, :3]), expected)
    if inside.stages is not None:
        torch.testing.assert_close(outside.stages[-1], outside.points)
    assert module.needs.frame == "wide"
    assert module.crop_size == 32


@every_method
def test_the_reference_convention_is_answered_as_without_a_correction(
    method: type[LandmarkModule], make_faces: Callable[..., FaceBatch]
) -> None:
    module = build(method, "correction").eval()
    correction = module.correction
    assert isinstance(correction, OffsetPerConvention)
    with torch.no_grad():
        correction.offsets.copy_(torch.tensor([[5.0, 5.0], [2.0, -1.0]]))
    faces = make_faces(3)
    faces.convention_id[1:] = torch.tensor([convention_index("wflw"), convention_index("cofw")])
    plain = module.predict(faces.inputs).points
    moved = module(faces.inputs).points - plain
    offsets = torch.tensor([[0.0, 0.0], [2.0, -1.0], [0.0, 0.0]])
    torch.testing.assert_close(moved, offsets[:, None].expand(-1, 68, -1), atol=1e-3, rtol=0)
    reference = module(FaceInputs(faces.image)).points
    assert torch.equal(module(faces.inputs).points[[0, 2]], reference[[0, 2]])


@every_method
def test_groups_hold_every_parameter_once(method: type[LandmarkModule]) -> None:
    module = build(method, rates={"network": 0.1})
    groups = module.parameter_groups()
    grouped = [p for group in groups for p in group["params"]]
    assert len(grouped) == len({id(p) for p in grouped}) == len(list(module.parameters()))
    assert all(p.ndim > 1 for g in groups for p in g["params"] if "weight_decay" not in g)
    assert all(p.ndim == 1 for g in groups for p in g["params"] if "weight_decay" in g)
    with pytest.raises(UserError, match="'nothing'"):
        build(method, rates={"nothing": 0.1}).parameter_groups()


@every_method
def test_a_checkpoint_is_refused_elsewhere(
    method: type[LandmarkModule], make_data: Callable[..., Any], tmp_path: Path
) -> None:
    path = tmp_path / "one.ckpt"
    trainer = quiet(tmp_path, max_epochs=1)
    trainer.fit(build(method, "correction"), make_data())
    trainer.save_checkpoint(path)
    load_weights(build(method, "correction"), path)
    with pytest.raises(UserError, match=r"scheme 'ibug68'.*'wflw98'"):
        load_weights(build(method, "correction", scheme="wflw98"), path)
    other = OffsetPerConvention(conventions=["wflw", "300w"])
    with pytest.raises(UserError, match=r"conventions \[300w, wflw\].*\[wflw, 300w\]"):
        load_weights(method.tiny(correction=other), path)
    with pytest.raises(UserError, match=r"correction\.offsets is \(2, 2\) there and absent here"):
        load_weights(method.tiny(), path)


class PointsOf(nn.Module):
    """What an export sees of a method."""

    def __init__(self, method: LandmarkModule) -> None:
        super().__init__()
        self.method = method

    def forward(self, image: Tensor) -> Tensor:
        prediction: Prediction = self.method(FaceInputs(image))
        return prediction.points


@every_method
@every_part
def test_forward_exports(
    method: type[LandmarkModule], part: str, make_faces: Callable[..., FaceBatch]
) -> None:
    module = PointsOf(build(method, part)).eval()
    image = make_faces(2).image
    program = torch.export.export(module, (image,))
    # In eager mode convolutions run with channels last, which rounds differently.
    torch.testing.assert_close(program.module()(image), module(image), atol=1e-3, rtol=0)


@every_method
def test_the_normalizer_is_part_of_the_cost(method: type[LandmarkModule]) -> None:
    class Looks(OneView):
        def __init__(self) -> None:
            super().__init__(crop_size=SIZE)
            self.eye = nn.Conv2d(3, 8, 3, padding=1)

        def locate(self, image: Tensor) -> Tensor:
            return super().locate(image) + 0.0 * self.eye(image).mean()

    plain = build(method)
    cost = count_mma(plain, plain.example())
    seeing = method.tiny(normalizer=Looks())
    more = count_mma(seeing, seeing.example())
    assert more.mma - cost.mma == pytest.approx(8 * 27 * SIZE * SIZE / 1e6, abs=2e-3)


@every_method
def test_data_of_another_scheme_or_size_is_refused(
    method: type[LandmarkModule], make_data: Callable[..., Any]
) -> None:
    spec = make_data(scheme="wflw98").spec
    with pytest.raises(UserError, match=r"'ibug68'.*'wflw98'"):
        build(method).bind(spec)
    with pytest.raises(UserError, match="frame_size 96"):
        build(method, frame_size=96).bind(make_data().spec)


@every_method
def test_parts_that_a_method_cannot_have_are_refused(method: type[LandmarkModule]) -> None:
    if build(method).early_exit is None:
        with pytest.raises(UserError, match="no stages"):
            build(method, **{"early_exit": EarlyExitOptions(target_mma=1.0)})
    else:
        assert len(build(method).stage_costs()) > 1


def test_another_class_is_refused() -> None:
    first, second = (METHODS[name].tiny() for name in ("ASMNet", "MobileNetBaseline"))
    checkpoint: dict[str, Any] = {"state_dict": {}}
    first.on_save_checkpoint(checkpoint)
    with pytest.raises(UserError, match=r"method 'ASMNet'.*'MobileNetBaseline'"):
        second.on_load_checkpoint(checkpoint)


def test_missing_or_broken_checkpoint_is_named(tmp_path: Path) -> None:
    module = METHODS["ASMNet"].tiny()
    with pytest.raises(UserError, match="no checkpoint"):
        load_weights(module, tmp_path / "none.ckpt")
    broken = tmp_path / "broken.ckpt"
    broken.write_bytes(b"not a checkpoint")
    with pytest.raises(UserError, match="no readable checkpoint"):
        load_weights(module, broken)


@every_method
def test_broken_weights_predict_and_do_not_crash(
    method: type[LandmarkModule], make_data: Callable[..., Any]
) -> None:
    """Places that are no numbers must not become rows of a picture."""
    module, faces = build(method).eval(), make_data().faces
    for value in (float("nan"), float("inf"), -float("inf")):
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.fill_(value)
            assert not module(faces.inputs).points.isfinite().all()
