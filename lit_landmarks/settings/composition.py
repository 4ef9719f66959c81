"""Argument files: several YAML files become one tree; a clash between two names both.

Rules, in order:
    1. Later files win. Dicts are merged key by key; lists, and the dicts of data sets (`train`,
       `val`, `test`), are replaced whole; a key that ends in `+` appends to the list of that name.
    2. A nested class that changes its `class_path` drops the old class's `init_args`: a learning
       rate meant for SGD says nothing about AdamW.
    3. Two files that name different model or data classes are an error, never a silent choice. So
       is a file of data sets alone before a method's file, whose own sets would replace them.
    4. A file that sets the training sets ends the earlier files' `augmentation` and `weights`,
       which were chosen for other faces; one that sets validation or test sets ends the earlier
       `yaw_bins` of sets that are gone.
    5. A path that starts with `./` or `../`, and `data.init_args.root`, start at the file's folder;
       `$NAME` and `~` are expanded in every string.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from lit_landmarks.documents import parse_yaml
from lit_landmarks.errors import UserError
from lit_landmarks.renamed import rename_classes, rename_settings
from lit_landmarks.settings.ambiguity import nest_dotted_keys
from lit_landmarks.settings.shipped import find_file, shipped_hint

Tree = dict[str, Any]

#: Top-level keys that hold one class each, and what a user calls that class.
CLASSES = {"model": "method", "data": "data module"}
#: What may stand beside a class; any other key there is short for one of its `init_args`.
_CLASS_KEYS = ("class_path", "init_args", "dict_kwargs")
#: Dicts that a file writes whole.
WHOLE = ("data.init_args.train", "data.init_args.val", "data.init_args.test")
#: Settings of the data that belong to the training sets of the file that names them.
WITH_TRAIN = ("augmentation", "weights")
#: What the data states and the model receives; stated in both, they could disagree.
LINKED = ("scheme", "frame_size")
#: Keys at the top of files with annotations (ours, COCO, LabelMe), which are no settings.
_ANNOTATIONS = {"faces", "annotations", "shapes"}
#: The only data module; files may leave its name out.
DATA_CLASS = "LandmarkDataModule"


@dataclass(frozen=True)
class Composed:
    """The merged tree and, for messages, the file that last set each dotted key.

    `set_aside` holds arguments of the data that a verb takes out of the tree.
    """

    tree: Tree
    origins: dict[str, Path] = field(default_factory=dict)
    set_aside: Tree = field(default_factory=dict)

    def origin_of(self, key: str) -> Path | None:
        """The file that set `key`, a dotted key or only its last part; None if no file did."""
        for name, path in reversed(self.origins.items()):
            if name == key or name.endswith(f".{key}"):
                return path
        return None


def compose(paths: Sequence[Path]) -> Composed:
    """Reads and merges argument files, the last one winning.

    Args:
        paths: YAML files, or names of shipped ones, in the order of the command line.

    Raises:
        UserError: a file that is missing, is not YAML or not a mapping; two files that name
            different classes; a model that restates what the data says.
    """
    tree: Tree = {}
    origins: dict[str, Path] = {}
    for given in paths:
        path = find_file(given, "configs")
        sources: dict[str, Path] = {}
        part = _read(path, sources)
        _refuse_other_class(tree, part, origins, path)
        _refuse_lost_data(tree, part, origins, path)
        _drop_with_train(tree, part)
        _drop_unmeasured(tree, part)
        _merge(tree, part, "")
        origins.update(sources)
    data = tree.get("data")
    if isinstance(data, dict):
        data.setdefault("class_path", DATA_CLASS)
    _refuse_restated(tree, origins)
    return Composed(tree, origins)


def short_name(class_path: str) -> str:
    """`ASMNet` for both `ASMNet` and `lit_landmarks.methods.asmnet.module.ASMNet`."""
    return class_path.rpartition(".")[2]


def find_unset_variables(tree: Any) -> Iterator[str]:
    """Strings in which an environment variable stayed unexpanded, as it is not set."""
    if isinstance(tree, Mapping):
        for value in tree.values():
            yield from find_unset_variables(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from find_unset_variables(value)
    elif isinstance(tree, str) and "$" in tree:
        yield tree


def read_yaml(path: Path) -> Tree:
    """A YAML file whose top level is a mapping.

    Raises:
        UserError: missing file, a folder, broken YAML or a repeated key (with its row), or no
            mapping.
    """
    try:
        tree = parse_yaml(path.read_text(encoding="utf-8"), path)
    except FileNotFoundError as error:
        hint = shipped_hint(path, "configs")
        raise UserError(f"no such file: {path}; {hint}") from error
    except IsADirectoryError as error:
        raise UserError(f"{path} is a folder; give an argument file (YAML)") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not a text file; give an argument file (YAML)") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        problem = getattr(error, "problem", None) or "cannot be read"
        raise UserError(f"{where} is not YAML: {problem}; correct that row") from error
    if isinstance(tree, dict) and _ANNOTATIONS & {*tree}:
        raise UserError(
            f"{path} holds faces or annotations, not settings; name it in a data set instead, such"
            " as data.init_args.train.NAME: {class_path: JsonFaces, init_args: {...}}"
        )
    if not isinstance(tree, dict):
        raise UserError(f"{path} holds no settings; write `key: value` rows (see configs/)")
    return tree


def _read(path: Path, sources: dict[str, Path], including: tuple[Path, ...] = ()) -> Tree:
    """One file with the files that it includes; `sources` learns which file said what.

    Args:
        path: the file.
        sources: dotted key -> file, added to.
        including: the files that include it, the outermost first.
    """
    if path.resolve() in including:
        chain = " includes ".join(file.name for file in (*including, path))
        raise UserError(f"{path} includes itself: {chain}; write the settings into one of them")
    folder = path.resolve().parent
    settings = read_yaml(path)
    _refuse_odd_keys(settings, path)
    given = nest_dotted_keys(settings, path, path.read_text(encoding="utf-8"))
    tree: Tree = rename_classes(_anchor(_write_out(given, path), folder))
    model = tree.get("model")
    if isinstance(model, dict) and isinstance(model.get("init_args"), dict):
        name = str(model.get("class_path") or "")
        model["init_args"] = rename_settings(name, model["init_args"])
    sources.update(dict.fromkeys(_flatten_keys(tree), path))
    for key in ("model", "data", "trainer"):
        value = tree.get(key)
        if isinstance(value, str) and value.endswith((".yaml", ".yml")):
            included = _read(path.parent / value, sources, (*including, path.resolve()))
            if set(included) - {key}:
                raise UserError(f"{path} includes {value} for `{key}`; put only `{key}:` into it")
            tree[key] = included[key]
        elif isinstance(value, str) and key in CLASSES:
            tree[key] = {"class_path": value}
            sources[f"{key}.class_path"] = path
        elif not isinstance(value, dict | None):
            raise UserError(
                f"{path}: `{key}` is {value!r}, not a group of settings; write its keys"
            )
    data = tree.get("data") or {}
    arguments = data.get("init_args")
    if isinstance(arguments, dict) and isinstance(arguments.get("root"), str):
        root = arguments["root"]
        # An unset variable is an error once the data is read: `profile` needs none.
        if not root.startswith("$"):
            arguments["root"] = str((folder / root).resolve())
    return tree


def _refuse_odd_keys(tree: Tree, path: Path) -> None:
    """Refuses what YAML can say and settings cannot: keys that are no text, values in themselves.

    Names of data sets are checked where they are read.

    Raises:
        UserError: the key, its group, and the file.
    """
    for group in (*CLASSES, "trainer"):
        if f"{group}+" in tree:
            raise UserError(f"{path}: {group} is no list that could grow; write `{group}:`")

    def visit(value: Any, name: str, above: tuple[int, ...]) -> None:
        if not isinstance(value, dict | list):
            return
        if id(value) in above:
            raise UserError(f"{path}: {name or 'the file'} contains itself; write it out")
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            if isinstance(value, dict) and not isinstance(key, str) and name not in WHOLE:
                place = f" of {name}" if name else ""
                raise UserError(f"{path}: key {key!r}{place} is no text; write it in quotes")
            visit(item, f"{name}.{key}" if name else str(key), (*above, id(value)))
        if isinstance(value, dict) and not isinstance(value.get("class_path", ""), str | None):
            raise UserError(
                f"{path}: class_path of {name} is {value['class_path']!r}; write a class's name"
            )

    visit(tree, "", ())


def _write_out(tree: Tree, path: Path) -> Tree:
    """Settings with `model: {rank: 8}` as `model: {init_args: {rank: 8}}`, and so for the data."""
    tree = {**tree}
    for key in CLASSES:
        group = tree.get(key)
        if not isinstance(group, dict):
            continue
        short = {name: value for name, value in group.items() if name not in _CLASS_KEYS}
        arguments = group.get("init_args")
        if not short or not isinstance(arguments, dict | None):
            continue
        for name in short:
            if name in (arguments or {}):
                raise UserError(
                    f"{key}.{name} and {key}.init_args.{name} are the same setting, {path};"
                    " keep one of them"
                )
        rest = {name: value for name, value in group.items() if name in _CLASS_KEYS}
        tree[key] = {**rest, "init_args": {**(arguments or {}), **short}}
    return tree


def _anchor(value: Any, folder: Path) -> Any:
    if isinstance(value, dict):
        return {key: _anchor(item, folder) for key, item in value.items()}
    if isinstance(value, list):
        return [_anchor(item, folder) for item in value]
    if isinstance(value, str):
        text = os.path.expandvars(value)
        text = str(Path(text).expanduser()) if text.startswith("~") else text
        return str((folder / text).resolve()) if text.startswith(("./", "../")) else text
    return value


def _merge(into: Tree, part: Tree, prefix: str) -> None:
    for key, value in part.items():
        name = f"{prefix}{key}"
        if key.endswith("+") and isinstance(value, list):
            into[key[:-1]] = [*(into.get(key[:-1]) or []), *value]
            continue
        old = into.get(key)
        if isinstance(old, dict) and isinstance(value, dict) and name not in WHOLE:
            if _changes_class(old, value):
                into[key] = {**value}
            else:
                _merge(old, value, f"{name}.")
        else:
            into[key] = value


def _data_arguments(tree: Tree) -> Tree:
    """The arguments of the data module in a tree; empty where there are none."""
    arguments = (tree.get("data") or {}).get("init_args")
    return arguments if isinstance(arguments, dict) else {}


def _drop_with_train(tree: Tree, part: Tree) -> None:
    old, new = _data_arguments(tree), _data_arguments(part)
    if "train" in new:
        for key in WITH_TRAIN:
            old.pop(key, None)


def _drop_unmeasured(tree: Tree, part: Tree) -> None:
    """Forgets what was said of measured sets that `part` replaces."""
    old, new = _data_arguments(tree), _data_arguments(part)
    if {"val", "test"} & {*new}:
        keep_measured(old, {n for role in ("val", "test") for n in {**old, **new}.get(role) or ()})


def keep_measured(arguments: Tree, names: Collection[str]) -> None:
    """Keeps, of what arguments of the data say of measured sets, that of these names."""
    bins, whole = arguments.get("yaw_bins"), arguments.get("whole")
    if isinstance(bins, dict):
        arguments["yaw_bins"] = {name: edges for name, edges in bins.items() if name in names}
    if isinstance(whole, list):
        arguments["whole"] = [name for name in whole if name in names]


def _changes_class(old: Tree, new: Tree) -> bool:
    paths = old.get("class_path"), new.get("class_path")
    return None not in paths and len({short_name(str(path)) for path in paths}) > 1


def _refuse_other_class(tree: Tree, part: Tree, origins: dict[str, Path], path: Path) -> None:
    for key, kind in CLASSES.items():
        old, new = tree.get(key), part.get(key)
        if isinstance(old, dict) and isinstance(new, dict) and _changes_class(old, new):
            first = origins[f"{key}.class_path"]
            raise UserError(
                f"{first} names the {kind} {short_name(old['class_path'])} and {path} names "
                f"{short_name(new['class_path'])}; keep one of them"
            )


def _refuse_lost_data(tree: Tree, part: Tree, origins: dict[str, Path], path: Path) -> None:
    """Refuses a method's file whose data sets would replace those of a data file before it."""
    if "model" in tree or "model" not in part:
        return
    old, new = _data_arguments(tree), _data_arguments(part)
    for key in WHOLE:
        role = key.rpartition(".")[2]
        if old.get(role) and new.get(role) and old[role] != new[role]:
            raise UserError(
                f"{path} has data sets of its own, which would replace those of"
                f" {origins.get(key)}; give the method's file first and the data's file after it"
            )


