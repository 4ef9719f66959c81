"""Error messages for refused settings: the setting, its accepted values and the cure.

A parser's own message walks every type it tried. So the settings are compared here with what the
classes declare (signatures and type hints), from the outside in, and the first mistake is reported:
an unknown setting or class, a value of another type, or a setting that must be given.
"""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import re
import typing
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn, get_args, get_origin

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.cli import LightningArgumentParser

from lit_landmarks.data import DATASETS, FaceDataset, LandmarkDataModule
from lit_landmarks.errors import UserError, first_line
from lit_landmarks.methods import METHODS, LandmarkModule
from lit_landmarks.settings.arguments import split_overrides
from lit_landmarks.settings.composition import LINKED, Composed, Tree
from lit_landmarks.settings.values import (
    apply_overrides,
    describe_bad_value,
    describe_unknown_name,
    first_leaf,
    fits,
    holds_class,
    list_own_keys,
    union_members,
)
from lit_landmarks.training.loggers import LoggerOptions
from lit_landmarks.training.wandb_logging import WandbOptions
from lit_landmarks.types import ROLES

#: Errors of other packages' classes that a user can correct.
_FOREIGN = (ImportError, MisconfigurationException)


def explain(verb: str, composed: Composed, overrides: Sequence[str], message: str) -> UserError:
    """The error that a user sees for settings that the parser refused.

    Args:
        verb: fit, validate, test or predict.
        composed: the merged argument files.
        overrides: settings after them, as `--key value`.
        message: what the parser said, used where no mistake is recognized.
    """
    mistakes = _Mistakes(composed)
    texts = split_overrides(overrides)
    return UserError(
        mistakes.in_arguments(verb, texts)
        or mistakes.in_tree(verb, apply_overrides(composed.tree, texts))
        or flatten(message)
    )


def explain_arguments(cls: type[Any], arguments: Mapping[str, Any], message: str) -> UserError:
    """The error that a user sees for arguments of one class that the parser refused.

    Args:
        cls: the class.
        arguments: values by name, as they were given.
        message: what the parser said, used where no mistake is recognized.
    """
    return UserError(_Mistakes(None).in_class(cls, arguments, "") or flatten(message))


def explain_entry(entry: Any, message: str) -> UserError:
    """The error that a user sees for a data set's entry that the parser refused."""
    return UserError(_Mistakes(None).in_dataset(entry) or flatten(message))


def refuse_unknown_names(composed: Composed) -> None:
    """Refuses bare class names that no method or data set has; the parser would say less.

    Raises:
        UserError: the name, its file, and the registered names.
    """
    model, data = composed.tree.get("model") or {}, composed.tree.get("data") or {}
    asked: list[tuple[str, str, Any, Collection[str]]]
    asked = [("method", "model.class_path", model.get("class_path"), METHODS)]
    for role in ROLES:
        sets = (data.get("init_args") or {}).get(role) or {}
        for name, spec in sets.items() if isinstance(sets, dict) else ():
            path = spec.get("class_path") if isinstance(spec, dict) else spec
            asked.append(("data set", f"{role}.{name}.class_path", path, DATASETS))
    for kind, key, path, names in asked:
        if isinstance(path, str) and "." not in path and path not in names:
            raise UserError(
                describe_unknown_name(kind, path, sorted(names), composed.origin_of(key))
            )


def reraise(error: Exception) -> NoReturn:
    """Raises the `UserError` that a class raised while it was built: the parser wraps it.

    What a class of another package raised becomes one: it refuses its arguments, or lacks a
    package of its own.
    """
    chain: list[BaseException] = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(cause)
    if own := next((e for e in chain if isinstance(e, UserError)), None):
        raise own
    foreign = next((e for e in chain if isinstance(e, _FOREIGN)), None)
    if foreign is None:
        raise error
    missing = isinstance(foreign, ImportError)
    cure = "install what it needs, or remove that class" if missing else "correct that setting"
    raise UserError(f"{first_line(foreign)}; {cure}") from error


def flatten(message: str) -> str:
    """Text of several lines as one."""
    rows = [row.strip(" -\t") for row in message.splitlines()]
    return "; ".join(row for row in rows if row) or "bad arguments"


# ---- what classes declare ----------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Argument:
    """An argument of a class: its type hint (None if it has none), and whether it has a default."""

    hint: Any
    required: bool


