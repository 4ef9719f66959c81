"""A study on disk: its folder, its Optuna study, its best trial and its fronts.

STUDY/sweep.yaml        copy of the sweep file, paths made absolute
STUDY/journal.log       Optuna's journal, unless the storage is a database
STUDY/trials/0007       the run directory of trial 7
STUDY/trials/0007/seed2 with several seeds, the run directory of one of them
STUDY/workers/<name>    one file per worker that is alive
STUDY/rounds/2          a round after the search, a study of its own
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import yaml
from optuna.trial import FrozenTrial, TrialState

from lit_landmarks.compute.pareto import pareto_front
from lit_landmarks.errors import UserError
from lit_landmarks.files import write_atomic
from lit_landmarks.search.attributes import DIGEST, METRICS, OBJECTIVE, OLD_DIGESTS, RUN, WARM
from lit_landmarks.search.judged import JudgedStudy, record_objectives
from lit_landmarks.search.objectives import (
    first_value,
    is_trained,
    rank_trials,
    select_front,
)
from lit_landmarks.search.space import KEPT_TRIALS
from lit_landmarks.search.storage import open_storage
from lit_landmarks.search.sweep_file import (
    KINDS,
    Sweep,
    instantiate,
    read_sweep,
    with_absolute_bases,
)
from lit_landmarks.search.workers import NUMBER, Worker, is_alive

#: Samplers whose seed defines one order of trials, which all workers must share.
_ONE_SEED = ("QMCSampler", "GridSampler")

optuna.logging.set_verbosity(optuna.logging.WARNING)


class StudyFolder:
    """Folder of a study.

    Args:
        root: the folder.

    Example:
        >>> StudyFolder(Path("/studies/smoke")).trials.as_posix()
        '/studies/smoke/trials'
    """

    def __init__(self, root: Path) -> None:
        # Workers may start elsewhere, and trials remember their folders.
        self.root = root.resolve()

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
        """Reads the study's sweep file.

        Raises:
            UserError: the folder holds no study.
        """
        if not self.file.is_file():
            raise UserError(f"{self.root} holds no study; start one with `sweep run FILE`")
        return read_sweep(self.file)

    def refuse_if_used(self, sweep: Sweep) -> None:
        """Raises if the folder is in use; a study on a database may be joined.

        Raises:
            UserError: the folder holds something else than this study.
        """
        if not self.root.exists() or not any(self.root.iterdir()):
            return
        if (
            sweep.shared
            and self.file.is_file()
            and digest_sweep(self.sweep()) == digest_sweep(sweep)
        ):
            return
        raise UserError(
            f"{self.root} exists; continue with `sweep resume {self.root}` or give another --study"
        )

    def create(self, sweep: Sweep, seed: int | None = None) -> None:
        """Writes the folder of a new study.

        Args:
            sweep: its sweep file.
            seed: of the sampler, instead of the file's.

        Raises:
            UserError: the folder is in use, or a seed for a sampler that takes none.
        """
        self.refuse_if_used(sweep)
        tree = yaml.safe_load(sweep.file.read_text(encoding="utf-8"))
        with_absolute_bases(tree, sweep.file.parent)
        # Studies of earlier versions say nothing and lose no checkpoint.
        tree.setdefault("keep", KEPT_TRIALS)
        if seed is not None:
            name, arguments = sweep.sampler
            seeded = {**arguments, "seed": seed}
            module, kind, _ = KINDS["sampler"]
            try:
                instantiate(module, kind, name, seeded)
            except (TypeError, ValueError) as error:
                raise UserError(f"{name} takes no seed {seed}; omit --seed") from error
            tree["sampler"] = {"class": name, "arguments": seeded}
        write_atomic(self.file, yaml.safe_dump(tree, sort_keys=False))

    def open(self, sweep: Sweep) -> JudgedStudy:
        """Opens the Optuna study, or creates it.

        Returns:
            The study, whose trials are judged by `sweep`.

        Raises:
            UserError: the storage cannot be reached, or holds another study of that name of which
                a trial has not failed.
        """
        storage = open_storage(sweep, self.root)
        pruner, pruning = sweep.pruner
        module, kind, _ = KINDS["pruner"]
        self._refuse_other_name(sweep, storage)
        optuna.create_study(
            storage=storage,
            study_name=sweep.name,
            load_if_exists=True,
            directions=sweep.directions,  # type: ignore[arg-type]
        )
        study = JudgedStudy(sweep, storage, instantiate(module, kind, pruner, dict(pruning)))
        if OBJECTIVE not in study.user_attrs and not study.get_trials(deepcopy=False):
            record_objectives(study)
        if sweep.shared:
            digest = study.user_attrs.get(DIGEST)
            if digest is None:
                study.set_user_attr(DIGEST, digest_sweep(sweep))
            elif digest != digest_sweep(sweep):
                states = {trial.state for trial in study.get_trials(deepcopy=False)}
                # The file was corrected after every trial failed: nothing was measured with the old
                # settings, which another machine may still have.
                replaced = study.user_attrs.get(OLD_DIGESTS, [])
                if states != {TrialState.FAIL} or digest_sweep(sweep) in replaced:
                    raise UserError(
                        f"the database holds a study '{sweep.name}' with other settings; correct "
                        f"{sweep.file}, or give it another 'name'"
                    )
                study.set_user_attr(OLD_DIGESTS, [*replaced, digest])
                study.set_user_attr(DIGEST, digest_sweep(sweep))
        study.sampler = _make_sampler(sweep, len(study.get_trials(deepcopy=False)))
        return study

    def _refuse_other_name(self, sweep: Sweep, storage: optuna.storages.BaseStorage) -> None:
        """Raises `UserError` if the journal holds a study of another name, which the file had."""
        names = [] if sweep.shared else optuna.get_all_study_names(storage)
        if names and sweep.name not in names:
            raise UserError(
                f"{sweep.file}: name is '{sweep.name}', but the trials of {self.root} are those of "
                f"'{names[0]}'; put the name back"
            )

    def worker(self, study: optuna.Study, sweep: Sweep) -> Worker:
        """A `Worker` for this process, to be entered as a context while it runs trials."""
        return Worker(self.workers, study, sweep)

    def is_alive(self, owner: str, sweep: Sweep) -> bool:
        """Whether the worker of that name still runs, as far as this machine can see."""
        return is_alive(self.workers, owner, sweep.grace, files=not sweep.shared)

    def locate(self, run: str | None) -> Path | None:
        """Locates a recorded run directory in this study's folder, which may be a copy, or moved.

        Args:
            run: the attribute `RUN` or `RESUMES` of a trial; earlier versions wrote absolute paths.
        """
        return None if run is None else self.trials / Path(run).name

    def runs(self, trial: FrozenTrial, sweep: Sweep) -> list[Path]:
        """Run directories of a trial, one for each seed; empty if none is on this machine."""
        run = self.locate(trial.user_attrs.get(RUN))
        if run is None:
            return []
        runs = [run / f"seed{s}" for s in sweep.seeds] if len(sweep.seeds) > 1 else [run]
        return [path for path in runs if path.exists()]


def digest_sweep(sweep: Sweep) -> str:
    """Digest of a sweep file, by which machines know that they work on the same study.

    Folders and budgets are left out: a machine has its own paths, and a budget may grow.
    """
    names = {n: sorted(p.name for p in b.base) for n, b in sweep.methods.items()}
    spaces = {n: [repr(p) for p in b.space] for n, b in sweep.methods.items()}
    content = [
        sorted(p.name for p in sweep.base),
        names,
        spaces,
        [repr(p) for p in sweep.space],
        # A study of one objective has the digest that earlier versions gave it.
        list(sweep.objectives) if sweep.further else sweep.objective,
        [str(c) for c in sweep.constraints],
        sorted(sweep.settings.items()),
        sweep.seeds,
    ]
    if sweep.rounds:
        content.append([repr(part) for part in sweep.rounds])
    return hashlib.sha256(json.dumps(content, default=repr).encode()).hexdigest()[:16]


def _make_sampler(sweep: Sweep, trials: int) -> Any:
    """The sampler, seeded by the sweep's seed, this worker and the number of trials so far.

    With the same seed, workers would try the same settings, and a resumed random search would
    repeat its first trials.
    """
    name, arguments = sweep.sampler
    module, kind, _ = KINDS["sampler"]
    filled = dict(arguments)
    number = int(os.environ.get(NUMBER, "0"))
    if sweep.shared:
        # Each machine numbers its workers from 0.
        number = zlib.crc32(f"{socket.gethostname()} {os.getpid()}".encode())
    if filled.get("seed") is not None and name not in _ONE_SEED and (number or trials):
        sequence = np.random.SeedSequence([int(filled["seed"]), number, trials])
        filled["seed"] = int(sequence.generate_state(1)[0] >> 1)
    return instantiate(module, kind, name, filled)


def is_feasible(trial: FrozenTrial) -> bool:
    """Whether a trial of this study was trained to its end and is within every limit."""
    own = is_trained(trial) and WARM not in trial.user_attrs
    return own and all(value <= 0 for value in trial.constraints.values())


def rank_feasible(study: JudgedStudy) -> list[FrozenTrial]:
    """Ranks the trials within all limits, best first; with several objectives the front first."""
    feasible = [t for t in study.get_trials(deepcopy=False) if is_feasible(t)]
    return rank_trials(feasible, study.sweep.objectives)


def find_best_feasible(study: JudgedStudy) -> FrozenTrial | None:
    """Finds the best trial within all limits, by the first objective; None if there is none."""
    return next(iter(rank_feasible(study)), None)


def find_front(study: JudgedStudy) -> list[FrozenTrial]:
    """Finds the trials within all limits that no other one equals or beats in all objectives."""
    feasible = [t for t in study.get_trials(deepcopy=False) if is_feasible(t)]
    return select_front(feasible, study.sweep.objectives)


def select_pareto_trials(study: JudgedStudy, cost: str = "compute/mma") -> list[FrozenTrial]:
    """Pareto front of objective and cost: trained trials that no cheaper one beats, in order.

    Trials that break a limit on another metric than `cost` are left out.

    Args:
        study: the study.
        cost: metric of the cost.
    """
    others = [str(limit) for limit in study.limits if limit.metric != cost]
    sign = -1.0 if study.sweep.direction == "maximize" else 1.0
    trained = [
        (float(t.user_attrs[METRICS][cost]), sign * float(first_value(t) or 0.0), t)
        for t in study.get_trials(deepcopy=False)
        if is_trained(t)
        and cost in t.user_attrs.get(METRICS, {})
        and WARM not in t.user_attrs
        and all(t.constraints.get(name, 0.0) <= 0 for name in others)
    ]
    return pareto_front(trained)
