"""`IctLook`: what an ICT face looks like beyond `Appearance`, and the faults of its camera.

A change that alters a picture must raise `ict.renderer.ICT_VERSION`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from lit_landmarks.rendering.appearance import Appearance, sample_appearance
from lit_landmarks.rendering.background import desaturate
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
        hat_color: (B, 3).
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
    hat_color: Tensor
    tooth: Tensor
    sheen: Tensor
    motion: Tensor
    jpeg: Tensor
    shrink: Tensor
    picture: Tensor


def sample_looks(rng: CounterRng) -> IctLook:
    """Sample how the ICT faces of `rng` look, and the faults of their cameras."""
    base = sample_appearance(rng)
    shared = {f.name: getattr(base, f.name) for f in fields(base)}
    poor = rng.chance("poor picture", 0.3)
    angle = rng.uniform("motion way", 1, 0.0, 3.1416)
    speed = rng.uniform("motion") ** 2 * 5.0 * rng.chance("moves", 0.15)
    white, focus = rng.uniform("teeth white", 1, 0.7, 1.0), rng.uniform("focus") ** 2
    bearded = base.paint[:, 5] > 0
    looks = IctLook(
        **shared,
        brow_shape=torch.stack(
            [
                rng.uniform("brow width", 1, 0.6, 1.15),
                rng.uniform("brow density", 1, 0.75, 1.25),
                rng.uniform("brow taper", 1, 0.2, 0.8),
                rng.uniform("brow tail", 1, 0.86, 1.08),
            ],
            1,
        ),
        age=rng.uniform("age") ** 1.6,
        freckle=torch.stack(
            [
                rng.chance("freckled", 0.18) * rng.uniform("freckles", 1, 0.2, 0.6),
                rng.uniform("freckle size", 1, 1.0, 1.9),
            ],
            1,
        ),
        pore=rng.uniform("pores", 1, 0.03, 0.16),
        stubble=rng.uniform("shaved", 1, 0.0, 0.45) * (rng.chance("man", 0.4) & ~bearded),
        liner=rng.uniform("liner", 1, 0.25, 0.9),
        shadow_lid=rng.uniform("lid colour", 3) ** 2 * 0.4,
        hat_color=rng.uniform("hat colour", 3) ** 2 * 0.5,
        tooth=torch.tensor([0.80, 0.74, 0.62]).double() * white[:, None],
        sheen=rng.uniform("cloth sheen") ** 3,
        motion=torch.stack([speed * angle.cos(), speed * angle.sin()], 1),
        jpeg=rng.chance("jpeg", 0.6)
        * torch.where(
            poor, rng.uniform("bad jpeg", 1, 22.0, 60.0), rng.uniform("good jpeg", 1, 60.0, 96.0)
        ),
        shrink=torch.where(
            poor & rng.chance("low resolution", 0.4), rng.uniform("shrink", 1, 0.3, 0.8), 1.0
        ),
        picture=torch.cat([rng.uniform("picture", 5), 4.0 * focus[:, None]], 1),
    )
    return tone_down(looks, rng)


def tone_down(look: IctLook, rng: CounterRng) -> IctLook:
    """Milder colours and lights than `sample_appearance` gives the parametric head."""
    dull = rng.uniform("dull cloth", 1, 0.1, 0.9)[:, None]

    return replace(
        look,
        skin=desaturate(look.skin, torch.full_like(dull, 0.86)),
        hair=desaturate(look.hair, torch.full_like(dull, 0.75)),
        beard=desaturate(look.beard, torch.full_like(dull, 0.75)),
        sclera=0.80 * look.sclera,
        brow=0.8 * look.brow,
        cloth=desaturate(look.cloth, dull) * 0.8,
        trim=desaturate(look.trim, dull) * 0.8,
        pattern=look.pattern * torch.tensor([0.8, 2.2, 2.2]).double(),
        hat_color=desaturate(look.hat_color, dull),
        gloss=0.06 + 0.75 * look.gloss,
        shadow=0.35 + 0.6 * look.shadow,
    )