def class_arguments(cls: type[Any]) -> dict[str, Argument]:
    """Arguments that a class accepts, those that it hands to its bases among them."""
    arguments: dict[str, Argument] = {}
    for base in inspect.getmro(cls):
        if "__init__" not in vars(base) or base is object:
            continue
        initializer = vars(base)["__init__"]
        try:
            hints = typing.get_type_hints(initializer)
        except (NameError, TypeError, AttributeError):  # names that only a type checker imports
            hints = {}
        parameters = [*inspect.signature(initializer).parameters.values()][1:]
        for parameter in parameters:
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                required = parameter.default is parameter.empty
                argument = Argument(hints.get(parameter.name), required)
                arguments.setdefault(parameter.name, argument)
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return arguments


class _Mistakes:
    """Search for the first mistake in settings; each method returns None if it finds none."""

    def __init__(self, composed: Composed | None) -> None:
        self.composed = composed

    def in_arguments(self, verb: str, texts: Mapping[str, str]) -> str | None:
        """An overriding setting that neither the verb nor the trainer nor the tracker has."""
        keys = list_accepted_keys(verb)
        roots = {key.split(".")[0] for key in keys}
        for key in texts:
            root = key.split(".")[0].removesuffix("+")
            open_ended = root in ("model", "data") or key.startswith("trainer.callbacks")
            name = key.removesuffix("+")
            if root not in roots or not (open_ended or name in keys or name in roots):
                return describe_unknown_name("argument", f"--{key}", [f"--{k}" for k in keys], None)
        return None

    def in_tree(self, verb: str, tree: Tree) -> str | None:
        keys = list_accepted_keys(verb)
        roots = {key.split(".")[0] for key in keys}
        for key, value in tree.items():
            if key not in roots:
                path = ".".join(first_leaf(key, value))
                return describe_unknown_name("key", path, keys, self._origin(path))
        if not tree.get("model"):
            return (
                "no method in these settings; add a method's config before them, such as"
                " --config asmnet, or --model NAME"
            )
        groups = {"trainer": Trainer, "wandb": WandbOptions, "loggers": LoggerOptions}
        for name, cls in groups.items():
            part = tree.get(name) or {}
            if isinstance(part, dict) and (mistake := self._in_group(cls, part, name, keys)):
                return mistake
        return (
            self._in_spec([LandmarkModule], tree.get("model"), "model", skip=LINKED)
            or self._in_spec([LandmarkDataModule], tree.get("data"), "data")
            or self._in_value(int, tree.get("seed_everything", 0), "seed_everything")
        )

    def in_class(
        self, cls: type[Any], arguments: Mapping[str, Any], key: str, skip: Iterable[str] = ()
    ) -> str | None:
        """An argument that the class does not have, of another type, or that is missing."""
        accepted = class_arguments(cls)
        for name in arguments:
            if name not in accepted:
                kind = f"setting of {cls.__name__}"
                return describe_unknown_name(
                    kind, name, sorted(accepted), self._origin(f"{key}.{name}")
                )
        for name, value in arguments.items():
            path = f"{key}.{name}" if key else name
            if mistake := self._in_value(accepted[name].hint, value, path):
                return mistake
        optional = {*arguments, *skip}
        missing = [n for n, a in accepted.items() if a.required and n not in optional]
        return f"{cls.__name__} needs a value for {', '.join(missing)}; set it" if missing else None

    def in_dataset(self, entry: Any) -> str | None:
        """A data set that does not exist, or a mistake in its arguments."""
        return self._in_spec([FaceDataset], entry, "")

    def _in_group(self, cls: type[Any], part: Tree, name: str, keys: Sequence[str]) -> str | None:
        accepted = class_arguments(cls)
        for key, value in part.items():
            path = f"{name}.{key}"
            if path not in keys:
                return describe_unknown_name("key", path, keys, self._origin(path))
            if key in accepted and (mistake := self._in_value(accepted[key].hint, value, path)):
                return mistake
        return None

    def _in_value(self, hint: Any, value: Any, key: str) -> str | None:
        if hint is None or hint is Any:
            return None
        if isinstance(value, dict) and "class_path" in value:
            bases, factory = _accepted_classes(hint)
            return self._in_spec(bases, value, key, factory=factory)
        for member in union_members(hint):
            arguments = get_args(member)
            if isinstance(value, dict) and dataclasses.is_dataclass(member):
                return self.in_class(typing.cast(type[Any], member), value, key)
            if isinstance(value, dict) and get_origin(member) in (dict, Mapping) and arguments:
                nested = ((arguments[1], item, f"{key}.{name}") for name, item in value.items())
            elif isinstance(value, list) and get_origin(member) in (list, Sequence) and arguments:
                nested = ((arguments[0], item, f"{key}[{n}]") for n, item in enumerate(value))
            else:
                continue
            if mistake := next(filter(None, (self._in_value(*part) for part in nested)), None):
                return mistake
        registered = [base for base in _accepted_classes(hint)[0] if _candidates([base])[1]]
        if isinstance(value, str) and registered:
            return self._in_spec(registered, value, key)
        if holds_class(value) or fits(hint, value):
            return None
        return describe_bad_value(key, hint, value)

    def _in_spec(
        self,
        bases: Sequence[type[Any]],
        spec: Any,
        key: str,
        skip: Iterable[str] = (),
        factory: bool = False,
    ) -> str | None:
        """A class that does not exist or is of another kind, or a mistake in its arguments."""
        path = spec.get("class_path") if isinstance(spec, dict) else spec
        if not isinstance(path, str):
            return None
        cls = _find_class(path, bases)
        if cls is None or (bases and not issubclass(cls, tuple(bases))):
            kind, names = _candidates(bases)
            return describe_unknown_name(kind, path, names, self._origin(f"{key}.class_path"))
        arguments = (spec.get("init_args") or {}) if isinstance(spec, dict) else {}
        if not isinstance(arguments, dict):
            return f"{key}: expected settings of {cls.__name__}, got {arguments}; write its keys"
        prefix = f"{key}.init_args" if key else ""
        # A factory, such as that of an optimizer, gets what is missing when it is called.
        return self.in_class(cls, arguments, prefix, class_arguments(cls) if factory else skip)

    def _origin(self, key: str) -> Path | None:
        if self.composed is None:
            return None
        # Files keep no positions in lists.
        return self.composed.origin_of(re.sub(r"\[\d+\]", "", key))


