"""Cost of a study beside the fits that it runs.

Trials are real fits of the small network of configs/quick.yaml on few embedded faces, W&B disabled;
each trains one epoch of one step, so that what surrounds the training is what is measured.
"""

from __future__ import annotations

import contextlib
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

import lit_landmarks
from lit_landmarks import search
from lit_landmarks.errors import UserError
from lit_landmarks.settings import Task

_SEED = "seed_everything"
#: Numbers of patches within and beyond the limit of the study, which is 12 MMA.
_PATCHES = "model.init_args.patches"
_FITS, _TOO_DEAR = 10, 68
_ONE_STEP = {
    "trainer.max_epochs": 1,
    "trainer.limit_train_batches": 1,
    "trainer.limit_val_batches": 1,
    "trainer.enable_progress_bar": False,
    "trainer.accelerator": "cpu",
    "wandb.mode": "disabled",
}
#: Of the trials of the memory figure, one in so many trains; the others are too dear.
_TRAINED_EVERY = 4


@dataclass(frozen=True)
class SweepBench:
    """Time and memory of a study, and trials a minute of its workers.

    Attributes:
        bare: median seconds of a fit alone.
        trial: median seconds of the same fit as a trial, all around it included.
        infeasible: median seconds of a trial beyond the limit.
        trials, trained: of the memory figure; those that were fitted among them.
        grown: megabytes that the process has grown by from a tenth of those trials to the last.
        one, two: trials a minute of one worker process, and of two, one thread each.
    """

    bare: float
    trial: float
    infeasible: float
    trials: int
    trained: int
    grown: float
    one: float
    two: float

    def lines(self) -> list[str]:
        """The figures as text."""
        return [
            f"a fit alone                {self.bare:8.2f} s",
            f"the same as a trial        {self.trial:8.2f} s   "
            f"{self.trial - self.bare:+.2f} s around it",
            f"a trial beyond the limit   {self.infeasible:8.2f} s",
            f"memory over {self.trials} trials, {self.trained} of them trained: "
            f"{self.grown:+.0f} MB after the first tenth",
            f"one worker                 {self.one:8.2f} trials a minute",
            f"two workers                {self.two:8.2f} trials a minute   "
            f"{self.two / self.one:.2f} times as many",
        ]


def bench_sweep(rounds: int, trials: int) -> SweepBench:
    """Measures a study; takes minutes.

    Args:
        rounds: times that a fit and a trial take turns.
        trials: trials of the memory figure.

    Raises:
        UserError: no round, fewer than 10 trials, or a system that does not report memory in /proc.
    """
    if rounds < 1 or trials < 10 or not Path("/proc/self/statm").is_file():
        raise UserError(
            "bench sweep needs --rounds of 1 or more, --trials of 10 or more, and /proc (Linux)"
        )
    # Fits print tables; the figures are what is asked for here.
    with (
        tempfile.TemporaryDirectory(prefix="lit_landmarks_bench_") as folder,
        contextlib.redirect_stdout(io.StringIO()),
    ):
        bare, trial, infeasible = _measure_overhead(Path(folder) / "overhead", rounds)
        grown, trained = _measure_memory(Path(folder) / "memory", trials)
        one = _measure_throughput(Path(folder) / "one", 1, 4 * rounds)
        two = _measure_throughput(Path(folder) / "two", 2, 4 * rounds)
    return SweepBench(bare, trial, infeasible, trials, trained, grown, one, two)


def _create_study(root: Path, trials: int, settings: dict[str, Any]) -> search.StudyFolder:
    """A study of the small network; its number of patches decides about the limit."""
    configs = Path(lit_landmarks.__file__).resolve().parents[1] / "configs"
    tree = {
        "name": root.name,
        "base": [str(configs / "quick.yaml"), str(configs / "data" / "tiny.yaml")],
        "constraints": ["compute/mma <= 12"],
        # Settings that come again in a study are not trained again: each trial has its seed.
        "space": {_PATCHES: {"choice": [_FITS, _TOO_DEAR]}, _SEED: {"int": [0, 10**6]}},
        "settings": _ONE_STEP | settings,
        "trials": trials,
    }
    root.mkdir(parents=True)
    file = root / "bench.yaml"
    file.write_text(yaml.safe_dump(tree), encoding="utf-8")
    folder = search.StudyFolder(root / "study")
    folder.create(search.read_sweep(file))
    return folder


