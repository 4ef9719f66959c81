"""Weights that `init_from` takes from another scheme, size or method, against the checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from lit_landmarks.errors import UserError
from lit_landmarks.geometry.shape_model import pca
from lit_landmarks.methods.asmnet import ASMNet, MobileNetBaseline
from lit_landmarks.methods.base import LandmarkModule
from lit_landmarks.methods.identity import IDENTITY, description
from lit_landmarks.methods.musica import MuSiCa
from lit_landmarks.nets.label_shift import LabelShiftOptions
from lit_landmarks.schemes import SCHEMES, get_scheme
from lit_landmarks.schemes.declared import declare_scheme
from lit_landmarks.training.transfer import transfer_weights

#: Two orders of the same four points of ibug68.
FRONT = ["nose_tip", "chin", "right_mouth_corner", "left_mouth_corner"]
BACK = ["left_mouth_corner", "right_mouth_corner", "chin", "nose_tip"]


@pytest.fixture(autouse=True)
def declared() -> Iterator[None]:
    """Schemes that only a user's data would declare."""
    declare_scheme({"name": "front4", "points": FRONT}, "here")
    declare_scheme({"name": "back4", "points": BACK}, "here")
    eyes = ["left_eye", "nose_tip", "right_pupil", "tail"]
    declare_scheme({"name": "eyes4", "points": eyes, "flip": None}, "here")
    yield
    for name in ("front4", "back4", "eyes4"):
        SCHEMES.pop(name)


def save(method: LandmarkModule, path: Path) -> Path:
    """A checkpoint of the method as it is, every tensor with numbers of its own."""
    with torch.no_grad():
        for parameter in method.parameters():
            parameter.normal_()
    torch.save({"state_dict": method.state_dict(), IDENTITY: description(method)}, path)
    return path


def musica(scheme: str, **more: Any) -> MuSiCa:
    """A MuSiCa with a patch at each point of a small scheme, at four points of a large one."""
    return MuSiCa.tiny(**{"scheme": scheme, "patches": None, **more})


def rows(method: MuSiCa, point: str, stage: int = 1) -> torch.Tensor:
    """Weights and biases (2, hidden + 1) that displace a point."""
    at = get_scheme(str(method.scheme)).index(point)
    head = method.network.iterations[stage].head
    return torch.cat([head.weight, head.bias[:, None]], 1)[2 * at : 2 * at + 2]


def columns(method: MuSiCa, patch: int, stage: int = 1) -> torch.Tensor:
    """Weights by which the features of a patch reach the state."""
    return method.network.iterations[stage].recurrent.weight[:, 8 * patch : 8 * patch + 8]


@pytest.mark.parametrize(
    ("source", "target", "point"),
    [
        ("ibug68", "wflw98", "left_mouth_corner"),
        ("wflw98", "ibug68", "nose_tip"),
        ("ibug68", "front4", "chin"),
        ("front4", "back4", "right_mouth_corner"),
        ("back4", "cofw29", "nose_tip"),
    ],
)
def test_rows_of_a_point_go_where_that_point_is_in_the_other_scheme(
    source: str, target: str, point: str, tmp_path: Path
) -> None:
    patches = {"patches": [0, 1, 2, 3]}
    old, new = musica(source, **patches), musica(target, **patches)
    transfer_weights(new, save(old, tmp_path / "a.ckpt"))
    assert torch.equal(rows(new, point), rows(old, point))
    for stage in range(3):
        ours, theirs = new.network.iterations[stage], old.network.iterations[stage]
        assert torch.equal(ours.patches.gate.weight, theirs.patches.gate.weight)
        # Behind the patches' features comes the state; behind the points the predicted error.
        assert torch.equal(ours.recurrent.weight[:, -32:], theirs.recurrent.weight[:, -32:])
        assert torch.equal(ours.head.weight[-1], theirs.head.weight[-1])


def test_points_of_one_number_and_other_names_are_not_taken_for_each_other(tmp_path: Path) -> None:
    old, new = musica("front4"), musica("back4")
    transfer = transfer_weights(new, save(old, tmp_path / "a.ckpt"))
    for at, point in enumerate(BACK):
        assert torch.equal(rows(new, point), rows(old, point))
        assert torch.equal(columns(new, at), columns(old, FRONT.index(point)))
    assert transfer.taken == transfer.parameters
    strange, before = musica("eyes4"), musica("eyes4")
    strange.load_state_dict(before.state_dict())
    transfer_weights(strange, tmp_path / "a.ckpt")
    assert torch.equal(rows(strange, "tail"), rows(before, "tail"))
    assert torch.equal(rows(strange, "nose_tip"), rows(old, "nose_tip"))


