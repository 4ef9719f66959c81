"""`IctShader`: colours of the pixels of an ICT head.

A change that alters a picture must raise `ict.renderer.ICT_VERSION`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from lit_landmarks.rendering.appearance import Appearance
from lit_landmarks.rendering.faces import FaceParameters
from lit_landmarks.rendering.hair import hairline
from lit_landmarks.rendering.ict.hair import IctStyle
from lit_landmarks.rendering.ict.looks import IctLook
from lit_landmarks.rendering.ict.paint import Column
from lit_landmarks.rendering.paint import Channel
from lit_landmarks.rendering.parts import Material
from lit_landmarks.rendering.shade import Pixels, Shader, diffuse_light, mix_colors, specular_light


def _smoothstep(low: float | Tensor, high: float | Tensor, x: Tensor) -> Tensor:
    """0 below `low`, 1 above `high`, smooth between; `low` > `high` turns it round."""
    s = ((x - low) / (high - low)).clamp(0.0, 1.0)
    return s * s * (3.0 - 2.0 * s)


class IctShader(Shader):
    """Shades the materials of an ICT head; eyes and spectacles as on the template.

    Args:
        head: an `IctHead`.
        device: where to work.
    """

    def __call__(
        self, material: Material, p: Pixels, look: Appearance, faces: FaceParameters
    ) -> Tensor:
        """(N, 3) linear colours."""
        mine = cast(IctLook, look)
        if material is Material.SKIN:
            return self._shade_face(p, mine, faces)
        flat = replace(p, texture=p.texture[:, :2])
        match material:
            case Material.HAIR:
                return self._shade_strands(flat, mine)
            case Material.CLOTH | Material.HAT:
                return self._shade_cloth(material, flat, mine, faces)
            case Material.HAND:
                return self._shade_hand(flat, mine)
            case Material.PROP:
                tone = p.per_pixel(mine.trim) * 0.6
                return tone * diffuse_light(p, mine, (0.1, 0.1, 0.1)) + 0.25 * specular_light(
                    p, mine, 6
                )
            case Material.MOUTH | Material.TEETH | Material.TONGUE | Material.RIM:
                return self._shade_mouth_parts(material, flat, mine)
            case Material.EYE:
                # The eyeballs of the model are large for their irises.
                sizes = {"iris_size": 0.80 * mine.iris_size, "pupil_size": 0.80 * mine.pupil_size}
                return self._shade_eye(flat, replace(mine, **sizes), faces)
            case _:
                # Frames are seen from both sides, so their normals cancel: they face the camera.
                flat.normal = F.normalize(
                    flat.normal.new_tensor([0.0, -0.35, -1.0]), dim=-1
                ).expand_as(flat.normal)
                return self._shade_glasses(flat, mine)

    def _shade_face(self, p: Pixels, look: IctLook, faces: FaceParameters) -> Tensor:
        at = p.texture.unbind(-1)
        across, down, sky = at[0], at[1], at[Column.OPEN]
        fine = self.noise(p, across * 150.0, down * 150.0, 150.0, look)
        wide = self.noise(p, across * 30.0 + 70.0, down * 30.0, 30.0, look)
        color = self._skin_color(p, look, fine, wide)
        lip = _smoothstep(-0.012, 0.020, at[Column.LIP])
        tone = p.per_pixel(look.lip) * (1.0 + 0.06 * fine[:, 1:2])
        color = mix_colors(color, tone, lip * p.per_pixel(look.paint)[:, Channel.LIP])
        color = self._add_brows_and_beard(color, p, look, fine)
        color = self._add_scalp_hair(color, p, look, faces, fine)
        lid, upper = at[Column.LID], at[Column.UPPER]
        line = torch.exp(-((lid / (0.007 + 0.006 * upper)) ** 2)) * (0.30 + 0.70 * upper)
        shade = _smoothstep(0.11, 0.02, lid) * upper * p.per_pixel(look.paint)[:, Channel.EYE]
        color = mix_colors(color, p.per_pixel(look.shadow_lid), 0.6 * shade)
        color = mix_colors(color, p.per_pixel(look.brow) * 0.4, line * p.per_pixel(look.liner))
        bumpy = self._tilt_normals(p, look, fine, lip)
        return self._light_skin(color, bumpy, sky, lip, at[Column.FOLD], look)

    def _skin_color(self, p: Pixels, look: IctLook, fine: Tensor, wide: Tensor) -> Tensor:
        at = p.texture.unbind(-1)
        blotch = p.per_pixel(look.blotch)
        grain = 1.0 + 0.5 * blotch[:, 1] * fine[:, 2] + 0.5 * blotch[:, 0] * wide[:, 1]
        color = p.per_pixel(look.skin) * grain[:, None]
        red = color * color.new_tensor([1.0, 0.70, 0.68])
        share = (
            at[Column.RED] * (0.35 + p.per_pixel(look.paint)[:, Channel.RED]) + 0.12 * wide[:, 0]
        )
        color = mix_colors(color, red, share.clamp(0.0, 1.0))
        cool = color * color.new_tensor([0.80, 0.83, 0.90])
        shaved = (at[Column.BEARD] + 0.8 * at[Column.MOUSTACHE]).clamp(0, 1)
        color = mix_colors(color, cool, p.per_pixel(look.stubble) * shaved)
        spots = (fine[:, 1] + 0.4 * wide[:, 2] - p.per_pixel(look.freckle)[:, 1]).clamp(
            0.0, 0.5
        ) * 2.0
        brown = color * color.new_tensor([0.62, 0.46, 0.38])
        return mix_colors(color, brown, spots * p.per_pixel(look.freckle)[:, 0])

    def _add_brows_and_beard(self, color: Tensor, p: Pixels, look: IctLook, fine: Tensor) -> Tensor:
        """Brows and beard."""
        at = p.texture.unbind(-1)
        v, u = at[Column.BROW_V], at[Column.BROW_U]
        width, density, taper, tail = p.per_pixel(look.brow_shape).unbind(-1)
        wide = width * (1.0 - taper * 0.6 * _smoothstep(0.5, 1.0, u))
        hairs = self.noise(p, u * 46.0 + v * 9.0, v * 5.0 - u * 30.0, 60.0, look)
        tuft = (0.60 + 0.45 * hairs[:, 2] + 0.35 * hairs[:, 1]).clamp(0.0, 1.0)
        edge = v.abs() / wide.clamp_min(0.1) + 0.22 * hairs[:, 2]
        inside = _smoothstep(1.25, 0.55, edge)
        ends = _smoothstep(-0.05, 0.10, u + 0.03 * hairs[:, 1]) * _smoothstep(
            -tail, 0.10 - tail, -u
        )
        share = inside * ends * density * p.per_pixel(look.paint)[:, Channel.BROW]
        share = (share * (0.50 + 0.50 * tuft)).clamp(0.0, 1.0)
        color = mix_colors(color, p.per_pixel(look.brow), share)
        across, down = at[0], at[1]
        strands = self.noise(p, across * 130.0 + down * 50.0, down * 34.0, 130.0, look)
        tuft = (0.55 + 0.5 * strands[:, 2] + 0.35 * fine[:, 2]).clamp(0.0, 1.0)
        paint = p.per_pixel(look.paint)
        hairy = torch.maximum(
            at[Column.BEARD] * paint[:, Channel.BEARD],
            at[Column.MOUSTACHE] * paint[:, Channel.MOUSTACHE],
        )
        hairy = (hairy * (1.0 + 0.5 * strands[:, 1] * (1.0 - hairy))).clamp(0.0, 1.0)
        return mix_colors(color, p.per_pixel(look.beard) * 0.8, hairy * (0.45 + 0.55 * tuft))

    def _add_scalp_hair(
        self, color: Tensor, p: Pixels, look: IctLook, faces: FaceParameters, fine: Tensor
    ) -> Tensor:
        """Roots of the hair: a soft edge below cap and locks."""
        row, angle = p.texture[:, Column.ROW], p.texture[:, Column.ANGLE]
        steps = torch.linspace(-torch.pi, torch.pi, 128, device=angle.device)
        table = hairline(faces.hair.line.float(), faces.hair.skew.float(), steps)
        step = ((angle + torch.pi) * (127.0 / (2 * torch.pi))).round().long().clamp(0, 127)
        here = table.reshape(-1).index_select(0, p.face * 128 + step)
        thick = p.per_pixel((faces.hair.thickness > 0).float())
        share = ((here - row + 0.25 + 0.18 * fine[:, 2]) / 0.75).clamp(0.0, 1.0) * thick
        return mix_colors(
            color, p.per_pixel(look.hair) * 0.7, share * (0.75 + 0.25 * fine[:, 1].clamp(-1, 1))
        )

    def _tilt_normals(self, p: Pixels, look: IctLook, fine: Tensor, lip: Tensor) -> Pixels:
        """Pores and wrinkles as small tilts of the normal."""
        tilt = torch.stack([fine[:, 2], fine[:, 1], 0 * fine[:, 0]], -1)
        size = p.per_pixel(look.pore) * (0.8 + 0.8 * lip)
        return replace(p, normal=F.normalize(p.normal + size[:, None] * 0.5 * tilt, dim=-1))

    def _light_skin(
        self, color: Tensor, p: Pixels, sky: Tensor, lip: Tensor, fold: Tensor, look: IctLook
    ) -> Tensor:
        # Light that is scattered in the skin reddens what little reaches a hollow.
        hollow = sky.clamp(0.05, 1.0)[:, None] ** color.new_tensor([0.85, 1.15, 1.25])
        age = (1.0 - 0.40 * fold * p.per_pixel(look.age))[:, None]
        soft = diffuse_light(p, look, (0.34, 0.20, 0.14), hollow)
        broad, tight = specular_light(p, look, 3), specular_light(p, look, 5)
        gloss = p.per_pixel(look.gloss)[:, None]
        oil = (0.45 * broad + (0.7 + 1.6 * lip[:, None]) * tight) * gloss * sky[:, None]
        rim = (1.0 + p.normal[:, 2:3]).clamp(0.0, 1.0) ** 3
        sheen = 0.22 * rim * p.per_pixel(look.ambient) * sky[:, None]
        return (color * soft * age + oil * p.per_pixel(look.key) + sheen * (0.3 + color)).clamp_min(
            0.0
        )

    def _shade_strands(self, p: Pixels, look: IctLook) -> Tensor:
        strand = p.per_pixel(look.strand)
        u = p.texture[:, 0] * strand[:, 0] * 3.4
        v, scale = p.texture[:, 1], look.strand[:, 0] * 3.4
        thin = self.noise(p, u * 4.0, v * 3.0, 4.0 * scale, look)
        wide = self.noise(p, u + 0.5 * v, v * 2.0, scale, look)
        value = 0.86 + (0.35 + 0.65 * strand[:, 1]) * (0.26 * thin[:, 2] + 0.20 * wide[:, 1])
        deep = (1.02 + 0.02 * (6.0 - v)).clamp(0.62, 1.05)
        color = p.per_pixel(look.hair) * (value.clamp(0.25, 1.6) * deep)[:, None]
        tangent = (1.0 - p.normal[:, 1] ** 2).clamp(0.0, 1.0)
        band = specular_light(p, look, 3)[:, 0] * tangent * strand[:, 2] * value.clamp(0.0, 1.4)
        tone = p.per_pixel(look.hair) * 0.8 + 0.05
        return color * diffuse_light(p, look, (0.3, 0.3, 0.3)) + tone * (
            band[:, None] * p.per_pixel(look.key)
        )

    def _shade_cloth(
        self, material: Material, p: Pixels, look: IctLook, faces: FaceParameters
    ) -> Tensor:
        u, v = p.texture.unbind(-1)
        weave = self.noise(p, u * 70.0, v * 70.0, 70.0, look)
        crease = self.noise(p, u * 6.0, v * 6.0 + 3.0 * u, 6.0, look)
        pattern = p.per_pixel(look.pattern)
        if material is Material.HAT:
            knit = p.per_pixel(cast(IctStyle, faces.hair).hat[:, 0].float().round()) == 1
            rib = torch.where(knit, 0.16 * torch.sin(u * 90.0), 0.0 * u)
            hem = torch.where(knit, (v > 0.72) & (v < 0.75), (v > 0.86) & (v <= 1.0)).float()
            cloth = mix_colors(
                p.per_pixel(look.hat_color), p.per_pixel(look.trim), hem * (pattern[:, 0] > 0)
            )
            cloth = cloth * (1.0 + rib - 0.25 * hem * (pattern[:, 0] <= 0))[:, None]
        else:
            wave = torch.sin(v * pattern[:, 1] + u * pattern[:, 2])
            stripe = ((wave * 4.0).clamp(-1.0, 1.0) * 0.5 + 0.5) * pattern[:, 0]
            cloth = mix_colors(p.per_pixel(look.cloth), p.per_pixel(look.trim), stripe)
            hem = _smoothstep(0.075, 0.055, v) * _smoothstep(0.0, 0.03, v)
            cloth = cloth * (1.0 - 0.18 * hem)[:, None]
        cloth = cloth * (1.0 + 0.03 * weave[:, 0] + 0.08 * weave[:, 2])[:, None]
        tilt = torch.stack([crease[:, 0], crease[:, 1], 0 * u], -1)
        p = replace(p, normal=F.normalize(p.normal + 0.10 * tilt, dim=-1))
        glow = 0.12 * p.per_pixel(look.sheen)[:, None] * specular_light(p, look, 4)
        return (cloth * diffuse_light(p, look, (0.1, 0.1, 0.1)) + glow).clamp_min(0.0)

    def _shade_hand(self, p: Pixels, look: IctLook) -> Tensor:
        u, v = p.texture.unbind(-1)
        fine = self.noise(p, u * 120.0, v * 120.0, 120.0, look)
        sleeve = _smoothstep(0.95, 0.97, v)
        color = p.per_pixel(look.skin) * (0.95 + 0.05 * fine[:, 2:3])
        knuckle = torch.exp(-(((v + 0.42) / 0.07) ** 2)) + torch.exp(-(((v + 0.75) / 0.05) ** 2))
        color = mix_colors(color, color * color.new_tensor([0.95, 0.70, 0.66]), 0.5 * knuckle)
        color = mix_colors(color, p.per_pixel(look.cloth), sleeve)
        return color * diffuse_light(p, look, (0.34, 0.20, 0.14)) + 0.3 * specular_light(
            p, look, 4
        ) * p.per_pixel(look.gloss)[:, None] * (1 - sleeve[:, None])

    def _shade_mouth_parts(self, material: Material, p: Pixels, look: IctLook) -> Tensor:
        """Mouth, teeth, gums and tongue, sockets; the first texture column is x, then depth."""
        light = diffuse_light(p, look, (0.4, 0.3, 0.3))
        deep = p.texture[:, 1]
        if material is Material.RIM:
            pink = p.per_pixel(look.skin) * light.new_tensor([0.80, 0.50, 0.47])
            return pink * light * 0.55
        dark = (1.0 - 0.95 * deep).clamp(0.06, 1.0)[:, None]
        if material is Material.TEETH:
            return (
                p.per_pixel(look.tooth) * light * dark * 0.85
                + 0.18 * specular_light(p, look, 6) * dark
            )
        flesh = light.new_tensor([0.50, 0.16, 0.15])
        if material is Material.TONGUE:
            return flesh * light * dark * 0.8 + 0.10 * specular_light(p, look, 5) * dark
        cheek = p.per_pixel(look.lip) * 0.8
        shade = mix_colors(cheek, 0.55 * flesh.expand(len(deep), 3), (deep * 5.0).clamp(0.0, 1.0))
        return shade * light * dark * 0.8
