"""Figures of later evaluations, beside those of the fit: RUN/measurements/.

Each file is named by what was measured, `test-afw-wflw-1a2b3c4d.json`: role, data sets, and the
first digits of a hash of their labels, the checkpoint and the settings that were given. So a
repetition replaces its file, and other data, a part of it or another checkpoint has its own.
"""

from __future__ import annotations

import datetime
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from lit_landmarks.data import LandmarkDataModule
from lit_landmarks.training.build import hash_manifest
from lit_landmarks.training.provenance import git_state, package_versions
from lit_landmarks.training.run_directory import RunDirectory, write_json
from lit_landmarks.types import Role

_LONGEST_NAME = 80


def save_measurement(
    run: RunDirectory,
    role: Role,
    data: LandmarkDataModule,
    metrics: Mapping[str, float],
    checkpoint: Path,
    command: str,
    overrides: Sequence[str] = (),
) -> Path:
    """Writes the figures of an evaluation into the run.

    Args:
        run: the run.
        role: val or test.
        data: the data that was measured.
        metrics: the figures.
        checkpoint: what was measured.
        command: that repeats the evaluation.
        overrides: settings of the command line, which may leave faces out.

    Returns:
        The file.

    Raises:
        UserError: it cannot be written.
    """
    manifest = hash_manifest(data, [role])
    # In a run that was moved the checkpoint is the same one.
    place = checkpoint.resolve()
    if place.is_relative_to(run.root.resolve()):
        place = place.relative_to(run.root.resolve())
    digest = hashlib.sha256(repr((manifest, str(place), list(overrides))).encode()).hexdigest()[:8]
    sets = [s for s in data.spec.datasets if s.role == role]
    names = re.sub(r"[^\w.-]+", "_", "-".join(s.name for s in sets))[:_LONGEST_NAME]
    path = run.root / "measurements" / f"{role}-{names}-{digest}.json"
    content = {
        "format": 1,
        "metrics": dict(metrics),
        "checkpoint": str(place),
        "command": command,
        "data": {
            "manifest": manifest,
            "sets": [
                {"name": s.name, "role": s.role, "convention": s.convention, "faces": s.size}
                for s in sets
            ],
        },
        "versions": package_versions(),
        "git": git_state(),
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    write_json(path, content)
    return path
