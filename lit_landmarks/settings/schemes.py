"""Landmark schemes that users declare, registered before the method that asks for its scheme.

The declaration stands in the files of a data set (`FaceDataset.declare`) and, from a fit on, in the
run directory too: what needs a run and no data, such as `profile RUN`, reads it there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lit_landmarks.data import DATASETS
from lit_landmarks.settings.composition import Tree, short_name
from lit_landmarks.training.run_directory import RunDirectory
from lit_landmarks.types import ROLES


def declare_from_sets(arguments: Mapping[str, Any], root: str) -> None:
    """Registers the schemes of the configured data sets; a set is read at most up to its faces.

    Args:
        arguments: of the data module, plain values.
        root: folder from which paths of the data sets start.

    Raises:
        UserError: a file that should declare a scheme is missing or bad.
    """
    for name, values in list_configured_sets(arguments):
        if name in DATASETS:
            DATASETS[name].declare(root, **values)


def declare_from_runs(configs: Iterable[Path]) -> None:
    """Registers the schemes of runs whose config.yaml is among the argument files.

    Raises:
        UserError: a scheme of that name is registered with other points.
    """
    for path in configs:
        run = RunDirectory(path.parent)
        if run.config == path:
            run.declare_schemes()


def list_configured_sets(arguments: Mapping[str, Any]) -> Iterator[tuple[str, Tree]]:
    """Class name and arguments of each data set, in any form that a YAML file may have."""
    for role in ROLES:
        sets = arguments.get(role) or {}
        for spec in sets.values() if isinstance(sets, dict) else ():
            if isinstance(spec, str):
                yield short_name(spec), {}
            elif isinstance(spec, dict):
                yield short_name(str(spec.get("class_path"))), spec.get("init_args") or {}
