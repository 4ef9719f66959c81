"""The renderer: one colour for a pixel that shows one smooth surface is no shortcut one can see."""

from __future__ import annotations

import torch
from torch import Tensor

from lit_landmarks.rendering import Renderer
from lit_landmarks.rendering.faces import FaceParameters, Ranges, sample_faces
from lit_landmarks.rendering.parametric import parametric_head
from lit_landmarks.rendering.rng import CounterRng

SIZE = 64


def _sample(rng: CounterRng) -> FaceParameters:
    return sample_faces(rng, parametric_head(), Ranges(image_size=SIZE))


def _pictures(rows: int = 5, **settings: int) -> Tensor:
    return Renderer(parametric_head(), **settings)(CounterRng(3, torch.arange(rows)), _sample)


def test_pixels_do_not_depend_on_how_many_faces_are_drawn_at_once() -> None:
    one = _pictures(chunk=1)
    assert torch.equal(one, _pictures(chunk=2))
    assert torch.equal(one, _pictures(chunk=8))


def test_two_samples_a_side_come_close_to_five() -> None:
    coarse, fine = (_pictures(supersample=s).float() for s in (2, 5))
    assert (coarse - fine).abs().mean() < 2.5
    # Nothing is shifted: a pixel's worth of shift is far worse than what is left.
    for axis in (1, 2):
        assert (coarse.roll(1, axis) - fine).abs().mean() > 2 * (coarse - fine).abs().mean()
        for step in (-1, 1):
            moved = 0.5 * (coarse + coarse.roll(step, axis))
            assert (moved - fine).abs().mean() > (coarse - fine).abs().mean()


def test_every_sample_of_a_lone_pixel_counts() -> None:
    single = _pictures(supersample=1).float()
    assert (single - _pictures(supersample=3).float()).abs().mean() < 6.0
