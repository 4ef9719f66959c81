"""The run directory: files that one fit writes and that resume and reports read.

    RUN/config.yaml           resolved arguments; `fit --config RUN/config.yaml` repeats the run
    RUN/data.json             faces and hashes of the data sets, by which changed data is noticed
    RUN/schemes.json          declarations of landmark schemes of one's own, if the data has such
    RUN/checkpoints/          best.ckpt: lowest val/nme; last.ckpt: all state, at each epoch's end
    RUN/metrics.csv           one row per logged step
    RUN/overlays/             faces with predicted and true points, the worst too (gallery.py)
    RUN/result.json           final metrics, cost, seed, versions, git state, data hash, wall time
    RUN/measurements/         figures of later evaluations, named by data (measurements.py)
    RUN/ced.npz               cumulative error distributions of the final metrics (curves.py)
    RUN/wandb/                the W&B run, offline unless the config asks for online
    RUN/tensorboard/          if `loggers.tensorboard` asks for it (loggers.py)
    RUN/mlflow.db             if `loggers.mlflow` asks for it and names no server; mlflow_run_id too

Every file is written to a temporary name and renamed, so a kill leaves the old or the new one.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lit_landmarks.documents import parse_json
from lit_landmarks.errors import UserError
from lit_landmarks.files import write_atomic
from lit_landmarks.schemes import SCHEMES, read_scheme, register_scheme, scheme_json


@dataclass(frozen=True)
class RunDirectory:
    """Names of the files of one run, below `root`."""

    root: Path

    @property
    def config(self) -> Path:
        """Resolved arguments."""
        return self.root / "config.yaml"

    @property
    def schemes(self) -> Path:
        """Schemes that only the run's data declares; absent if there are none."""
        return self.root / "schemes.json"

    @property
    def data(self) -> Path:
        """Record of the data sets, see `training.data_record`."""
        return self.root / "data.json"

    @property
    def checkpoints(self) -> Path:
        """Folder of best.ckpt and last.ckpt."""
        return self.root / "checkpoints"

    @property
    def best(self) -> Path:
        """Weights with the best monitored value."""
        return self.checkpoints / "best.ckpt"

    @property
    def last(self) -> Path:
        """Full state at the end of the last finished epoch."""
        return self.checkpoints / "last.ckpt"

    @property
    def metrics(self) -> Path:
        """Logged values, one row per step."""
        return self.root / "metrics.csv"

    @property
    def result(self) -> Path:
        """Final metrics and provenance."""
        return self.root / "result.json"

    @property
    def ced(self) -> Path:
        """Cumulative error distributions of the final metrics, see `training.curves`."""
        return self.root / "ced.npz"

    @property
    def overlays(self) -> Path:
        """Folder of drawn predictions."""
        return self.root / "overlays"

    @property
    def tracker(self) -> Path:
        """Folder of the W&B run and its id."""
        return self.root / "wandb"

    def read_result(self) -> dict[str, Any]:
        """The content of result.json.

        Raises:
            UserError: the run has none (it did not finish), or it is damaged.
        """
        try:
            text = self.result.read_text(encoding="utf-8")
            result = parse_json(text, self.result)
        except FileNotFoundError as error:
            raise UserError(
                f"{self.root} holds no result.json; finish it with `fit --resume {self.root}`"
            ) from error
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise UserError(
                f"{self.result} is not JSON ({error}); remove it, then fit --resume {self.root}"
            ) from error
        if not isinstance(result, dict):
            raise UserError(
                f"{self.result} holds no metrics; remove it, then fit --resume {self.root}"
            )
        return result

    def write_schemes(self, names: Sequence[str]) -> None:
        """Writes the declarations of these schemes; no file if there are none."""
        if names:
            write_json(self.schemes, {"schemes": [scheme_json(name) for name in names]})

    def declare_schemes(self) -> None:
        """Registers the schemes stored in the run, so that its data need not be there.

        Raises:
            UserError: the file is damaged, or its scheme is registered with other points.
        """
        if not self.schemes.is_file():
            return
        try:
            values = parse_json(self.schemes.read_text(encoding="utf-8"), self.schemes)["schemes"]
            declared = [read_scheme(value, str(self.schemes)) for value in values]
        except (OSError, ValueError, KeyError, TypeError) as error:
            detail = f"; {error}" if isinstance(error, UserError) else ""
            raise UserError(
                f"{self.schemes} is damaged{detail}; remove it: the data declares the scheme too"
            ) from error
        for scheme in declared:
            if SCHEMES.get(scheme.name, scheme) != scheme:
                raise UserError(
                    f"scheme {scheme.name!r} was declared otherwise when {self.root} was trained "
                    f"({self.schemes}); restore the declaration in the data, or train a new run"
                )
            register_scheme(scheme)

    def remove_if_untrained(self) -> None:
        """Delete the run if it failed before its first checkpoint."""
        if not self.last.exists() and not self.best.exists():
            shutil.rmtree(self.root, ignore_errors=True)


def create_run(path: Path | None, name: str, runs: Path = Path("runs")) -> RunDirectory:
    """Makes a new, empty run directory and never overwrites one.

    Args:
        path: where the user wants it, or None for `runs/<name>-<counter>`.
        name: method and data, for the default.
        runs: folder of the default.

    Raises:
        UserError: `path` exists and is not empty, or cannot be made.
    """
    try:
        if path is not None:
            refuse_used_folder(path)
            path.mkdir(parents=True, exist_ok=True)
            return RunDirectory(path)
        runs.mkdir(parents=True, exist_ok=True)
        for counter in range(1, 1_000_000):
            candidate = runs / f"{name}-{counter:03d}"
            try:
                candidate.mkdir()
            except FileExistsError:
                continue
            return RunDirectory(candidate)
    except OSError as error:
        raise UserError(f"cannot make a run directory: {error}; choose another --run") from error
    raise UserError(f"{runs} is full of runs named {name}; choose a name with --run")


def refuse_used_folder(path: Path) -> None:
    """Refuses a place for a new run that is not free.

    Raises:
        UserError: `path` exists and is not an empty folder.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        run = RunDirectory(path)
        cure = "choose another --run"
        if run.last.is_file():
            cure += f" or continue it: fit --resume {path}"
        elif run.config.is_file():
            cure += ", or remove this one: it is a run whose first epoch did not end"
        raise UserError(f"{path} exists and is not empty; {cure}")


def open_run(path: Path) -> RunDirectory:
    """An existing run.

    Raises:
        UserError: no such folder, or one without config.yaml.
    """
    run = RunDirectory(path)
    if not path.is_dir():
        raise UserError(f"no run directory at {path}; give the folder that `fit` made (runs/...)")
    if not run.config.is_file():
        raise UserError(
            f"{path} holds no config.yaml, so it is no run; give a folder that `fit` made"
        )
    return run


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Writes JSON atomically; NaN becomes null, since strict readers refuse NaN."""
    write_atomic(path, json.dumps(replace_nonfinite(content), indent=2, allow_nan=False) + "\n")


def replace_nonfinite(value: Any) -> Any:
    """Replace NaN and infinity, which strict JSON lacks, by None in nested values."""
    if isinstance(value, Mapping):
        return {str(key): replace_nonfinite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [replace_nonfinite(item) for item in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value
