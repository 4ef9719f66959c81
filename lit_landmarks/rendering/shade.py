"""Colours of the pixels that a head covers: materials under three lights.

Works on lists of pixels, so that each material pays only for its own. Light is linear RGB; diffuse
light wraps round the terminator, most in red, as it does in skin (a cheap stand-in for subsurface
scattering); highlights are Blinn-Phong. A change that alters a picture must raise
`renderer.RENDER_VERSION`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from lit_landmarks.rendering.appearance import Appearance
from lit_landmarks.rendering.faces import FaceParameters, Head
from lit_landmarks.rendering.hair import hairline
from lit_landmarks.rendering.paint import Channel
from lit_landmarks.rendering.parts import Material
from lit_landmarks.splitmix import mix
from lit_landmarks.template import loft
from lit_landmarks.template.outlines import EYE_RADIUS

TILE = 256
#: Versions of the paint table, from 400 x 720 texels down.
_PAINT_LEVELS = 4
_NOISE_LEVELS = 4


def noise_tile() -> Tensor:
    """(TILE, TILE, 3) seamless noise of mean 0, about +-1: coarse, middle, fine."""
    at = torch.arange(TILE * TILE * 3) * 7919 + 12345
    white = ((mix(at) >> 20) & 0xFFFFF).double().reshape(3, TILE, TILE) / 2**19 - 1.0
    layers = []
    for channel, reach in enumerate((13, 4, 1)):
        layer = white[channel]
        for _ in range(2):
            for axis in (0, 1):
                layer = torch.stack([layer.roll(s, axis) for s in range(-reach, reach + 1)]).mean(0)
        layers.append(layer / layer.std())
    return torch.stack(layers, -1).float().clamp(-2.5, 2.5)


@dataclass
class Pixels:
    """N pixels of one material.

    Attributes:
        face: (N,) which face of the batch each belongs to.
        triangle: (N,).
        normal: (N, 3) unit, camera frame, outwards.
        texture: (N, 2) texture coordinates.
        light: (N,) share of the key light that arrives.
        grain: (B,) pixels per head unit, which says how fine the paint is looked at.
    """

    face: Tensor
    triangle: Tensor
    normal: Tensor
    texture: Tensor
    light: Tensor
    grain: Tensor

    def per_pixel(self, value: Tensor) -> Tensor:
        """Values (B, ...) of faces at their pixels (N, ...); of one face (1, ...) to broadcast."""
        return value if len(value) == 1 else value.index_select(0, self.face)


def _build_mipmap(table: Tensor, count: int) -> list[Tensor]:
    """A mipmap: the table (H, W, C) and smaller ones, each averaged to half the resolution."""
    levels = [table]
    for _ in range(count - 1):
        half: Tensor = F.avg_pool2d(levels[-1].permute(2, 0, 1), 2)
        levels.append(half.permute(1, 2, 0).contiguous())
    return levels


class Noise:
    """Seamless noise, looked up no finer than the pixels are."""

    def __init__(self, device: torch.device) -> None:
        levels = _build_mipmap(noise_tile(), _NOISE_LEVELS)
        self._table = torch.cat([level.flatten(0, 1) for level in levels]).to(device)

    def __call__(
        self, p: Pixels, u: Tensor, v: Tensor, scale: Tensor | float, look: Appearance
    ) -> Tensor:
        """(N, 3) noise at tile coordinates u, v.

        Args:
            p: pixels.
            u: (N,) texels across.
            v: (N,) texels down.
            scale: texels per texture unit, (B,) or for all, to choose the level whose texels are
                not much smaller than the pixels.
            look: for the place in the tile, (B, 2) finest texels.
        """
        texels = scale / p.grain
        level = torch.log2(texels.clamp_min(1.0)).long().clamp_max(_NOISE_LEVELS - 1)
        side = TILE >> level
        # Tiles lie one after the other, each a quarter of the one before.
        start = (TILE * TILE - side * side) * 4 // 3
        place = torch.stack([level, side - 1, start, *look.offset.unbind(1)], 1)
        level, wrap, start, right, low = p.per_pixel(place).unbind(1)
        column = ((u.floor().long() + right) >> level) & wrap
        row = ((v.floor().long() + low) >> level) & wrap
        return self._table.index_select(0, start + row * (wrap + 1) + column)


def diffuse_light(
    p: Pixels, look: Appearance, wrap: tuple[float, float, float], sky: Tensor | None = None
) -> Tensor:
    """Diffuse light (N, 3) of all lights, wrapped round the terminator by `wrap` per colour.

    `sky` (N, 3) is the share of the light from all round that arrives.
    """
    total = p.per_pixel(look.ambient) * (0.80 - 0.20 * p.normal[:, 1:2])
    total = total if sky is None else total * sky
    for way, color, cast in ((look.key_way, look.key, True), (look.fill_way, look.fill, False)):
        cosine = (p.normal * p.per_pixel(way)).sum(-1, keepdim=True)
        w = torch.tensor(wrap, device=cosine.device)
        diffuse = ((cosine + w) / (1.0 + w)).clamp_min(0.0)
        if cast:
            diffuse = diffuse * p.light[:, None]
        total = total + p.per_pixel(color) * diffuse
    return total


def specular_light(p: Pixels, look: Appearance, squarings: int) -> Tensor:
    """Blinn-Phong highlight (N, 1) of the key light with exponent 2**squarings."""
    half = look.key_way + look.key_way.new_tensor([0.0, 0.0, -1.0])
    length: Tensor = half.norm(dim=-1, keepdim=True)
    half = half / length.clamp_min(1e-6)
    value = (p.normal * p.per_pixel(half)).sum(-1, keepdim=True).clamp_min(0.0)
    for _ in range(squarings):
        value = value * value
    return value * p.light[:, None]


def mix_colors(color: Tensor, other: Tensor, share: Tensor) -> Tensor:
    """Colours (N, 3) mixed with others by shares (N,)."""
    return color + (other - color) * share[:, None]


class Shader:
    """Shades the materials of a head.

    Args:
        head: gives paint and materials.
        device: where to work.
    """

    def __init__(self, head: Head, device: torch.device) -> None:
        self._paint = [level.to(device) for level in _build_mipmap(head.paint, _PAINT_LEVELS)]
        self._paint_table = torch.cat([level.flatten(0, 1) for level in self._paint])
        self.side = head.side.to(device)
        self.noise = Noise(device)
        grid = torch.linspace(0.0, loft.PLANE[1], 512, dtype=torch.float64)
        rows = loft.roll(torch.stack([torch.zeros_like(grid), grid], -1).numpy())[1]
        #: Row number of the loft by height in the unrolled plane.
        self._rows = torch.from_numpy(rows).float().to(device)

    def __call__(
        self, material: Material, p: Pixels, look: Appearance, faces: FaceParameters
    ) -> Tensor:
        """(N, 3) linear colours."""
        match material:
            case Material.SKIN:
                return self._shade_skin(p, look, faces)
            case Material.EYE:
                return self._shade_eye(p, look, faces)
            case Material.HAIR:
                return self._shade_hair(p, look)
            case Material.EAR:
                return self._shade_ear(p, look)
            case Material.CLOTH:
                return self._shade_torso(p, look, faces)
            case Material.GLASSES:
                return self._shade_glasses(p, look)
            case _:
                return self._shade_mouth(material, p, look)

    def _shade_skin(self, p: Pixels, look: Appearance, faces: FaceParameters) -> Tensor:
        on = (self._lookup_paint(p) * p.per_pixel(look.paint)).unbind(-1)
        across, down = p.texture.unbind(-1)
        noise = self.noise(p, across * 90.0, down * 90.0, 90.0, look)
        strands = self.noise(p, across * 120.0 + down * 60.0, down * 24.0, 120.0, look)
        blotch = p.per_pixel(look.blotch)
        grain = 1.0 + blotch[:, 0] * noise[:, 0] + 0.5 * blotch[:, 1] * noise[:, 2]
        color = p.per_pixel(look.skin) * grain[:, None]
        red = color * color.new_tensor([1.0, 0.62, 0.60])
        color = mix_colors(color, red, on[Channel.RED] * (1.0 + 0.3 * noise[:, 0]))
        color = mix_colors(color, p.per_pixel(look.brow), 0.5 * on[Channel.EYE])
        color = mix_colors(
            color, p.per_pixel(look.lip) * (1 + 0.08 * noise[:, 1:2]), on[Channel.LIP]
        )
        tuft = (0.62 + 0.45 * strands[:, 2] + 0.3 * strands[:, 1]).clamp(0.0, 1.0)
        hairy = torch.maximum(on[Channel.BEARD], on[Channel.MOUSTACHE])
        color = mix_colors(color, p.per_pixel(look.beard), hairy * (0.58 + 0.42 * tuft))
        color = mix_colors(color, p.per_pixel(look.brow), on[Channel.BROW] * (0.62 + 0.38 * tuft))
        color = self._add_hair_roots(color, p, look, faces, tuft)
        color = color * (1.0 - 0.90 * on[Channel.DARK])[:, None]
        shade = (1.0 - on[Channel.SHADE])[:, None]
        soft = diffuse_light(p, look, (0.38, 0.22, 0.16))
        wet = 0.5 + 1.4 * on[Channel.LIP] - 0.4 * hairy
        glow = specular_light(p, look, 4) * (p.per_pixel(look.gloss) * wet.clamp_min(0.0))[:, None]
        rim = (1.0 + p.normal[:, 2:3]).clamp(0.0, 1.0)
        sheen = 0.05 * rim * rim * p.per_pixel(look.ambient)
        return (color * soft * shade + glow * p.per_pixel(look.key) * shade + sheen).clamp_min(0.0)

    def _lookup_paint(self, p: Pixels) -> Tensor:
        """(N, 8) paint, from the level whose texels are a little smaller than the pixels."""
        sizes = torch.tensor([level.shape[:2] for level in self._paint])
        starts = torch.cumsum(sizes.prod(1), 0) - sizes.prod(1)
        texels = sizes[0, 1] / loft.PLANE[0] / p.grain
        level = torch.log2(texels.clamp_min(1.0)).long().clamp_max(len(sizes) - 1)
        table = torch.cat([sizes, starts[:, None]], 1).to(level.device)[level]
        rows, columns, start = p.per_pixel(table).unbind(-1)
        x = (p.texture[:, 0].abs() * (columns / loft.PLANE[0])).long()
        y = (p.texture[:, 1] * (rows / loft.PLANE[1])).long()
        x, y = torch.minimum(x, columns - 1), torch.minimum(y.clamp_min(0), rows - 1)
        return self._paint_table.index_select(0, start + y * columns + x)

    def _add_hair_roots(
        self, color: Tensor, p: Pixels, look: Appearance, faces: FaceParameters, tuft: Tensor
    ) -> Tensor:
        """Roots of the hair: a soft edge for the cap."""
        angle = p.texture[:, 0] / loft.ANGLE_SCALE
        place = (p.texture[:, 1] * (len(self._rows) / loft.PLANE[1])).long()
        row = self._rows.index_select(0, place.clamp(0, len(self._rows) - 1))
        # One knot row per pixel: look the hairline up in a table of 128 angles per face.
        angles = torch.linspace(-torch.pi, torch.pi, 128, device=angle.device)
        table = hairline(faces.hair.line.float(), faces.hair.skew.float(), angles)
        step = ((angle + torch.pi) * (127.0 / (2 * torch.pi))).round().long().clamp(0, 127)
        here = table.reshape(-1).index_select(0, p.face * 128 + step)
        thick = p.per_pixel((faces.hair.thickness > 0).float())
        share = ((here - row + 0.18) / 0.40).clamp(0.0, 1.0) * thick
        return mix_colors(color, p.per_pixel(look.hair), share * (0.55 + 0.45 * tuft))

    def _shade_eye(self, p: Pixels, look: Appearance, faces: FaceParameters) -> Tensor:
        xy = p.texture
        z = (1.0 - (xy * xy).sum(-1)).clamp_min(0.0).sqrt()
        way = torch.cat([xy, -z[:, None]], -1)
        gaze = faces.gaze.float()[p.face, self.side[p.triangle]]
        along = (way * gaze).sum(-1)
        radius = (1.0 - along * along).clamp_min(0.0).sqrt() + (along < 0) * 2.0
        iris, pupil = p.per_pixel(look.iris_size), p.per_pixel(look.pupil_size)
        edge = 0.035
        in_iris = ((iris - radius) / edge + 0.5).clamp(0.0, 1.0)
        in_pupil = ((pupil - radius) / edge + 0.5).clamp(0.0, 1.0)
        ring = 1.0 - 0.65 * ((radius - 0.72 * iris) / (0.28 * iris)).clamp(0.0, 1.0)
        off = (way - gaze) * 300.0
        spokes = self.noise(p, off[:, 0], off[:, 1], 300.0 / EYE_RADIUS, look)[:, 2]
        inner = p.per_pixel(look.iris) * (ring * (1.0 + 0.22 * spokes))[:, None]
        veins = xy.new_tensor([1.0, 0.78, 0.74])
        corner = (xy[:, 0].abs() * 0.9 - 0.45).clamp(0.0, 1.0)
        white = p.per_pixel(look.sclera)
        color = mix_colors(white, white * veins, corner)
        color = mix_colors(color, inner, in_iris)
        color = mix_colors(color, color * 0.06, in_pupil)
        # Lids shade the ball from above and at the corners.
        lid = (0.42 + 0.9 * (xy[:, 1] + 0.42)).clamp(0.30, 1.0) * (1.08 - 0.5 * xy[:, 0] ** 2)
        glint = specular_light(p, look, 7)
        return color * diffuse_light(p, look, (0.5, 0.5, 0.5)) * lid[:, None] * 0.80 + 0.8 * glint

    def _shade_hair(self, p: Pixels, look: Appearance) -> Tensor:
        strand = p.per_pixel(look.strand)
        u = p.texture[:, 0] * strand[:, 0] * 2.4
        v, scale = p.texture[:, 1], look.strand[:, 0] * 2.4
        fine = self.noise(p, u * 3.0 + 5.0 * v, v * 3.0, 3.0 * scale, look)
        wide = self.noise(p, u + 2.0 * v, v * 2.0, scale, look)
        value = 0.82 + strand[:, 1] * (0.20 * fine[:, 2] + 0.26 * wide[:, 1])
        deep = (0.80 + 0.035 * (6.0 - p.texture[:, 1])).clamp(0.38, 1.05)
        color = p.per_pixel(look.hair) * (value.clamp(0.25, 1.6) * deep)[:, None]
        tangent = (1.0 - p.normal[:, 1] ** 2).clamp(0.0, 1.0)
        band = specular_light(p, look, 3)[:, 0] * tangent * strand[:, 2] * value.clamp(0.0, 1.4)
        tone = p.per_pixel(look.hair) * 0.7 + 0.10
        return color * diffuse_light(p, look, (0.3, 0.3, 0.3)) + tone * (
            band[:, None] * p.per_pixel(look.key)
        )

    def _shade_ear(self, p: Pixels, look: Appearance) -> Tensor:
        x, y = p.texture.unbind(-1)
        bowl = torch.exp(-(((x + 0.15) / 0.36) ** 2) - ((y - 0.08) / 0.32) ** 2)
        groove = torch.exp(-((((x * x + y * y).sqrt() - 0.70) / 0.10) ** 2)) * (y < 0.5)
        red = look.skin.new_tensor([1.0, 0.80, 0.78])
        color = p.per_pixel(look.skin) * red * (1.0 - 0.55 * bowl - 0.28 * groove)[:, None]
        return color * diffuse_light(p, look, (0.5, 0.28, 0.2)) + 0.03 * specular_light(p, look, 4)

    def _shade_torso(self, p: Pixels, look: Appearance, faces: FaceParameters) -> Tensor:
        """Throat and shoulders: cloth below the collar, skin above it."""
        angle, y = p.texture[:, 0] / loft.ANGLE_SCALE, p.texture[:, 1]
        collar = p.per_pixel(look.collar)
        front = torch.cos(0.5 * angle.clamp(-3.1, 3.1)) ** 2
        point = (1.0 - 2.2 * angle.abs()).clamp_min(0.0)
        edge = collar[:, 0] + collar[:, 1] * front + collar[:, 2] * point
        share = ((y - edge) / 0.012 + 0.5).clamp(0.0, 1.0)
        u, v = p.texture[:, 0] * 60.0, p.texture[:, 1] * 60.0
        weave = self.noise(p, u, v, 60.0, look)
        pattern = p.per_pixel(look.pattern)
        wave = torch.sin(y * pattern[:, 1] + p.texture[:, 0] * pattern[:, 2])
        stripe = ((wave * 4.0).clamp(-1.0, 1.0) * 0.5 + 0.5) * pattern[:, 0]
        cloth = mix_colors(p.per_pixel(look.cloth), p.per_pixel(look.trim), stripe)
        hem = ((0.05 - (y - edge).abs()) / 0.02).clamp(0.0, 1.0)
        cloth = cloth * (1.0 + 0.10 * weave[:, 0] + 0.07 * weave[:, 2] - 0.22 * hem)[:, None]
        cloth = (cloth * diffuse_light(p, look, (0.1, 0.1, 0.1))).clamp_min(0.0)
        return mix_colors(self._shade_skin(p, look, faces), cloth, share)

    def _shade_glasses(self, p: Pixels, look: Appearance) -> Tensor:
        lens = p.texture[:, :1]
        frame = p.per_pixel(look.frame)
        color = frame + (0.012 - frame) * lens
        normal = torch.where(p.normal[:, 2:] > 0, -p.normal, p.normal)
        turned = Pixels(p.face, p.triangle, normal, p.texture, p.light, p.grain)
        sky = (0.5 - normal[:, 1:2]).clamp(0.0, 1.0) * 0.10 * p.per_pixel(look.ambient)
        return (
            color * diffuse_light(turned, look, (0.2, 0.2, 0.2))
            + 0.5 * specular_light(turned, look, 5)
            + sky
        )

    def _shade_mouth(self, material: Material, p: Pixels, look: Appearance) -> Tensor:
        u, v = p.texture.unbind(-1)
        light = diffuse_light(p, look, (0.4, 0.3, 0.3))
        if material is Material.TEETH:
            gap = ((u.abs() * 7.5).frac() - 0.5).abs()
            line = 1.0 - 0.40 * ((gap - 0.42) / 0.08).clamp(0.0, 1.0)
            gum = ((0.32 - v) / 0.15).clamp(0.0, 1.0)
            enamel = light.new_tensor([0.74, 0.69, 0.60]) * (line * (1.0 - 0.5 * u * u))[:, None]
            color = mix_colors(enamel, p.per_pixel(look.lip) * 0.75, gum)
            return color * light * 0.72 + 0.10 * specular_light(p, look, 6)
        if material is Material.RIM:
            pink = p.per_pixel(look.skin) * light.new_tensor([0.80, 0.50, 0.47]) * 0.75
            lash = (u * 1.6).clamp(0.0, 1.0) * p.per_pixel(look.paint)[:, Channel.DARK]
            return mix_colors(pink, pink * 0.10, lash) * light
        if material is Material.TONGUE:
            tone = light.new_tensor([0.52, 0.16, 0.16])
            return tone * light * (0.35 + 0.45 * v)[:, None] + 0.05 * specular_light(p, look, 5)
        # The inner lip continues the lip, then it gets dark fast.
        dim = (1.0 - 2.6 * v).clamp(0.035, 1.0)
        flesh = light.new_tensor([0.16, 0.03, 0.03])
        inside = mix_colors(
            p.per_pixel(look.lip), flesh.expand(len(v), 3), (v * 3.0).clamp(0.0, 1.0)
        )
        return inside * light * dim[:, None] * 0.75
