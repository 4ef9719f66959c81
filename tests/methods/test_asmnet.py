"""ASMNet against its published size, its smooth targets, its schedule, and a tiny overfit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from lit_landmarks.compute import count_mma
from lit_landmarks.errors import UserError
from lit_landmarks.geometry.crops import to_centered
from lit_landmarks.geometry.shape_model import pca
from lit_landmarks.methods.asmnet import ASMNet, ASMNetwork, MobileNetBaseline
from lit_landmarks.methods.asmnet.loss import ASMLossOptions
from lit_landmarks.methods.asmnet.network import FEATURES
from lit_landmarks.methods.asmnet.optimum import OptimumDistance, measure_distances
from lit_landmarks.methods.schedules import Constant, OneCycle
from lit_landmarks.training.callbacks import EpochSeed
from lit_landmarks.training.freeze import FreezeBatchNorm
from lit_landmarks.training.transfer import transfer_weights
from lit_landmarks.types import FaceBatch
from tests.support.callbacks import Stop
from tests.support.toys import OneView

SIZE = 64


def learned(make_data: Callable[..., Any], **kwargs: Any) -> tuple[ASMNet, FaceBatch]:
    torch.manual_seed(0)
    module = ASMNet(frame_size=SIZE, **kwargs)
    data = make_data(4)
    module.set_shape_statistics(data.shape_statistics())
    return module, data.faces


@pytest.mark.parametrize(("points", "learnable"), [(68, 1_412_435), (98, 1_444_655)])
def test_size_is_the_published_one(points: int, learnable: int) -> None:
    network = ASMNetwork(points)
    assert sum(p.numel() for p in network.parameters()) == learnable
    # With batch-norm statistics, as the authors' profiler counts: 1.43 M (Table 1)
    state = sum(b.numel() for n, b in network.named_buffers() if "running" in n)
    assert learnable + state == {68: 1_439_507, 98: 1_471_727}[points]


def test_cost_is_the_published_one() -> None:
    cost = count_mma(ASMNetwork(68), torch.zeros(1, 3, 224, 224))
    assert cost.mma == pytest.approx(256.5, abs=0.05)


def test_features_are_536_from_six_depths() -> None:
    network = ASMNetwork(68).eval()
    image = torch.rand(1, 3, 224, 224)
    shapes: dict[int, torch.Size] = {}
    for number, block in enumerate(network.blocks):
        block.register_forward_hook(
            lambda _m, _i, out, number=number: shapes.__setitem__(number, out.shape[1:])
        )
    assert network.features(image).shape == (1, FEATURES) == (1, 536)
    sizes = {1: (24, 56), 3: (32, 28), 6: (64, 14), 10: (96, 14), 13: (160, 7), 15: (160, 7)}
    assert {n: (shapes[n][0], shapes[n][1]) for n in sizes} == sizes
    assert max(shapes) == 15


def test_last_tap_before_the_sum() -> None:
    network = ASMNetwork(5).eval()
    image = torch.rand(1, 3, 64, 64)
    after = network.features(image)
    network.last_tap = "batch_norm"
    before = network.features(image)
    assert torch.equal(after[:, :376], before[:, :376])
    assert not torch.allclose(after[:, 376:], before[:, 376:])
    # The residual of block 15 is what block 14 gave.
    inner: list[Tensor] = []
    network.blocks[14].register_forward_hook(lambda _m, _i, out: inner.append(out.mean((2, 3))))
    network.features(image)
    torch.testing.assert_close(after[:, 376:] - before[:, 376:], inner[0], atol=1e-5, rtol=1e-4)


def test_baseline_has_the_published_size() -> None:
    network = MobileNetBaseline(frame_size=224).network
    state = sum(b.numel() for n, b in network.named_buffers() if "running" in n)
    assert sum(p.numel() for p in network.parameters()) + state == 2_436_043  # 2.42 M (Table 1)


def test_pose_head_can_be_left_out(make_faces: Callable[..., FaceBatch]) -> None:
    module = ASMNet(frame_size=SIZE, loss=ASMLossOptions(pose_weight=0.0)).eval()
    assert module.network.pose is None
    assert module(make_faces(1).inputs).pose is None


def test_targets_are_smooth_shapes_in_frame_units(make_data: Callable[..., Any]) -> None:
    module, faces = learned(make_data, loss=ASMLossOptions(share=0.8))
    truth, smooth = module.targets(faces)
    torch.testing.assert_close(truth, (faces.points + 0.5) / SIZE - 0.5)
    # Independent reference: NumPy-like projection with the statistics.
    stats = make_data(4).shape_statistics()
    k = int((stats.variances.cumsum(0) / stats.variances.sum() < 0.8).sum()) + 1
    v, limit = stats.components[:k], 3 * stats.variances[:k].sqrt()
    b = ((truth.flatten(1) - stats.mean) @ v.T).clamp(-limit, limit)
    torch.testing.assert_close(smooth.flatten(1), stats.mean + b @ v, atol=1e-5, rtol=1e-4)
    assert k == module.shape_model.count_modes(0.8)


def test_missing_points_are_filled_by_the_model(make_data: Callable[..., Any]) -> None:
    # Four modes describe these ellipses wholly, so a few points are enough to find the others.
    module, faces = learned(make_data, loss=ASMLossOptions(share=0.9999))
    whole, mask = to_centered(faces.points, SIZE), faces.mask.clone()
    mask[:, 20:30] = False
    broken = torch.where(mask[..., None], whole, torch.nan)
    found = module.smooth(broken, mask)
    assert found.isfinite().all()
    naive = torch.where(mask[..., None], whole, module.shape_model.mean.view(1, -1, 2))
    error = (found - whole)[~mask].norm(dim=-1).mean()
    assert error < 0.2 * (naive - whole)[~mask].norm(dim=-1).mean()


def test_losses_by_their_definition(make_data: Callable[..., Any]) -> None:
    module, faces = learned(make_data)
    prediction = module(faces.inputs)
    losses = module.losses(prediction, faces)
    p = to_centered(prediction.points, SIZE)
    truth, smooth = module.targets(faces)
    assert losses["points"].item() == pytest.approx((p - truth).square().mean().item(), rel=1e-4)
    assert losses["smooth"].item() == pytest.approx((p - smooth).square().mean().item(), rel=1e-4)
    assert prediction.pose is not None
    angles = ((prediction.pose - faces.pose)[:, :3] / 65).square().mean().item()
    assert losses["pose"].item() == pytest.approx(angles, rel=1e-4)


def test_smoothed_prediction_option(make_data: Callable[..., Any]) -> None:
    module, faces = learned(make_data, loss=ASMLossOptions(smooth="prediction"))
    prediction = module(faces.inputs)
    p = to_centered(prediction.points, SIZE)
    expected = (p - module.smooth(p.detach(), faces.mask)).square().mean()
    assert module.losses(prediction, faces)["smooth"].item() == pytest.approx(expected.item())


def test_head_penalty_is_the_sum_of_squares(make_data: Callable[..., Any]) -> None:
    module, faces = learned(make_data, loss=ASMLossOptions(head_l2=0.01))
    losses = module.losses(module(faces.inputs), faces)
    heads = ("network.landmarks.", "network.pose.")
    expected = sum(p.square().sum() for n, p in module.named_parameters() if n.startswith(heads))
    torch.testing.assert_close(losses["head_l2"], expected)


class Weights(Callback):
    """Weight of the smooth term in each epoch."""

    def __init__(self) -> None:
        self.alphas: list[float] = []

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, ASMNet)
        self.alphas.append(pl_module.phase.losses["smooth"])
        assert trainer.callback_metrics["train/alpha"] == self.alphas[-1]


def fit(
    module: ASMNet, data: Any, root: Path, epochs: int, *callbacks: Callback, **kw: Any
) -> Trainer:
    trainer = Trainer(
        default_root_dir=root,
        accelerator="cpu",
        max_epochs=epochs,
        callbacks=list(callbacks),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        limit_val_batches=0,
    )
    trainer.fit(module, data, **kw)
    return trainer


def test_alpha_follows_the_trainers_epochs(make_data: Callable[..., Any], tmp_path: Path) -> None:
    weights = Weights()
    fit(ASMNet.tiny(), make_data(2), tmp_path, 6, weights)
    assert weights.alphas == [2.0, 2.0, 1.0, 1.0, 0.5, 0.5]


def alphas(epochs: int, **options: Any) -> list[float]:
    phases = ASMNet(frame_size=SIZE, loss=ASMLossOptions(**options)).phases
    return [phases.at(epoch, epochs).losses["smooth"] for epoch in range(epochs)]


def test_alpha_by_thirds_changes_at_the_boundaries() -> None:
    assert alphas(9) == [2.0] * 3 + [1.0] * 3 + [0.5] * 3
    # 150 epochs, as in the authors' code: switches at 50 and 100
    assert [alphas(150)[i] for i in (49, 50, 99, 100, 149)] == [2.0, 1.0, 1.0, 0.5, 0.5]
    # 10 epochs: i < 10/3 for 0..3, i < 20/3 for 4..6
    assert alphas(10) == [2.0] * 4 + [1.0] * 3 + [0.5] * 3


def test_other_alpha_schedules() -> None:
    assert alphas(5, alpha_schedule="to_zero") == [2.0, 1.0, 0.5, 0.0, 0.0]
    assert alphas(4, alpha_schedule="constant", alpha=0.8) == [0.8] * 4
    assert alphas(3, alpha=0.5) == [1.0, 0.5, 0.25]
    off = ASMNet(frame_size=SIZE, loss=ASMLossOptions(alpha_schedule="off"))
    assert off.phases.at(0, 4).losses == {"points": 1.0, "pose": 0.5}


def test_resume_repeats_dropout_and_keeps_statistics(
    make_data: Callable[..., Any], tmp_path: Path
) -> None:
    def module() -> ASMNet:
        torch.manual_seed(0)
        return ASMNet.tiny(dropout=0.3, schedule=OneCycle())

    whole, half = module(), module()
    rest = ASMNet.tiny(dropout=0.3, schedule=OneCycle())
    fit(whole, make_data(4, batch_size=2), tmp_path, 4, EpochSeed(0))
    # Half of a run of four epochs: its schedules must know of all four.
    stop = Stop(tmp_path / "half.ckpt", epoch=1)
    fit(half, make_data(4, batch_size=2), tmp_path, 4, EpochSeed(0), stop)
    data = make_data(4, batch_size=2)
    data.shape_statistics = None  # a resumed run must not ask again
    fit(rest, data, tmp_path, 4, EpochSeed(0), ckpt_path=stop.path, weights_only=True)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, rest.state_dict()[name]), name


def test_init_from_keeps_its_head_but_takes_new_statistics(
    make_data: Callable[..., Any], tmp_path: Path
) -> None:
    first, data = ASMNet.tiny(), make_data(2)
    trainer = fit(first, data, tmp_path, 1)
    trainer.save_checkpoint(tmp_path / "first.ckpt")
    second = ASMNet.tiny(init_from=str(tmp_path / "first.ckpt"))
    transfer_weights(second, tmp_path / "first.ckpt")  # what a fit does first
    shapes = torch.randn(200, 136)
    second.set_shape_statistics(pca(shapes))
    head = "network.landmarks.bias"
    assert torch.equal(first.state_dict()[head], second.state_dict()[head])
    torch.testing.assert_close(second.shape_model.mean, shapes.mean(0))


def test_query_methods_have_no_scheme_but_this_one_must() -> None:
    with pytest.raises(UserError, match="predicts fixed points"):
        ASMNet(scheme=None)


@pytest.mark.parametrize(("schedule", "gives_away"), [("off", False), ("constant", True)])
def test_tiny_overfit_reaches_the_optimum_of_its_loss(
    schedule: Any, gives_away: bool, make_data: Callable[..., Any], tmp_path: Path
) -> None:
    """Test size of `configs/trainer/overfit.yaml`: squared loss at alpha 1/2 ends at (2G + A)/3.

    Alpha is 1/2 from the start here, which has the same end as the schedule by thirds, sooner.
    """
    torch.manual_seed(0)
    # share 0.5 keeps one or two modes, so that A differs visibly from G
    options = ASMLossOptions(alpha_schedule=schedule, alpha=0.5, share=0.5, pose_weight=0.0)
    module = ASMNet(
        frame_size=SIZE,
        loss=options,
        dropout=0.0,
        optimizer=lambda p: torch.optim.AdamW(p, lr=2.5e-3, fused=True),
        schedule=OneCycle(warmup=0.1),
    )
    data = make_data(4)
    # Frozen early, batch norms leave more of the few epochs to reach the optimum.
    fit(module, data, tmp_path, 150, FreezeBatchNorm(0.05))
    with torch.no_grad():
        found = measure_distances(module, module.eval()(data.faces.inputs), data.faces).mean(0)
    to_optimum, optimum_to_truth, to_truth = found.tolist()
    assert to_optimum < 0.3
    if gives_away:
        assert optimum_to_truth > 1.0
        assert to_truth == pytest.approx(optimum_to_truth, abs=0.3)
    else:
        assert to_truth < 0.5


def test_the_optimum_is_measured_in_the_crop_of_a_normalizer(
    make_data: Callable[..., Any],
) -> None:
    """Without a smooth term it is the truth; with one it lies where a crop as such has it."""
    data = make_data(4)
    views = [OneView(zoom=1.0, crop_size=SIZE), OneView(zoom=0.8, angle=20.0, crop_size=32)]
    methods = [ASMNet.tiny(normalizer=view).eval() for view in views]
    optima = []
    for method in methods:
        statistics = data.shape_statistics()
        method.set_shape_statistics(statistics)
        with torch.no_grad():
            prediction = method(data.faces.inputs)
        assert prediction.crop is not None
        truth = method.optimum(data.faces, 0.0, prediction.crop)
        torch.testing.assert_close(truth, data.faces.points, atol=1e-3, rtol=0)
        distances = measure_distances(method, prediction, data.faces)
        last, _ = method.loss.alphas()[-1]
        optima.append(method.optimum(data.faces, last, prediction.crop))
        gap = (optima[-1] - data.faces.points).norm(dim=-1).mean(1)
        eyes = data.faces.norms[:, 0]
        torch.testing.assert_close(distances[:, 1], 100.0 * gap / eyes)
    plain = ASMNet.tiny()
    plain.set_shape_statistics(data.shape_statistics())
    last, _ = plain.loss.alphas()[-1]
    torch.testing.assert_close(optima[0], plain.optimum(data.faces, last), atol=1e-3, rtol=0)


def test_repeated_faces_of_other_processes_do_not_count(
    make_data: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second of two processes has half as many faces, twice as far from the optimum."""
    data, method, callback = make_data(4), ASMNet.tiny().eval(), OptimumDistance()
    method.set_shape_statistics(data.shape_statistics())
    faces = replace(data.faces, index=torch.tensor([0, 1, -1, -1]))
    with torch.no_grad():
        prediction = method(faces.inputs)
    expected = measure_distances(method, prediction, faces)[:2].double().mean(0)
    logged: dict[str, float] = {}
    monkeypatch.setattr(method, "log_dict", logged.update)

    class TwoProcesses:
        world_size = 2

        @property
        def strategy(self) -> TwoProcesses:
            return self

        def reduce(self, sums: Tensor, reduce_op: str) -> Tensor:
            assert reduce_op == "sum"
            return sums + torch.cat((2.0 * expected, torch.tensor([1.0])))

    trainer: Any = TwoProcesses()
    callback.on_validation_epoch_start(trainer, method)
    callback.on_validation_batch_end(trainer, method, {"prediction": prediction}, faces)
    callback.on_validation_epoch_end(trainer, method)
    assert list(logged.values()) == pytest.approx((4.0 * expected / 3.0).tolist())


def test_bad_schedule_parts_are_told() -> None:
    with pytest.raises(UserError, match=r"warmup is 1\.5"):
        Constant(1.5)
