"""A sweep file: the whole study in one YAML, checked before anything runs.

name: smoke
base: [../configs/quick.yaml]            # argument files of every trial; paths start here
objective: val/nme                       # a logged metric; its direction is the metric's own
constraints: ["compute/mma <= 40"]       # any number; metric, <= or >=, limit
space:                                   # dotted setting: what it may be
model.init_args.optimizer.init_args.lr: {float: [1.0e-4, 1.0e-2], log: true}
data.init_args.frame_size: {choice: [64, 96, 128]}
methods:                                 # optional: one is chosen, with a space of its own
small: {base: [../configs/mobilenet.yaml], space: {model.init_args.dropout: {float: [0, 0.5]}}}
settings: {trainer.max_epochs: 3}        # fixed for all trials
sampler: {class: TPESampler, arguments: {seed: 0}}
pruner: {class: MedianPruner}
trials: 20                               # total, over all workers and resumes
hours: null                              # stop asking for new trials after so long
storage: journal                         # a file beside the trials, or postgresql://...
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
import yaml

from lit_landmarks.errors import UserError
from lit_landmarks.metrics import higher_is_better

#: Keys of a sweep file, and whether each must be there.
KEYS = {
    "name": True, "base": False, "objective": False, "constraints": False, "space": False,
    "methods": False, "settings": False, "sampler": False, "pruner": False, "trials": True,
    "hours": False, "storage": False,
}  # fmt: skip
#: The parameter that chooses among `methods`.
METHOD = "method"
_CONSTRAINT = re.compile(r"\s*(\S+)\s*(<=|>=)\s*(\S+)\s*")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class Parameter:
    """One searched setting.

    Attributes:
        key: dotted name, such as `data.init_args.frame_size`.
        kind: "float", "int" or "choice".
        low, high: ends of a range.
        log: search on a logarithmic scale.
        step: of an int range.
        choices: of "choice".
    """

    key: str
    kind: str
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    step: int = 1
    choices: tuple[Any, ...] = ()

    def suggest(self, trial: optuna.Trial, prefix: str = "") -> Any:
        """Ask a trial for a value; `prefix` keeps parameters of different methods apart."""
        name = prefix + self.key
        if self.kind == "float":
            return trial.suggest_float(name, self.low, self.high, log=self.log)
        if self.kind == "int":
            low, high = int(self.low), int(self.high)
            step = 1 if self.log else self.step
            return trial.suggest_int(name, low, high, log=self.log, step=step)
        # Optuna keeps plain scalars; lists and dicts are chosen by their YAML text.
        texts = [c if _plain(c) else yaml.safe_dump(c, default_flow_style=True).strip()
                 for c in self.choices]  # fmt: skip
        return self.choices[texts.index(trial.suggest_categorical(name, texts))]


@dataclass(frozen=True)
class Constraint:
    """A metric and its limit."""

    metric: str
    at_most: bool
    limit: float

    def violation(self, value: float) -> float:
        """How far `value` is beyond the limit; 0 or less within it, infinite for NaN."""
        if math.isnan(value):
            return math.inf
        return value - self.limit if self.at_most else self.limit - value

    def __str__(self) -> str:
        return f"{self.metric} {'<=' if self.at_most else '>='} {self.limit:g}"


@dataclass(frozen=True)
class Branch:
    """A method of the search: its argument files and its own parameters."""

    base: tuple[Path, ...]
    space: tuple[Parameter, ...]


@dataclass(frozen=True)
class Sweep:
    """A checked sweep file; see the module's docstring."""

    name: str
    file: Path
    trials: int
    base: tuple[Path, ...] = ()
    objective: str = "val/nme"
    constraints: tuple[Constraint, ...] = ()
    space: tuple[Parameter, ...] = ()
    methods: Mapping[str, Branch] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    sampler: tuple[str, Mapping[str, Any]] = ("TPESampler", {})
    pruner: tuple[str, Mapping[str, Any]] = ("NopPruner", {})
    hours: float | None = None
    storage: str = "journal"

    @property
    def direction(self) -> str:
        """For Optuna: "minimize" or "maximize"."""
        return "maximize" if higher_is_better(self.objective) else "minimize"

    @property
    def worst(self) -> float:
        """The objective of a trial that was not trained."""
        return -math.inf if self.direction == "maximize" else math.inf


