"""A study on disk: its folder, its Optuna storage, and what its trials came to.

STUDY/sweep.yaml        copy of the sweep file, paths made absolute
STUDY/journal.log       Optuna's journal, unless the storage is a database
STUDY/trials/0007       the run directory of trial 7
STUDY/workers/<pid>     one file per worker that is alive on this machine
"""

from __future__ import annotations

import contextlib
import math
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import optuna
import yaml
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from lit_landmarks.errors import UserError
from lit_landmarks.files import write_atomic
from lit_landmarks.search.sweep_file import Sweep, read_sweep, with_absolute_bases

#: Seconds between signs of life of a worker on a database, and until it counts as dead.
_HEARTBEAT, _GRACE = 30, 120
#: User attributes of a trial.
RUN, WHY, METRICS, RESUMES, OWNER = "run", "why", "metrics", "resumes", "owner"

optuna.logging.set_verbosity(optuna.logging.WARNING)


class StudyFolder:
    """A study's folder.

    Args:
        root: the folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def file(self) -> Path:
        """The study's own copy of its sweep file."""
        return self.root / "sweep.yaml"

    @property
    def trials(self) -> Path:
        """Folder of the trials' run directories."""
        return self.root / "trials"

    @property
    def workers(self) -> Path:
        """Folder of the files of live workers."""
        return self.root / "workers"

    def sweep(self) -> Sweep:
        """The sweep.

        Raises:
            UserError: the folder holds no study.
        """
        if not self.file.is_file():
            raise UserError(f"{self.root} holds no study; start one with `sweep run FILE`")
        return read_sweep(self.file)

    def create(self, sweep: Sweep) -> None:
        """Write the folder of a new study.

        Raises:
            UserError: the folder is in use.
        """
        if self.root.exists() and any(self.root.iterdir()):
            raise UserError(
                f"{self.root} exists; go on with `sweep resume {self.root}` or give another --study"
            )
        tree = yaml.safe_load(sweep.file.read_text(encoding="utf-8"))
        with_absolute_bases(tree, sweep.file.parent)
        write_atomic(self.file, yaml.safe_dump(tree, sort_keys=False))

    def open(self, sweep: Sweep) -> optuna.Study:
        """The Optuna study, made if it is new.

        Raises:
            UserError: the storage cannot be reached.
        """
        name, arguments = sweep.sampler
        pruner, pruning = sweep.pruner
        try:
            return optuna.create_study(
                storage=self._storage(sweep.storage),
                study_name=sweep.name,
                load_if_exists=True,
                direction=sweep.direction,  # type: ignore[arg-type]
                sampler=getattr(optuna.samplers, name)(**arguments),
                pruner=getattr(optuna.pruners, pruner)(**pruning),
            )
        except (OSError, ImportError) as error:
            raise UserError(f"cannot open storage {sweep.storage}: {error}") from error
        except Exception as error:
            # A driver's own errors are not known here; they all come from the database.
            if sweep.storage == "journal":
                raise
            told = str(error).strip().splitlines()[0] if str(error).strip() else type(error)
            raise UserError(
                f"cannot reach storage {_without_password(sweep.storage)}: {told}"
            ) from error

    def _storage(self, storage: str) -> BaseStorage:
        if storage == "journal":
            self.root.mkdir(parents=True, exist_ok=True)
            return JournalStorage(JournalFileBackend(str(self.root / "journal.log")))
        return RDBStorage(storage, heartbeat_interval=_HEARTBEAT, grace_period=_GRACE)

    @contextlib.contextmanager
    def working(self) -> Iterator[str]:
        """A file says that this process works on the study; gives the worker's name."""
        owner = f"{socket.gethostname()}-{os.getpid()}"
        file = self.workers / owner
        write_atomic(file, f"{os.getpid()}\n")
        try:
            yield owner
        finally:
            with contextlib.suppress(OSError):
                file.unlink()

    def is_alive(self, owner: str) -> bool:
        """Whether the worker of that name still works; True for one of another machine."""
        host, _, number = owner.rpartition("-")
        if host != socket.gethostname():
            return (self.workers / owner).exists()
        try:
            os.kill(int(number), 0)
        except (ValueError, ProcessLookupError):
            return False
        except PermissionError:
            return True
        return (self.workers / owner).exists()


def _without_password(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


def is_feasible(trial: FrozenTrial) -> bool:
    """Whether a finished trial keeps every limit."""
    return (
        trial.state == TrialState.COMPLETE
        and trial.value is not None
        and math.isfinite(trial.value)
        and all(value <= 0 for value in trial.constraints.values())
    )


def best_feasible(study: optuna.Study) -> FrozenTrial | None:
    """The best trial within all limits; None if there is none."""
    found = [t for t in study.get_trials(deepcopy=False) if is_feasible(t)]
    sign = -1.0 if study.direction == optuna.study.StudyDirection.MAXIMIZE else 1.0
    return min(found, key=lambda t: sign * float(t.value or 0.0), default=None)


def pareto_front(study: optuna.Study, cost: str = "compute/mma") -> list[FrozenTrial]:
    """Trained trials that no cheaper one beats, cheapest first.

    Args:
        study: the study.
        cost: metric of the cost.
    """
    sign = -1.0 if study.direction == optuna.study.StudyDirection.MAXIMIZE else 1.0
    known = [
        (float(t.user_attrs[METRICS][cost]), sign * float(t.value), t)
        for t in study.get_trials(deepcopy=False)
        if t.state == TrialState.COMPLETE and t.value is not None and math.isfinite(t.value)
        and cost in t.user_attrs.get(METRICS, {})
    ]  # fmt: skip
    front: list[FrozenTrial] = []
    lowest = math.inf
    for _, value, trial in sorted(known, key=lambda item: item[:2]):
        if value < lowest:
            lowest = value
            front.append(trial)
    return front
