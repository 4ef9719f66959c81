"""`IctLook`: what an ICT face looks like beyond `Appearance`, and the faults of its camera."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from lit_landmarks.rendering.appearance import Appearance, sample_appearance
from lit_landmarks.rendering.rng import CounterRng


@dataclass(frozen=True)
class IctLook(Appearance):
    """Looks of B faces; float64 until they reach the renderer.

    Attributes:
        brow_shape: (B, 4) thickness, density, how thin the outer end, length of its tail.
        age: (B,) depth of folds.
        freckle: (B, 2) strength, threshold.
        pore: (B,) relief of the skin.
        stubble: (B,) share of bluish shadow on a shaved chin.
        liner: (B,) darkness of the line of lashes.
        shadow_lid: (B, 3) colour of eye shadow; its strength is paint channel EYE.
        hat_colour: (B, 3).
        tooth: (B, 3).
        sheen: (B,) shine of the clothes.
        motion: (B, 2) motion blur in pixels across and down.
        jpeg: (B,) quality, 0 for none.
        shrink: (B,) side of the picture before it was enlarged, as a share.
        picture: (B, 6) which background, its place, size, flip and blur.
    """

    brow_shape: Tensor
    age: Tensor
    freckle: Tensor
    pore: Tensor
    stubble: Tensor
    liner: Tensor
    shadow_lid: Tensor
    hat_colour: Tensor
    tooth: Tensor
    sheen: Tensor
    motion: Tensor
    jpeg: Tensor
    shrink: Tensor
    picture: Tensor


def sample_looks(draws: CounterRng) -> IctLook:
    """The looks that belong to `draws`."""
    base = sample_appearance(draws)
    known = {f.name: getattr(base, f.name) for f in fields(base)}
    poor = draws.chance("poor picture", 0.3)
    angle = draws.uniform("motion way", 1, 0.0, 3.1416)
    speed = draws.uniform("motion") ** 2 * 5.0 * draws.chance("moves", 0.15)
    white, focus = draws.uniform("teeth white", 1, 0.7, 1.0), draws.uniform("focus") ** 2
    bearded = base.paint[:, 5] > 0
    looks = IctLook(
        **known,
        brow_shape=torch.stack(
            [draws.uniform("brow width", 1, 0.6, 1.15),
             draws.uniform("brow density", 1, 0.75, 1.25),
             draws.uniform("brow taper", 1, 0.2, 0.8),
             draws.uniform("brow tail", 1, 0.86, 1.08)], 1
        ),
        age=draws.uniform("age") ** 1.6,
        freckle=torch.stack(
            [draws.chance("freckled", 0.18) * draws.uniform("freckles", 1, 0.2, 0.6),
             draws.uniform("freckle size", 1, 1.0, 1.9)], 1
        ),
        pore=draws.uniform("pores", 1, 0.03, 0.16),
        stubble=draws.uniform("shaved", 1, 0.0, 0.45) * (draws.chance("man", 0.4) & ~bearded),
        liner=draws.uniform("liner", 1, 0.25, 0.9),
        shadow_lid=draws.uniform("lid colour", 3) ** 2 * 0.4,
        hat_colour=draws.uniform("hat colour", 3) ** 2 * 0.5,
        tooth=torch.tensor([0.80, 0.74, 0.62]).double() * white[:, None],
        sheen=draws.uniform("cloth sheen") ** 3,
        motion=torch.stack([speed * angle.cos(), speed * angle.sin()], 1),
        jpeg=draws.chance("jpeg", 0.6) * torch.where(poor, draws.uniform("bad jpeg", 1, 22.0, 60.0),
                                                     draws.uniform("good jpeg", 1, 60.0, 96.0)),
        shrink=torch.where(poor & draws.chance("low resolution", 0.4),
                           draws.uniform("shrink", 1, 0.3, 0.8), 1.0),
        picture=torch.cat([draws.uniform("picture", 5), 4.0 * focus[:, None]], 1),
    )  # fmt: skip
    return natural(looks, draws)


def natural(look: IctLook, draws: CounterRng) -> IctLook:
    """Fewer garish walls, clothes and lights than the template's heads are given."""
    dull = draws.uniform("dull cloth", 1, 0.1, 0.9)[:, None]

    def toned(colour: Tensor, share: Tensor) -> Tensor:
        gray = colour.mean(-1, keepdim=True)
        return gray + (colour - gray) * share

    return replace(
        look,
        skin=toned(look.skin, torch.full_like(dull, 0.86)),
        hair=toned(look.hair, torch.full_like(dull, 0.75)),
        beard=toned(look.beard, torch.full_like(dull, 0.75)),
        sclera=0.80 * look.sclera,
        brow=0.8 * look.brow,
        cloth=toned(look.cloth, dull) * 0.8,
        trim=toned(look.trim, dull) * 0.8,
        pattern=look.pattern * torch.tensor([0.8, 2.2, 2.2]).double(),
        hat_colour=toned(look.hat_colour, dull),
        gloss=0.06 + 0.75 * look.gloss,
        shadow=0.35 + 0.6 * look.shadow,
    )