def list_accepted_keys(verb: str) -> list[str]:
    """Dotted names of the trainer's, the trackers' and the verb's own settings."""
    parser = LightningArgumentParser()
    keys = parser.add_lightning_class_args(Trainer, "trainer")
    keys += parser.add_class_arguments(WandbOptions, "wandb")
    keys += parser.add_class_arguments(LoggerOptions, "loggers")
    return [*keys, *list_own_keys(verb)]


def _accepted_classes(hint: Any) -> tuple[list[type[Any]], bool]:
    """Classes whose subclasses a hint accepts, and whether it asks for a factory of them."""
    members = [
        get_args(member)[-1] if get_origin(member) is Callable else member
        for member in union_members(hint)
    ]
    classes = [m for member in members for m in union_members(member) if isinstance(m, type)]
    factory = any(get_origin(member) is Callable for member in union_members(hint))
    return [cls for cls in classes if cls is not type(None)], factory


def _candidates(bases: Sequence[type[Any]]) -> tuple[str, list[str]]:
    """What a user calls a class below these bases, and the names that there are."""
    if LandmarkModule in bases:
        return "method", sorted(METHODS)
    if FaceDataset in bases:
        return "data set", sorted(DATASETS)
    if LandmarkDataModule in bases:
        return "data module", [LandmarkDataModule.__name__]
    if Callback in bases:
        return "callback", sorted(cls.__name__ for cls in _public_subclasses(Callback))
    return "class", []


def _find_class(path: str, bases: Sequence[type[Any]]) -> type[Any] | None:
    """A class by its import path, or by the name of a subclass of one of the bases."""
    module, _, name = path.rpartition(".")
    if not module:
        below = [cls for base in bases for cls in (base, *_public_subclasses(base))]
        return next((cls for cls in below if cls.__name__ == name), None)
    try:
        cls = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError):
        return None
    return cls if isinstance(cls, type) else None


def _public_subclasses(base: type[Any]) -> list[type[Any]]:
    below = [cls for child in base.__subclasses__() for cls in (child, *_public_subclasses(child))]
    unique = dict.fromkeys(below)
    return [cls for cls in unique if not inspect.isabstract(cls) and cls.__name__[0] != "_"]


@contextlib.contextmanager
def trainer_errors() -> Iterator[None]:
    """Context that puts errors of a trainer's arguments into one line."""
    try:
        yield
    except UserError:
        raise
    except (MisconfigurationException, ValueError, ImportError) as error:
        raise UserError(f"trainer: {error}; correct the trainer's settings") from error
