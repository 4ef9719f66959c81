"""Record of the data of a run (`RUN/data.json`), by which changed faces and labels are noticed.

For each data set: its faces and a hash of each label column, of the file names and of the sizes of
the picture files. Pixels are not read and folders do not count, so a copy elsewhere is the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lit_landmarks.data import FaceDataset, LandmarkDataModule
from lit_landmarks.documents import parse_json
from lit_landmarks.errors import UserError
from lit_landmarks.labels import LABEL_TABLE
from lit_landmarks.training.build import hash_manifest
from lit_landmarks.training.run_directory import RunDirectory, write_json
from lit_landmarks.types import ROLES, Role

#: Digits of a hash that are stored; a chance equality is one in 2^64.
_DIGITS = 16
#: What stands for each part of a set's record in messages.
_PARTS = {
    "scheme": "the scheme",
    "convention": "the convention",
    "norm": "the primary norm",
    "target": "the scheme of the run",
    "files": "the picture files",
    "sizes": "the sizes of picture files",
    "subsets": "the subsets",
}


def describe_set(dataset: FaceDataset) -> dict[str, Any]:
    """Faces of a data set, and hashes of all that a fit takes from it but the pixels."""
    index = dataset.index()
    names = [Path(path).name for path in index.paths]
    sizes = {path: _file_size(path) for path in dict.fromkeys(index.paths)}
    record: dict[str, Any] = {
        "faces": len(index),
        "scheme": dataset.scheme,
        "convention": dataset.convention,
        "norm": dataset.primary_norm,
        "files": _hash(repr(names).encode()),
        "sizes": _hash(repr([sizes[path] for path in index.paths]).encode()),
        "subsets": _hash(
            *(name.encode() + column.tobytes() for name, column in sorted(index.subsets.items()))
        ),
    }
    for label in LABEL_TABLE:
        column = None if label.index_shape is None else getattr(index, label.name)
        if column is not None:
            record[label.name] = _hash(np.ascontiguousarray(column).tobytes())
    return record


def describe_data(data: LandmarkDataModule) -> dict[str, dict[str, Any]]:
    """`describe_set` of each data set of a data module, by `role/name`."""
    return {
        f"{role}/{name}": {**describe_set(dataset), "target": data.scheme}
        for role in ROLES
        for name, dataset in data.sets[role].items()
    }


def list_changes(
    before: Mapping[str, Mapping[str, Any]],
    now: Mapping[str, Mapping[str, Any]],
    roles: Sequence[str] = ROLES,
) -> list[str]:
    """What differs between two records, a phrase for each data set.

    Args:
        before: `describe_data` of the run.
        now: `describe_data` of today.
        roles: sets of other roles are not compared.

    Example:
        >>> list_changes({"val/a": {"faces": 3}}, {"val/a": {"faces": 2}, "val/b": {"faces": 1}})
        ['val/a has 2 faces, 3 before', 'val/b is new']
    """
    changes = []
    for name in [*before, *(name for name in now if name not in before)]:
        if name.split("/")[0] not in roles:
            continue
        if name not in now:
            changes.append(f"{name} is gone")
        elif name not in before:
            changes.append(f"{name} is new")
        elif before[name].get("faces") != now[name].get("faces"):
            counts = now[name].get("faces"), before[name].get("faces")
            changes.append(f"{name} has {counts[0]} faces, {counts[1]} before")
        else:
            keys = [*before[name], *(key for key in now[name] if key not in before[name])]
            parts = [key for key in keys if before[name].get(key) != now[name].get(key)]
            named = [_PARTS.get(part, f"the label {part}") for part in parts]
            if named:
                changes.append(f"{name} has changed in {', '.join(named)}")
    return changes


def read_record(run: RunDirectory) -> dict[str, Any] | None:
    """The content of data.json: `manifest`, `roles`, `sets`, `changes`; None for an older run.

    Raises:
        UserError: the file is damaged.
    """
    if not run.data.is_file():
        return None
    try:
        record = parse_json(run.data.read_text(encoding="utf-8"), run.data)
        if not isinstance(record["sets"], dict) or not isinstance(record["changes"], list):
            raise TypeError("sets and changes")
    except UserError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{run.data} is damaged ({error}); remove it to go on without the comparison"
        ) from error
    return dict(record)


def find_changes(
    run: RunDirectory, data: LandmarkDataModule, roles: Sequence[Role] = ROLES
) -> list[str]:
    """What has changed in the data since a run was trained; nothing for a run without a record.

    Args:
        run: the run.
        data: the data module of today.
        roles: whose data sets are compared.
    """
    record = read_record(run)
    if record is not None:
        return list_changes(record["sets"], describe_data(data), roles)
    if set(roles) < set(ROLES) or not run.result.is_file():
        return []
    manifest = (run.read_result().get("data") or {}).get("manifest")
    same = manifest is None or manifest == hash_manifest(data)
    return [] if same else ["faces or labels have changed (the run does not say which)"]


def record_data(
    run: RunDirectory, data: LandmarkDataModule, changes: Sequence[str] = (), step: int = 0
) -> None:
    """Writes data.json, with the history of accepted changes.

    Args:
        run: the run.
        data: its data module.
        changes: what has changed since the last record; empty for none.
        step: optimizer step from which the run goes on with the changed data.
    """
    before = read_record(run) or {"changes": []}
    manifests = describe_manifests(data)
    history = list(before["changes"])
    if changes:
        ends = {"from": before.get("manifest"), "to": manifests["manifest"]}
        history.append({"step": step, **ends, "what": list(changes)})
    write_json(run.data, {**manifests, "sets": describe_data(data), "changes": history})


def describe_manifests(data: LandmarkDataModule) -> dict[str, Any]:
    """`hash_manifest` of all data sets as `manifest`, and of those of each role as `roles`."""
    roles = {role: hash_manifest(data, [role]) for role in ROLES if data.sets[role]}
    return {"manifest": hash_manifest(data), "roles": roles}


def list_accepted_changes(run: RunDirectory) -> dict[str, Any]:
    """`changes` of the data that a resumed run has accepted; nothing if there are none."""
    record = read_record(run)
    return {"changes": record["changes"]} if record and record["changes"] else {}


def _file_size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except OSError:
        return -1


def _hash(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()[:_DIGITS]