def read_sweep(path: Path) -> Sweep:
    """Reads and checks a sweep file.

    Raises:
        UserError: what is wrong, the file and the key named.
    """
    tree = _load(path)
    unknown = next((key for key in tree if key not in KEYS), None)
    if unknown is not None:
        close = difflib.get_close_matches(str(unknown), KEYS, 1)
        cure = f"did you mean {close[0]}?" if close else f"known: {', '.join(KEYS)}"
        raise UserError(f"{path}: unknown key '{unknown}'; {cure}")
    missing = next((key for key, needed in KEYS.items() if needed and key not in tree), None)
    if missing is not None:
        raise UserError(f"{path}: no '{missing}'; add it")
    read = _Reader(path)
    methods = {
        str(name): Branch(read.files(part.get("base", []), f"methods.{name}.base"),
                          read.space(part.get("space"), f"methods.{name}.space"))
        for name, part in read.mapping(tree.get("methods"), "methods").items()
        if read.only(part, ("base", "space"), f"methods.{name}")
    }  # fmt: skip
    base = read.files(tree.get("base", []), "base")
    if not base and not (methods and all(branch.base for branch in methods.values())):
        raise UserError(f"{path}: no base config; list argument files in 'base'")
    hours = tree.get("hours")
    sweep = Sweep(
        name=read.name(tree["name"]),
        file=path,
        trials=int(read.number(tree["trials"], "trials", whole=True, least=1)),
        base=base,
        objective=read.metric(str(tree.get("objective", "val/nme")), "objective"),
        constraints=tuple(read.constraint(c) for c in read.listed(tree.get("constraints"))),
        space=read.space(tree.get("space"), "space"),
        methods=methods,
        settings=read.mapping(tree.get("settings"), "settings"),
        sampler=read.made(tree.get("sampler"), "sampler", "TPESampler", optuna.samplers),
        pruner=read.made(tree.get("pruner"), "pruner", "NopPruner", optuna.pruners),
        hours=None if hours is None else read.number(hours, "hours", least=0.0),
        storage=read.storage(tree.get("storage", "journal")),
    )
    if not sweep.space and not sweep.methods:
        raise UserError(f"{path}: nothing to search; fill 'space' or 'methods'")
    return sweep


def with_absolute_bases(tree: dict[str, Any], here: Path) -> None:
    """Makes the argument files that a sweep file names independent of where it lies, in place.

    Args:
        tree: its content.
        here: its folder.
    """
    for part in (tree, *(tree.get("methods") or {}).values()):
        if "base" in part:
            names = [part["base"]] if isinstance(part["base"], str) else part["base"]
            part["base"] = [str((here / name).resolve()) for name in names]


def _load(path: Path) -> dict[str, Any]:
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"no sweep file {path}; see sweeps/") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"cannot read {path}; give a sweep file such as sweeps/smoke.yaml"
        ) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise UserError(f"{where} is not YAML; mend that row") from error
    if not isinstance(tree, dict):
        raise UserError(f"{path} holds no study; write `key: value` rows (see sweeps/)")
    return tree


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str)


