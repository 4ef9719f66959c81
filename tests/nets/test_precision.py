"""What stays in single precision under autocast, and that nothing else changes by it."""

import timm
import torch

from lit_landmarks.nets.backbone import create_backbone
from lit_landmarks.nets.precision import StridedDepthwise, replace_strided_depthwise


def test_network_without_autocast_is_that_of_timm() -> None:
    torch.manual_seed(0)
    plain = timm.create_model("mobilenetv2_050", num_classes=0).eval()
    after_plain = torch.rand(1)
    torch.manual_seed(0)
    ours = create_backbone("mobilenetv2_050").eval()
    assert torch.equal(torch.rand(1), after_plain)
    assert sum(isinstance(layer, StridedDepthwise) for layer in ours.modules()) == 4
    assert list(ours.state_dict()) == list(plain.state_dict())
    image = torch.rand(2, 3, 64, 64)
    assert torch.equal(ours(image), plain(image))


def test_strided_depthwise_is_single_precision_under_autocast() -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=8))
    weight = network[0].weight
    replace_strided_depthwise(network)
    assert network[0].weight is weight
    inputs = torch.randn(2, 8, 16, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert network(inputs).dtype == torch.float32
        half = network(inputs.bfloat16())
    single = torch.nn.functional.conv2d(
        inputs.bfloat16().float(), weight, network[0].bias, stride=2, padding=1, groups=8
    )
    assert half.dtype == torch.bfloat16
    assert torch.equal(half, single.bfloat16())


def test_dense_and_unstrided_convolutions_are_left() -> None:
    network = torch.nn.Sequential(
        torch.nn.Conv2d(8, 8, 3, stride=2), torch.nn.Conv2d(8, 8, 3, groups=8)
    )
    replace_strided_depthwise(network)
    assert not any(isinstance(layer, StridedDepthwise) for layer in network)
