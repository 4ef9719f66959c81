"""Reading a sweep file: the whole study in one YAML, checked before anything runs.

README.md beside this module explains every key. What needs the configs (whether a parameter exists,
whether a metric is logged) is checked in `checks.py`.
"""

from __future__ import annotations

import difflib
import inspect
import math
import re
import warnings
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import optuna

from lit_landmarks.errors import UserError, first_line
from lit_landmarks.reports.limits import Limit, check_metric, parse_limit
from lit_landmarks.search.enqueue import read_entries
from lit_landmarks.search.exhausted import check_sampler_space, disable_stop
from lit_landmarks.search.minimum import check_minimum
from lit_landmarks.search.space import METHOD, Branch, Parameter, Round, Sweep
from lit_landmarks.search.sweep_yaml import KEYS, load_sweep_tree
from lit_landmarks.settings.shipped import find_file, shipped_hint

__all__ = ["KEYS", "METHOD", "Branch", "Parameter", "Sweep", "read_sweep"]
#: Settings that the study sets itself for each fit.
_SET_BY_STUDY = (
    *("run", "resume", "config", "ckpt_path"),
    *("wandb.name", "wandb.group", "wandb.job_type"),
)
#: Databases that Optuna's storage is made for.
_DATABASES = ("postgresql", "mysql")
#: Samplers that refuse a study of several objectives.
_SINGLE_OBJECTIVE_SAMPLERS = ("CmaEsSampler",)
SEED = "seed_everything"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def read_sweep(path: Path) -> Sweep:
    """Reads and checks a sweep file.

    Args:
        path: the file, or the name of a shipped one such as "smoke".

    Raises:
        UserError: a bad value; the message names file and key.
    """
    path = find_file(path, "sweeps")
    tree = load_sweep_tree(path)
    read = _Reader(path)
    methods = read.methods(tree.get("methods"))
    base = read.files(tree.get("base", []), "base")
    if not base and not (methods and all(branch.base for branch in methods.values())):
        raise UserError(f"{path}: no base config; list argument files in 'base'")
    hours = tree.get("hours")
    objectives = read.objectives(tree.get("objective", "val/nme"))
    url, heartbeat, grace = read.storage(tree.get("storage", "journal"))
    sweep = Sweep(
        name=read.name(tree["name"]),
        file=path,
        trials=int(read.number(tree["trials"], "trials", whole=True, least=1)),
        base=base,
        objective=objectives[0],
        further=objectives[1:],
        constraints=tuple(
            read.constraint(c) for c in read.constraint_texts(tree.get("constraints"))
        ),
        space=read.space(tree.get("space"), "space"),
        methods=methods,
        settings=read.settings(tree.get("settings"), "settings"),
        refit=read.settings(tree.get("refit"), "refit"),
        seeds=read.seeds(tree.get("seeds")),
        sampler=read.optuna_class(tree.get("sampler"), "sampler"),
        pruner=read.optuna_class(tree.get("pruner"), "pruner"),
        hours=None if hours is None else read.number(hours, "hours", above=0.0),
        warm_start=read.folders(tree.get("warm_start"), "warm_start"),
        minimum=read.count(tree.get("minimum"), "minimum") or 0,
        trained=read.count(tree.get("trained"), "trained"),
        epochs=read.count(tree.get("epochs"), "epochs"),
        storage=url,
        heartbeat=heartbeat,
        grace=grace,
        keep=read.keep(tree.get("keep", "all")),
        rounds=read.rounds(tree.get("rounds")),
    )
    if not sweep.space and not sweep.methods:
        raise UserError(f"{path}: nothing to search; fill 'space' or 'methods'")
    _refuse_duplicates(sweep)
    _refuse_single_objective_parts(sweep)
    check_sampler_space(sweep)
    check_minimum(sweep)
    return replace(sweep, enqueue=read_entries(tree.get("enqueue"), sweep))


