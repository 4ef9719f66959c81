"""Plain mistakes in settings, refused before torch and Lightning are imported.

Importing them takes seconds. Names of settings, of classes of the package, and values of plain
types are compared here with what the source declares (`catalog.py`); what only the parser can know
(callbacks, optimizers, classes of other packages) is left to it and to `diagnosis.py`, which say
the same of the same mistake.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from lit_landmarks.errors import UserError
from lit_landmarks.settings.ambiguity import refuse_ambiguous
from lit_landmarks.settings.arguments import split_overrides
from lit_landmarks.settings.catalog import (
    DeclaredClass,
    find_class,
    list_datasets,
    list_methods,
)
from lit_landmarks.settings.composition import LINKED, WHOLE, Composed, compose, short_name
from lit_landmarks.settings.values import (
    apply_overrides,
    describe_bad_value,
    describe_unknown_name,
    first_leaf,
    fits,
    list_own_keys,
    refuse_arguments,
    refuse_linked,
)

#: Classes whose arguments are settings of every training verb.
GROUPS = {
    "trainer": ("lightning.pytorch.trainer.trainer", "Trainer"),
    "wandb": ("lit_landmarks.training.wandb_logging", "WandbOptions"),
    "loggers": ("lit_landmarks.training.loggers", "LoggerOptions"),
}
DATA_MODULE = ("lit_landmarks.data.module", "LandmarkDataModule")
#: Roles of data sets; `types.ROLES` would import torch.
ROLES = tuple(key.rpartition(".")[2] for key in WHOLE)
#: Arguments of the parser itself.
_OF_PARSER = ("print_config",)


def check_settings(
    verb: str, configs: Sequence[Path], overrides: Sequence[str], data_sets: bool = True
) -> None:
    """Refuses plain mistakes in argument files and overriding settings.

    Args:
        verb: fit, validate, test or predict.
        configs: argument files in their order.
        overrides: settings after them, as `--key value`.
        data_sets: False leaves the data sets out, for what needs the method alone.

    Raises:
        UserError: the first mistake, in one line; none is raised for settings that a parser takes.
    """
    composed = compose(configs)
    refuse_linked(overrides)
    refuse_ambiguous(composed.tree, overrides)
    texts = split_overrides(overrides)
    check = _Check(verb, composed)
    check.arguments(texts)
    check.tree(apply_overrides(composed.tree, texts), data_sets)


def check_names(composed: Composed) -> None:
    """Refuses bare class names that no method or data set of the package has.

    Raises:
        UserError: the name, its file, and the names that there are.
    """
    check = _Check("fit", composed)
    check.find("method", list_methods(), composed.tree.get("model"), "model")
    data = composed.tree.get("data") or {}
    for key, entry in _list_entries(data):
        check.find("data set", list_datasets(), entry, key)


def check_dataset_arguments(name: str, arguments: Sequence[str]) -> None:
    """Refuses plain mistakes in a data set's class name and its `--key value` arguments.

    Raises:
        UserError: no such class or folder, an argument that it does not have or that is missing.
    """
    datasets = list_datasets()
    if name not in datasets:
        if _is_registered(name):
            return
        raise UserError(describe_unknown_name("data set", name, sorted(datasets), None))
    accepted = datasets[name].arguments
    texts = split_overrides(arguments)
    refuse_arguments(name, {key: item.required for key, item in accepted.items()}, texts)
    root = texts.get("root")
    if root is not None and "root" in accepted and not Path(os.path.expandvars(root)).exists():
        source = datasets[name].constants.get("source")
        where = f", or fetch the data set: {source}" if source else ""
        raise UserError(f"no folder {root}; correct root{where}")


class _Check:
    """Comparison of settings with what the source declares; each method raises for a mistake."""

    def __init__(self, verb: str, composed: Composed) -> None:
        self._composed = composed
        self._groups = {key: find_class(*place) for key, place in GROUPS.items()}
        self._keys = [f"{k}.{name}" for k, cls in self._groups.items() for name in cls.arguments]
        self._keys += list_own_keys(verb)
        self._roots = {key.split(".")[0] for key in self._keys}

    def arguments(self, texts: Mapping[str, str]) -> None:
        """Names of overriding settings."""
        for key in texts:
            name = key.removesuffix("+")
            root = name.split(".")[0]
            free = root in ("model", "data") or key.startswith("trainer.callbacks")
            if root in _OF_PARSER or (root in self._roots and free):
                continue
            # `--trainer.logger.init_args.x` is a matter of the logger's class.
            parent = ".".join(name.split(".")[:2])
            if root not in self._roots or not (parent in self._keys or name in self._roots):
                flags = [f"--{k}" for k in self._keys]
                raise UserError(describe_unknown_name("argument", f"--{key}", flags, None))

    def tree(self, tree: Mapping[str, Any], data_sets: bool) -> None:
        """All settings: names, classes of the package, values of plain types."""
        for key, value in tree.items():
            if key.removesuffix("+") not in self._roots and key not in _OF_PARSER:
                path = ".".join(first_leaf(key, value))
                self._refuse_name("key", path, self._keys, path)
        for name, cls in self._groups.items():
            part = tree.get(name)
            for key, value in part.items() if isinstance(part, dict) else ():
                path = f"{name}.{key.removesuffix('+')}"
                if path not in self._keys:
                    self._refuse_name("key", path, self._keys, path)
                self._value(cls.arguments[key.removesuffix("+")].hint, value, path)
        self._spec("method", list_methods(), tree.get("model"), "model", skip=LINKED)
        self._data(tree.get("data"), data_sets)

    def _data(self, spec: Any, data_sets: bool) -> None:
        """The data module and the classes and arguments of its data sets."""
        name = DATA_MODULE[1]
        if isinstance(spec, dict) and short_name(str(spec.get("class_path"))) == name:
            spec = {**spec, "class_path": name}
        absent = () if data_sets else ROLES
        self._spec("data module", {name: find_class(*DATA_MODULE)}, spec, "data", absent)
        for key, entry in _list_entries(spec) if data_sets else ():
            self._spec("data set", list_datasets(), entry, key)

    def find(
        self, kind: str, classes: Mapping[str, DeclaredClass], spec: Any, key: str
    ) -> DeclaredClass | None:
        """The class that a spec names; None where it names none, or one of another package.

        Raises:
            UserError: a bare name that no class has.
        """
        path = spec.get("class_path") if isinstance(spec, dict) else spec
        if isinstance(path, str) and path not in classes:
            if "." not in path and not _is_registered(path):
                self._refuse_name(kind, path, sorted(classes), f"{key}.class_path")
            return None
        return classes[path] if isinstance(path, str) else None

    def _spec(
        self,
        kind: str,
        classes: Mapping[str, DeclaredClass],
        spec: Any,
        key: str,
        skip: Iterable[str] = (),
    ) -> None:
        """A class that is unknown, or a mistake in its arguments; dotted paths are not followed."""
        cls = self.find(kind, classes, spec, key)
        if cls is None:
            return
        arguments = (spec.get("init_args") or {}) if isinstance(spec, dict) else {}
        if not isinstance(arguments, dict):
            raise UserError(
                f"{key}: expected settings of {cls.name}, got {arguments}; write its keys"
            )
        prefix = f"{key}.init_args"
        for name in arguments:
            if name.removesuffix("+") not in cls.arguments:
                names = sorted(cls.arguments)
                self._refuse_name(f"setting of {cls.name}", name, names, f"{prefix}.{name}")
        for name, value in arguments.items():
            self._value(cls.arguments[name.removesuffix("+")].hint, value, f"{prefix}.{name}")
        given = {*arguments, *skip}
        if missing := [n for n, a in cls.arguments.items() if a.required and n not in given]:
            raise UserError(f"{cls.name} needs a value for {', '.join(missing)}; set it")

    def _value(self, hint: Any, value: Any, key: str) -> None:
        """A value of another type; null, and what is nested or not of plain types, passes."""
        nested = isinstance(value, dict) or (isinstance(value, list) and not _takes_list(hint))
        if hint is None or value is None or nested or key.endswith("+") or fits(hint, value):
            return
        raise UserError(describe_bad_value(key, hint, value))

    def _refuse_name(self, kind: str, name: str, names: Collection[str], key: str) -> None:
        # Files keep no positions in lists.
        origin = self._composed.origin_of(re.sub(r"\[\d+\]", "", key))
        raise UserError(describe_unknown_name(kind, name, [*names], origin))


def _list_entries(data: Any) -> Iterator[tuple[str, Any]]:
    """The data sets of a data module: dotted key and entry."""
    arguments = data.get("init_args") if isinstance(data, dict) else None
    for role in ROLES:
        sets = arguments.get(role) if isinstance(arguments, dict) else None
        for name, entry in sets.items() if isinstance(sets, dict) else ():
            yield f"data.init_args.{role}.{name}", entry


def _is_registered(name: str) -> bool:
    """Whether a program that has imported the package registered a class of its own."""
    registries = (("lit_landmarks.methods", "METHODS"), ("lit_landmarks.data", "DATASETS"))
    return any(name in getattr(sys.modules.get(m), attribute, ()) for m, attribute in registries)


def _takes_list(hint: Any) -> bool:
    return "list[" in str(hint) and bool(get_args(hint))
