"""Which data sets lie below a folder: by the files that only one published layout has.

A new reader adds one row to `RULES`; without it `data check --all` does not see its folders.
"""

from __future__ import annotations

import typing
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lit_landmarks.data.index import DATASETS, FaceDataset
from lit_landmarks.data.readers.hdf5 import Hdf5
from lit_landmarks.errors import UserError

#: Folders are searched so deep below the one that is asked for.
_DEPTH = 5
#: Faces of a head file that are rendered.
_RENDERED = 64
#: Arrays that an ICT FaceKit head file has.
_HEAD = {"mean", "quads", "identity", "expression"}


@dataclass(frozen=True)
class Rule:
    """How a data set is known.

    Attributes:
        dataset: its class in `DATASETS`.
        marks: glob patterns below its root; one that matches is enough.
        splits: `split` argument -> patterns of which one must match for the split to be there; a
            reader that takes `split` and is not listed so is tried with all of its values.
        covers: names of the folders that it reads; empty if it reads all of them.
    """

    dataset: str
    marks: tuple[str, ...]
    splits: dict[str, tuple[str, ...]] = field(default_factory=dict)
    covers: tuple[str, ...] = ()


_LISTS = "WFLW_annotations/list_98pt_rect_attr_train_test/list_98pt_rect_attr_"
_MERL = ("frontal", "lefthalf", "righthalf", "left", "right")


def _merl(split: str) -> tuple[str, ...]:
    views = (f"{view}/{split}set/*.pts" for view in _MERL)
    return tuple(above + view for view in views for above in ("", "merl_rav_organized/"))


#: In the order in which they are tried; the rows of one folder that match are all taken, but the
#: last, most general ones only if nothing else matched.
RULES: tuple[Rule, ...] = (
    Rule("Wflw", (f"{_LISTS}*.txt",),
         {split: (f"{_LISTS}{split}.txt",) for split in ("train", "test")}),
    Rule("Cofw", ("COFW_*_color.mat", "COFW*/COFW_*_color.mat"),
         {split: (f"COFW_{split}_color.mat", f"COFW*/COFW_{split}_color.mat")
          for split in ("train", "test")}),
    Rule("Cofw68", ("COFW68_Data/test_annotations/*_points.mat",
                    "cofw68-benchmark*/COFW68_Data/test_annotations/*_points.mat")),
    Rule("Aflw19", ("AFLWinfo_release.mat",)),
    Rule("MerlRav", _merl("train") + _merl("test"),
         {split: _merl(split) for split in ("train", "test")}),
    Rule("Lp300W", tuple(f"{above}{name}/{name}_*.mat" for above in ("", "300W_LP/")
                         for name in ("AFW", "HELEN", "IBUG", "LFPW"))),
    Rule("Aflw2000", ("image[0-9]*.mat", "AFLW2000/image[0-9]*.mat")),
    Rule("LaPa", ("*/landmarks/*.txt", "LaPa/*/landmarks/*.txt"),
         {split: (f"{split}/landmarks/*.txt", f"LaPa/{split}/landmarks/*.txt")
          for split in ("train", "val", "test")}),
    Rule("FaceSynthetics", ("*_ldmks.txt",)),
    Rule("YouTubeFaces", ("*_frames_keypoints.csv",),
         {"train": ("train_*keypoints.csv", "training_*keypoints.csv"),
          "val": ("val_*keypoints.csv",), "test": ("test_*keypoints.csv",)}),
    Rule("PositionMaps", ("layout/uv_kpt_ind.txt",)),
    Rule("Ibug300W", ("01_Indoor/*.pts", "02_Outdoor/*.pts", "300W/01_Indoor/*.pts")),
    Rule("Ibug300W", tuple(f"{name}{deeper}/*.pts" for name in ("helen", "lfpw", "afw", "ibug")
                           for deeper in ("", "/*")), covers=("helen", "lfpw", "afw", "ibug")),
    Rule("JsonFaces", ("faces.json",)),
)  # fmt: skip
_GENERAL: tuple[Rule, ...] = (Rule("Ibug300W", ("*.pts",)),)


def walk(root: Path) -> Iterator[tuple[str, FaceDataset]]:
    """Every data set below a folder, with its split; a name and the data set each.

    Names are unique, of the folder below `root` and the split: "wflw_test".

    Raises:
        UserError: `root` is no folder.
    """
    if not root.is_dir():
        raise UserError(f"no folder {root}; correct the path")
    taken: set[str] = set()
    for place, dataset in _below(root, 0):
        parts = place.relative_to(root).parts or (root.resolve().name,)
        if place.is_file():
            parts = (*parts[:-1], place.stem)
        split = getattr(dataset, "split", None)
        name = "_".join((*parts, *([str(split)] if split is not None else [])))
        if name in taken:
            name += f"_{type(dataset).__name__.lower()}"
        taken.add(name)
        yield name, dataset


def unrecognised(root: Path) -> list[Path]:
    """Folders right below `root` that hold no data set that is known."""
    folders = [f for f in sorted(root.iterdir()) if f.is_dir() and not f.name.startswith(".")]
    return [] if _matches(root) else [f for f in folders if not any(True for _ in _below(f, 1))]


def _matches(folder: Path) -> list[Rule]:
    """The rules that a folder fulfils."""

    def there(rule: Rule) -> bool:
        return rule.dataset in DATASETS and _any(folder, rule.marks)

    return [r for r in RULES if there(r)] or [r for r in _GENERAL if there(r)]


def _any(folder: Path, patterns: tuple[str, ...]) -> bool:
    return any(True for pattern in patterns for _ in folder.glob(pattern))


def _pictures_only(file: Path) -> bool:
    """True for a COFW file without its own 29 points, as a copy of COFW68 may have."""
    try:
        with Hdf5(file) as opened:
            return not any(name.startswith("phis") for name in opened)
    except UserError:
        return False


def _below(folder: Path, depth: int) -> Iterator[tuple[Path, FaceDataset]]:
    rules = _matches(folder)
    for rule in rules:
        for arguments in _arguments(rule, folder):
            yield folder, _made(rule.dataset, root=str(folder), **arguments)
    for file in sorted(folder.glob("*.npz")):
        if "IctFaces" in DATASETS and _is_head(file):
            yield file, _made("IctFaces", head=str(file), n=_RENDERED)
    covered = {name for rule in rules for name in rule.covers}
    if (rules and not covered) or depth >= _DEPTH:
        return
    for child in sorted(folder.iterdir()):
        if child.is_dir() and child.name not in covered and not child.name.startswith("."):
            yield from _below(child, depth + 1)


def _made(name: str, **arguments: Any) -> FaceDataset:
    maker: Any = DATASETS[name]
    made: FaceDataset = maker(**arguments)
    return made


def _arguments(rule: Rule, folder: Path) -> Iterator[dict[str, str]]:
    """The `split` arguments for which there are files."""
    if rule.splits:
        for split, marks in rule.splits.items():
            files = [file for mark in marks for file in folder.glob(mark)]
            if files and not (rule.dataset == "Cofw" and all(map(_pictures_only, files))):
                yield {"split": split}
        return
    hints = typing.get_type_hints(DATASETS[rule.dataset].__init__)
    values = [v for v in typing.get_args(hints.get("split")) if isinstance(v, str)]
    yield from ({"split": v} for v in values) if values else ({},)


def _is_head(file: Path) -> bool:
    """True for a morphable head in our format; reads the names of its arrays only."""
    try:
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as arrays:
            return set(arrays.files) >= _HEAD
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError):
        return False
