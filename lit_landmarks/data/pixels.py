"""Frames from source crops: one warp and the pixel changes that were drawn, on either backend.

The host path keeps 8-bit pixels to the end and calls OpenCV per face (about ten times as fast
there as tensor operations on float); the device path is the same arithmetic on whole float
batches. They agree within `TOLERANCE` of white per pixel, on average within a tenth of it: OpenCV
interpolates at 1/32 pixel and the host rounds to 8 bits after each step.

Order: warp, before patches of other pictures, tone (gamma, contrast, brightness, tint), saturation,
blur, noise, occlusion.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from lit_landmarks.data.augment import AugmentationParams
from lit_landmarks.data.surroundings import (
    content_rectangle,
    content_rectangles,
    inside_rectangles,
    paint_patches,
    patches_on_device,
    texture_steps,
)
from lit_landmarks.geometry import sampling_theta, transform_points

#: Largest difference between the two backends on a smooth image, in units of white.
TOLERANCE = 0.03

#: Rec. 601 luma weights.
_LUMA = (0.299, 0.587, 0.114)
_BANK = 1 << 20
#: One standard deviation of the noise bank, in 8-bit levels.
_BANK_SIGMA = 32.0
_MIDDLE = 128


@cache
def _noise_bank(length: int) -> NDArray[np.uint8]:
    """Gaussian noise about 128; faces read windows of it, which costs less than drawing it."""
    values = np.random.default_rng(0).standard_normal(length) * _BANK_SIGMA + _MIDDLE
    return np.rint(values).clip(0, 255).astype(np.uint8)


@cache
def _device_bank(length: int, device: torch.device) -> Tensor:
    return torch.from_numpy(_noise_bank(length)).to(device)


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="frames")


def frames(
    source: Tensor,
    frame_to_source: Tensor,
    size: int,
    params: AugmentationParams | None,
    radius: int,
    surroundings: Tensor | None = None,
) -> Tensor:
    """Cut frames and change their pixels.

    Args:
        source: (B, 3, S, S) uint8, channels-last memory.
        frame_to_source: (B, 2, 3) affines, pixels.
        size: side of a frame.
        params: pixel changes, or None for the warp alone.
        radius: half width of the blur kernel.
        surroundings: (K, T, T, 3) uint8 squares for the patches behind pictures, on the same
            device; None paints no patches.

    Returns:
        (B, 3, size, size) float32 in [0, 1] on the device of `source`.
    """
    path = on_host if source.device.type == "cpu" else on_device
    return path(source, frame_to_source, size, params, radius, surroundings)


def on_host(
    source: Tensor,
    frame_to_source: Tensor,
    size: int,
    params: AugmentationParams | None,
    radius: int,
    surroundings: Tensor | None = None,
) -> Tensor:
    """`frames` with OpenCV, a share of the batch on each of torch's threads."""
    crops = source.permute(0, 2, 3, 1).contiguous().numpy()
    affines = frame_to_source.numpy()
    planes = np.empty((len(crops), 3, size, size), np.uint8)
    result = np.empty(planes.shape, np.float32)
    change = None if params is None else _host_changes(params, size, radius)
    draw = _warp if params is None else _host_warp(params, surroundings)

    def work(rows: range) -> None:
        frame = np.empty((size, size, 3), np.uint8)
        for b in rows:
            draw(frame, crops[b], affines[b], b)
            if change is not None:
                change(frame, b)
            cv2.split(frame, list(planes[b]))
        part = slice(rows.start, rows.stop)
        np.multiply(planes[part], np.float32(1 / 255), out=result[part])

    threads = max(1, min(torch.get_num_threads(), len(crops)))
    bounds = [len(crops) * i // threads for i in range(threads + 1)]
    shares = [range(a, b) for a, b in pairwise(bounds)]
    if threads == 1:
        work(shares[0])
    else:
        list(_pool(threads).map(work, shares))
    return torch.from_numpy(result)


#: Fills a frame from a source crop by an affine, for face b.
_Draw = Callable[[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32], int], None]