def with_absolute_bases(tree: dict[str, Any], here: Path) -> None:
    """Makes the paths of a sweep file's argument files and earlier studies absolute, in place.

    Args:
        tree: its content.
        here: its folder.
    """
    for part in (tree, *(tree.get("methods") or {}).values()):
        for key in ("base", "warm_start"):
            if part and key in part:
                names = [part[key]] if isinstance(part[key], str) else part[key]
                find = find_base if key == "base" else find_study
                part[key] = [str(find(here, str(name))) for name in names or ()]


def find_base(here: Path, name: str) -> Path:
    """The argument file that a sweep file names: beside it, or a shipped config such as `musica`.

    Args:
        here: folder of the sweep file.
        name: as the file has it.

    Returns:
        An absolute path; where there is no such file either way, the one beside the sweep file.
    """
    beside = (here / name).resolve()
    if beside.is_file():
        return beside
    shipped = find_file(Path(name), "configs")
    return shipped.resolve() if shipped != Path(name) else beside


def find_study(here: Path, name: str) -> Path:
    """The folder of an earlier study that a sweep file in `here` names, absolute."""
    return (here / name).resolve()


def _refuse_duplicates(sweep: Sweep) -> None:
    """Raises `UserError` for a setting given in two places or a limit given twice."""
    for name, branch in (sweep.methods or {"": Branch((), ())}).items():
        places = [
            (f"methods.{name}.space", [p.key for p in branch.space]),
            ("space", [p.key for p in sweep.space]),
            ("settings", list(sweep.settings)),
        ]
        first: dict[str, str] = {}
        for place, keys in places:
            for key in keys:
                if key in first:
                    raise UserError(
                        f"{sweep.file}: {key} is in {first[key]} and in {place}; keep one of them"
                    )
                first[key] = place
        if sweep.seeds and SEED in first:
            raise UserError(
                f"{sweep.file}: {SEED} is in {first[SEED]} and 'seeds' is given; keep one of them"
            )
    _refuse_searched_rounds(sweep)
    texts = [str(c) for c in sweep.constraints]
    if double := next((text for text in texts if texts.count(text) > 1), None):
        raise UserError(f"{sweep.file}: constraints holds '{double}' twice; remove one")


def _refuse_single_objective_parts(sweep: Sweep) -> None:
    """Raises `UserError` for a pruner or a sampler that cannot go with several objectives."""
    if not sweep.further:
        return
    several = f"does not go with the objectives {' and '.join(sweep.objectives)}"
    if sweep.pruner[0] != "NopPruner":
        raise UserError(
            f"{sweep.file}: pruner {several}, since Optuna prunes by one alone; remove it"
        )
    if sweep.sampler[0] in _SINGLE_OBJECTIVE_SAMPLERS:
        raise UserError(
            f"{sweep.file}: sampler {sweep.sampler[0]} {several}; take NSGAIISampler or TPESampler"
        )
    if sweep.rounds:
        raise UserError(
            f"{sweep.file}: rounds rank by one objective, and there are {len(sweep.objectives)}; "
            "remove rounds, or keep one objective with a limit"
        )


def _refuse_searched_rounds(sweep: Sweep) -> None:
    """Raises `UserError` for a searched setting that a round sets, and for a searched seed."""
    own = [p.key for branch in sweep.methods.values() for p in branch.space]
    searched = [*own, *(p.key for p in sweep.space)]
    if sweep.rounds and SEED in searched:
        raise UserError(f"{sweep.file}: rounds choose seeds, so {SEED} cannot be searched; fix it")
    for number, part in enumerate(sweep.rounds, 1):
        if SEED in part.settings:
            raise UserError(
                f"{sweep.file}: round {number} sets {SEED}; give the number of its 'seeds'"
            )
        if double := next((key for key in part.settings if key in searched), None):
            raise UserError(
                f"{sweep.file}: {double} is searched, and round {number} sets it; keep one of them"
            )