@pytest.mark.parametrize("source", ["ibug68", "wflw98"])
def test_the_middle_of_an_eye_is_the_mean_of_the_points_around_it(
    source: str, tmp_path: Path
) -> None:
    patches = {"patches": [60, 61, 62, 63]}
    old, new = musica(source, **patches), musica("eyes4")
    before = columns(new, 0).clone()
    transfer_weights(new, save(old, tmp_path / "a.ckpt"))
    right, left = get_scheme(source).pupil_groups  # six points each, or the pupil alone
    names = get_scheme(source).point_names
    for point, group in (("right_pupil", right), ("left_eye", left)):
        mean = torch.stack([rows(old, names[at]) for at in group]).mean(0)
        torch.testing.assert_close(rows(new, point), mean)
    # A patch there sees what none of theirs saw.
    assert torch.equal(columns(new, 0), before)


@pytest.mark.parametrize("scheme", ["ibug68", "front4", "cofw29"])
def test_a_backbone_goes_to_another_method_and_back(scheme: str, tmp_path: Path) -> None:
    asmnet = ASMNet.tiny()
    baseline = MobileNetBaseline.tiny(backbone="mobilenetv2_035", scheme=scheme)
    transfer_weights(baseline, save(asmnet, tmp_path / "a.ckpt"))
    trunk, network = baseline.network.backbone.trunk, asmnet.network
    assert torch.equal(trunk.conv_stem.weight, network.stem[0].weight)
    blocks = [block for stage in trunk.blocks for block in stage]
    for theirs, ours in zip(network.blocks, blocks, strict=False):
        for name, value in theirs.state_dict().items():
            assert torch.equal(ours.state_dict()[name], value)
    again = ASMNet.tiny()
    transfer_weights(again, save(baseline, tmp_path / "b.ckpt"))
    assert torch.equal(again.network.blocks[15].conv_pwl.weight, blocks[15].conv_pwl.weight)


def test_what_takes_nothing_is_refused_in_one_line(tmp_path: Path) -> None:
    path = save(ASMNet.tiny(), tmp_path / "a.ckpt")
    cases = [
        musica("front4"),
        MobileNetBaseline.tiny(),  # MobileNetV3: heads alone would fit, or a layer by chance
        ASMNet.tiny(width=0.5),
    ]
    for method in cases:
        before = {name: value.clone() for name, value in method.state_dict().items()}
        with pytest.raises(UserError, match=r"nothing in .*a\.ckpt \(ASMNet, ibug68\) fits") as e:
            transfer_weights(method, path)
        assert "\n" not in str(e.value)
        assert all(torch.equal(before[n], v) for n, v in method.state_dict().items())
    with pytest.raises(UserError, match="no checkpoint at"):
        transfer_weights(musica("front4"), tmp_path / "none.ckpt")


@pytest.mark.parametrize(
    ("change", "fresh"),
    [({"rank": None}, "recurrent.weight"), ({"hidden": 16}, "head.weight")],
)
def test_of_other_sizes_what_fits_is_taken_and_the_rest_is_named(
    change: dict[str, Any], fresh: str, tmp_path: Path
) -> None:
    old, new = musica("front4"), musica("front4", **change)
    transfer = transfer_weights(new, save(old, tmp_path / "a.ckpt"))
    first, theirs = new.network.iterations[0].patches, old.network.iterations[0].patches
    assert torch.equal(first.first.weight, theirs.first.weight)
    assert f"network.iterations.0.{fresh}" in transfer.fresh
    equal = [
        torch.equal(value, old.state_dict()[name])
        for name, value in new.named_parameters()
        if value.shape == old.state_dict()[name].shape
    ]
    count = sum(p.numel() for p in new.parameters())
    text = transfer.describe()
    assert f"took {sum(equal)} of {len(list(new.parameters()))} tensors" in text
    assert f"of {count:,} parameters)" in text
    assert fresh in text.partition("fresh: ")[2]