def _warp(
    frame: NDArray[np.uint8],
    crop: NDArray[np.uint8],
    affine: NDArray[np.float32],
    b: int = 0,
    border: int = cv2.BORDER_CONSTANT,
) -> None:
    """Fill a frame from a crop; what is beyond it stays (`BORDER_TRANSPARENT`) or is black."""
    cv2.warpAffine(
        crop,
        affine,
        frame.shape[:2],
        dst=frame,
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=border,
    )


def _host_warp(params: AugmentationParams, surroundings: Tensor | None) -> _Draw:
    """`_warp` whose pictures end before patches or black."""
    if params.window is None and (params.patches is None or surroundings is None):
        return _warp
    windows = None if params.window is None else params.window.tolist()
    squares = None if surroundings is None else surroundings.numpy()
    if params.patches is not None and squares is not None:
        present = params.patches.flatten(1).any(1).tolist()
        patches = params.patches.tolist()
        numbers, steps = (v.tolist() for v in texture_steps(params, *squares.shape[:2]))
    else:
        present = [False] * len(params.scale)

    def draw(
        frame: NDArray[np.uint8], crop: NDArray[np.uint8], affine: NDArray[np.float32], b: int
    ) -> None:
        x0, y0, x1, y1 = (0, 0, *frame.shape[:2]) if windows is None else windows[b]
        frame[:] = 0
        if present[b]:
            assert squares is not None
            paint_patches(frame, patches[b], numbers[b], steps[b], squares)
        picture = frame.copy()
        if not present[b]:
            _warp(picture, crop, affine)
        else:
            left, top, right, bottom = content_rectangle(crop)
            moved = affine - np.array([[0, 0, left], [0, 0, top]], np.float32)
            if right > left:
                _warp(picture, crop[top:bottom, left:right], moved, b, cv2.BORDER_TRANSPARENT)
        frame[y0:y1, x0:x1] = picture[y0:y1, x0:x1]

    return draw


def _host_changes(
    params: AugmentationParams, size: int, radius: int
) -> Callable[[NDArray[np.uint8], int], None]:
    """A function that changes frame b in place."""
    tables = _tone_tables(params).numpy()
    matrices = _saturation(params.saturation).numpy()
    bank = _noise_bank(_BANK + 3 * size * size)
    starts = (params.noise_start * _BANK).long().tolist()
    # addWeighted(frame, 1, bank, w, -128 w): w scales the bank's deviation to the noise drawn.
    weights = (params.noise * (255 / _BANK_SIGMA)).tolist()
    blurs = params.blur.tolist()
    rectangles = params.rectangles.tolist()
    fill = (params.fill * 255).round().byte().numpy()
    kernel = (2 * radius + 1, 2 * radius + 1)

    def change(frame: NDArray[np.uint8], b: int) -> None:
        cv2.LUT(frame, tables[b : b + 1], dst=frame)
        cv2.transform(frame, matrices[b], dst=frame)
        if blurs[b] > 0:
            cv2.GaussianBlur(frame, kernel, blurs[b], dst=frame)
        if weights[b] > 0:
            noise = bank[starts[b] : starts[b] + frame.size].reshape(frame.shape)
            cv2.addWeighted(frame, 1.0, noise, weights[b], -_MIDDLE * weights[b], dst=frame)
        for (x0, y0, x1, y1), color in zip(rectangles[b], fill[b], strict=True):
            if x1 > x0:
                frame[y0:y1, x0:x1] = color

    return change


def _tone(image: Tensor, params: AugmentationParams) -> Tensor:
    """Gamma, contrast about mid-grey, brightness, tint of (B, 3, ...) values in [0, 1]."""
    shape = (-1, *[1] * (image.ndim - 1))
    image = image.pow(params.gamma.view(shape)).sub_(0.5)
    image = image.mul_(params.contrast.view(shape)).add_(0.5 + params.brightness.view(shape))
    return image.mul_(params.tint.view(*params.tint.shape, *shape[2:])).clamp_(0, 1)


def _tone_tables(params: AugmentationParams) -> Tensor:
    """(B, 256, 3) uint8: `_tone` of every 8-bit value."""
    levels = torch.arange(256, dtype=torch.float32).div_(255)
    image = levels.expand(len(params.gamma), 3, 256)
    tables = _tone(image, params).mul_(255).round_().byte()
    return tables.mT.contiguous()