class _Reader:
    """Reads parts of the file at `path`; every complaint names it and the key."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def fail(self, key: str, told: str) -> UserError:
        return UserError(f"{self.path}: {key} {told}")

    def mapping(self, value: Any, key: str) -> dict[str, Any]:
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self.fail(key, "is no mapping; write `key: value` rows")
        return value

    def only(self, value: Any, known: tuple[str, ...], key: str) -> bool:
        part = self.mapping(value, key)
        wrong = next((k for k in part if k not in known), None)
        if wrong is not None:
            raise self.fail(f"{key}.{wrong}", f"is unknown; known: {', '.join(known)}")
        return True

    def listed(self, value: Any) -> list[str]:
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.fail("constraints", 'is no list; write ["compute/mma <= 100"]')
        return [str(item) for item in value]

    def name(self, value: Any) -> str:
        text = str(value)
        if not _NAME.fullmatch(text):
            raise self.fail("name", f"'{text}' is no name; use letters, digits, -, _ and .")
        return text

    def number(
        self, value: Any, key: str, *, whole: bool = False, least: float = -math.inf
    ) -> float:
        fits = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
        if not fits or not math.isfinite(value) or value < least:
            kind = "whole number" if whole else "number"
            told = f" of {least:g} or more" if math.isfinite(least) else ""
            raise self.fail(key, f"is {value!r}; give a {kind}{told}")
        return float(value)

    def files(self, value: Any, key: str) -> tuple[Path, ...]:
        names = [value] if isinstance(value, str) else value
        if not isinstance(names, list):
            raise self.fail(key, "is no list of argument files")
        found = tuple((self.path.parent / str(name)).resolve() for name in names)
        gone = next((file for file in found if not file.is_file()), None)
        if gone is not None:
            raise self.fail(key, f"names {gone}, which is not there; correct the path")
        return found

    def metric(self, key: str, where: str) -> str:
        try:
            higher_is_better(key)
        except UserError as error:
            raise self.fail(where, f"'{key}' is no metric that a run logs; {error}") from error
        return key

    def constraint(self, text: str) -> Constraint:
        found = _CONSTRAINT.fullmatch(text)
        try:
            limit = float(found[3]) if found else math.nan
        except ValueError:
            limit = math.nan
        if not found or not math.isfinite(limit):
            raise self.fail("constraints", f"'{text}' is none; write 'compute/mma <= 100'")
        return Constraint(self.metric(found[1], "constraints"), found[2] == "<=", limit)

    def storage(self, value: Any) -> str:
        text = str(value)
        if text != "journal" and "://" not in text:
            raise self.fail("storage", f"is '{text}'; write journal, or a URL: postgresql://...")
        if text.startswith("sqlite"):
            raise self.fail("storage", "is SQLite, which breaks when shared; write journal")
        return text

    def made(self, value: Any, key: str, default: str, module: Any) -> tuple[str, dict[str, Any]]:
        part = self.mapping(value, key)
        self.only(part, ("class", "arguments"), key)
        name = str(part.get("class", default))
        if not hasattr(module, name):
            raise self.fail(f"{key}.class", f"'{name}' is unknown to {module.__name__}")
        arguments = self.mapping(part.get("arguments"), f"{key}.arguments")
        try:
            getattr(module, name)(**arguments)
        except (TypeError, ValueError) as error:
            told = str(error).splitlines()[0]
            raise self.fail(f"{key}.arguments", f"do not fit {name}: {told}") from error
        return name, arguments

    def space(self, value: Any, key: str) -> tuple[Parameter, ...]:
        return tuple(
            self.parameter(str(name), part, f"{key}.{name}")
            for name, part in self.mapping(value, key).items()
        )

    def parameter(self, name: str, part: Any, key: str) -> Parameter:
        part = self.mapping(part, key)
        self.only(part, ("float", "int", "choice", "log", "step"), key)
        kinds = [kind for kind in ("float", "int", "choice") if kind in part]
        if len(kinds) != 1:
            raise self.fail(key, "needs one of float: [low, high], int: [low, high], choice: [...]")
        kind, ends = kinds[0], part[kinds[0]]
        if not isinstance(ends, list) or not ends:
            raise self.fail(key, f"has an empty range or list; give {kind}: [...]")
        if kind == "choice":
            return Parameter(name, kind, choices=tuple(ends))
        if len(ends) != 2:
            raise self.fail(key, f"has {len(ends)} ends; give {kind}: [low, high]")
        low, high = (self.number(end, key, whole=kind == "int") for end in ends)
        if low > high:
            raise self.fail(key, f"is an empty range, {ends[0]} to {ends[1]}; swap them")
        log = part.get("log", False)
        if not isinstance(log, bool):
            raise self.fail(key, f"has log {log!r}; write true or false")
        if log and low <= 0:
            raise self.fail(key, "is on a logarithmic scale, so both ends must be above 0")
        step = int(self.number(part.get("step", 1), f"{key}.step", whole=True, least=1))
        return Parameter(name, kind, low, high, log, step)
