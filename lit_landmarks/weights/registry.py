"""Tables of trained weights, and the files that they name; read without torch.

A registry is a folder with `weights.yaml` and checkpoint files beside it:

    weights:
      musica-68-synthetic:
        file: musica-68-synthetic.ckpt
        sha256: 9f86d08...
        method: MuSiCa
        scheme: ibug68
        crop: {size: 128, kind: tight, scale: 1.35}
        licence: MIT
        trained_on: [IctFaces]
        command: python -m lit_landmarks fit --config configs/pretrain_heads.yaml
        commit: 1a2b3c4d5e
        date: '2026-11-29'
        parameters: 4593627
        mma: 74.8
        precision: float16
        nme:
        - {set: test/afw, boxes: ground_truth, norm: interocular, faces: 337, nme: 5.9, inner: 4.4}
"""

from __future__ import annotations

import difflib
import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from lit_landmarks.documents import parse_yaml
from lit_landmarks.errors import UserError
from lit_landmarks.files import write_atomic

#: Name of a registry's table.
TABLE = "weights.yaml"
#: Variable with folders of registries of one's own, separated as in `PATH`; they come first.
VARIABLE = "LIT_LANDMARKS_WEIGHTS"
_HEADER = (
    "# Trained weights in this folder. Write with `python -m lit_landmarks weights add`, not by"
    " hand.\n"
)
#: Names are file names on every system, and are no paths.
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


@dataclass(frozen=True)
class MeasuredNme:
    """Accuracy of weights on one data set, of the file as it is stored.

    Attributes:
        set: role and name of the data set, such as "test/afw".
        boxes: kind of face boxes: ground_truth (tight about the labels), annotated or detector.
        norm: of the NME, the data set's primary one.
        faces: number of faces.
        nme: percent.
        inner: NME in percent of the points that are not on the jaw line; None where there are none.
    """

    set: str
    boxes: str
    norm: str
    faces: int
    nme: float
    inner: float | None = None

    def describe(self) -> str:
        """The figure in a few words.

        Example:
            >>> MeasuredNme("test/afw", "detector", "interocular", 337, 6.01).describe()
            '6.01 % on test/afw (337 faces, detector boxes, interocular)'
        """
        boxes = self.boxes.replace("_", "-")
        return f"{self.nme:.2f} % on {self.set} ({self.faces:,} faces, {boxes} boxes, {self.norm})"


@dataclass(frozen=True)
class Weights:
    """Entry of a registry: trained weights of one method.

    Attributes:
        name: under which they are loaded.
        file: name of the checkpoint file, beside the table.
        sha256: of the file.
        method: class of the method.
        scheme: of its points; None for a method that is asked for points.
        crop: size, kind and scale of the crops that it was trained on (`CropSpec`).
        licence: terms of use of the weights.
        trained_on: classes of the training data sets.
        command: that trained them.
        commit, date: of the code, and of the end of the training.
        parameters: number of parameters.
        mma: multiply-adds of a face in millions.
        precision: in which large tensors are stored: int8, float16 or float32.
        nme: measured accuracy.
        folder: of the registry.
    """

    name: str
    file: str
    sha256: str
    method: str
    scheme: str | None
    crop: Mapping[str, Any]
    licence: str
    trained_on: tuple[str, ...]
    command: str
    commit: str
    date: str
    parameters: int
    mma: float
    precision: str
    nme: tuple[MeasuredNme, ...]
    folder: Path = field(default=Path(), compare=False)

    @property
    def path(self) -> Path:
        """The checkpoint file."""
        return self.folder / self.file

    def describe(self) -> str:
        """Method, points, cost, accuracy and licence in one line."""
        figures = "; ".join(item.describe() for item in self.nme) or "no accuracy measured"
        crop = f"{self.crop['size']} px {self.crop['kind']}"
        return (
            f"{self.method}, {self.scheme or 'any points'}, {crop}, {self.mma:.1f} MMA, "
            f"{self.parameters / 1e6:.1f} M parameters; NME {figures}; licence: {self.licence}"
        )


def shipped_folder() -> Path:
    """The registry inside the package."""
    return Path(__file__).resolve().parent


def list_registries() -> list[Path]:
    """Folders of registries in the order in which a name is looked up: one's own, the package's."""
    own = os.environ.get(VARIABLE, "")
    folders = [Path(part).expanduser() for part in own.split(os.pathsep) if part]
    return [*folders, shipped_folder()]


def list_weights() -> dict[str, Weights]:
    """Every entry of every registry by name; the first registry that has a name wins.

    Raises:
        UserError: a registry that `$LIT_LANDMARKS_WEIGHTS` names cannot be read.
    """
    entries: dict[str, Weights] = {}
    for folder in list_registries():
        for name, entry in read_table(folder).items():
            entries.setdefault(name, entry)
    return entries


