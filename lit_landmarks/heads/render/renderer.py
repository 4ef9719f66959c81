"""`Renderer`: faces to pictures, in batches, on CPU or GPU."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from lit_landmarks.geometry import zbuffer
from lit_landmarks.heads.draws import Draws, mix
from lit_landmarks.heads.faces import (
    FaceParameters,
    Head,
    camera_vertices,
    head_vertices,
    project,
    select,
    to_device,
)
from lit_landmarks.heads.parts import Material
from lit_landmarks.heads.render.appearance import Appearance, sample_appearance
from lit_landmarks.heads.render.background import (
    Background,
    paint_background,
    sample_background,
)
from lit_landmarks.heads.render.shade import Pixels, Shader

#: Raise when the pixels of the same face change: caches of rendered faces are keyed by it.
RENDER_VERSION = 3
#: Distances towards the light, in head units, at which a shadow is looked for.
_SHADOW_STEPS = (0.06, 0.12, 0.20, 0.30)


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
        chunk: faces rendered at once; None is 1 on a CPU (its cache holds one face) and 64 on a
            GPU. On a CPU the pixels do not depend on it.
    """

    def __init__(
        self, head: Head, device: torch.device | str = "cpu", supersample: int = 2,
        chunk: int | None = None,
    ) -> None:  # fmt: skip
        self.head, self.device = head, torch.device(device)
        self.supersample = supersample
        self.chunk = chunk or (64 if self.device.type == "cuda" else 1)
        self.triangles = head.triangles.to(self.device)
        self.material = head.material.to(self.device)
        self._incidence = zbuffer.incidence(self.triangles, len(head.texture))
        self._texture = head.texture.float().to(self.device)
        self.shader = Shader(head, self.device)
        self._used = sorted(int(m) for m in torch.unique(head.material))

    def __call__(self, draws: Draws, sample: Callable[[Draws], FaceParameters]) -> Tensor:
        """(B, S, S, 3) uint8 sRGB pictures of the faces that belong to `draws`.

        Args:
            draws: which faces.
            sample: function from draws to `FaceParameters`.
        """
        # Parameters are drawn for all faces at once, pixels a chunk at a time.
        scene = Scene(sample(draws), sample_appearance(draws), sample_background(draws))
        parts = torch.split(torch.arange(len(draws)), self.chunk)
        return torch.cat(self._each([select(scene, rows) for rows in parts]))

    def _each(self, scenes: list[Scene]) -> list[Tensor]:
        """Pictures of every scene: on a CPU one scene a core.

        A face is hundreds of operations that are each too small to share among cores, so whole
        faces are shared; the operations let go of Python's lock while they run.
        """
        threads = torch.get_num_threads()
        if self.device.type != "cpu" or threads == 1 or len(scenes) == 1:
            return [self.render(scene) for scene in scenes]
        try:
            torch.set_num_threads(1)  # new threads start with it
            with ThreadPoolExecutor(min(threads, len(scenes))) as pool:
                return list(pool.map(self.render, scenes))
        finally:
            torch.set_num_threads(threads)

    @torch.no_grad()
    def render(self, scene: Scene) -> Tensor:
        """(B, S, S, 3) uint8 pictures of one chunk."""
        faces = to_device(scene.faces, self.device)
        look = to_device(scene.look, self.device, floats=True)
        back = to_device(scene.back, self.device, floats=True)
        camera = camera_vertices(self.head, faces, head_vertices(self.head, faces))
        layer = self._head_layer(camera, faces, look).permute(0, 3, 1, 2)
        layer = F.avg_pool2d(layer, self.supersample).permute(0, 2, 3, 1)
        wall = paint_background(back, faces.image_size) * (
            0.35 + 0.65 * look.ambient[:, None, None]
        )
        return finish(layer[..., :3] + wall * (1.0 - layer[..., 3:]), look)

    def _head_layer(self, camera: Tensor, faces: FaceParameters, look: Appearance) -> Tensor:
        """(B, H, W, 4) colour times coverage, and coverage, supersampled."""
        s = self.supersample
        side = faces.image_size * s
        # Pixel centres: output pixel u covers supersamples u*s .. u*s + s - 1.
        points = zbuffer.snap((project(camera, faces) + 0.5) * s - 0.5)
        depth = camera[..., 2]
        hit = zbuffer.rasterize(points, depth, self.triangles, side, side)
        place = (hit >= 0).flatten().nonzero()[:, 0]
        triangle = hit.flatten().index_select(0, place)
        normal = zbuffer.vertex_normals(camera.float(), self.triangles, self._incidence)
        texture = self._texture.expand(len(normal), -1, -1)
        values = torch.cat([normal, texture, (1.0 / depth).float()[..., None]], -1)
        at = zbuffer.interpolate(values, points, self.triangles, hit, place)
        raw, texture, inverse = at[:, :3], at[:, 3:5], at[:, 5]
        length: Tensor = (raw * raw).sum(-1, keepdim=True).sqrt()
        normal = raw / length.clamp_min(1e-6)
        light = self._cast(inverse.clamp_min(1e-6), place, side, faces, look)
        face = torch.div(place, side * side, rounding_mode="floor")
        found = (face, triangle, normal, texture, light)
        kind = self.material.index_select(0, triangle)
        colour = torch.ones(len(place), 4, device=self.device)
        for number in self._used:
            rows = (kind == number).nonzero()[:, 0]
            if len(rows):
                pixels = Pixels(*(t.index_select(0, rows) for t in found))
                colour[rows, :3] = self.shader(Material(number), pixels, look, faces)
        layer = torch.zeros(hit.numel(), 4, device=self.device)
        layer[place] = colour
        return layer.reshape(*hit.shape, 4)

    def _cast(
        self, inverse: Tensor, place: Tensor, side: int, faces: FaceParameters, look: Appearance
    ) -> Tensor:
        """Share of the key light at each covered pixel: a march towards the light.

        A step that lands behind the surface seen there is in shadow. What the camera does not see
        casts none: a cheap shadow, right where it matters (brow, nose, chin).

        Args:
            inverse: (N,) inverse depth of covered pixels.
            place: (N,) their numbers in the flat (B, side, side) picture.
            side: of the supersampled picture.
            faces: for the focal length.
            look: for the light.
        """
        batch = len(faces.focal)
        here = 1.0 / inverse
        depth = torch.full((batch * side * side,), 1e6, device=self.device)
        depth[place] = here
        face = torch.div(place, side * side, rounding_mode="floor")
        row = torch.div(place, side, rounding_mode="floor")
        x, y = (place - row * side).float(), (row - face * side).float()

        def of(value: Tensor) -> Tensor:
            return value if batch == 1 else value[face]

        unit = of((faces.focal * self.supersample).float()) * inverse
        way = of(look.key_way)
        dark = torch.zeros_like(inverse)
        for distance in _SHADOW_STEPS:
            column = (x + way[:, 0] * unit * distance).round().clamp(0, side - 1)
            line = (y + way[:, 1] * unit * distance).round().clamp(0, side - 1)
            seen = depth.index_select(0, face * (side * side) + (line * side + column).long())
            below = here + way[:, 2] * distance - seen
            # Blocked by something nearer, but not by something far in front.
            blocked = ((below - 0.012) / 0.03).clamp(0, 1) * ((0.5 - below) / 0.1).clamp(0, 1)
            dark = torch.maximum(dark, blocked)
        return 1.0 - of(look.shadow) * dark


