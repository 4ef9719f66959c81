"""Sampling of ICT faces for (seed, index): identity, FaceKit expressions, gaze, hair and wear.

A change that alters a picture must raise `ict.renderer.ICT_VERSION`.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Protocol

import torch
from torch import Tensor

from lit_landmarks.rendering.faces import FaceParameters, Head, Ranges, sample_faces
from lit_landmarks.rendering.ict.hair import IctStyle, sample_locks
from lit_landmarks.rendering.ict.wear import sample_wear
from lit_landmarks.rendering.rng import CounterRng


class _SetMuscle(Protocol):
    """Sets both sides of a muscle."""

    def __call__(self, name: str, column: Tensor, uneven: float = 0.12) -> None:
        """`uneven` is how much the sides differ."""
        ...


#: Modes that vary fully; later ones are fine detail and count less.
_STRONG = 20


def sample_ict(rng: CounterRng, head: Head, ranges: Ranges) -> FaceParameters:
    """Sample the parameters of the ICT faces of `rng`."""
    faces = sample_faces(rng, head, ranges)
    count = len(head.identity_names)
    weight = torch.where(torch.arange(count) < _STRONG, 1.0, 0.6).double()
    identity = rng.normal("identity", count, 2.3) * weight
    hair, locks = sample_locks(rng)
    base = {f.name: getattr(hair, f.name) for f in fields(hair)}
    style = IctStyle(**base, **locks, **sample_wear(rng))
    return replace(
        faces,
        identity=identity,
        expression=sample_ict_expression(rng, head.expression_names, faces.gaze),
        hair=style,
    )


def bare_faces(faces: FaceParameters) -> FaceParameters:
    """The same faces, bald and with nothing worn or held before them."""
    style, glasses = faces.hair, faces.glasses.clone()
    assert isinstance(style, IctStyle)
    hat, prop = style.hat.clone(), style.prop.clone()
    glasses[:, 0], hat[:, 0], prop[:, 0] = 0.0, 0.0, 0.0
    none = torch.zeros_like(style.thickness)
    style = replace(style, thickness=none, length=torch.zeros_like(none), hat=hat, prop=prop)
    return replace(faces, hair=style, glasses=glasses)


def sample_ict_expression(rng: CounterRng, names: tuple[str, ...], gaze: Tensor) -> Tensor:
    """(B, E) weights: a few of FaceKit's muscles at a time, lids that follow the gaze."""
    value = torch.zeros(len(rng), len(names), dtype=torch.float64)
    place = {name: k for k, name in enumerate(names)}

    def set_muscle(name: str, column: Tensor, uneven: float = 0.12) -> None:
        """Both sides of a muscle, a little differently."""
        if name in place:
            value[:, place[name]] = column.clamp(0.0, 1.0)
        lopsided = rng.normal(f"lopsided {name}") * uneven
        for side, sign in (("_L", 1.0), ("_R", -1.0)):
            if name + side in place:
                value[:, place[name + side]] = (column * (1 + sign * lopsided)).clamp(0.0, 1.0)

    _sample_mouth(rng, set_muscle)
    _sample_brows(rng, set_muscle)
    wild = rng.chance("wild", 0.12)
    every = rng.uniform("every muscle", len(names)) ** 1.5
    every = every * (rng.uniform("muscle on", len(names)) < 0.14)
    for name in ("mouthClose", "PupilDilate_L", "PupilDilate_R"):
        if name in place:
            every[:, place[name]] = 0.0
    value = torch.where(wild[:, None], torch.maximum(0.6 * value, every), value)
    value = torch.where(rng.chance("neutral", 0.15)[:, None], 0.12 * value, value)
    _sample_lids(rng, place, value, gaze)
    return value