#: Module, base class and default class of the keys that name an Optuna class.
KINDS: dict[str, tuple[Any, type, str]] = {
    "sampler": (optuna.samplers, optuna.samplers.BaseSampler, "TPESampler"),
    "pruner": (optuna.pruners, optuna.pruners.BasePruner, "NopPruner"),
}


def instantiate(module: Any, kind: type, name: str, arguments: dict[str, Any]) -> Any:
    """Instantiates a class of `optuna.samplers` or `optuna.pruners`, nested `{class: ...}` first.

    Raises:
        UserError: no such class in the module; the text names it.
        TypeError, ValueError, ImportError: raised by the class for its arguments.
    """
    cls = getattr(module, name, None)
    if not (inspect.isclass(cls) and issubclass(cls, kind) and not inspect.isabstract(cls)):
        names = [n for n in module.__all__ if not n.startswith("Base")]
        close = difflib.get_close_matches(name, names, 1)
        cure = f"did you mean {close[0]}?" if close else f"known: {', '.join(sorted(names))}"
        raise UserError(f"'{name}' is unknown to {module.__name__}; {cure}")
    filled = {
        key: instantiate(module, kind, str(value["class"]), dict(value.get("arguments") or {}))
        if isinstance(value, dict) and "class" in value
        else value
        for key, value in arguments.items()
    }
    with warnings.catch_warnings():
        # Optuna notes what is experimental; it was asked for in the sweep file.
        warnings.simplefilter("ignore")
        return disable_stop(cls(**filled))


