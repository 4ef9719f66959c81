"""Heat maps: targets by hand, round trips to the borders, offsets, batches of any size."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lit_landmarks.errors import UserError
from lit_landmarks.nets.heatmaps import Heatmaps


def test_targets_by_hand() -> None:
    # Map pixel (column 3, row 1) of stride 4 lies at x = 13.5, y = 5.5 of the input.
    heatmaps = Heatmaps(32, stride=4, sigma=2.0)
    maps = heatmaps.encode(torch.tensor([[[13.5, 5.5]]]))
    assert maps.shape == (1, 1, 8, 8)
    assert maps[0, 0, 1, 3].item() == pytest.approx(1.0)
    assert maps[0, 0, 1, 5].item() == pytest.approx(math.exp(-(2**2) / (2 * 2.0**2)))
    assert maps[0, 0, 4, 1].item() == pytest.approx(math.exp(-(3**2 + 2**2) / (2 * 2.0**2)))
    assert heatmaps.to_map(torch.tensor([-0.5, 31.5])).tolist() == [-0.5, 7.5]
    assert heatmaps.from_map(torch.tensor([-0.5, 7.5])).tolist() == [-0.5, 31.5]


def test_landmarks_that_are_not_annotated_have_empty_maps() -> None:
    heatmaps = Heatmaps(32)
    points = torch.tensor([[[8.0, 9.0], [math.nan, math.nan]]])
    mask = torch.tensor([[True, False]])
    maps = heatmaps.encode(points, mask)
    assert maps[0, 0].max() > 0.9
    assert not maps[0, 1].any()
    offsets, near = heatmaps.encode_offsets(points, mask)
    assert offsets.isfinite().all()
    assert near[0, 0].any()
    assert not near[0, 1].any()


builds = st.sampled_from([(64, 1), (64, 4), (64, 8), (128, 2), (12, 4)])


@settings(deadline=None)
@given(
    build=builds,
    sigma=st.floats(0.6, 4.0),
    seed=st.integers(0, 10_000),
    border=st.sampled_from(["inside", "left", "right", "top", "bottom", "corners"]),
)
def test_round_trip_is_within_a_tenth_of_a_pixel(
    build: tuple[int, int], sigma: float, seed: int, border: str
) -> None:
    """Anywhere in the input: its area is [-0.5, size - 0.5] in both directions."""
    size, stride = build
    heatmaps = Heatmaps(size, stride, sigma)
    generator = torch.Generator().manual_seed(seed)
    points = torch.rand(3, 20, 2, generator=generator) * size - 0.5
    if border in ("left", "right", "corners"):
        points[..., 0] = size - 0.5 if border == "right" else -0.5
    if border in ("top", "bottom", "corners"):
        points[..., 1] = size - 0.5 if border == "bottom" else -0.5
    maps = heatmaps.encode(points)
    assert (heatmaps.decode(maps) - points).abs().max() < 0.1
    assert (heatmaps.decode(3.0 * maps) - points).abs().max() < 0.1
    offsets, near = heatmaps.encode_offsets(points)
    assert (heatmaps.decode(maps, offsets) - points).abs().max() < 1e-3
    # The highest pixel is one where the offsets are learnt.
    assert near.flatten(2).gather(2, maps.flatten(2).argmax(-1, keepdim=True)).all()


def test_points_outside_are_decoded_at_the_border() -> None:
    heatmaps = Heatmaps(64, 4, 2.0)
    maps = heatmaps.encode(torch.tensor([[[-5.0, 30.0], [70.0, 66.0]]]))
    expected = torch.tensor([[[-0.5, 30.0], [63.5, 63.5]]])
    torch.testing.assert_close(heatmaps.decode(maps), expected, atol=1e-3, rtol=0)


def test_noise_moves_the_place_by_a_small_part_of_a_map_pixel() -> None:
    heatmaps = Heatmaps(64, 4, 1.5)
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(50, 20, 2, generator=generator) * 52 + 6
    clean = heatmaps.encode(points)
    maps = clean + 0.02 * torch.randn(clean.shape, generator=generator)
    highest = heatmaps.decode(maps, torch.zeros(*maps.shape[:2], 2, 16, 16))
    between = (heatmaps.decode(maps) - points).norm(dim=-1).mean()
    assert between < 0.1 * 4
    assert between < 0.3 * (highest - points).norm(dim=-1).mean()


@pytest.mark.parametrize("value", [0.0, 1.0, -3.0])
def test_flat_maps_have_a_finite_place(value: float) -> None:
    heatmaps = Heatmaps(32, 4)
    maps = torch.full((1, 2, 8, 8), value, requires_grad=True)
    points = heatmaps.decode(maps)
    points.sum().backward()
    assert points.isfinite().all()
    assert maps.grad is not None
    assert maps.grad.isfinite().all()


def test_gradient_moves_the_place_the_right_way() -> None:
    heatmaps = Heatmaps(32, 4)
    maps = heatmaps.encode(torch.tensor([[[13.0, 18.0]]])).requires_grad_()
    heatmaps.decode(maps)[..., 0].sum().backward()
    assert maps.grad is not None
    row, column = divmod(int(maps.argmax()), 8)
    assert maps.grad[0, 0, row, column + 1] > 0
    assert maps.grad[0, 0, row, column - 1] < 0


def test_soft_argmax_by_hand() -> None:
    heatmaps = Heatmaps(16, 4)
    logits = torch.full((1, 1, 4, 4), -1e9)
    # Weights 3/4 at column 0, row 2 and 1/4 at column 2, row 3.
    logits[0, 0, 2, 0], logits[0, 0, 3, 2] = math.log(3.0), 0.0
    expected = heatmaps.from_map(torch.tensor([0.5, 2.25]))
    torch.testing.assert_close(heatmaps.soft_argmax(logits)[0, 0], expected)


def test_exported_decoding_takes_any_batch() -> None:
    heatmaps = Heatmaps(64, 4)

    class Decoder(torch.nn.Module):
        def forward(self, maps: Tensor) -> Tensor:
            return heatmaps.decode(maps)

    shapes = ({0: torch.export.Dim("batch")},)
    program = torch.export.export(Decoder(), (torch.rand(2, 5, 16, 16),), dynamic_shapes=shapes)
    for count in (1, 3, 7):
        maps = torch.rand(count, 5, 16, 16)
        torch.testing.assert_close(program.module()(maps), heatmaps.decode(maps))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        ({"size": 66, "stride": 4}, "stride that divides"),
        ({"size": 16, "stride": 8}, "2 pixels a side"),
        ({"size": 64, "sigma": 0.3}, "0.6 or more"),
        ({"size": 64, "offset_radius": 0.2}, "own pixel"),
    ],
)
def test_maps_that_cannot_be(build: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Heatmaps(**build)  # type: ignore[arg-type]
