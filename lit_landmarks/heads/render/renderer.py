"""`Renderer`: faces to pictures, in batches, on CPU or GPU."""

from __future__ import annotations

from collections.abc import Callable

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
from lit_landmarks.heads.render.background import background
from lit_landmarks.heads.render.shade import Pixels, Shader

#: Raise when the pixels of the same face change: caches of rendered faces are keyed by it.
RENDER_VERSION = 1


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
        faces, look = sample(draws), sample_appearance(draws)
        pictures = []
        for rows in torch.split(torch.arange(len(draws)), self.chunk):
            part = draws.of(draws.index[rows])
            pictures.append(self.render(part, select(faces, rows), select(look, rows)))
        return torch.cat(pictures)

    @torch.no_grad()
    def render(self, draws: Draws, faces: FaceParameters, look: Appearance) -> Tensor:
        """(B, S, S, 3) uint8 pictures of one chunk."""
        size = faces.image_size
        faces, look = to_device(faces, self.device), to_device(look, self.device, floats=True)
        camera = camera_vertices(self.head, faces, head_vertices(self.head, faces))
        colour, alpha = self._head_layer(camera, faces, look)
        s = self.supersample
        layer = torch.cat([colour * alpha[..., None], alpha[..., None]], -1).permute(0, 3, 1, 2)
        layer = F.avg_pool2d(layer, s).permute(0, 2, 3, 1) if s > 1 else layer.permute(0, 2, 3, 1)
        back = background(draws, size, self.device) * (0.35 + 0.65 * look.ambient[:, None, None])
        picture = layer[..., :3] + back * (1.0 - layer[..., 3:])
        return finish(picture, draws, look)

    def _head_layer(
        self, camera: Tensor, faces: FaceParameters, look: Appearance
    ) -> tuple[Tensor, Tensor]:
        """Supersampled colour (B, H, W, 3) and coverage (B, H, W) of the head."""
        s = self.supersample
        side = faces.image_size * s
        # Pixel centres: output pixel u covers supersamples u*s .. u*s + s - 1.
        points = zbuffer.snap((project(camera, faces) + 0.5) * s - 0.5)
        depth = camera[..., 2]
        hit = zbuffer.rasterize(points, depth, self.triangles, side, side)
        normal = zbuffer.vertex_normals(camera, self.triangles, self._incidence).float()
        texture = self._texture.expand(len(normal), -1, -1)
        inverse = (1.0 / depth).float()[..., None]
        values = torch.cat([normal, texture, inverse], -1)
        whole = zbuffer.interpolate(values, points, self.triangles, hit)
        covered = hit >= 0
        light = self._cast(whole[..., 5], covered, faces, look)
        colour = torch.zeros(*hit.shape, 3, device=self.device).reshape(-1, 3)
        kind = torch.where(covered, self.material[hit.clamp_min(0)], -1).flatten()
        flat, triangle, shade = whole.reshape(-1, 6), hit.flatten(), light.flatten()
        for number in self._used:
            place = (kind == number).nonzero()[:, 0]
            if not len(place):
                continue
            rows = flat[place]
            raw = rows[:, :3]
            length: Tensor = (raw * raw).sum(-1, keepdim=True).sqrt()
            face = torch.div(place, side * side, rounding_mode="floor")
            pixels = Pixels(
                face, triangle[place], raw / length.clamp_min(1e-6), rows[:, 3:5], shade[place]
            )
            colour[place] = self.shader(Material(number), pixels, look, faces)
        return colour.reshape(*hit.shape, 3), covered.float()

    def _cast(
        self, inverse: Tensor, covered: Tensor, faces: FaceParameters, look: Appearance
    ) -> Tensor:
        """Share of the key light at each pixel: marches towards the light through the z-buffer.

        A step that lands behind the surface seen there is in shadow. What the camera does not see
        casts none: a cheap shadow, right where it matters (brow, nose, chin).
        """
        batch, side, _ = inverse.shape
        depth = torch.where(covered, 1.0 / inverse.clamp_min(1e-6), 1e6).flatten()
        unit = (faces.focal * self.supersample).float()[:, None, None]
        way = look.key_way
        axis = torch.arange(side, device=self.device, dtype=torch.float32)
        here = torch.where(covered, 1.0 / inverse.clamp_min(1e-6), 1.0)
        start = torch.arange(batch, device=self.device)[:, None, None] * side * side
        dark = torch.zeros_like(inverse)
        for distance in (0.06, 0.12, 0.20, 0.30):
            scale = unit * distance / here
            x = (axis + way[:, 0, None, None] * scale).round().clamp(0, side - 1)
            y = (axis[:, None] + way[:, 1, None, None] * scale).round().clamp(0, side - 1)
            seen = depth[(start + (y * side + x).long())]
            below = here + way[:, 2, None, None] * distance - seen
            # Blocked by something nearer, but not by something far in front.
            blocked = ((below - 0.012) / 0.03).clamp(0, 1) * ((0.5 - below) / 0.1).clamp(0, 1)
            dark = torch.maximum(dark, blocked)
        return 1.0 - look.shadow[:, None, None] * dark


def _hash_noise(draws: Draws, size: int, device: torch.device) -> Tensor:
    """(B, size, size, 3) noise, close to N(0, 1), from the counters."""
    key = draws.bits("pixels", 1).to(device)
    bits = mix(key + torch.arange(size * size * 3, device=device))
    total = sum(((bits >> shift) & 0xFFFF).float() for shift in (0, 16, 32, 48))
    assert isinstance(total, Tensor)
    # Four uniform 16-bit numbers: mean 2 * 65535, variance 4 / 12 * 65536**2.
    return ((total - 131070.0) / 37837.2).reshape(len(key), size, size, 3)


def finish(picture: Tensor, draws: Draws, look: Appearance) -> Tensor:
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
    noise = _hash_noise(draws, picture.shape[1], picture.device)
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
