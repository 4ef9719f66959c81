"""Backbones by name: input normalisation inside, pooled vector of the promised length."""

from __future__ import annotations

import pytest
import torch

from lit_landmarks.errors import UserError
from lit_landmarks.nets.backbone import InputNorm, PooledBackbone, create_trunk, set_batch_norm


@pytest.mark.parametrize("name", ["mobilenetv2_050", "mobilenetv3_small_050", "resnet18"])
def test_pooled_vector_has_the_promised_length(name: str) -> None:
    backbone = PooledBackbone(name).eval()
    assert backbone(torch.rand(1, 3, 64, 64)).shape == (1, backbone.num_features)


def test_unknown_backbone_names_the_closest() -> None:
    with pytest.raises(UserError, match="mobilenetv2_100"):
        create_trunk("mobilenetv2_10")


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
    trunk = create_trunk("mobilenetv2_050")
    set_batch_norm(trunk, eps=1e-3, momentum=0.05)
    layers = [m for m in trunk.modules() if hasattr(m, "running_mean")]
    assert len(layers) == 52
    assert {(m.eps, m.momentum) for m in layers} == {(1e-3, 0.05)}