def _saturation(saturation: Tensor) -> Tensor:
    """(B, 3, 3) matrices that mix each colour with its luma."""
    luma = saturation.new_tensor(_LUMA).expand(3, 3)
    keep = saturation.view(-1, 1, 1)
    return keep * torch.eye(3, device=saturation.device) + (1 - keep) * luma


def on_device(
    source: Tensor,
    frame_to_source: Tensor,
    size: int,
    params: AugmentationParams | None,
    radius: int,
    surroundings: Tensor | None = None,
) -> Tensor:
    """`frames` as operations on the whole batch."""
    theta = sampling_theta(frame_to_source, source.shape[-1], size)
    grid = F.affine_grid(theta, [len(source), 3, size, size], align_corners=False)
    image = F.grid_sample(source.float().div_(255), grid, align_corners=False)
    if params is None:
        return image
    image = _device_surroundings(image, source, frame_to_source, params, surroundings)
    image = _tone(image, params)
    image = torch.bmm(_saturation(params.saturation), image.flatten(2)).view_as(image).clamp_(0, 1)
    if radius:
        image = _blur(image, params.blur, radius)
    bank = _device_bank(_BANK + 3 * size * size, image.device)
    starts = (params.noise_start * _BANK).long()
    noise = bank.unfold(0, 3 * size * size, 1)[starts].view(-1, size, size, 3).permute(0, 3, 1, 2)
    weight = params.noise.view(-1, 1, 1, 1) / _BANK_SIGMA
    image = image.addcmul_(noise.float().sub_(_MIDDLE), weight).clamp_(0, 1)
    return _cover(image, params)


def _device_surroundings(
    image: Tensor,
    source: Tensor,
    frame_to_source: Tensor,
    params: AugmentationParams,
    surroundings: Tensor | None,
) -> Tensor:
    """Frames (B, 3, S, S) whose pictures end before patches or black."""
    if params.window is None and (params.patches is None or surroundings is None):
        return image
    behind, shown = torch.zeros_like(image), torch.ones_like(image[:, :1], dtype=torch.bool)
    if params.window is not None:
        shown = inside_rectangles(params.window, image.shape[-1])
    if params.patches is not None and surroundings is not None:
        behind = patches_on_device(behind, params, surroundings)
        place = torch.arange(image.shape[-1], device=image.device)
        grid = torch.stack(torch.meshgrid(place, place, indexing="xy"), -1).flatten(0, 1)
        places = transform_points(frame_to_source, grid.float().expand(len(image), -1, -1))
        x, y = places.view(len(image), *image.shape[-2:], 2).unbind(-1)
        ends = content_rectangles(source).view(-1, 4, 1, 1)
        inside = (x >= ends[:, 0]) & (y >= ends[:, 1])
        inside &= (x <= ends[:, 2] - 1) & (y <= ends[:, 3] - 1)
        none = ~params.patches.flatten(1).any(1).view(-1, 1, 1)
        shown = shown & (inside | none).unsqueeze(1)
    return torch.where(shown, image, behind)


def _blur(image: Tensor, sigma: Tensor, radius: int) -> Tensor:
    """Separable Gaussian with one width per face; a width of 0 leaves the face as it is."""
    batch, channels, height, width = image.shape
    steps = torch.arange(-radius, radius + 1, device=image.device, dtype=image.dtype)
    kernel = torch.exp(-0.5 * (steps / sigma.clamp_min(1e-3).view(-1, 1)) ** 2)
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(channels, 0)
    groups = batch * channels
    padded = F.pad(image, [radius] * 4, mode="reflect").view(1, groups, height + 2 * radius, -1)
    rows = F.conv2d(padded, kernel.view(groups, 1, 1, -1), groups=groups)
    both = F.conv2d(rows, kernel.view(groups, 1, -1, 1), groups=groups)
    return both.view(batch, channels, height, width)


def _cover(image: Tensor, params: AugmentationParams) -> Tensor:
    """Fill the rectangles."""
    for r in range(params.rectangles.shape[1]):
        inside = inside_rectangles(params.rectangles[:, r], image.shape[-1])
        image = torch.where(inside, params.fill[:, r, :, None, None], image)
    return image
