"""A landmark scheme from what an annotation tool writes: names of points and lines between them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence

from lit_landmarks.errors import UserError
from lit_landmarks.schemes.base import LandmarkScheme, Polyline
from lit_landmarks.schemes.registry import SCHEMES, get_scheme, is_built_in, register_scheme

_SIDES = {"left": "right", "right": "left", "l": "r", "r": "l"}
#: Parts of a name: runs of capitals, capitalized or plain words, numbers.
_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_A-Za-z]+")


def scheme_from_names(
    name: str, point_names: Sequence[str], edges: Iterable[tuple[int, int]], wanted: str | None
) -> LandmarkScheme:
    """The scheme of an annotation file, registered.

    Args:
        name: what the file calls its objects; the scheme's name if nothing else is wanted.
        point_names: names of the points, in the order of the file.
        edges: pairs of point numbers from 0 that the file's skeleton joins.
        wanted: a known scheme whose points these are, in its order or by its names; or the name
            for a new scheme; or None.

    Returns:
        A built-in scheme if the names are exactly its names or `wanted` says so, else a new one:
        mirror pairs by the words left and right in the names, one polyline for each path of edges.

    Raises:
        UserError: `wanted` has another number of points, or the name is taken by other points.
    """
    names = tuple(point_names)
    if wanted is not None and wanted in SCHEMES and is_built_in(wanted):
        scheme = get_scheme(wanted)
        if scheme.n_points != len(names):
            raise UserError(
                f"scheme {wanted!r} has {scheme.n_points} points, the file names {len(names)};"
                " choose another scheme, or a new name for the points of the file"
            )
        return scheme
    if wanted is None:
        for scheme in SCHEMES.values():
            if scheme.point_names == names and is_built_in(scheme.name):
                return scheme
    paths = chain_edges(edges)
    return register_scheme(
        LandmarkScheme(
            name=wanted or _scheme_name(name, names),
            n_points=len(names),
            point_names=names,
            flip=mirror_pairs(names),
            polylines={f"line{k}": path for k, path in enumerate(paths)},
            eye_corners=(0, 0),
            pupil_groups=((0,), (0,)),
            contour=(),
            inner=tuple(range(len(names))),
            source="declared by the user",
        )
    )


def mirror_pairs(point_names: Sequence[str]) -> tuple[int, ...] | None:
    """The mirror point of each point by its name; None if the names do not tell it.

    `left_eye`, `Left Eye`, `leftEye`, `eye.L`, `l_eye` and `lefteye` are all mirrored by the same
    name with the other side. Points without a side lie on the middle line.

    Example:
        >>> mirror_pairs(["leftEye", "rightEye", "nose tip"])
        (1, 0, 2)
        >>> mirror_pairs(["0", "1", "2"]) is None
        True
    """
    places = {_parts(name): i for i, name in enumerate(point_names)}
    if len(places) != len(point_names):
        return None
    pairs: list[int] = []
    for i, name in enumerate(point_names):
        parts = _parts(name)
        partners = [p for p in _mirrored(parts) if p in places]
        if partners:
            pairs.append(places[partners[0]])
        elif {"left", "right"} & set(parts):
            return None  # its partner is missing
        else:
            pairs.append(i)
    is_mirror = all(pairs[j] == i for i, j in enumerate(pairs))
    return tuple(pairs) if is_mirror and pairs != list(range(len(pairs))) else None


def chain_edges(edges: Iterable[tuple[int, int]]) -> list[Polyline]:
    """Polylines that draw every edge once: paths between ends and branches, then closed loops.

    Example:
        >>> chain_edges([(0, 1), (1, 2), (5, 6), (6, 7), (7, 5)])
        [((0, 1, 2), False), ((5, 6, 7), True)]
    """
    left = {frozenset(edge): None for edge in edges if edge[0] != edge[1]}
    neighbors: dict[int, list[int]] = {}
    for edge in left:
        a, b = sorted(edge)
        neighbors.setdefault(a, []).append(b)
        neighbors.setdefault(b, []).append(a)
    ends = [v for v in sorted(neighbors) if len(neighbors[v]) != 2]
    paths: list[Polyline] = []
    for start in [*ends, *sorted(neighbors)]:
        for first in sorted(neighbors[start]):
            path, vertex = [start], first
            while frozenset((path[-1], vertex)) in left:
                del left[frozenset((path[-1], vertex))]
                path.append(vertex)
                onward = [v for v in neighbors[vertex] if frozenset((vertex, v)) in left]
                if len(neighbors[vertex]) != 2 or not onward:
                    break
                vertex = onward[0]
            if len(path) > 1:
                closed = path[0] == path[-1]
                paths.append((tuple(path[:-1] if closed else path), closed))
    return paths


def _scheme_name(label: str, names: tuple[str, ...]) -> str:
    """Label, number of points and a code of their names: files with the same points share it."""
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "_", label)[:40] or "face"
    code = hashlib.sha256("\0".join(names).encode()).hexdigest()[:4]
    return f"{plain}{len(names)}_{code}"


def _parts(name: str) -> tuple[str, ...]:
    return tuple(part.lower() for part in _PARTS.findall(name))


def _mirrored(parts: tuple[str, ...]) -> list[tuple[str, ...]]:
    """What the mirror point may be called: a whole word changed first, then a part of a word."""
    whole = tuple(_SIDES.get(part, part) for part in parts)
    candidates = [whole] if whole != parts else []
    for k, part in enumerate(parts):
        for side in ("left", "right"):
            other = _SIDES[side]
            if part != side and part.startswith(side):
                glued = other + part.removeprefix(side)
            elif part != side and part.endswith(side):
                glued = part.removesuffix(side) + other
            else:
                continue
            candidates.append((*parts[:k], glued, *parts[k + 1 :]))
    return candidates
