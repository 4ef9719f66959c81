"""Faces that training and evaluation sets share: same pixels, nearly the same, photo or person."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lit_landmarks.data.index import FaceDataset

#: Rows and columns of the gradient signs that describe a picture.
_CELLS = 16
#: Pictures that differ in fewer of the 512 signs are called nearly the same. Among 1,195 photos of
#: 300W, WFLW, AFLW2000 and FaceSynthetics (713,415 pairs) 12 lie below 70, and the five of them
#: that were looked at show the same scene; half the size moves up to 17 signs, JPEG of
#: quality 30 up to 35.
NEARLY_SAME = 64
_BLOCK = 256
#: Names as in Labeled Faces in the Wild: the person, each part with a capital, and four digits.
_PERSON = re.compile(r"([A-Z][\w'.]*?(?:_[A-Z][\w'.]*?)+)_\d{4}")


@dataclass(frozen=True)
class Fingerprint:
    """What tells that two pictures are the same.

    Attributes:
        pixels: hash of the decoded pixels.
        signs: (64,) uint8, signs of horizontal and vertical differences of a small grey copy,
            which survive resizing and compression.
    """

    pixels: str
    signs: NDArray[np.uint8]


@dataclass
class CheckedSet:
    """A data set and the fingerprints of its pictures by path.

    Attributes:
        name: as it is told.
        trains: it is trained on; the others evaluate.
        dataset: the data set, checked before.
        fingerprints: of each picture that could be decoded.
    """

    name: str
    trains: bool
    dataset: FaceDataset
    fingerprints: dict[str, Fingerprint] = field(default_factory=dict)


def fingerprint(image: NDArray[np.uint8]) -> Fingerprint:
    """The fingerprint of a picture (H, W, 3)."""
    digest = hashlib.sha256(repr(image.shape).encode() + np.ascontiguousarray(image).tobytes())
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (_CELLS + 1, _CELLS + 1), interpolation=cv2.INTER_AREA).astype(int)
    across, down = np.diff(small, axis=1)[:-1], np.diff(small, axis=0)[:, :-1]
    signs = np.packbits(np.stack([across, down]) > 0)
    return Fingerprint(digest.hexdigest(), np.asarray(signs, np.uint8))


def describe_shared(sets: Sequence[CheckedSet]) -> list[str]:
    """One line for each way in which a training set and an evaluation set share faces."""
    lines = []
    for train in (s for s in sets if s.trains):
        for other in (s for s in sets if not s.trains):
            for count, what, one, two in _shared(train, other):
                lines.append(
                    f"{train.name} and {other.name} share {count} {what}, such as {one} and {two}:"
                    " figures of the second will be too good; leave them out of one"
                )
    return lines


def _shared(train: CheckedSet, other: CheckedSet) -> list[tuple[int, str, str, str]]:
    """Counts of what two sets share, with one example each."""
    pairs = []
    hashes = {print_.pixels: path for path, print_ in train.fingerprints.items()}
    same = {p: hashes[f.pixels] for p, f in other.fingerprints.items() if f.pixels in hashes}
    if same:
        path = next(iter(same))
        pairs.append((len(same), "pictures with the same pixels", same[path], path))
    near = {p: q for p, q in _nearly_same(train, other).items() if p not in same}
    if near:
        path = next(iter(near))
        pairs.append((len(near), "pictures that look nearly the same", near[path], path))
    for kind, ours, theirs in (
        ("photos by name", train.dataset.photo_names(), other.dataset.photo_names()),
        ("people by name", person_names(train.dataset), person_names(other.dataset)),
    ):
        both = sorted({n for n in ours if n} & {n for n in theirs if n})
        if both:
            one = train.dataset.index().paths[ours.index(both[0])]
            two = other.dataset.index().paths[theirs.index(both[0])]
            pairs.append((len(both), kind, one, two))
    return pairs


def _nearly_same(train: CheckedSet, other: CheckedSet) -> dict[str, str]:
    """Pictures of `other` -> the picture of `train` that looks nearly the same."""
    near: dict[str, str] = {}
    ours, theirs = list(train.fingerprints), list(other.fingerprints)
    if not ours:
        return near
    signs = np.stack([train.fingerprints[path].signs for path in ours]).view(np.uint64)
    for start in range(0, len(theirs), _BLOCK):
        block = theirs[start : start + _BLOCK]
        rows = np.stack([other.fingerprints[path].signs for path in block]).view(np.uint64)
        apart = np.zeros((len(rows), len(signs)), np.uint16)
        for k in range(rows.shape[1]):
            apart += np.bitwise_count(rows[:, k, None] ^ signs[None, :, k])
        best = apart.argmin(1)
        for i, path in enumerate(block):
            if apart[i, best[i]] < NEARLY_SAME:
                near[path] = ours[best[i]]
    return near


def person_names(dataset: FaceDataset) -> list[str]:
    """The person of each face, "" where neither the data set nor the file's name tells it."""
    names = dataset.person_names()
    if any(names):
        return names
    matches = [_PERSON.fullmatch(Path(path).stem) for path in dataset.index().paths]
    return [match[1] if match else "" for match in matches] or names