def find_weights(name: str) -> Weights | None:
    """The entry of this name; None if no registry has it."""
    return list_weights().get(name) if _NAME.fullmatch(name) else None


def locate_weights(entry: Weights) -> Path:
    """The file of an entry, after its checksum was compared.

    Raises:
        UserError: the file is missing or is another one than was measured.
    """
    try:
        digest = hashlib.sha256(entry.path.read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(
            f"no file {entry.path} for the weights {entry.name!r} of {entry.folder / TABLE};"
            " restore it, or install the package again"
        ) from error
    if digest != entry.sha256:
        raise UserError(
            f"{entry.path} is damaged or another file: its SHA-256 begins {digest[:12]}, that of"
            f" {entry.name!r} in {TABLE} {entry.sha256[:12]}; restore the file, or install the"
            " package again"
        )
    return entry.path


def describe_unknown_weights(name: str) -> str:
    """The cure for a name that no registry has: those that there are, and the closest."""
    names = list(list_weights())
    if not names:
        return (
            "no weights are registered yet: train a model (`fit`), or name a folder of weights in"
            f" ${VARIABLE}"
        )
    close = difflib.get_close_matches(name, names, n=1)
    listed = f"weights by name: {', '.join(names)}"
    return f"{listed}; did you mean {close[0]}?" if close else listed


def read_table(folder: Path) -> dict[str, Weights]:
    """The entries of one registry by name.

    Raises:
        UserError: no table there, or an entry lacks a field, has an unknown one or a bad one.
    """
    path = folder / TABLE
    try:
        content = parse_yaml(path.read_text(encoding="utf-8"), path)
    except FileNotFoundError as error:
        raise UserError(
            f"no {TABLE} in {folder}; make one with `weights add RUN --name NAME --to {folder}`, or"
            f" correct ${VARIABLE}"
        ) from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(
            f"{path} cannot be read ({' '.join(str(error).split())}); correct it"
        ) from error
    rows = content.get("weights") if isinstance(content, dict) else None
    if not isinstance(rows, dict):
        raise UserError(f"{path} has no mapping `weights` of names to entries; correct it")
    return {str(name): _read_entry(str(name), row, folder) for name, row in rows.items()}


def write_table(folder: Path, entries: Mapping[str, Weights]) -> None:
    """Write the table of a registry."""
    rows: dict[str, Any] = {}
    for name, entry in entries.items():
        row = asdict(entry)
        del row["name"], row["folder"]
        row["crop"], row["trained_on"] = dict(entry.crop), list(entry.trained_on)
        row["nme"] = [
            {k: v for k, v in asdict(item).items() if v is not None} for item in entry.nme
        ]
        rows[name] = row
    text = yaml.safe_dump({"weights": rows}, sort_keys=False, allow_unicode=True, width=100)
    write_atomic(folder / TABLE, _HEADER + text)


def check_name(name: str) -> None:
    """Refuse a name that could be taken for a path, or that not every file system has.

    Raises:
        UserError: with the characters that a name may have.
    """
    if not _NAME.fullmatch(name):
        raise UserError(
            f"{name!r} is no name for weights; use lower-case letters, digits, '-', '.' and '_'"
        )


def _read_entry(name: str, row: Any, folder: Path) -> Weights:
    where = f"{folder / TABLE}, {name}"
    check_name(name)
    wanted = {f.name for f in fields(Weights)} - {"name", "folder"}
    if not isinstance(row, dict) or set(row) != wanted:
        given = set(row) if isinstance(row, dict) else set()
        odd = ", ".join(sorted(map(str, given - wanted))) or "none"
        lacking = ", ".join(sorted(wanted - given)) or "none"
        raise UserError(
            f"{where}: unknown fields: {odd}, missing fields: {lacking}; correct the entry"
        )
    if Path(str(row["file"])).name != row["file"]:
        raise UserError(f"{where}: file {row['file']!r} is no name of a file beside it; correct it")
    try:
        figures = tuple(MeasuredNme(**item) for item in row["nme"])
        crop = {key: row["crop"][key] for key in ("size", "kind", "scale")}
        if not isinstance(row["trained_on"], list):
            raise TypeError("trained_on is no list of data sets")
        numbers = {"parameters": int(row["parameters"]), "mma": float(row["mma"])}
    except (TypeError, ValueError, KeyError) as error:
        raise UserError(f"{where}: a bad value ({error}); correct the entry") from error
    more: dict[str, Any] = {
        "nme": figures,
        "crop": crop,
        "trained_on": tuple(row["trained_on"]),
        **numbers,
    }
    return Weights(**{**row, **more, "name": name, "folder": folder})