class _Study:
    """A study whose trials are asked for one at a time."""

    def __init__(self, root: Path, trials: int) -> None:
        self.folder = _create_study(root, trials, {})
        self.sweep = self.folder.sweep()
        self.study = self.folder.open(self.sweep)

    def time_bare_fit(self, number: int) -> float:
        """Seconds of a fit with the arguments of a trial, without a study."""
        arguments = [a for path in self.sweep.base for a in ("--config", str(path))]
        arguments += ["--run", str(self.folder.root.parent / f"bare{number}")]
        arguments += [f"--{key}={value}" for key, value in self.sweep.settings.items()]
        start = time.perf_counter()
        Task.from_arguments("fit", [*arguments, f"--{_PATCHES}={_FITS}"]).fit()
        return time.perf_counter() - start

    def enqueue(self, counts: Sequence[int]) -> None:
        """Puts trials of so many patches next."""
        for seed, count in enumerate(counts):
            self.study.enqueue_trial({_PATCHES: count, _SEED: seed})

    def run_trials(self, after_trial: Callable[[Any], None]) -> None:
        """Runs all trials; `after_trial` is called after each."""
        search.run_trials(self.sweep, self.folder, self.study, after_trial)


def _measure_overhead(root: Path, rounds: int) -> tuple[float, float, float]:
    """Median seconds of a bare fit, of the same as a trial, and of a trial beyond the limit."""
    study = _Study(root, 2 * rounds + 1)
    study.enqueue([_FITS, *[_FITS, _TOO_DEAR] * rounds])
    study.time_bare_fit(0)  # fills the cache of faces, and all that is made once
    bare: list[float] = []
    trials: list[float] = []
    last = 0.0

    def after_trial(_: Any) -> None:
        """Notes the time since the last trial, and times a bare fit in its turn."""
        nonlocal last
        trials.append(time.perf_counter() - last)
        if len(trials) % 2:
            bare.append(study.time_bare_fit(len(trials)))
        last = time.perf_counter()

    study.run_trials(after_trial)
    # The first trial was begun with the worker itself, and is left out.
    medians = (statistics.median(times) for times in (bare, trials[1::2], trials[2::2]))
    alone, trial, infeasible = medians
    return alone, trial, infeasible


def _measure_memory(root: Path, trials: int) -> tuple[float, int]:
    """Megabytes grown from the first tenth to the last trial, and how many were trained."""
    study = _Study(root, trials)
    study.enqueue([_TOO_DEAR if k % _TRAINED_EVERY else _FITS for k in range(trials)])
    used: list[float] = []
    study.run_trials(lambda _: used.append(_read_megabytes()))
    return used[-1] - used[trials // 10 - 1], len(list(study.folder.trials.iterdir()))


def _read_megabytes() -> float:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _measure_throughput(root: Path, workers: int, trials: int) -> float:
    """Trials a minute while all workers are at work; their start and end do not count."""
    folder = _create_study(
        root, trials * workers, {"trainer.limit_train_batches": 12, "trainer.max_epochs": 4}
    )
    sweep = folder.sweep()
    study = folder.open(sweep)
    for seed in range(trials * workers):
        study.enqueue_trial({_PATCHES: _FITS, _SEED: seed})
    command = [sys.executable, "-m", "lit_landmarks", "sweep", "resume", str(folder.root)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen([*command, "--keep-running"], env=environment, stdout=subprocess.DEVNULL)
        for _ in range(workers)
    ]
    if any([process.wait() for process in started]):
        raise UserError("a worker of bench sweep failed; see above")
    return search.measure_pace(study)