class _Reader:
    """Parser of the values of a sweep file; every error names the file and the key."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def fail(self, key: str, problem: str) -> UserError:
        return UserError(f"{self.path}: {key} {problem}")

    def mapping(self, value: Any, key: str) -> dict[str, Any]:
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self.fail(key, "is no mapping; write `key: value` rows")
        return value

    def refuse_unknown_keys(self, value: Any, keys: tuple[str, ...], key: str) -> None:
        part = self.mapping(value, key)
        unknown = next((k for k in part if k not in keys), None)
        if unknown is not None:
            raise self.fail(f"{key}.{unknown}", f"is unknown; known: {', '.join(keys)}")

    def methods(self, value: Any) -> dict[str, Branch]:
        branches = {}
        for name, part in self.mapping(value, "methods").items():
            key = f"methods.{name}"
            if part is None:
                raise self.fail(key, "is empty; give it base or space")
            self.refuse_unknown_keys(part, ("base", "space"), key)
            files = self.files(part.get("base", []), f"{key}.base")
            branches[str(name)] = Branch(files, self.space(part.get("space"), f"{key}.space"))
        return branches

    def settings(self, value: Any, key: str) -> dict[str, Any]:
        """Dotted settings, without those that the study sets itself for each fit."""
        settings = self.mapping(value, key)
        for name, part in settings.items():
            if not isinstance(name, str):
                raise self.fail(f"{key}.{name}", "is no setting; write its dotted name")
            inner = [f"{name}.{k}" for k in part] if isinstance(part, dict) else []
            for own in (name, *inner):
                if own in _SET_BY_STUDY or own.split(".")[0] in _SET_BY_STUDY:
                    raise self.fail(f"{key}.{own}", "is the study's own to set; remove it")
        return settings

    def constraint_texts(self, value: Any) -> list[str]:
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
        self,
        value: Any,
        key: str,
        *,
        whole: bool = False,
        least: float = -math.inf,
        above: float = -math.inf,
    ) -> float:
        fits = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
        if not fits or not math.isfinite(value) or value < least or value <= above:
            kind = "whole number" if whole else "number"
            bound = f" of {least:g} or more" if math.isfinite(least) else ""
            bound = f" above {above:g}" if math.isfinite(above) else bound
            raise self.fail(key, f"is {value!r}; give a {kind}{bound}")
        return float(value)

    def count(self, value: Any, key: str) -> int | None:
        return None if value is None else int(self.number(value, key, whole=True, least=1))

    def files(self, value: Any, key: str) -> tuple[Path, ...]:
        names = [value] if isinstance(value, str) else value
        if not isinstance(names, list):
            raise self.fail(key, "is no list of argument files")
        files = tuple(find_base(self.path.parent, str(name)) for name in names)
        missing = next((file for file in files if not file.is_file()), None)
        if missing is not None:
            hint = shipped_hint(Path(missing.name), "configs")
            raise self.fail(key, f"names {missing}, which is not there; {hint}")
        return files

    def objectives(self, value: Any) -> tuple[str, ...]:
        names = value if isinstance(value, list) else [value]
        if not names:
            raise self.fail("objective", "is an empty list; name a metric")
        keys = tuple(self.metric(str(name), "objective") for name in names)
        if double := next((key for key in keys if keys.count(key) > 1), None):
            raise self.fail("objective", f"holds {double} twice; remove one")
        return keys

    def folders(self, value: Any, key: str) -> tuple[Path, ...]:
        names = [] if value is None else [value] if isinstance(value, str) else value
        if not isinstance(names, list):
            raise self.fail(key, "is no list of folders of studies")
        return tuple(find_study(self.path.parent, str(name)) for name in names)

    def metric(self, key: str, where: str) -> str:
        try:
            return check_metric(key)
        except UserError as error:
            raise self.fail(where, str(error)) from error

    def constraint(self, text: str) -> Limit:
        try:
            return parse_limit(text)
        except UserError as error:
            raise self.fail("constraints", str(error)) from error

    def seeds(self, value: Any) -> tuple[int, ...]:
        if value is None:
            return ()
        if isinstance(value, list):
            seeds = tuple(int(self.number(v, "seeds", whole=True, least=0)) for v in value)
            if not seeds or len(set(seeds)) < len(seeds):
                raise self.fail("seeds", f"is {value!r}; list different numbers")
            return seeds
        count = int(self.number(value, "seeds", whole=True, least=1))
        return tuple(range(count)) if count > 1 else ()

    def keep(self, value: Any) -> int | None:
        if value == "all":
            return None
        if isinstance(value, str):
            raise self.fail("keep", f"is '{value}'; give a number of trials, or all")
        return int(self.number(value, "keep", whole=True, least=0))

    def rounds(self, value: Any) -> tuple[Round, ...]:
        if value is None:
            return ()
        if not isinstance(value, list):
            raise self.fail("rounds", "is no list; write `- {keep: 10, settings: {...}}` rows")
        rounds: list[Round] = []
        for number, part in enumerate(value, 1):
            key = f"rounds.{number}"
            self.refuse_unknown_keys(part, ("keep", "settings", "seeds"), key)
            if not part or "keep" not in part:
                raise self.fail(key, "has no 'keep'; give the number of trials that it trains")
            keep, seeds = (self.count(part.get(k, 1), f"{key}.{k}") or 1 for k in ("keep", "seeds"))
            if rounds and keep > rounds[-1].keep:
                cure = f"give {rounds[-1].keep} or fewer"
                raise self.fail(f"{key}.keep", f"is more than the round before has; {cure}")
            rounds.append(
                Round(keep, self.settings(part.get("settings"), f"{key}.settings"), seeds)
            )
        return tuple(rounds)

    def storage(self, value: Any) -> tuple[str, int, int]:
        part = value if isinstance(value, dict) else {"url": value}
        self.refuse_unknown_keys(part, ("url", "heartbeat", "grace"), "storage")
        text = str(part.get("url", "journal"))
        if text != "journal" and "://" not in text:
            raise self.fail("storage", f"is '{text}'; write journal, or a URL: postgresql://...")
        scheme = text.partition("://")[0]
        if text.startswith("sqlite"):
            raise self.fail("storage", "is SQLite, which breaks when shared; write journal")
        if text != "journal" and scheme.partition("+")[0] not in _DATABASES:
            problem = f"has the scheme '{scheme}', which is not supported"
            raise self.fail("storage", f"{problem}; write postgresql://user@host/name")
        beat, grace = (
            int(self.number(part.get(key, default), f"storage.{key}", whole=True, least=1))
            for key, default in (("heartbeat", Sweep.heartbeat), ("grace", Sweep.grace))
        )
        if grace < 2 * beat:
            raise self.fail("storage.grace", f"is {grace}; give {2 * beat} or more")
        return text, beat, grace

    def optuna_class(self, value: Any, key: str) -> tuple[str, dict[str, Any]]:
        part = self.mapping(value, key)
        self.refuse_unknown_keys(part, ("class", "arguments"), key)
        module, kind, default = KINDS[key]
        name = str(part.get("class", default))
        arguments = self.mapping(part.get("arguments"), f"{key}.arguments")
        try:
            instantiate(module, kind, name, arguments)
        except UserError as error:
            raise self.fail(f"{key}.class", str(error)) from error
        except ImportError as error:
            raise self.fail(f"{key}.class", f"{name}: {first_line(error)}") from error
        except (TypeError, ValueError, AttributeError) as error:
            raise self.fail(
                f"{key}.arguments", f"do not fit {name}: {first_line(error)}"
            ) from error
        return name, arguments

    def space(self, value: Any, key: str) -> tuple[Parameter, ...]:
        return tuple(
            self.parameter(name, part, f"{key}.{name}")
            for name, part in self.settings(value, key).items()
        )

    def choice(self, name: str, values: list[Any], key: str) -> Parameter:
        parameter = Parameter(name, "choice", choices=tuple(values))
        texts = parameter.texts()
        for value, text in zip(values, texts, strict=True):
            if texts.count(text) > 1:
                raise self.fail(key, f"offers {value!r} twice; remove one")
        return parameter

    def parameter(self, name: str, part: Any, key: str) -> Parameter:
        part = self.mapping(part, key)
        self.refuse_unknown_keys(part, ("float", "int", "choice", "log", "step"), key)
        kinds = [kind for kind in ("float", "int", "choice") if kind in part]
        if len(kinds) != 1:
            raise self.fail(key, "needs one of float: [low, high], int: [low, high], choice: [...]")
        kind, ends = kinds[0], part[kinds[0]]
        if not isinstance(ends, list) or not ends:
            raise self.fail(key, f"has an empty range or list; give {kind}: [...]")
        if kind == "choice":
            if extra := next((k for k in ("log", "step") if k in part), None):
                raise self.fail(f"{key}.{extra}", "does not fit a choice; remove it")
            return self.choice(name, ends, key)
        if len(ends) != 2:
            raise self.fail(key, f"has {len(ends)} ends; give {kind}: [low, high]")
        low, high = (self.number(end, key, whole=kind == "int") for end in ends)
        if low > high:
            raise self.fail(key, f"is an empty range, {ends[0]} to {ends[1]}; swap them")
        log, step = part.get("log", False), part.get("step")
        if not isinstance(log, bool):
            raise self.fail(key, f"has log {log!r}; write true or false")
        if log and low <= 0:
            raise self.fail(key, "is on a logarithmic scale, so both ends must be above 0")
        if step is not None:
            step = self.number(step, f"{key}.step", whole=kind == "int")
            if step <= 0 or log:
                cure = "remove step or log" if log else "give one above 0"
                raise self.fail(f"{key}.step", f"is {part['step']!r}; {cure}")
            # As the decimals that are written: 0.3 is three times 0.1.
            if (Decimal(str(high)) - Decimal(str(low))) % Decimal(str(step)):
                problem = f"is {part['step']!r}, which does not divide {ends[0]} to {ends[1]}"
                raise self.fail(f"{key}.step", f"{problem}; move an end or the step")
        return Parameter(name, kind, low, high, log, step)
