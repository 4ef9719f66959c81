"""A sweep file as a tree: YAML without double keys, whose top-level keys are those of a study.

Imports neither Optuna nor torch, so a file that is missing or misspelled is reported at once.
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any

import yaml

from lit_landmarks.documents import YamlLoader, parse_yaml
from lit_landmarks.errors import UserError
from lit_landmarks.settings.shipped import find_file, shipped_hint

#: Keys of a sweep file, and whether each must be there.
KEYS = {
    "name": True,
    "base": False,
    "objective": False,
    "constraints": False,
    "space": False,
    "methods": False,
    "minimum": False,
    "settings": False,
    "refit": False,
    "seeds": False,
    "sampler": False,
    "pruner": False,
    "enqueue": False,
    "warm_start": False,
    "trials": True,
    "trained": False,
    "hours": False,
    "epochs": False,
    "rounds": False,
    "storage": False,
    "keep": False,
}
#: Numbers with an exponent that YAML 1.1 takes for text: without a point, or without a sign.
_EXPONENT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+\Z")


def load_sweep_tree(path: Path) -> dict[str, Any]:
    """Reads a sweep file and checks its top-level keys.

    Args:
        path: the file, or the name of a shipped one such as "smoke".

    Raises:
        UserError: no such file, broken YAML, an unknown key, or one that is missing.
    """
    path = find_file(path, "sweeps")
    tree = _load(path)
    unknown = next((key for key in tree if key not in KEYS), None)
    if unknown is not None:
        close = difflib.get_close_matches(str(unknown), KEYS, 1)
        cure = f"did you mean {close[0]}?" if close else f"known: {', '.join(KEYS)}"
        raise UserError(f"{path}: unknown key '{unknown}'; {cure}")
    missing = next((key for key, needed in KEYS.items() if needed and key not in tree), None)
    if missing is not None:
        raise UserError(f"{path}: no '{missing}'; add it")
    return tree


class _Loader(YamlLoader):
    """YAML loader that reads `1e-3` as a number, as YAML 1.2 and `fit` do; YAML 1.1 does not."""

    def construct_exponent(self, node: yaml.ScalarNode) -> float:
        """A number with an exponent: whole if it is written without a fraction, as `1e3`."""
        value = float(node.value)
        return int(value) if "." not in node.value and value.is_integer() else value


_Loader.add_implicit_resolver("!exponent", _EXPONENT, list("-+.0123456789"))
_Loader.add_constructor("!exponent", _Loader.construct_exponent)


def _load(path: Path) -> dict[str, Any]:
    try:
        tree = parse_yaml(path.read_text(encoding="utf-8"), path, _Loader)
    except FileNotFoundError as error:
        hint = shipped_hint(path, "sweeps")
        raise UserError(f"no sweep file {path}; {hint}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"cannot read {path}; give a sweep file such as sweeps/smoke.yaml"
        ) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        if isinstance(error, yaml.constructor.ConstructorError):
            raise UserError(f"{where}: {error.problem}; correct it, or put it in quotes") from error
        raise UserError(f"{where} is not YAML; correct that row") from error
    if not isinstance(tree, dict):
        raise UserError(f"{path} holds no study; write `key: value` rows (see sweeps/)")
    return tree