def _sample_mouth(rng: CounterRng, set_muscle: _SetMuscle) -> None:
    smile = rng.uniform("smile") * rng.chance("smiles", 0.45)
    opened = rng.uniform("open") ** 1.5 * rng.chance("opens", 0.45)
    set_muscle("jawOpen", 0.9 * opened)
    set_muscle("mouthSmile", smile)
    set_muscle("cheekSquint", 0.6 * smile * rng.uniform("duchenne"))
    set_muscle("cheekRaiser", 0.5 * smile * rng.uniform("duchenne"))
    set_muscle("mouthDimple", 0.5 * smile * rng.uniform("dimple"))
    teeth = rng.chance("teeth", 0.55)
    set_muscle("mouthUpperUp", (0.5 * smile + 0.3 * rng.uniform("lip") * opened) * teeth)
    set_muscle("mouthLowerDown", (0.4 * opened + 0.3 * smile) * rng.uniform("lower lip") * teeth)
    for name, chance, most in (
        ("mouthPucker", 0.07, 1.0),
        ("mouthFunnel", 0.07, 0.9),
        ("mouthPress", 0.10, 0.8),
        ("mouthRollLower", 0.08, 0.7),
        ("mouthRollUpper", 0.06, 0.7),
        ("mouthShrugLower", 0.10, 0.7),
        ("mouthShrugUpper", 0.06, 0.6),
        ("cheekPuff", 0.06, 0.9),
        ("jawForward", 0.08, 0.8),
    ):
        on = rng.chance(f"{name} on", chance) & (opened < 0.35)
        set_muscle(name, most * rng.uniform(name) * on)
    for name, chance in (("mouthFrown", 0.15), ("mouthStretch", 0.10), ("noseSneer", 0.08)):
        set_muscle(name, rng.uniform(name) * rng.chance(f"{name} on", chance) * (1 - smile))
    for name in ("jaw", "mouth"):
        shift = rng.normal(f"{name} shift") * 0.35 * rng.chance(f"{name} shifts", 0.2)
        set_muscle(f"{name}Left", shift)
        set_muscle(f"{name}Right", -shift)


def _sample_brows(rng: CounterRng, set_muscle: _SetMuscle) -> None:
    up = rng.uniform("brows up") * rng.chance("brows rise", 0.28)
    down = rng.uniform("brows down") * rng.chance("brows fall", 0.22) * (up <= 0)
    set_muscle("browInnerUp", up * rng.uniform("inner brows"))
    set_muscle("browOuterUp", up, 0.3)
    set_muscle("browDown", down, 0.2)
    set_muscle("noseSneer", 0.5 * down * rng.chance("sneers", 0.3))


def _sample_lids(rng: CounterRng, place: dict[str, int], value: Tensor, gaze: Tensor) -> None:
    """Blinks, squints, wide eyes; lids follow the eyeballs."""
    wide = rng.uniform("eyes wide") * rng.chance("wide eyes", 0.12)
    squint = rng.uniform("squint") * rng.chance("squints", 0.3)
    blink = 0.22 * rng.uniform("lids") * (wide <= 0) + rng.chance("blink", 0.06) * 0.85
    wink = rng.chance("wink", 0.015)
    # The subject's right eye is on the image's left and comes first.
    for eye, side in ((0, "_R"), (1, "_L")):
        columns = {
            "eyeWide": wide,
            "eyeSquint": squint,
            "eyeBlink": torch.where(wink & (eye == 0), 1.0 + 0 * blink, blink),
        }
        for name, column in columns.items():
            if name + side in place:
                value[:, place[name + side]] = column.clamp(0.0, 1.0)
    _follow_gaze(place, value, gaze)


def follow_gaze(names: tuple[str, ...], expression: Tensor, gaze: Tensor) -> Tensor:
    """The expression (B, E) with lids that follow the eyeballs to another gaze (B, 2, 3)."""
    value = expression.clone()
    _follow_gaze({name: k for k, name in enumerate(names)}, value, gaze)
    return value


def _follow_gaze(place: dict[str, int], value: Tensor, gaze: Tensor) -> None:
    pitch = torch.asin((-gaze[..., 1]).clamp(-1, 1)) / 0.55
    yaw = torch.atan2(gaze[..., 0], -gaze[..., 2]) / 0.65
    for eye, side, out in ((0, "_R", -1.0), (1, "_L", 1.0)):
        up, aside = pitch[:, eye], out * yaw[:, eye]
        columns = {
            "eyeLookUp": up,
            "eyeLookDown": -up,
            "eyeLookOut": aside,
            "eyeLookIn": -aside,
        }
        for name, column in columns.items():
            if name + side in place:
                value[:, place[name + side]] = column.clamp(0.0, 1.0)