def test_settings_and_thresholds_of_the_checkpoint_stay_behind(tmp_path: Path) -> None:
    old = musica("ibug68", patches=[0, 1, 2, 3])
    assert old.early_exit is not None
    old.early_exit.set_thresholds([9.0, 8.0], fail_above=7.0)
    path = save(old, tmp_path / "a.ckpt")
    for new in (musica("ibug68", patches=[3, 4, 5, 6]), musica("cofw29", patches=[3, 4, 5, 6])):
        before = columns(new, 1).clone()
        transfer_weights(new, path)
        assert new.network.chosen.tolist() == [3, 4, 5, 6]
        assert new.early_exit is not None
        assert new.early_exit.eval().thresholds is None
        assert torch.equal(columns(new, 1), before)
        if new.scheme == "ibug68":
            assert torch.equal(columns(new, 0), columns(old, 3))
    same = musica("ibug68", patches=[0, 1, 2, 3])
    assert transfer_weights(same, path).fresh == []
    for name, value in same.state_dict().items():
        own = name.startswith("early_exit.")
        assert own or torch.equal(old.state_dict()[name], value), name
    assert same.early_exit is not None
    assert same.early_exit.eval().thresholds is None
    assert same.early_exit.fail_above == torch.inf


def test_settings_that_the_weights_were_trained_with_are_asked_for(tmp_path: Path) -> None:
    path = save(musica("ibug68", recurrent_scale=0.3), tmp_path / "a.ckpt")
    message = r"was trained with recurrent_scale 0.3, .* give model.init_args.recurrent_scale 0.3"
    with pytest.raises(UserError, match=message):
        transfer_weights(musica("ibug68"), path)
    assert transfer_weights(musica("ibug68", recurrent_scale=0.3), path).fresh == []
    plain = save(musica("ibug68"), tmp_path / "b.ckpt")  # the default, which no argument says
    assert transfer_weights(musica("ibug68", recurrent_scale=1.0), plain).fresh == []
    transfer_weights(ASMNet.tiny(), save(ASMNet.tiny(), tmp_path / "c.ckpt"))


@pytest.mark.parametrize("recorded", [True, False])
def test_shifts_of_labels_are_taken_for_the_same_conventions_in_order(
    recorded: bool, tmp_path: Path
) -> None:
    """Checkpoints from before these were part of the identity have them among the arguments."""
    old = ASMNet.tiny(label_shift=LabelShiftOptions(["300w", "wflw"]))
    assert old.label_shift is not None
    old.label_shift.shift.copy_(torch.tensor([0.01, 0.02]))
    path = save(old, tmp_path / "a.ckpt")
    content = torch.load(path, weights_only=True)
    if not recorded:
        del content[IDENTITY]["label_shift"]
        torch.save(content, path)
    for names, shifts in ((["300w", "wflw"], [0.01, 0.02]), (["wflw", "300w"], [0.0, 0.0])):
        new = ASMNet.tiny(label_shift=LabelShiftOptions(names))
        transfer_weights(new, path)
        assert new.label_shift is not None
        assert new.label_shift.shift.tolist() == pytest.approx(shifts)
        assert torch.equal(new.network.landmarks.weight, old.network.landmarks.weight)
        if names == ["300w", "wflw"]:
            new.on_load_checkpoint(content)
            continue
        with pytest.raises(UserError, match=r"label_shift \[300w, wflw\], but \[wflw, 300w\]"):
            new.on_load_checkpoint(content)


@pytest.mark.parametrize(("scheme", "kept"), [("ibug68", True), ("wflw98", False)])
def test_a_head_of_other_points_starts_at_their_mean_face(
    scheme: str, kept: bool, tmp_path: Path
) -> None:
    old = ASMNet.tiny()
    new = ASMNet.tiny(scheme=scheme, init_from="a.ckpt")
    transfer_weights(new, save(old, tmp_path / "a.ckpt"))
    count = get_scheme(scheme).n_points
    statistics = pca(torch.randn(300, 2 * count))
    new.set_shape_statistics(statistics)
    bias = new.network.landmarks.bias
    assert torch.equal(bias, old.network.landmarks.bias if kept else statistics.mean)
    tip = get_scheme(scheme).index("nose_tip")
    weight = old.network.landmarks.weight[60:62]
    assert torch.equal(new.network.landmarks.weight[2 * tip : 2 * tip + 2], weight)
