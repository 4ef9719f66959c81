"""Kernels of motion in video: runs of frames, flicker against a truth, acceleration without one.

NaN and infinity mean what they do in `functional`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lit_landmarks.metrics.functional import group_means, nme, point_errors

#: Side in pixels of the face in whose hundredths of a pixel NMF is counted, by the authors' code.
_NMF_SIDE = 256


def consecutive_frames(frames: Tensor, length: int) -> Tensor:
    """Runs of frames of one track whose times follow one another without a gap.

    Args:
        frames: (M, 3) int64 data set, track and time, in any order; of a frame that is there twice
            (a sampler that fills up the last batch) the first is taken.
        length: frames in a run.

    Returns:
        (R, length) int64 rows of `frames`, ordered by data set, track and time.

    Example:
        Track 7 has the times 0, 1 and 3, of which only 0 and 1 follow one another:

        >>> consecutive_frames(torch.tensor([[0, 7, 1], [0, 7, 3], [0, 8, 2], [0, 7, 0]]), 2)
        tensor([[3, 0]])
    """
    order = torch.arange(len(frames), device=frames.device)
    for column in (2, 1, 0):  # stable sorts, the last key first
        order = order[frames[order, column].argsort(stable=True)]
    again = frames[order][1:] == frames[order][:-1]
    order = order[torch.nn.functional.pad(~again.all(dim=1), (1, 0), value=True)[: len(order)]]
    if len(order) < length:
        return order.new_zeros(0, length)
    step = frames[order].diff(dim=0)
    follows = (step == torch.tensor([0, 0, 1], device=step.device)).all(dim=1)
    return order.unfold(0, length, 1)[follows.unfold(0, length - 1, 1).all(dim=1)]


def flicker(predicted: Tensor, truth: Tensor, norm: Tensor, mask: Tensor | None = None) -> Tensor:
    """Normalized flicker of frame pairs in percent: how much of the motion is not the face's.

    Mean over landmarks of |(p_t - p_{t-1}) - (g_t - g_{t-1})| / norm * 100, after the normalized
    mean flicker of Micaelli et al. (arXiv 2304.00600). A constant offset from the truth costs
    nothing here; that is what NME measures.

    Args:
        predicted: (M, 2, N, D) frames t - 1 and t, in one frame of reference (image pixels).
        truth: (M, 2, N, D) likewise.
        norm: (M,) in the same unit.
        mask: (M, 2, N) bool, True where annotated; None for all.

    Returns:
        (M,); NaN where no point is annotated in both frames.

    Example:
        A face moves by 10 pixels, its prediction by 12:

        >>> truth = torch.tensor([[[[0.0, 0.0]], [[10.0, 0.0]]]])
        >>> predicted = torch.tensor([[[[5.0, 5.0]], [[17.0, 5.0]]]])
        >>> flicker(predicted, truth, torch.tensor([50.0]))
        tensor([4.])
    """
    annotated = truth.isfinite().all(dim=-1)
    annotated = annotated if mask is None else annotated & mask
    motion, true_motion = (points[:, 1] - points[:, 0] for points in (predicted, truth))
    return nme(motion, true_motion, norm, annotated.all(dim=1))


def acceleration(points: Tensor, norm: Tensor, mask: Tensor | None = None) -> Tensor:
    """Acceleration of predicted points in percent, a measure of jitter that needs no truth.

    Mean over landmarks of |p_{t+1} - 2 p_t + p_{t-1}| / norm * 100. Even motion costs nothing;
    what a face really does (a blink) is in it, so compare methods on the same frames only.

    Args:
        points: (M, 3, N, D) three consecutive frames, in one frame of reference (image pixels).
        norm: (M,) in the same unit.
        mask: (M, 3, N) bool, points that count; None for all.

    Returns:
        (M,).

    Example:
        >>> points = torch.tensor([[[[0.0, 0.0]], [[3.0, 0.0]], [[4.0, 0.0]]]])
        >>> acceleration(points, torch.tensor([50.0]))
        tensor([4.])
    """
    second = points[:, 2] - 2.0 * points[:, 1] + points[:, 0]
    counted = None if mask is None else mask.all(dim=1)
    return nme(second, torch.zeros_like(second), norm, counted)


def squared_flicker(predicted: Tensor, truth: Tensor, mask: Tensor | None = None) -> Tensor:
    """What normalized mean flicker (NMF) averages: the squared flicker of frame pairs.

    NMF of a track is the root of the mean over its frame pairs (Micaelli et al., arXiv 2304.00600,
    in the form of the authors' evaluation code): the motion that is not the face's, squared, as a
    mean over landmarks, in hundredths of a pixel of a face whose box of true points has an area of
    256 x 256 in the later frame.

    Args:
        predicted: (M, 2, N, 2) frames t - 1 and t, in one frame of reference (image pixels).
        truth: (M, 2, N, 2) likewise.
        mask: (M, 2, N) bool, True where annotated; None for all.

    Returns:
        (M,); NaN where no point is annotated in both frames, or the later box has no area.

    Example:
        One of two points moves by 3 pixels too far, on a face of 64 x 256 pixels:

        >>> truth = torch.tensor([[0.0, 0.0], [64.0, 256.0]]).expand(1, 2, 2, 2)
        >>> predicted = truth.clone()
        >>> predicted[0, 1, 0, 0] += 3.0
        >>> squared_flicker(predicted, truth).sqrt()  # 100 * sqrt((9 + 0) / 2) * 256 / 128
        tensor([424.2641])
    """
    annotated = truth.isfinite().all(dim=-1)
    annotated = annotated if mask is None else annotated & mask
    motion, true_motion = (points[:, 1] - points[:, 0] for points in (predicted, truth))
    off = group_means(point_errors(motion, true_motion, annotated.all(dim=1)).square())[:, 0]
    hidden, later = ~annotated[:, 1, :, None], truth[:, 1]
    high = later.masked_fill(hidden, -torch.inf).amax(dim=1)
    area = (high - later.masked_fill(hidden, torch.inf).amin(dim=1)).prod(dim=-1)
    return off * (100.0 * _NMF_SIDE) ** 2 / torch.where(area > 0, area, torch.nan)