def _hash_noise(key: Tensor, size: int) -> Tensor:
    """(B, size, size, 3) noise, close to N(0, 1), from keys (B, 1)."""
    bits = mix(key + torch.arange(size * size * 3, device=key.device))
    total = sum(((bits >> shift) & 0xFFFF).float() for shift in (0, 16, 32, 48))
    assert isinstance(total, Tensor)
    # Four uniform 16-bit numbers: mean 2 * 65535, variance 4 / 12 * 65536**2.
    return ((total - 131070.0) / 37837.2).reshape(len(key), size, size, 3)


def finish(picture: Tensor, look: Appearance) -> Tensor:
    """Linear light (B, S, S, 3) to uint8: tone curve, white balance, blur, noise."""

    def per(value: Tensor) -> Tensor:
        return value.reshape(len(picture), 1, 1, -1)

    picture = (picture * per(look.tint)).clamp_min(1e-6)
    # A shoulder keeps highlights from clipping hard.
    picture = torch.where(picture > 0.7, 0.7 + 0.3 * torch.tanh((picture - 0.7) / 0.3), picture)
    picture = picture ** (per(look.gamma) / 2.2)
    gray = (picture * picture.new_tensor([0.299, 0.587, 0.114])).sum(-1, keepdim=True)
    strength = torch.where(
        per(look.gray), torch.zeros_like(per(look.saturation)), per(look.saturation)
    )
    picture = gray + (picture - gray) * strength
    picture = (picture - 0.5) * per(look.contrast) + 0.5 + per(look.brightness)
    picture = _blur(picture, look.blur)
    noise = _hash_noise(look.noise_key, picture.shape[1])
    picture = picture + per(look.noise) * noise
    return (picture.clamp(0.0, 1.0) * 255.0 + 0.5).to(torch.uint8)


def _blur(picture: Tensor, sigma: Tensor) -> Tensor:
    """Separable binomial-like blur; taps from each face's sigma."""
    if not bool((sigma > 0.2).any()):
        return picture
    steps = torch.arange(-3, 4, device=picture.device, dtype=torch.float32)
    taps = torch.exp(-(steps**2) / (2 * sigma.clamp_min(0.2)[:, None] ** 2))
    taps = taps / taps.sum(-1, keepdim=True)
    for axis in (1, 2):
        size = picture.shape[axis]
        total = torch.zeros_like(picture)
        for k in range(7):
            at = (torch.arange(size, device=picture.device) + k - 3).clamp(0, size - 1)
            total = total + picture.index_select(axis, at) * taps[:, k].reshape(-1, 1, 1, 1)
        picture = total
    return picture
