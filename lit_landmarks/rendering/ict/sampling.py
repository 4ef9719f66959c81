"""ICT faces drawn for (seed, index): identity, FaceKit expressions, gaze, hair and wear."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Protocol

import torch
from torch import Tensor

from lit_landmarks.rendering.faces import FaceParameters, Head, Ranges, sample_faces
from lit_landmarks.rendering.ict.hair import IctStyle, sample_locks
from lit_landmarks.rendering.ict.wear import sample_wear
from lit_landmarks.rendering.rng import CounterRng


class _Put(Protocol):
    """Sets both sides of a muscle."""

    def __call__(self, name: str, column: Tensor, uneven: float = 0.12) -> None:
        """`uneven` is how much the sides differ."""
        ...


#: Modes that vary fully; later ones are fine detail and count less.
_STRONG = 20


def sample_ict(draws: CounterRng, head: Head, ranges: Ranges) -> FaceParameters:
    """The faces that belong to `draws`."""
    faces = sample_faces(draws, head, ranges)
    count = len(head.identity_names)
    weight = torch.where(torch.arange(count) < _STRONG, 1.0, 0.6).double()
    identity = draws.normal("identity", count, 2.3) * weight
    hair, locks = sample_locks(draws)
    base = {f.name: getattr(hair, f.name) for f in fields(hair)}
    style = IctStyle(**base, **locks, **sample_wear(draws))
    return replace(
        faces,
        identity=identity,
        expression=ict_expression(draws, head.expression_names, faces.gaze),
        hair=style,
    )


def ict_expression(draws: CounterRng, names: tuple[str, ...], gaze: Tensor) -> Tensor:
    """(B, E) weights: a few of FaceKit's muscles at a time, lids that follow the gaze."""
    value = torch.zeros(len(draws), len(names), dtype=torch.float64)
    place = {name: k for k, name in enumerate(names)}

    def put(name: str, column: Tensor, uneven: float = 0.12) -> None:
        """Both sides of a muscle, a little differently."""
        if name in place:
            value[:, place[name]] = column.clamp(0.0, 1.0)
        lopsided = draws.normal(f"lopsided {name}") * uneven
        for side, sign in (("_L", 1.0), ("_R", -1.0)):
            if name + side in place:
                value[:, place[name + side]] = (column * (1 + sign * lopsided)).clamp(0.0, 1.0)

    _mouth(draws, put)
    _brows(draws, put)
    wild = draws.chance("wild", 0.12)
    every = draws.uniform("every muscle", len(names)) ** 1.5
    every = every * (draws.uniform("muscle on", len(names)) < 0.14)
    for name in ("mouthClose", "PupilDilate_L", "PupilDilate_R"):
        if name in place:
            every[:, place[name]] = 0.0
    value = torch.where(wild[:, None], torch.maximum(0.6 * value, every), value)
    value = torch.where(draws.chance("neutral", 0.15)[:, None], 0.12 * value, value)
    _lids(draws, place, value, gaze)
    return value


def _mouth(draws: CounterRng, put: _Put) -> None:
    smile = draws.uniform("smile") * draws.chance("smiles", 0.45)
    opened = draws.uniform("open") ** 1.5 * draws.chance("opens", 0.45)
    put("jawOpen", 0.9 * opened)
    put("mouthSmile", smile)
    put("cheekSquint", 0.6 * smile * draws.uniform("duchenne"))
    put("cheekRaiser", 0.5 * smile * draws.uniform("duchenne"))
    put("mouthDimple", 0.5 * smile * draws.uniform("dimple"))
    teeth = draws.chance("teeth", 0.55)
    put("mouthUpperUp", (0.5 * smile + 0.3 * draws.uniform("lip") * opened) * teeth)
    put("mouthLowerDown", (0.4 * opened + 0.3 * smile) * draws.uniform("lower lip") * teeth)
    for name, chance, most in (
        ("mouthPucker", 0.07, 1.0), ("mouthFunnel", 0.07, 0.9), ("mouthPress", 0.10, 0.8),
        ("mouthRollLower", 0.08, 0.7), ("mouthRollUpper", 0.06, 0.7),
        ("mouthShrugLower", 0.10, 0.7), ("mouthShrugUpper", 0.06, 0.6),
        ("cheekPuff", 0.06, 0.9), ("jawForward", 0.08, 0.8),
    ):  # fmt: skip
        on = draws.chance(f"{name} on", chance) & (opened < 0.35)
        put(name, most * draws.uniform(name) * on)
    for name, chance in (("mouthFrown", 0.15), ("mouthStretch", 0.10), ("noseSneer", 0.08)):
        put(name, draws.uniform(name) * draws.chance(f"{name} on", chance) * (1 - smile))
    for name in ("jaw", "mouth"):
        shift = draws.normal(f"{name} shift") * 0.35 * draws.chance(f"{name} shifts", 0.2)
        put(f"{name}Left", shift)
        put(f"{name}Right", -shift)


def _brows(draws: CounterRng, put: _Put) -> None:
    up = draws.uniform("brows up") * draws.chance("brows rise", 0.28)
    down = draws.uniform("brows down") * draws.chance("brows fall", 0.22) * (up <= 0)
    put("browInnerUp", up * draws.uniform("inner brows"))
    put("browOuterUp", up, 0.3)
    put("browDown", down, 0.2)
    put("noseSneer", 0.5 * down * draws.chance("sneers", 0.3))


def _lids(draws: CounterRng, place: dict[str, int], value: Tensor, gaze: Tensor) -> None:
    """Blinks, squints, wide eyes; lids follow the eyeballs."""
    wide = draws.uniform("eyes wide") * draws.chance("wide eyes", 0.12)
    squint = draws.uniform("squint") * draws.chance("squints", 0.3)
    blink = 0.22 * draws.uniform("lids") * (wide <= 0) + draws.chance("blink", 0.06) * 0.85
    wink = draws.chance("wink", 0.015)
    pitch = torch.asin((-gaze[..., 1]).clamp(-1, 1)) / 0.55
    yaw = torch.atan2(gaze[..., 0], -gaze[..., 2]) / 0.65
    # The subject's right eye is on the image's left and comes first.
    for eye, side, out in ((0, "_R", -1.0), (1, "_L", 1.0)):
        up, aside = pitch[:, eye], out * yaw[:, eye]
        columns = {
            "eyeWide": wide, "eyeSquint": squint,
            "eyeBlink": torch.where(wink & (eye == 0), 1.0 + 0 * blink, blink),
            "eyeLookUp": up, "eyeLookDown": -up, "eyeLookOut": aside, "eyeLookIn": -aside,
        }  # fmt: skip
        for name, column in columns.items():
            if name + side in place:
                value[:, place[name + side]] = column.clamp(0.0, 1.0)
