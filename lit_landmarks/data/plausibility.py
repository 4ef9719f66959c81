"""Labels that cannot be meant: what annotation tools and their users write by habit.

Of one face: points that were not set (0 0, -1 -1, 9999 9999, one coordinate 0, a corner of the
picture, one place for several), points far away from the others or beyond the picture, a box that
does not hold the points. Of all faces together: coordinates in percent, of a smaller or larger
copy or counted from the middle, x and y exchanged, y counted from the bottom, boxes of another form
or of the whole picture. Pixels that count from 1 instead of 0 cannot be told by looking.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lit_landmarks.data.index import FaceIndex, Report
from lit_landmarks.data.picture_size import picture_size
from lit_landmarks.errors import UserError
from lit_landmarks.pictures import Grid

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

#: Numbers that stand for "none" in files that cannot say so.
_NONE_VALUES = (999, 9999, 99999, 999999, 32767, 65535)
#: What 0 becomes where files count from 0, from a corner, or from 1.
_ZEROS = (0.0, -0.5, -1.0)
#: The largest such shift, and as much again for files that end at the last pixel.
_ABOUT = 2.0
#: Times the median distance from the middle of a face beyond which no point of it lies; in every
#: public data set at hand the largest is 5.
_FAR = 15.0
_FEWEST = 5
_BLOCK = 4096
#: Distance of a place that several points share from the next point, in sides of the face; on small
#: faces rounding gives neighbours one place.
_APART = 0.15
#: Points that in most faces of the set lie so far apart, in sides of the face, share no place;
#: the second holds for more than `_SPARSE` points.
_APART_IN_MOST = (0.3, 0.5)
#: On faces of fewer pixels, rounding gives different points inside the face one place.
_ROUNDED = 32.0
#: Up to so many points, each stands for another part of the face.
_SPARSE = 12
#: A coordinate of 0 was not set if the other points begin so many sides of the face away.
_GAP = 0.5
#: Fewer faces do not tell the usual places of the points, nor what most faces do.
_FACES = 5
#: Most faces do not reach beyond their pictures by more than this share of a side.
_BEYOND = 0.02
#: Boxes of the whole picture are meant where the points fill so much of its area.
_FILLED = 0.1
#: Share of the picture, from its first pixel, that a set fills whose points are of a smaller copy
#: or in percent; the second where there are few pictures to judge by.
_CORNER, _CORNER_OF_FEW, _FEW = 0.5, 0.34, 5
#: How much better another form of the boxes must fit the points, in intersection over union.
_BETTER = 0.15
#: Overlap with the points from which a form is named as the likely one.
_FITS = 0.25
#: From eyes to mouth and from right to left is farther, in sides of the box, in a face whose
#: direction can be told.
_LONG = 0.3
_UPPER = frozenset({"eye", "eyes", "brow", "eyebrow", "pupil", "iris", "eyelid", "forehead"})
_LOWER = frozenset({"mouth", "lip", "lips", "chin"})
#: What the four numbers of a box are in our own JSON.
CORNERS = "x0, y0, x1, y1"
#: Forms of a box: name and the corners x0, y0, x1, y1 that its four numbers mean.
_FORMS: dict[str, Callable[[Floats], tuple[Any, Any, Any, Any]]] = {
    CORNERS: lambda b: (b[0], b[1], b[2], b[3]),
    "x, y, width, height": lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3]),
    "center x, center y, width, height": lambda b: (
        b[0] - b[2] / 2,
        b[1] - b[3] / 2,
        b[0] + b[2] / 2,
        b[1] + b[3] / 2,
    ),
    "y, x, height, width": lambda b: (b[1], b[0], b[1] + b[3], b[0] + b[2]),
    "y0, x0, y1, x1": lambda b: (b[1], b[0], b[3], b[2]),
    "x0, x1, y0, y1": lambda b: (b[0], b[2], b[1], b[3]),
    "y0, x1, y1, x0 (top, right, bottom, left)": lambda b: (b[3], b[0], b[1], b[2]),
}


def drop_implausible(
    index: FaceIndex,
    wheres: Sequence[str],
    report: Report,
    point_names: Sequence[str],
    ask_units: str | None = None,
    own_boxes: bool = True,
    grid: Grid = "stored",
    box_numbers: str = CORNERS,
) -> FaceIndex:
    """Report the faces whose labels cannot be meant, and leave them out.

    Args:
        index: n faces of one's own.
        wheres: file and row of each.
        report: is given each bad face, and what is wrong with all faces together.
        point_names: of the scheme.
        ask_units: cure for coordinates that look like another unit; None where the user has said
            that they are pixels.
        own_boxes: the boxes stand in the file and were meant to hold the points.
        grid: pixels on which the points lie.
        box_numbers: what the numbers of a box are in the file, corners or a corner, width, height.

    Returns:
        The other faces.
    """
    sizes = {path: picture_size(path, grid) for path in dict.fromkeys(index.paths)}
    good, usual = np.ones(len(index), np.bool_), _usual_places(index)
    for row in _rows_to_look_at(index, sizes):
        size = sizes[index.paths[row]] if index.paths else None
        box = index.box[row] if own_boxes else None
        if reason := _bad_face(index.points[row], index.mask[row], box, size, usual):
            what, _, cure = reason.partition("; ")
            cure = cure.replace(CORNERS, box_numbers)
            report(UserError(f"{what}, {wheres[row]}; {cure}"))
            good[row] = False
    plausible = index.select(good)
    if not len(plausible):
        return plausible
    place = wheres[int(np.flatnonzero(good)[0])]
    reasons = [
        None if ask_units is None else find_corner(plausible, sizes, ask_units),
        find_exchanged_axes(plausible, point_names),
        None if ask_units is None else find_beyond(plausible, sizes, ask_units),
        find_box_form(plausible, box_numbers) if own_boxes else None,
        find_picture_boxes(plausible, sizes) if own_boxes else None,
    ]
    for reason in reasons:
        if reason is not None:
            what, _, cure = reason.partition("; ")
            report(UserError(f"{what}, {place} and others; {cure}"))
    return plausible


def _rows_to_look_at(index: FaceIndex, sizes: dict[str, tuple[int, int] | None]) -> Iterator[int]:
    """Rows that `_bad_face` may refuse: the same conditions for many faces at once, but wider."""
    for start in range(0, len(index), _BLOCK):
        part = slice(start, start + _BLOCK)
        mask = index.mask[part]
        points = np.where(mask[..., None], index.points[part], np.nan).astype(np.float64)
        count = mask.sum(1)
        order: Floats = np.sort(points, axis=1)  # NaN comes last
        rows, last = np.arange(len(points)), (count - 1).clip(0)
        middle = order[rows, last // 2]
        away = np.hypot(*(points - middle[:, None]).transpose(2, 0, 1))
        usual = np.sort(away, axis=1)[rows, last // 2]
        odd: Bools = np.where(mask, away, 0).max(1) > _FAR / 2 * usual
        odd |= np.asarray(points[..., 0] == points[..., 1], np.bool_).any(1)
        odd |= np.asarray((points <= 0) & (points >= -_ABOUT), np.bool_).any((1, 2))
        places = np.sort(points[..., 0] + 1j * points[..., 1], axis=1)
        odd |= np.asarray(places[:, 1:] == places[:, :-1], np.bool_).any(1)
        box = index.box[part, None].astype(np.float64)
        held = (points >= box[..., :2] - 1) & (points <= box[..., 2:] + 1)
        odd |= held.all(2).sum(1) < 0.5 * count
        if index.paths:
            sides = np.array([sizes[path] or (np.inf, np.inf) for path in index.paths[part]])
            beyond: Bools = np.maximum(-points, points - sides[:, None]) >= -_ABOUT
            odd |= beyond.reshape(len(points), -1).any(1)
        yield from (start + np.flatnonzero(odd)).tolist()


def _bad_face(
    points: NDArray[np.float32],
    mask: Bools,
    box: NDArray[np.float32] | None,
    size: tuple[int, int] | None,
    usual: Floats | None,
) -> str | None:
    """What is wrong with the points of a face, and the cure; None if nothing is."""
    numbers, place = np.flatnonzero(mask), points[mask].astype(np.float64)
    if not len(place):
        return None
    unset = _unset(place, size, None if usual is None else usual[mask])
    if unset is not None:
        x, y = place[unset]
        return f"point {numbers[unset]} ({x:g}, {y:g}) was not set; {_NOT_SET}"
    middle = np.median(place, axis=0)
    away = np.hypot(*(place - middle).T)
    if len(place) >= _FEWEST and away.max() > _FAR * np.median(away):
        k = int(away.argmax())
        return (
            f"point {numbers[k]} ({place[k, 0]:g}, {place[k, 1]:g}) lies far away from the others,"
            " so that their box is far larger than the face;"
            f" correct it, or if it was not set: {_NOT_SET}"
        )
    if size is not None:
        beyond = np.maximum(-0.5 - place, place - (np.array(size) - 0.5)).max(1)
        if (beyond <= 0).any() and ((beyond > 0).mean() > 0.5 or beyond.max() > max(size) / 2):
            swapped = np.maximum(-0.5 - place[:, ::-1], place[:, ::-1] - np.array(size) + 0.5)
            hint = "exchange x and y" if (swapped <= 0).all() else "correct them, or the picture"
            return (
                f"{int((beyond > 0).sum())} of {len(place)} points lie beyond the"
                f" {size[0]} x {size[1]} picture; {hint} (points of a larger copy must be scaled,"
                " those that count from the middle shifted)"
            )
    if box is not None:
        x0, y0, x1, y1 = box.astype(np.float64)
        inside = ((place >= [x0 - 1, y0 - 1]) & (place <= [x1 + 1, y1 + 1])).all(1)
        if inside.mean() < 0.5:
            numbers_of_box = ", ".join(f"{v:g}" for v in box)
            return (
                f"box ({numbers_of_box}) holds {int(inside.sum())} of {len(place)} points; write"
                " it as x0, y0, x1, y1, or take ground_truth"
            )
    return None


_NOT_SET = "leave it out (null in JSON, visibility 0 in COCO), or annotate it"


def _unset(place: Floats, size: tuple[int, int] | None, usual: Floats | None) -> int | None:
    """The first of the points (n, 2) that stands for "not set".

    Args:
        place: points of a face.
        size: width and height of the picture.
        usual: (n, 2) where the points lie in most faces, in sides of the face.
    """
    low, high = place.min(0), place.max(0)
    equal = place[:, 0] == place[:, 1]
    at_low, at_high = (place == low).all(1), (place == high).all(1)
    # Files that count from 1, or from a corner, were shifted since.
    named = (np.abs(place[:, :1] - np.array(_NONE_VALUES)) <= 1).any(1)
    none = equal & ((at_low & (place[:, 0] <= 0)) | (at_high & named))
    if len(place) >= _FEWEST:
        none |= _share_a_place(place, usual) | _at_corner(place, size) | _lacks_coordinate(place)
    return int(none.argmax()) if none.any() else None


def _share_a_place(place: Floats, usual: Floats | None) -> Bools:
    """Points that have one place with others, though it lies apart, or they do in most faces."""
    shared = np.zeros(len(place), np.bool_)
    groups, numbers, counts = np.unique(place, axis=0, return_inverse=True, return_counts=True)
    numbers, side = numbers.reshape(-1), np.ptp(place, axis=0).max()
    for k in np.flatnonzero(counts > 1):
        here = numbers == k
        corner = ((groups[k] == place.min(0)) | (groups[k] == place.max(0))).all()
        if here.all() or not (corner or side >= _ROUNDED):
            continue
        apart = np.hypot(*(place[~here] - groups[k]).T).min() > _APART * side
        spread = 0.0 if usual is None else float(np.ptp(usual[here], axis=0).max())
        many = len(place) > _SPARSE  # of which a few may fall together in profile
        meant = spread <= _APART_IN_MOST[many] or (many and counts[k] == 2)
        if apart or not meant:
            shared |= here
    return shared


def _at_corner(place: Floats, size: tuple[int, int] | None) -> Bools:
    """Points in a corner of the picture that lie apart from the others."""
    if size is None:
        return np.zeros(len(place), np.bool_)
    first = (place <= 0) & (place >= -_ABOUT)
    last = (place <= np.array(size)) & (place >= np.array(size) - _ABOUT)
    corner: Bools = np.asarray((first | last).all(1), np.bool_)
    if not corner.any() or (~corner).sum() < _FEWEST - 1:
        return np.zeros(len(place), np.bool_)
    others = place[~corner]
    away = np.hypot(*(place[:, None] - others).transpose(2, 0, 1)).min(1)
    return np.asarray(corner & (away > _APART * np.ptp(others, axis=0).max()))


def _lacks_coordinate(place: Floats) -> Bools:
    """Points with one coordinate of 0 (or what a shift of the first pixel made of it) far away."""
    lacks = np.zeros(len(place), np.bool_)
    for values in place.T:
        here = np.isin(values, _ZEROS) & (values == values.min())
        if not here.any() or (~here).sum() < _FEWEST - 1:
            continue
        gap = values[~here].min() - values.min()
        lacks |= here & (gap > _GAP * np.ptp(place[~here], axis=0).max())
    return lacks


def _usual_places(index: FaceIndex) -> Floats | None:
    """(N, 2) median places of the points in sides of their faces; None for few faces."""
    if len(index) < _FACES:
        return None
    points = np.where(index.mask[..., None], index.points, np.nan).astype(np.float64)
    some = points[np.linspace(0, len(points) - 1, min(len(points), _BLOCK)).astype(int)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a point that no face has
        middle = np.nanmedian(some, axis=1, keepdims=True)
        side = np.nanmedian(np.abs(some - middle), axis=1, keepdims=True).max(-1, keepdims=True)
        places = np.nanmedian((some - middle) / np.maximum(side, 1e-9), axis=0)
    extent = np.nanmax(places, axis=0) - np.nanmin(places, axis=0)
    return np.asarray(places / max(float(extent.max()), 1e-9))


def _rows_with_size(index: FaceIndex, sizes: dict[str, tuple[int, int] | None]) -> list[int]:
    """Faces whose picture tells its size."""
    return [row for row, path in enumerate(index.paths) if sizes.get(path) is not None]


def find_corner(
    index: FaceIndex, sizes: dict[str, tuple[int, int] | None], cure: str
) -> str | None:
    """Whether all faces lie in the upper left part of their pictures, as percents do."""
    rows = _rows_with_size(index, sizes)
    if not rows:
        return None
    sides = np.array([sizes[index.paths[row]] for row in rows], np.float64)
    reach = np.where(index.mask[rows][..., None], index.points[rows], 0).max(1)
    share = float((reach / sides).max())
    pictures = len({index.paths[row] for row in rows})
    if share <= 0 or share >= (_CORNER if pictures >= _FEW else _CORNER_OF_FEW):
        return None
    likely = "percent" if reach.max() <= 100 and (sides > 100).all() else "of a smaller copy"
    return (
        f"all points lie in the first {100 * share:.0f} % of the width and height of their"
        f" pictures and may be {likely}; {cure}"
    )


def find_beyond(
    index: FaceIndex, sizes: dict[str, tuple[int, int] | None], cure: str
) -> str | None:
    """Whether most faces reach beyond their pictures, as those of a larger copy do."""
    rows = _rows_with_size(index, sizes)
    if len(rows) < _FACES:
        return None
    sides = np.array([sizes[index.paths[row]] for row in rows], np.float64)[:, None]
    points = index.points[rows].astype(np.float64)
    beyond = np.maximum(-points, points - sides) > _BEYOND * sides
    reaching = (beyond.any(2) & index.mask[rows]).any(1)
    if 2 * int(reaching.sum()) <= len(rows):
        return None
    return (
        f"{int(reaching.sum())} of {len(rows)} faces reach beyond their pictures, so the points"
        f" may be of a larger copy or counted from the middle; {cure}"
    )


def find_picture_boxes(index: FaceIndex, sizes: dict[str, tuple[int, int] | None]) -> str | None:
    """Whether the boxes are the whole pictures, of which the faces fill a small part."""
    rows = _rows_with_size(index, sizes)
    if not rows:
        return None
    whole = np.array([(0, 0, *(sizes[index.paths[row]] or (0, 0))) for row in rows], np.float64)
    annotated, points = index.mask[rows][..., None], index.points[rows].astype(np.float64)
    low = np.where(annotated, points, np.inf).min(1)
    high = np.where(annotated, points, -np.inf).max(1)
    filled = (high - low).prod(1) / whole[:, 2:].prod(1)
    are_pictures = (np.abs(index.box[rows] - whole) <= _ABOUT).all(1) & (filled < _FILLED)
    if 2 * int(are_pictures.sum()) <= len(rows):
        return None
    return "boxes are the whole pictures; give boxes of the faces, or take boxes: ground_truth"


def find_exchanged_axes(index: FaceIndex, point_names: Sequence[str]) -> str | None:
    """Whether most faces lie on their side, or head down, and are mirror images too."""
    groups = _name_groups(point_names)
    if any(not group for group in groups.values()):
        return None
    upper, lower, right, left = (_means(index, groups[key]) for key in groups)
    down, across = lower - upper, left - right
    length = np.hypot(*down.T) * np.hypot(*across.T)
    with np.errstate(invalid="ignore", divide="ignore"):
        turn = (across[:, 0] * down[:, 1] - across[:, 1] * down[:, 0]) / length
        heading = down / np.hypot(*down.T)[:, None]
    side = (index.box[:, 2:] - index.box[:, :2]).max(1)
    shorter = np.minimum(np.hypot(*down.T), np.hypot(*across.T))
    measured = np.isfinite(turn) & np.isfinite(heading).all(1) & (shorter > _LONG * side)
    if not measured.any():
        return None
    mirrored = measured & (turn < -0.5)
    if 2 * int((mirrored & (heading[:, 0] > 0.7)).sum()) > int(measured.sum()):
        return "x and y are exchanged (eyes lie beside the mouth); write x before y"
    if 2 * int((mirrored & (heading[:, 1] < -0.7)).sum()) > int(measured.sum()):
        return "y counts from the bottom (eyes lie below the mouth); count y from the top"
    return None


def find_box_form(index: FaceIndex, numbers: str = CORNERS) -> str | None:
    """Whether the boxes fit their points far better when their numbers are read in another form.

    Args:
        index: the faces.
        numbers: what the numbers of a box are in the file.
    """
    points = index.points.astype(np.float64)
    annotated = index.mask[..., None]
    tight = np.concatenate(
        [np.where(annotated, points, np.inf).min(1), np.where(annotated, points, -np.inf).max(1)], 1
    )
    box = index.box.astype(np.float64)
    own = np.abs(box - tight).max(1) > 1e-3
    if not own.any():
        return None
    box, tight = box[own], tight[own]
    as_read = float(np.median(_overlap(box, tight)))
    holds_as_read = float(_holds(box, tight).mean())
    stored = box
    if numbers != CORNERS:
        stored = np.concatenate([box[:, :2], box[:, 2:] - box[:, :2]], 1)
    best, best_fit = "", 0.0
    for name, corners in _FORMS.items():
        other = np.stack(corners(stored.T), 1)
        fit = float(np.median(_overlap(other, tight)))
        # Read as corners, a width that is larger than x0 still makes a box, which cuts the face.
        cuts = holds_as_read < 0.5 and float(_holds(other, tight).mean()) > 0.9 and fit > _FITS
        # Near the first pixel, corners and a corner with width and height are much the same.
        better = fit > as_read + _BETTER and (name != CORNERS or fit > 2 * as_read)
        if (cuts or better) and fit > best_fit:
            best, best_fit = name, fit
    if not best:
        return None
    return (
        f"boxes look like {best} (overlap with the points {best_fit:.2f}, read as {numbers}"
        f" {as_read:.2f}); write {numbers}, or take boxes: ground_truth"
    )


def _holds(box: Floats, tight: Floats) -> Bools:
    """(n,) whether boxes (n, 4) hold others but for a fiftieth of their sides."""
    edge = 0.02 * (tight[:, 2:] - tight[:, :2])
    low, high = box[:, :2] <= tight[:, :2] + edge, box[:, 2:] >= tight[:, 2:] - edge
    return np.asarray((low & high).all(1))


def box_form(box: Floats, tight: Floats) -> str | None:
    """The form, other than corners, in which a box (4,) fits the box around the points best."""
    fits = {
        name: float(_overlap(np.array([corners(box)], np.float64), tight[None])[0])
        for name, corners in _FORMS.items()
    }
    best = max(fits, key=lambda name: fits[name])
    return best if fits[best] > _FITS else None


def _overlap(a: Floats, b: Floats) -> Floats:
    """Intersection over union of boxes (n, 4)."""
    sides = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    shared = sides.clip(0).prod(1)
    areas = (a[:, 2:] - a[:, :2]).clip(0).prod(1) + (b[:, 2:] - b[:, :2]).clip(0).prod(1)
    return np.asarray(shared / np.maximum(areas - shared, 1e-9))


def _name_groups(point_names: Sequence[str]) -> dict[str, list[int]]:
    """Points of the upper and lower face and of the right and left side, by their names."""
    groups: dict[str, list[int]] = {"upper": [], "lower": [], "right": [], "left": []}
    for k, name in enumerate(point_names):
        parts = {part.lower() for part in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)}
        if parts & _UPPER:
            groups["upper"].append(k)
        elif parts & _LOWER:
            groups["lower"].append(k)
        for side in ("right", "left"):
            if side in parts:
                groups[side].append(k)
    return groups


def _means(index: FaceIndex, numbers: list[int]) -> Floats:
    """(n, 2) mean of some annotated points; NaN where a face has none of them."""
    annotated = index.mask[:, numbers, None]
    total = np.where(annotated, index.points[:, numbers], 0).sum(1, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        return np.asarray(total / annotated.sum(1))
