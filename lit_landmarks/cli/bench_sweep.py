"""`bench sweep`: what a study costs beside the fits that it runs.

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
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

import lit_landmarks
from lit_landmarks import search
from lit_landmarks.errors import UserError
from lit_landmarks.settings import Task

#: Numbers of patches within and beyond the limit of the study, which is 12 MMA.
_PATCHES = "model.init_args.patches"
_FITS, _TOO_DEAR = 10, 68
_ONE_STEP = {
    "trainer.max_epochs": 1, "trainer.limit_train_batches": 1, "trainer.limit_val_batches": 1,
    "trainer.enable_progress_bar": False, "trainer.accelerator": "cpu", "wandb.mode": "disabled",
}  # fmt: skip
#: Of the trials of the memory figure, one in so many trains; the others are too dear.
_TRAINED_EVERY = 4


@dataclass(frozen=True)
class SweepBench:
    """Seconds, megabytes and trials.

    Attributes:
        bare: median of a fit alone.
        trial: median of the same fit as a trial, all around it included.
        infeasible: median of a trial beyond the limit.
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
    """Measure; takes minutes.

    Args:
        rounds: times that a fit and a trial take turns.
        trials: of the memory figure.

    Raises:
        UserError: fewer than 10 trials, or memory that this system does not tell.
    """
    if trials < 10 or not Path("/proc/self/statm").is_file():
        raise UserError("bench sweep needs --trials of 10 or more, and /proc (Linux)")
    # Fits print tables; the figures are what is asked for here.
    with (
        tempfile.TemporaryDirectory(prefix="lit_landmarks_bench_") as folder,
        contextlib.redirect_stdout(io.StringIO()),
    ):
        bare, trial, infeasible = _overhead(Path(folder) / "overhead", rounds)
        grown, trained = _memory(Path(folder) / "memory", trials)
        one = _throughput(Path(folder) / "one", 1, 4 * rounds)
        two = _throughput(Path(folder) / "two", 2, 4 * rounds)
    return SweepBench(bare, trial, infeasible, trials, trained, grown, one, two)


def _study(root: Path, trials: int, settings: dict[str, Any]) -> search.StudyFolder:
    """A study of the small network; its number of patches decides about the limit."""
    configs = Path(lit_landmarks.__file__).resolve().parents[1] / "configs"
    tree = {
        "name": root.name,
        "base": [str(configs / "quick.yaml"), str(configs / "data" / "tiny.yaml")],
        "constraints": ["compute/mma <= 12"],
        "space": {_PATCHES: {"choice": [_FITS, _TOO_DEAR]}},
        "settings": _ONE_STEP | settings,
        "trials": trials,
    }
    root.mkdir(parents=True)
    file = root / "bench.yaml"
    file.write_text(yaml.safe_dump(tree), encoding="utf-8")
    folder = search.StudyFolder(root / "study")
    folder.create(search.read_sweep(file))
    return folder


class _Bench:
    """A study whose trials are asked for one at a time."""

    def __init__(self, root: Path, trials: int) -> None:
        self.folder = _study(root, trials, {})
        self.sweep = self.folder.sweep()
        self.study = self.folder.open(self.sweep)

    def bare(self, number: int) -> float:
        """Seconds of a fit with the arguments of a trial, without a study."""
        words = [w for path in self.sweep.base for w in ("--config", str(path))]
        words += ["--run", str(self.folder.root.parent / f"bare{number}")]
        words += [f"--{key}={value}" for key, value in self.sweep.settings.items()]
        start = time.perf_counter()
        Task.from_arguments("fit", [*words, f"--{_PATCHES}={_FITS}"]).fit()
        return time.perf_counter() - start

    def queue(self, counts: Sequence[int]) -> None:
        """Trials of so many patches come next."""
        for count in counts:
            self.study.enqueue_trial({_PATCHES: count})

    def work(self, told: Any) -> None:
        """Runs all trials; `told` is called after each."""
        search.work(self.sweep, self.folder, self.study, told)


def _overhead(root: Path, rounds: int) -> tuple[float, float, float]:
    """Medians of a bare fit, of the same as a trial, and of a trial beyond the limit."""
    bench = _Bench(root, 2 * rounds + 1)
    bench.queue([_FITS, *[_FITS, _TOO_DEAR] * rounds])
    bench.bare(0)  # fills the cache of faces, and all that is made once
    bare: list[float] = []
    trials: list[float] = []
    last = 0.0

    def told(_: Any) -> None:
        """Between two trials: the time since the last one, and a bare fit in its turn."""
        nonlocal last
        trials.append(time.perf_counter() - last)
        if len(trials) % 2:
            bare.append(bench.bare(len(trials)))
        last = time.perf_counter()

    bench.work(told)
    # The first trial was begun with the worker itself, and is left out.
    medians = (statistics.median(times) for times in (bare, trials[1::2], trials[2::2]))
    alone, trial, infeasible = medians
    return alone, trial, infeasible


def _memory(root: Path, trials: int) -> tuple[float, int]:
    """Megabytes grown from the first tenth to the last trial, and how many were trained."""
    bench = _Bench(root, trials)
    bench.queue([_TOO_DEAR if k % _TRAINED_EVERY else _FITS for k in range(trials)])
    used: list[float] = []
    bench.work(lambda _: used.append(_megabytes()))
    return used[-1] - used[trials // 10 - 1], len(list(bench.folder.trials.iterdir()))


def _megabytes() -> float:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _throughput(root: Path, workers: int, trials: int) -> float:
    """Trials a minute while all workers are at work; their start and end do not count."""
    folder = _study(root, trials * workers, {"trainer.limit_train_batches": 12,
                                             "trainer.max_epochs": 4})  # fmt: skip
    sweep = folder.sweep()
    study = folder.open(sweep)
    for _ in range(trials * workers):
        study.enqueue_trial({_PATCHES: _FITS})
    words = [sys.executable, "-m", "lit_landmarks", "sweep", "resume", str(folder.root)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen([*words, "--keep-running"], env=environment, stdout=subprocess.DEVNULL)
        for _ in range(workers)
    ]
    if any([process.wait() for process in started]):
        raise UserError("a worker of bench sweep failed; see above")
    return search.pace(study)
