"""Spectacles: two frames with a bridge and temples, and dark lenses for those who wear them.

A change that alters a picture must raise `renderer.RENDER_VERSION`.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lit_landmarks.rendering.parts import Block, Material, grid_triangles
from lit_landmarks.rendering.rng import CounterRng
from lit_landmarks.template.loft import Array
from lit_landmarks.template.outlines import EYE_CENTER
from lit_landmarks.template.topology import Indices

_AROUND = 28
#: Middle of a lens seen from the front, and its half sizes.
_MIDDLE, _HALF = (0.350, 0.045), (0.235, 0.175)


def _lens_depth(x: Array) -> Array:
    """Depth of a lens at `x`: before the nose bridge, curving back towards the temples."""
    return -0.285 + 0.42 * x**2


def _lens_outline(side: float, share: float) -> Array:
    """(_AROUND, 3) a rounded rectangle, `share` of the outer size."""
    a = np.linspace(0, 2 * np.pi, _AROUND, endpoint=False)
    x = np.sign(np.cos(a)) * np.abs(np.cos(a)) ** 0.72 * _HALF[0] * share
    y = np.sign(np.sin(a)) * np.abs(np.sin(a)) ** 0.72 * _HALF[1] * share
    x = side * (_MIDDLE[0] + x)
    return np.stack(
        [x, _MIDDLE[1] + y - 0.02 * np.abs(np.cos(a)) * (np.sin(a) < 0), _lens_depth(x)], -1
    )


def _make_strip(line: Array, height: float) -> tuple[Array, Indices]:
    """Points and triangles of an upright band of `height` along a line (K, 3)."""
    up = line + np.array([0.0, -height / 2, 0.0])
    return np.concatenate([up, line + np.array([0.0, height / 2, 0.0])]), grid_triangles(
        2, len(line)
    )


def _double_sided(triangles: Indices) -> Indices:
    """The triangles and their backs, so that a sheet is seen from both sides."""
    return np.concatenate([triangles, triangles[:, ::-1]])


class Glasses:
    """The mesh of spectacles: `blocks` join a head, `place` fits them to each face."""

    def blocks(self) -> list[Block]:
        """Frames, then lenses (texture x: 0 frame, 1 lens)."""
        points, triangles, start = [], [], 0

        def add(block: Array, faces: Indices) -> None:
            nonlocal start
            points.append(block)
            triangles.append(faces + start)
            start += len(block)

        for side in (-1.0, 1.0):
            ring = np.concatenate([_lens_outline(side, 1.0), _lens_outline(side, 0.87)])
            add(ring, _double_sided(grid_triangles(2, _AROUND, closed=True)))
            hinge = np.array([side * 0.575, -0.045, _lens_depth(np.array(0.575))])
            ear = np.array([side * 0.905, -0.060, 0.93])
            line = hinge + np.linspace(0, 1, 6)[:, None] * (ear - hinge)
            line[1:5, 0] += side * 0.03
            strip, faces = _make_strip(line, 0.042)
            add(strip, _double_sided(faces))
        x = np.linspace(-0.125, 0.125, 7)
        arch = np.stack([x, 0.0 - 0.035 * np.cos(x / 0.125 * 1.4), _lens_depth(x) - 0.015], -1)
        strip, faces = _make_strip(arch, 0.034)
        add(strip, _double_sided(faces))
        frame = start
        for side in (-1.0, 1.0):
            rim = _lens_outline(side, 0.93)
            center = rim.mean(0, keepdims=True)
            n = len(rim)
            fan = np.stack([np.arange(n), (np.arange(n) + 1) % n, np.full(n, n)], -1)
            add(np.concatenate([rim, center]), _double_sided(fan))
        whole = np.concatenate(points)
        self.n_frame = frame
        texture = np.zeros((len(whole), 2))
        texture[frame:, 0] = 1.0
        # All of it rides on the eyes' places; the lids below must not bend it.
        source = np.sign(whole[:, :1]) * np.array([[EYE_CENTER[0], 0.0, 0.0]])
        source = source + np.array([[0.0, -0.20, -0.10]])
        lower = np.zeros(len(whole), dtype=np.int64)
        faces = np.concatenate(triangles)
        return [Block(whole, faces, Material.GLASSES, texture, source, lower)]

    def place(self, points: Tensor, style: Tensor) -> Tensor:
        """Glasses of B faces (B, G, 3) on their noses, or gone.

        Args:
            points: neutral places, moved with the identity.
            style: (B, 3) kind (0 none, 1 clear, 2 dark), width and height as factors.
        """
        kind = style[:, :1, None]
        lens = torch.arange(points.shape[1], device=points.device)[None, :, None] >= self.n_frame
        shape = torch.cat([style[:, 1:], torch.ones_like(style[:, :1])], 1)[:, None]
        sized = points * shape
        # What is not worn is a point inside the head.
        away = (kind < 0.5) | (lens & (kind < 1.5))
        return torch.where(away, points.new_tensor([0.0, 0.0, 0.9]), sized)


def sample_glasses(rng: CounterRng) -> Tensor:
    """(B, 3) styles for `Glasses.place`."""
    kind = rng.choice("glasses", (0.86, 0.115, 0.025)).double()
    wide = rng.uniform("glasses width", 1, 0.93, 1.06)
    return torch.stack([kind, wide, rng.uniform("glasses height", 1, 0.78, 1.15)], 1)
