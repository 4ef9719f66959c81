"""Backbones by name: input normalisation inside, pooled vector of the promised length."""

from __future__ import annotations

import pytest
import torch

from lit_landmarks.errors import UserError
from lit_landmarks.nets.backbone import (
    FeatureMaps,
    InputNorm,
    PooledBackbone,
    create_backbone,
    set_batch_norm,
)


@pytest.mark.parametrize("name", ["mobilenetv2_050", "mobilenetv3_small_050", "resnet18"])
def test_pooled_vector_has_the_promised_length(name: str) -> None:
    backbone = PooledBackbone(name).eval()
    assert backbone(torch.rand(1, 3, 64, 64)).shape == (1, backbone.num_features)


def test_input_norm_by_hand() -> None:
    image = torch.full((1, 3, 2, 2), 0.75)
    assert torch.equal(InputNorm("unit")(image), image)
    assert torch.allclose(InputNorm("symmetric")(image), torch.full_like(image, 0.5))
    red = InputNorm("imagenet")(image)[0, 0, 0, 0]
    assert red.item() == pytest.approx((0.75 - 0.485) / 0.229)
    with pytest.raises(UserError, match="symmetric"):
        InputNorm("bytes")  # type: ignore[arg-type]


def test_input_norm_is_no_state() -> None:
    assert not InputNorm("imagenet").state_dict()


def test_batch_norm_constants_reach_every_layer() -> None:
    backbone = create_backbone("mobilenetv2_050")
    set_batch_norm(backbone, eps=1e-3, momentum=0.05)
    layers = [m for m in backbone.modules() if hasattr(m, "running_mean")]
    assert len(layers) == 52
    assert {(m.eps, m.momentum) for m in layers} == {(1e-3, 0.05)}


FAMILIES = {
    # channels of the last stage of stride 4, 8, 16 and 32
    "mobilenetv2_100": (24, 32, 96, 320),
    "mobilenetv3_small_100": (16, 24, 48, 576),
    "mobilenetv4_conv_small": (32, 64, 96, 960),
    "convnext_atto": (40, 80, 160, 320),
    "ghostnet_100": (24, 40, 80, 160),
    "resnet18": (64, 128, 256, 512),
    "swin_tiny_patch4_window7_224": (96, 192, 384, 768),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_maps_have_the_promised_strides_and_channels(name: str) -> None:
    size = 224 if name.startswith("swin") else 64
    backbone = FeatureMaps(name, strides=(4, 16)).eval()
    four, _, sixteen, last = FAMILIES[name]
    assert backbone.channels == {4: four, 16: sixteen}
    assert backbone.num_features == last
    with torch.no_grad():
        maps, vector = backbone(torch.rand(2, 3, size, size))
    assert list(maps) == [4, 16]
    assert maps[4].shape == (2, four, size // 4, size // 4)
    assert maps[16].shape == (2, sixteen, size // 16, size // 16)
    assert vector.shape == (2, last)


@pytest.mark.parametrize("name", [n for n in FAMILIES if not n.startswith("swin")])
def test_nothing_is_built_behind_the_last_map(name: str) -> None:
    backbone = FeatureMaps(name, strides=(4, 8), vector_stride=8)
    assert backbone.num_features == backbone.channels[8] == FAMILIES[name][1]
    maps, vector = backbone(torch.rand(2, 3, 64, 64))
    torch.testing.assert_close(vector, maps[8].mean((2, 3)))
    (maps[4].sum() + (vector * torch.rand_like(vector)).sum()).backward()
    assert not [n for n, p in backbone.named_parameters() if p.grad is None]


@pytest.mark.parametrize("name", ["mobilenetv2_050", "mobilenetv4_conv_small"])
def test_maps_are_those_between_the_stages_of_the_whole_network(name: str) -> None:
    whole = create_backbone(name).eval()
    backbone = FeatureMaps(name, strides=(8, 16), input_scale="symmetric").eval()
    backbone.backbone.load_state_dict(whole.state_dict(), strict=False)
    image = torch.rand(1, 3, 64, 64)
    outputs: dict[int, torch.Tensor] = {}
    for stage, block in enumerate(whole.blocks):
        block.register_forward_hook(
            lambda _module, _input, output, stage=stage: outputs.__setitem__(stage, output)
        )
    with torch.no_grad():
        whole((image - 0.5) / 0.5)
        maps, _ = backbone(image)
    eight, sixteen = {"mobilenetv2_050": (2, 4), "mobilenetv4_conv_small": (1, 2)}[name]
    torch.testing.assert_close(maps[8], outputs[eight])
    torch.testing.assert_close(maps[16], outputs[sixteen])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"strides": (2, 4)}, "'convnext_atto' has no feature map of stride 2; .* 4, 8, 16, 32"),
        ({"vector_stride": 64}, "no feature map of stride 64"),
        ({"strides": ()}, "no stride to give"),
    ],
)
def test_strides_that_a_backbone_has_not(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        FeatureMaps("convnext_atto", **settings)  # type: ignore[arg-type]


def test_stochastic_depth_that_a_backbone_has_not() -> None:
    with pytest.raises(UserError, match="'ghostnet_100' has no stochastic depth"):
        FeatureMaps("ghostnet_100", drop_path_rate=0.1)


@pytest.mark.parametrize(
    ("name", "cure"),
    [("mobilenetv2_10", "did you mean .*mobilenetv2_100 or "), ("qqqq", "give one of timm")],
)
def test_an_unknown_backbone_is_refused_with_names_that_there_are(name: str, cure: str) -> None:
    with pytest.raises(UserError, match=f"timm has no backbone '{name}'; {cure}"):
        create_backbone(name)
