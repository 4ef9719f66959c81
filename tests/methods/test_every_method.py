"""What holds for every registered method: it learns, evaluates, predicts, reloads, exports."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from torch import Tensor, nn

from lit_landmarks.errors import UserError
from lit_landmarks.methods import METHODS, LandmarkModule
from lit_landmarks.methods.base import IDENTITY
from lit_landmarks.methods.schedules import Constant
from lit_landmarks.types import FaceBatch

SIZE = 64

every_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS.keys())


def build(method: type[LandmarkModule], **kwargs: Any) -> LandmarkModule:
    torch.manual_seed(0)
    return method(frame_size=SIZE, schedule=Constant(), **kwargs)


def quiet(root: Path, **kwargs: Any) -> Trainer:
    return Trainer(
        default_root_dir=root,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **{"enable_checkpointing": False, **kwargs},
    )


class PointsOnly(nn.Module):
    """What an export sees of a method."""

    def __init__(self, method: LandmarkModule) -> None:
        super().__init__()
        self.method = method

    def forward(self, image: Tensor) -> Tensor:
        points: Tensor = self.method(image).points
        return points


@every_method
def test_two_faces_are_learnt_and_everything_else_runs(
    method: type[LandmarkModule], make_data: Callable[..., Any], tmp_path: Path
) -> None:
    module, data = build(method), make_data()
    trainer = quiet(tmp_path, max_epochs=12)
    trainer.fit(module, data)
    end = trainer.callback_metrics
    assert end["val/nme"].isfinite()
    assert "val/blobs/nme_interocular" in end
    test = trainer.test(module, data, verbose=False)[0]
    assert test["test/nme"] == pytest.approx(float(end["val/nme"]), rel=1e-3)
    (prediction,) = trainer.predict(module, data)
    assert prediction.points.shape == data.faces.points.shape
    assert prediction.points.grad_fn is None


@every_method
def test_loss_falls(method: type[LandmarkModule], make_data: Callable[..., Any]) -> None:
    module, data = build(method), make_data()
    if module.needs.statistics:
        module.learn_from(data.shape_statistics())
    module.train()
    for layer in module.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0  # its noise hides the trend of so few steps
    optimizer = module.make_optimizer(module.parameter_groups())
    totals = []
    for _ in range(30):
        losses = module.losses(module.infer(data.faces), data.faces)
        total = torch.stack(list(losses.values())).sum()
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(total.item())
    assert sum(totals[-3:]) < 0.5 * sum(totals[:3])


@every_method
def test_every_parameter_has_a_gradient(
    method: type[LandmarkModule], make_data: Callable[..., Any]
) -> None:
    module, data = build(method), make_data()
    if module.needs.statistics:
        module.learn_from(data.shape_statistics())
    losses = module.losses(module.infer(data.faces), data.faces)
    torch.stack(list(losses.values())).sum().backward()
    assert not [n for n, p in module.named_parameters() if p.grad is None or not p.grad.any()]
    assert all(loss.ndim == 0 for loss in losses.values())


@every_method
def test_groups_hold_every_parameter_once(method: type[LandmarkModule]) -> None:
    module = build(method)
    groups = module.parameter_groups()
    grouped = [p for group in groups for p in group["params"]]
    assert len(grouped) == len({id(p) for p in grouped}) == len(list(module.parameters()))
    assert all(p.ndim > 1 for p in groups[0]["params"])
    assert groups[1]["weight_decay"] == 0.0
    assert all(p.ndim == 1 for p in groups[1]["params"])


@every_method
def test_state_reloads_to_the_same_output(
    method: type[LandmarkModule], make_faces: Callable[..., FaceBatch]
) -> None:
    first, second = build(method).eval(), method(frame_size=SIZE).eval()
    second.load_state_dict(first.state_dict())
    image = make_faces(2).image
    assert torch.equal(first(image).points, second(image).points)


@every_method
def test_checkpoint_is_plain_reloads_and_is_refused_elsewhere(
    method: type[LandmarkModule], make_data: Callable[..., Any], tmp_path: Path
) -> None:
    module, data = build(method), make_data()
    trainer = quiet(tmp_path, max_epochs=1)
    trainer.fit(module, data)
    path = tmp_path / "one.ckpt"
    trainer.save_checkpoint(path)
    stored = torch.load(path, weights_only=True)
    assert stored[IDENTITY]["scheme"] == "ibug68"
    assert not [key for key in stored["state_dict"] if key.startswith("metrics.")]

    other = method(frame_size=SIZE)
    other.load_weights(path)
    image = data.faces.image
    # The trained one computes with channels last, which rounds differently.
    torch.testing.assert_close(
        other.eval()(image).points, module.eval()(image).points, atol=1e-3, rtol=0
    )
    if module.scheme is not None:
        with pytest.raises(UserError, match=r"scheme 'ibug68'.*'wflw98'"):
            method(frame_size=SIZE, scheme="wflw98").load_weights(path)


@every_method
def test_forward_exports(
    method: type[LandmarkModule], make_faces: Callable[..., FaceBatch]
) -> None:
    module = PointsOnly(build(method)).eval()
    image = make_faces(2).image
    program = torch.export.export(module, (image,))
    torch.testing.assert_close(program.module()(image), module(image))


@every_method
def test_data_of_another_scheme_or_size_is_refused(
    method: type[LandmarkModule], make_data: Callable[..., Any]
) -> None:
    spec = make_data(scheme="wflw98").spec
    with pytest.raises(UserError, match=r"'ibug68'.*'wflw98'"):
        build(method).bind(spec)
    with pytest.raises(UserError, match="frame_size 96"):
        method(frame_size=96).bind(make_data().spec)


def test_another_class_is_refused() -> None:
    first, second = (build(m) for m in list(METHODS.values())[:2])
    checkpoint: dict[str, Any] = {}
    first.on_save_checkpoint(checkpoint)
    with pytest.raises(UserError, match="class_path"):
        second.on_load_checkpoint(checkpoint)


def test_missing_or_broken_checkpoint_is_told(tmp_path: Path) -> None:
    module = build(METHODS["ASMNet"])
    with pytest.raises(UserError, match="no checkpoint"):
        module.load_weights(tmp_path / "none.ckpt")
    broken = tmp_path / "broken.ckpt"
    broken.write_bytes(b"not a checkpoint")
    with pytest.raises(UserError, match="not a readable checkpoint"):
        module.load_weights(broken)
