"""Deletes the checkpoints of ended trials but those of the best few.

A checkpoint holds the weights and the state of the optimizer, and each trial writes two: the last,
from which an interrupted trial goes on, and the best. Of a trial that has ended nobody needs the
last one, and of most trials neither.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from optuna.trial import FrozenTrial

from lit_landmarks.search.attributes import RESUMES, RUN
from lit_landmarks.search.budget import is_void
from lit_landmarks.search.judged import JudgedStudy
from lit_landmarks.search.study import StudyFolder, find_front, rank_feasible
from lit_landmarks.training.run_directory import RunDirectory


class Cleanup:
    """Deletes checkpoints of a study on this machine; records, curves and pictures stay.

    Args:
        folder: the study's folder.
        study: its storage.
        keep: trials within the limits whose best checkpoint is kept, the best first, and with
            several objectives the whole front; 0 keeps none, None all checkpoints of all trials.
    """

    def __init__(self, folder: StudyFolder, study: JudgedStudy, keep: int | None) -> None:
        self._folder, self._study, self._keep = folder, study, keep
        self._empty: set[str] = set()

    def __call__(self) -> None:
        """Deletes what is not to be kept now; trials that may go on are left alone."""
        if self._keep is None:
            return
        trials = self._study.get_trials(deepcopy=False)
        ended = {self._name_run(t) for t in trials if t.state.is_finished() and not is_void(t)}
        going_on = {self._name_run(t) for t in trials if not t.state.is_finished()}
        ranked = dict.fromkeys(self._name_run(t) for t in rank_feasible(self._study))
        front = find_front(self._study) if self._study.sweep.further else []
        best = list(ranked)[: max(self._keep, len(front)) if self._keep else 0]
        for name in ended - going_on - self._empty - {None}:
            assert name is not None
            for checkpoint in self._list_checkpoints(name):
                if name not in best or checkpoint == RunDirectory(checkpoint.parents[1]).last:
                    with contextlib.suppress(FileNotFoundError):  # another worker was faster
                        checkpoint.unlink()
            self._empty |= {name} - set(best)

    def _name_run(self, trial: FrozenTrial) -> str | None:
        """Name of a trial's run directory; a trial and the one that continues it share one."""
        run = self._folder.locate(trial.user_attrs.get(RUN) or trial.user_attrs.get(RESUMES))
        return None if run is None else run.name

    def _list_checkpoints(self, name: str) -> list[Path]:
        run = self._folder.trials / name
        folders = ("checkpoints", "seed*/checkpoints")
        return [path for folder in folders for path in run.glob(f"{folder}/*.ckpt")]
