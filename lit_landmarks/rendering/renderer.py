"""`Renderer`: draws heads with a z-buffer and shades them, in batches, on CPU or GPU.

`RENDER_VERSION` stands here: caches of rendered faces are keyed by it, so whoever changes what a
picture shows, here or in a module that says so, raises it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lit_landmarks.geometry import zbuffer
from lit_landmarks.rendering.appearance import (
    Appearance,
    sample_appearance,
    with_own_noise,
)
from lit_landmarks.rendering.background import (
    Background,
    paint_background,
    sample_background,
)
from lit_landmarks.rendering.faces import (
    FaceParameters,
    Head,
    camera_vertices,
    head_vertices,
    project,
    select,
    to_device,
)
from lit_landmarks.rendering.parts import Material
from lit_landmarks.rendering.rng import CounterRng
from lit_landmarks.rendering.shade import Pixels, Shader
from lit_landmarks.splitmix import mix

#: Raise when the pixels of the same face change: caches of rendered faces are keyed by it.
RENDER_VERSION = 4
#: Distances towards the light, in head units, at which a shadow is looked for.
_SHADOW_STEPS = (0.06, 0.12, 0.20, 0.30)
#: Change of depth over a pixel, in units of its width, above which it shows an edge.
_MOST_SLOPE = 4.0


@dataclass(frozen=True)
class ShadingSamples:
    """The samples of a supersampled picture that are shaded.

    A pixel whose samples show one smooth surface is `whole`: it has one colour, that of its
    middle, between its first and its last sample. Others are `split`: each covered sample counts.

    Attributes:
        first: (W + K,) first sample of each whole pixel, then the K samples of the others.
        last: (W,) number of the last sample of whole pixels.
        whole: (W,) numbers of whole pixels.
        split: (P,) numbers of the others that are covered at all.
        slot: (K,) place of each sample among the `per_pixel` samples of all P pixels.
        per_pixel: samples of a pixel.
    """

    first: Tensor
    last: Tensor
    whole: Tensor
    split: Tensor
    slot: Tensor
    per_pixel: int

    def numbers(self) -> Tensor:
        """(W + K + W,) numbers of the samples at which vertex values are interpolated."""
        return torch.cat([self.first, self.last])

    def merge_ends(self, values: Tensor) -> Tensor:
        """(W + K, C) values of what is shaded, from those at `numbers`: the mean of both ends."""
        middle, count = values[: len(self.first)], len(self.last)
        middle[:count] = 0.5 * (middle[:count] + values[len(self.first) :])
        return middle

    def to_picture(self, color: Tensor, batch: int, size: int) -> Tensor:
        """(B, size, size, C) from colours (W + K, C)."""
        count, channels = len(self.last), color.shape[1]
        mixed = color.new_zeros(len(self.split) * self.per_pixel, channels)
        mixed[self.slot] = color[count:]
        layer = color.new_zeros(batch * size * size, channels)
        layer[self.whole] = color[:count]
        layer[self.split] = mixed.reshape(-1, self.per_pixel, channels).mean(1)
        return layer.reshape(batch, size, size, channels)


@dataclass(frozen=True)
class Scene:
    """B faces, their looks and what is behind them."""

    faces: FaceParameters
    look: Appearance
    back: Background


class Renderer:
    """Draws heads.

    Args:
        head: the mesh.
        device: where to work.
        supersample: samples per pixel and axis; 2 gives smooth edges.
        chunk: faces rendered at once; None is 8 on a CPU and 64 on a GPU. On a CPU the pixels do
            not depend on it.
    """

    def __init__(
        self,
        head: Head,
        device: torch.device | str = "cpu",
        supersample: int = 2,
        chunk: int | None = None,
    ) -> None:
        self.head, self.device = head, torch.device(device)
        self.supersample = supersample
        self.chunk = chunk or (64 if self.device.type == "cuda" else 8)
        self.triangles = head.triangles.to(self.device)
        self.material = head.material.to(self.device)
        #: Number -1, nothing, is the last.
        self._kind = torch.cat([head.material, torch.tensor([-1])]).to(self.device, torch.int8)
        self._incidence = zbuffer.incidence(self.triangles, len(head.texture))
        #: What is interpolated for every material; see `_extend_texture` for more.
        self._texture = head.texture[:, :2].float().to(self.device)
        self.shader = Shader(head, self.device)
        self._used = sorted(int(m) for m in torch.unique(head.material))

    def __call__(
        self,
        rng: CounterRng,
        sample: Callable[[CounterRng], FaceParameters],
        looks: CounterRng | None = None,
    ) -> Tensor:
        """(B, S, S, 3) uint8 sRGB pictures of the faces of `rng`.

        Args:
            rng: which faces.
            sample: function from draws to `FaceParameters`.
            looks: draws of their looks and backgrounds, which frames of one video share; None for
                those of the faces. The noise of a picture is always its own.
        """
        # Parameters are drawn for all faces at once, pixels a chunk at a time.
        shared = rng if looks is None else looks
        look = with_own_noise(sample_appearance(shared), rng)
        scene = Scene(sample(rng), look, sample_background(shared))
        parts = torch.split(torch.arange(len(rng)), self.chunk)
        return torch.cat([self.render(select(scene, rows)) for rows in parts])

    @torch.no_grad()
    def render(self, scene: Scene) -> Tensor:
        """(B, S, S, 3) uint8 pictures of one chunk."""
        faces = to_device(scene.faces, self.device)
        look = to_device(scene.look, self.device, floats=True)
        back = to_device(scene.back, self.device, floats=True)
        camera = camera_vertices(self.head, faces, head_vertices(self.head, faces))
        layer = self._render_head(camera, faces, look)
        wall = paint_background(back, faces.image_size) * (
            0.35 + 0.65 * look.ambient[:, None, None]
        )
        return develop_picture(layer[..., :3] + wall * (1.0 - layer[..., 3:]), look)

    def _render_head(self, camera: Tensor, faces: FaceParameters, look: Appearance) -> Tensor:
        """(B, S, S, 4) colour times coverage, and coverage."""
        s = self.supersample
        side = faces.image_size * s
        # Pixel centres: output pixel u covers supersamples u*s .. u*s + s - 1.
        points = zbuffer.snap((project(camera, faces) + 0.5) * s - 0.5)
        hit, inverse = zbuffer.rasterize(points, camera[..., 2], self.triangles, side, side)
        samples = self._choose_samples(hit, inverse, faces)
        normal = zbuffer.vertex_normals(camera.float(), self.triangles, self._incidence)
        values = torch.cat([normal, self._texture.expand(len(normal), -1, -1)], -1)
        at = zbuffer.interpolate(values, points, self.triangles, hit, samples.numbers())
        at = samples.merge_ends(at)
        raw, texture = at[:, :3], at[:, 3:]
        length: Tensor = (raw * raw).sum(-1, keepdim=True).sqrt()
        normal = raw / length.clamp_min(1e-6)
        triangle = hit.flatten().index_select(0, samples.first)
        light = self._key_light_share(inverse, samples.first, faces, look)
        owner = torch.div(samples.first, side * side, rounding_mode="floor")
        per_pixel = (owner, triangle, normal, texture, light)
        kind = self.material.index_select(0, triangle)
        grain = faces.focal.float() / faces.translation[:, 2].float()
        color = torch.ones(len(owner), 4, device=self.device)
        for number in self._used:
            rows = (kind == number).nonzero()[:, 0]
            if len(rows):
                face, triangle, normal, texture, light = (
                    t.index_select(0, rows) for t in per_pixel
                )
                place = samples.first.index_select(0, rows)
                texture = self._extend_texture(Material(number), texture, points, hit, place)
                pixels = Pixels(face, triangle, normal, texture, light, grain)
                color[rows, :3] = self.shader(Material(number), pixels, look, faces)
        return samples.to_picture(color, len(hit), faces.image_size)

    def _extend_texture(
        self, material: Material, texture: Tensor, points: Tensor, hit: Tensor, place: Tensor
    ) -> Tensor:
        """Texture (N, C) of the samples `place`; heads with more than two columns add them here."""
        return texture

    def _choose_samples(
        self, hit: Tensor, inverse: Tensor, faces: FaceParameters
    ) -> ShadingSamples:
        """Choose the samples to shade: one in a pixel that shows one smooth surface, else all."""
        s, size = self.supersample, faces.image_size
        # The samples of a pixel as s * s pictures.
        grids = [slice(k, None, s) for k in range(s)]
        corners = [(slice(None), row, column) for row in grids for column in grids]
        kinds, nears = self._kind[hit], [inverse[at] for at in corners]
        least, most = nears[0], nears[0]
        same = torch.ones_like(least, dtype=torch.bool)
        for at, near in zip(corners[1:], nears[1:], strict=True):
            least, most = torch.minimum(least, near), torch.maximum(most, near)
            same &= kinds[at] == kinds[corners[0]]
        # Inverse depth changes by slope / focal length from pixel to pixel, over depth.
        steep = most * (_MOST_SLOPE / faces.focal.float())[:, None, None]
        one = (same & (least > 0) & (most - least < steep)).flatten()
        whole = one.nonzero()[:, 0]
        split = ((most > 0).flatten() & ~one).nonzero()[:, 0]
        line = torch.div(whole, size, rounding_mode="floor")
        first = line * (size * s * s) + (whole - line * size) * s
        last = first + (s - 1) * (size * s + 1)
        line = torch.div(split, size, rounding_mode="floor")
        place = line * (size * s * s) + (split - line * size) * s
        step = torch.arange(s, device=self.device)
        place = (place[:, None, None] + step[:, None] * (size * s) + step).flatten()
        slot = (hit.flatten().index_select(0, place) >= 0).nonzero()[:, 0]
        samples = torch.cat([first, place.index_select(0, slot)])
        return ShadingSamples(samples, last, whole, split, slot, s * s)

    def _key_light_share(
        self, inverse: Tensor, place: Tensor, faces: FaceParameters, look: Appearance
    ) -> Tensor:
        """Share of the key light that reaches some samples: screen-space shadows by ray marching.

        A step that lands behind the surface seen there is in shadow. What the camera does not see
        casts none: a cheap shadow, right where it matters (brow, nose, chin).

        Args:
            inverse: (B, side, side) inverse depth of the supersampled picture.
            place: (N,) numbers of covered samples in it.
            faces: for the focal length.
            look: for the light.
        """
        batch, side = inverse.shape[:2]
        depth = 1.0 / inverse.flatten().clamp_min(1e-6)
        here = depth.index_select(0, place)
        face = torch.div(place, side * side, rounding_mode="floor")
        row = torch.div(place, side, rounding_mode="floor")
        x, y = (place - row * side).float(), (row - face * side).float()

        def per_sample(value: Tensor) -> Tensor:
            return value if batch == 1 else value[face]

        unit = per_sample((faces.focal * self.supersample).float()) / here
        way = per_sample(look.key_way)
        dark = torch.zeros_like(here)
        for distance in _SHADOW_STEPS:
            column = (x + way[:, 0] * unit * distance).round().clamp(0, side - 1)
            line = (y + way[:, 1] * unit * distance).round().clamp(0, side - 1)
            surface = depth.index_select(0, face * (side * side) + (line * side + column).long())
            below = here + way[:, 2] * distance - surface
            # Blocked by something nearer, but not by something far in front.
            blocked = ((below - 0.012) / 0.03).clamp(0, 1) * ((0.5 - below) / 0.1).clamp(0, 1)
            dark = torch.maximum(dark, blocked)
        return 1.0 - per_sample(look.shadow) * dark


def _hash_noise(key: Tensor, size: int) -> Tensor:
    """(B, size, size, 3) noise, close to N(0, 1), from keys (B, 1)."""
    bits = mix(key + torch.arange(size * size * 3, device=key.device))
    total = sum(((bits >> shift) & 0xFFFF).float() for shift in (0, 16, 32, 48))
    assert isinstance(total, Tensor)
    # Four uniform 16-bit numbers: mean 2 * 65535, variance 4 / 12 * 65536**2.
    return ((total - 131070.0) / 37837.2).reshape(len(key), size, size, 3)


def develop_picture(picture: Tensor, look: Appearance) -> Tensor:
    """Linear light (B, S, S, 3) to a uint8 picture: tone curve, white balance, blur, noise."""

    def per_face(value: Tensor) -> Tensor:
        return value.reshape(len(picture), 1, 1, -1)

    picture = (picture * per_face(look.tint)).clamp_min(1e-6)
    # A shoulder keeps highlights from clipping hard.
    picture = torch.where(picture > 0.7, 0.7 + 0.3 * torch.tanh((picture - 0.7) / 0.3), picture)
    picture = picture ** (per_face(look.gamma) / 2.2)
    gray = (picture * picture.new_tensor([0.299, 0.587, 0.114])).sum(-1, keepdim=True)
    strength = torch.where(
        per_face(look.gray), torch.zeros_like(per_face(look.saturation)), per_face(look.saturation)
    )
    picture = gray + (picture - gray) * strength
    picture = (picture - 0.5) * per_face(look.contrast) + 0.5 + per_face(look.brightness)
    picture = _blur(picture, look.blur)
    if look.noise.any():
        picture = picture + per_face(look.noise) * _hash_noise(look.noise_key, picture.shape[1])
    return (picture.clamp(0.0, 1.0) * 255.0 + 0.5).to(torch.uint8)


def _blur(picture: Tensor, sigma: Tensor) -> Tensor:
    """Separable Gaussian blur of the faces whose sigma is more than 0.2 pixels."""
    rows = (sigma > 0.2).nonzero()[:, 0]
    if len(rows) == 0:
        return picture
    reach = 3
    steps = torch.arange(-reach, reach + 1, device=picture.device, dtype=torch.float32)
    taps = torch.exp(-(steps**2) / (2 * sigma[rows][:, None] ** 2))
    taps = (taps / taps.sum(-1, keepdim=True))[..., None, None, None]
    blurred = picture[rows]
    for axis in (1, 2):
        size = picture.shape[axis]
        at = torch.arange(-reach, size + reach, device=picture.device).clamp_(0, size - 1)
        wide = blurred.index_select(axis, at)
        blurred = wide.narrow(axis, 0, size) * taps[:, 0]
        for k in range(1, 2 * reach + 1):
            blurred += wide.narrow(axis, k, size) * taps[:, k]
    return picture.index_copy(0, rows, blurred)
