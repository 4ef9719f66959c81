"""`IctRenderer`: draws ICT heads before photographs or procedural backgrounds.

`ICT_VERSION` stands here: caches of rendered faces are keyed by it and by `RENDER_VERSION`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import torch
from torch import Tensor

from lit_landmarks.errors import UserError
from lit_landmarks.geometry import zbuffer
from lit_landmarks.pictures import decode_image
from lit_landmarks.rendering import Renderer
from lit_landmarks.rendering.appearance import with_own_noise
from lit_landmarks.rendering.background import paint_background
from lit_landmarks.rendering.faces import (
    FaceParameters,
    Head,
    camera_vertices,
    head_vertices,
    select,
    to_device,
)
from lit_landmarks.rendering.ict.camera import apply_camera
from lit_landmarks.rendering.ict.looks import IctLook, sample_looks
from lit_landmarks.rendering.ict.shader import IctShader
from lit_landmarks.rendering.ict.walls import sample_walls
from lit_landmarks.rendering.parts import Material
from lit_landmarks.rendering.renderer import Scene, develop_picture
from lit_landmarks.rendering.rng import CounterRng

#: Raise when the pixels of the same ICT face change.
ICT_VERSION = 2
#: Photographs are kept at most this long on their longer side.
_PHOTO_SIDE = 512


class IctRenderer(Renderer):
    """Draws ICT heads.

    Args:
        head: an `IctHead`.
        device: where to work.
        backgrounds: image files to stand behind the faces; without any, painted walls.
        supersample: samples per pixel and axis.
    """

    def __init__(
        self,
        head: Head,
        device: torch.device | str = "cpu",
        backgrounds: Sequence[Path] = (),
        supersample: int = 2,
    ) -> None:
        super().__init__(head, device, supersample, chunk=2 if str(device) == "cpu" else 32)
        self.shader = IctShader(head, self.device)
        self._columns = head.texture[:, 2:].float().to(self.device)
        self.backgrounds = tuple(backgrounds)
        self._photos: dict[int, np.ndarray] = {}

    def __call__(
        self,
        rng: CounterRng,
        sample: Callable[[CounterRng], FaceParameters],
        looks: CounterRng | None = None,
    ) -> Tensor:
        """(B, S, S, 3) uint8 sRGB pictures of the faces of `rng`, see `Renderer`."""
        shared = rng if looks is None else looks
        look = with_own_noise(sample_looks(shared), rng)
        scene = Scene(sample(rng), look, sample_walls(shared))
        parts = [select(scene, rows) for rows in torch.split(torch.arange(len(rng)), self.chunk)]
        threads = min(torch.get_num_threads(), len(parts))
        if self.device.type != "cpu" or threads == 1:
            return torch.cat([self.render(part) for part in parts])
        # A chunk for each core: many small operations share cores badly.
        return torch.cat(list(_thread_pool(threads).map(self.render, parts)))

    @torch.no_grad()
    def render(self, scene: Scene) -> Tensor:
        """(B, S, S, 3) uint8 pictures of one chunk."""
        faces = to_device(scene.faces, self.device)
        look = cast(IctLook, to_device(scene.look, self.device, floats=True))
        wall = self._render_background(scene, look, faces.image_size)
        look = _match_light(look, wall)
        camera = camera_vertices(self.head, faces, head_vertices(self.head, faces))
        layer = self._render_head(camera, faces, look)
        still = replace(look, noise=torch.zeros_like(look.noise))
        picture = develop_picture(layer[..., :3] + wall * (1.0 - layer[..., 3:]), still)
        return torch.from_numpy(apply_camera(picture.cpu().numpy(), look))

    def _extend_texture(
        self, material: Material, texture: Tensor, points: Tensor, hit: Tensor, place: Tensor
    ) -> Tensor:
        """Texture and, on skin, the columns of `ict.paint`."""
        if material is not Material.SKIN:
            return texture
        values = self._columns.expand(len(points), -1, -1)
        more = zbuffer.interpolate(values, points, self.triangles, hit, place)
        return torch.cat([texture, more], 1)

    def _render_background(self, scene: Scene, look: IctLook, size: int) -> Tensor:
        """(B, S, S, 3) linear RGB behind the head."""
        if not self.backgrounds:
            back = to_device(scene.back, self.device, floats=True)
            return paint_background(back, size) * (0.35 + 0.65 * look.ambient[:, None, None])
        rows = [self._crop_photo(row, size) for row in look.picture.cpu().tolist()]
        return torch.from_numpy(np.stack(rows)).to(self.device)

    def _crop_photo(self, row: list[float], size: int) -> np.ndarray:
        """A square cut from a background photograph: (S, S, 3) linear RGB."""
        which, x, y, zoom, flip, blur = row
        number = min(int(which * len(self.backgrounds)), len(self.backgrounds) - 1)
        photo = self._photos.get(number)
        if photo is None:
            photo = read_photo(self.backgrounds[number])
            if len(self._photos) < 512:
                self._photos[number] = photo
        height, width = photo.shape[:2]
        side = max(8, int(min(height, width) * (0.5 + 0.5 * zoom)))
        left, top = int(x * (width - side)), int(y * (height - side))
        cut = photo[top : top + side, left : left + side]
        how = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
        cut = cv2.resize(cut, (size, size), interpolation=how)
        if flip > 0.5:
            cut = cut[:, ::-1]
        if blur > 0.4:
            cut = cv2.GaussianBlur(np.ascontiguousarray(cut), (0, 0), blur * size / 256.0)
        return np.asarray((cut.astype(np.float32) / 255.0) ** 2.2, dtype=np.float32)


@cache
def _thread_pool(threads: int) -> ThreadPoolExecutor:
    # The number of threads that torch uses is set for the calling thread alone.
    return ThreadPoolExecutor(threads, "ict", initializer=torch.set_num_threads, initargs=(1,))


def _match_light(look: IctLook, wall: Tensor) -> IctLook:
    """Tint ambient and fill light with the mean colour of the background, in part."""
    mean = wall.mean((1, 2))
    gray = mean.mean(-1, keepdim=True).clamp_min(1e-3)
    tint = (mean / gray).clamp(0.6, 1.6) ** 0.4
    return replace(look, ambient=look.ambient * tint, fill=look.fill * tint)


def read_photo(path: Path) -> np.ndarray:
    """An image file as (H, W, 3) uint8 RGB, no larger than needed.

    Raises:
        UserError: it cannot be read.
    """
    try:
        image = decode_image(path.read_bytes(), path, "shown")
    except OSError as error:
        raise UserError(
            f"cannot read the background, {path}; remove the file from the folder"
        ) from error
    if min(image.shape[:2]) < 8:
        raise UserError(f"background of less than 8 pixels, {path}; remove it from the folder")
    scale = _PHOTO_SIDE / max(image.shape[:2])
    if scale < 1:
        smaller = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        image = np.asarray(smaller, np.uint8)
    return image