def _refuse_restated(tree: Tree, origins: dict[str, Path]) -> None:
    model = tree.get("model")
    arguments = model.get("init_args") if isinstance(model, dict) else None
    for key in LINKED:
        if isinstance(arguments, dict) and key in arguments:
            where = origins.get(f"model.init_args.{key}")
            raise UserError(
                f"model.init_args.{key} in {where} is taken from data.init_args.{key}; "
                "state it there only"
            )


def _flatten_keys(tree: Tree, prefix: str = "") -> Iterator[str]:
    for key, value in tree.items():
        name = f"{prefix}{key}"
        yield name
        if isinstance(value, dict):
            yield from _flatten_keys(value, f"{name}.")
        elif isinstance(value, list):
            for item in value:
                if isinstance(item, dict):
                    yield from _flatten_keys(item, f"{name}.")


def take_data_sets(tree: Tree) -> Tree:
    """Takes the data sets out of a merged tree, in place, and gives them by role."""
    data = tree.setdefault("data", {"class_path": DATA_CLASS})
    arguments = data.setdefault("init_args", {})
    roles = [key.rpartition(".")[2] for key in WHOLE]
    sets: Tree = {role: arguments.get(role) for role in roles}
    arguments.update(train={}, val={}, test={}, weights={})
    return sets
