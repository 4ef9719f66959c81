"""Checks that a data module provides the labels, frame and scheme that a method needs.

Data and methods do not know each other. Here, and only here, `Needs` meets `DataSpec`, so that a
mismatch is one line before the first step and not a NaN after an hour.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from lit_landmarks.data import LandmarkDataModule
from lit_landmarks.errors import UserError
from lit_landmarks.methods.base import LandmarkModule
from lit_landmarks.methods.steps import MethodSteps
from lit_landmarks.nets.backbone import BATCH_NORMS
from lit_landmarks.schemes import get_scheme
from lit_landmarks.template import has_mean_face, placed_query_points
from lit_landmarks.types import ROLES, DataSpec, Needs, Role

Stage = Literal["fit", "validate", "test", "predict"]

#: Roles that a stage cannot do without.
REQUIRED: dict[Stage, tuple[Role, ...]] = {
    "fit": ("train", "val"),
    "validate": ("val",),
    "test": ("test",),
    "predict": (),
}


def connect(method: MethodSteps, data: LandmarkDataModule, stage: Stage) -> DataSpec:
    """Compares a method with its data and binds them.

    Args:
        method: the method.
        data: the data module; its labels are read here, its images are not.
        stage: what will be run, which decides what data sets must be there.

    Returns:
        The data's spec.

    Raises:
        UserError: what the method needs and the data lacks, both named; or arguments that the
            optimizer refuses.
    """
    for role in REQUIRED[stage]:
        if not data.sets[role]:
            raise UserError(
                f"`{stage}` needs a {role} set, and the data has none; set data.init_args.{role}"
            )
    spec = data.spec
    for dataset in spec.datasets if method.asks_each_set else ():
        if not bool(placed_query_points(dataset.scheme).isfinite().any()):
            raise UserError(
                f"no point of {dataset.role}/{dataset.name} (scheme {dataset.scheme}) has a place"
                f" on the template, by which {type(method).__name__} is asked; name its points as"
                " other schemes do, or find places with `analyse places`"
            )
    if stage == "fit":
        check_needs(type(method).__name__, method.needs, spec)
        method.build_optimizer()  # says before the first step what it refuses
    method.bind(spec)
    if stage == "fit" and data.train_batch == 1:
        assert isinstance(method, LandmarkModule)
        _check_batch_norm(method, spec)
    return spec


def _check_batch_norm(method: LandmarkModule, spec: DataSpec) -> None:
    """Raises when a batch of one face leaves a batch norm a single value, which has no variance."""
    single: list[nn.Module] = []

    def collect_single(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if inputs[0].numel() == inputs[0].shape[1]:
            single.append(layer)

    layers = [layer for layer in method.modules() if isinstance(layer, BATCH_NORMS)]
    if not layers:
        return
    hooks = [layer.register_forward_pre_hook(collect_single) for layer in layers]
    modes = [(module, module.training) for module in method.modules()]
    try:
        method.eval()
        with torch.no_grad():
            method(method.example())
    finally:
        for module, training in modes:
            module.training = training
        for hook in hooks:
            hook.remove()
    if single:
        raise UserError(
            f"{type(method).__name__} has batch norms that cannot train on a batch of one face of"
            f" {spec.frame_size} x {spec.frame_size} pixels; set data.init_args.batch_size to 2 or"
            " more (and train with as many faces), or data.init_args.frame_size higher"
        )


def check_needs(name: str, needs: Needs, spec: DataSpec) -> None:
    """Raises when `spec` lacks what the method called `name` needs for training.

    Raises:
        UserError: a label that no training set carries, another kind of frame, or no common scheme.
    """
    sets = spec.in_role("train")
    brought = frozenset().union(*(s.labels for s in sets))
    if spec.scheme is not None and has_mean_face(spec.scheme):
        brought |= {"pose"}
    names = ", ".join(s.name for s in sets)
    if lacking := sorted(needs.labels - brought):
        raise UserError(
            f"{name} needs the label {', '.join(lacking)}, which no training set ({names}) has; "
            "add a set that has it, such as SyntheticFaces"
        )
    if needs.frame is not None and needs.frame != spec.frame:
        raise UserError(
            f"{name} needs {needs.frame} frames, and the data ({names}) makes {spec.frame} ones; "
            f"set data.init_args.frame to {needs.frame}"
        )
    if needs.one_scheme and spec.scheme is None:
        raise UserError(
            f"{name} needs one scheme for all rows, and the data ({names}) keeps each set's own; "
            "set data.init_args.scheme"
        )


def describe_missing_labels(method: LandmarkModule, spec: DataSpec) -> tuple[str, ...]:
    """One line for each optional label of a method that no training set provides."""
    brought = frozenset().union(*(s.labels for s in spec.in_role("train")))
    if any(has_mean_face(s.scheme) for s in spec.in_role("train")):
        brought |= {"pose"}
    return tuple(
        f"no training set has the label {label}, and scheme '{spec.scheme}' has no 3D mean face to "
        f"make it: {type(method).__name__} does not learn it; {cure}"
        for label, cure in method.optional_labels().items()
        if label not in brought
    )


def describe_unlisted_conventions(method: LandmarkModule, spec: DataSpec) -> tuple[str, ...]:
    """One line for each convention of the data that the correction of a method does not list."""
    if method.correction is None:
        return ()
    listed = method.correction.conventions
    sets: dict[str, list[str]] = {}
    for dataset in spec.datasets:
        if dataset.convention not in listed:
            sets.setdefault(dataset.convention, []).append(f"{dataset.role}/{dataset.name}")
    return tuple(
        f"{', '.join(names)}: convention {convention} is not in model.correction.conventions; it"
        f" is answered as {listed[0]}, the reference"
        for convention, names in sets.items()
    )


def describe_unplaced_points(method: MethodSteps, spec: DataSpec) -> tuple[str, ...]:
    """One line for each data set with points that a method of queries cannot be asked for."""
    if not method.asks_each_set:
        return ()
    notes = []
    for dataset in spec.datasets:
        placed = placed_query_points(dataset.scheme).isfinite().all(-1).tolist()
        names = get_scheme(dataset.scheme).point_names
        lost = [name for name, there in zip(names, placed, strict=True) if not there]
        if lost:
            shown = ", ".join(lost[:3]) + (f" and {len(lost) - 3} more" if len(lost) > 3 else "")
            notes.append(
                f"{dataset.role}/{dataset.name}: {len(lost)} of {len(names)} points have no place"
                f" on the template ({shown}) and are left out; `analyse places` finds places"
            )
    return tuple(notes)


def run_name(method: LandmarkModule, spec: DataSpec) -> str:
    """Default name of a run: method and training sets, such as `asmnet-synthetic`."""
    names = [type(method).__name__, *(s.name for s in spec.in_role("train"))]
    return "-".join(re.sub(r"\W+", "_", name).lower() for name in names)[:80]


def hash_manifest(data: LandmarkDataModule, roles: Sequence[Role] = ROLES) -> str:
    """SHA-256 of all labels: roles, names, file names, points, masks and boxes.

    Pixels are not read, and folders do not count: the same data set elsewhere has the same hash.

    Args:
        data: the data module.
        roles: whose data sets are hashed.
    """
    digest = hashlib.sha256()
    for role in roles:
        sets = data.sets[role]
        for name, dataset in sets.items():
            index = dataset.index()
            files = [Path(path).name for path in index.paths]
            digest.update(repr((role, name, dataset.scheme, dataset.convention, files)).encode())
            for column in (index.points, index.mask, index.box):
                digest.update(np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()
