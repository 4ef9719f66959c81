"""A sweep file that has been read: parameters, methods, the study."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import optuna
import yaml
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from lit_landmarks.metrics import higher_is_better
from lit_landmarks.reports.limits import Limit

#: The parameter that chooses among `methods`.
METHOD = "method"
#: How the keys of latency in PyTorch and in ONNX Runtime begin.
_LATENCIES = ("compute/latency_", "compute/onnx_latency_")
#: Trials of a new study whose best checkpoint is kept, unless its file says otherwise.
KEPT_TRIALS = 3


@dataclass(frozen=True)
class Parameter:
    """One searched setting.

    Attributes:
        key: dotted name, such as `data.init_args.frame_size`.
        kind: "float", "int" or "choice".
        low, high: ends of a range.
        log: search on a logarithmic scale.
        step: distance of the values of a range; None for 1 of an int, any of a float.
        choices: values of a "choice".

    Example:
        >>> Parameter("model.init_args.rank", "int", low=8, high=64).probes()
        (8, 64)
    """

    key: str
    kind: str
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    step: float | None = None
    choices: tuple[Any, ...] = ()

    def suggest(self, trial: optuna.Trial, prefix: str = "") -> Any:
        """Samples a value; `prefix` keeps parameters of different methods apart."""
        return self.restore(trial._suggest(prefix + self.key, self.distribution()))

    def distribution(self) -> BaseDistribution:
        """The range or the choices as Optuna has them."""
        if self.kind == "choice":
            return CategoricalDistribution(self.texts())
        if self.kind == "float":
            return FloatDistribution(self.low, self.high, log=self.log, step=self.step)
        step = int(self.step or 1)
        return IntDistribution(int(self.low), int(self.high), log=self.log, step=step)

    def texts(self) -> list[Any]:
        """Choices as Optuna stores them: scalars as they are, lists and dicts as YAML."""
        return [
            c if _is_scalar(c) else yaml.safe_dump(c, default_flow_style=True).strip()
            for c in self.choices
        ]

    def store(self, value: Any) -> Any:
        """A value as Optuna stores it: lists and dicts as YAML."""
        return replace(self, choices=(value,)).texts()[0] if self.kind == "choice" else value

    def restore(self, value: Any) -> Any:
        """A value that Optuna has stored, as the sweep file gives it."""
        return self.choices[self.texts().index(value)] if self.kind == "choice" else value

    def holds(self, value: Any) -> bool:
        """Whether a value, as Optuna stores it, is in the range or among the choices."""
        if self.kind == "choice":
            # In Python 1 equals True; as settings they differ.
            return any(
                isinstance(text, bool) is isinstance(value, bool) and text == value
                for text in self.texts()
            )
        kinds = int if self.kind == "int" else int | float
        if not isinstance(value, kinds) or isinstance(value, bool):
            return False
        distribution = self.distribution()
        return distribution._contains(distribution.to_internal_repr(value))

    def probes(self) -> tuple[Any, ...]:
        """Boundary values, for checks: both ends of a range, or every choice."""
        if self.kind == "choice":
            return self.choices
        ends = (self.low, self.high) if self.kind == "float" else (int(self.low), int(self.high))
        return ends if ends[0] != ends[1] else ends[:1]


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str)


@dataclass(frozen=True)
class Branch:
    """A method of the search: its argument files and its own parameters.

    Example:
        >>> Branch((Path("asmnet.yaml"),), ()).base[0].name
        'asmnet.yaml'
    """

    base: tuple[Path, ...]
    space: tuple[Parameter, ...]


@dataclass(frozen=True)
class Round:
    """A round after the search, see `rounds.py`.

    Attributes:
        keep: number of candidates, the best of the round before.
        settings: dotted settings that replace those of the search.
        seeds: number of seeds with which each candidate is trained.

    Example:
        >>> Round(10, {"trainer.max_epochs": 40}).seeds
        1
    """

    keep: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    seeds: int = 1


@dataclass(frozen=True)
class Sweep:
    """A checked sweep file; its keys are explained in README.md beside this module.

    Attributes:
        objective: the metric by which trials are ranked.
        further: objectives beside it, of a study whose answer is a front.
        seeds: a trial trains one fit for each; empty for one fit with the seed of the configs.
        warm_start: folders of earlier studies.
        minimum: trained trials of each method before the sampler is free.
        enqueue: parameters of the trials that come first, by their names in the study.
        heartbeat: seconds between two heartbeats of a worker.
        grace: seconds of silence after which a worker counts as dead.
        keep: trials whose best checkpoint is kept; None keeps all checkpoints.

    Example:
        >>> Sweep("study", Path("sweep.yaml"), trials=8, objective="val/helen/auc10_box").direction
        'maximize'
    """

    name: str
    file: Path
    trials: int
    base: tuple[Path, ...] = ()
    objective: str = "val/nme"
    further: tuple[str, ...] = ()
    constraints: tuple[Limit, ...] = ()
    space: tuple[Parameter, ...] = ()
    methods: Mapping[str, Branch] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    refit: Mapping[str, Any] = field(default_factory=dict)
    seeds: tuple[int, ...] = ()
    sampler: tuple[str, Mapping[str, Any]] = ("TPESampler", {})
    pruner: tuple[str, Mapping[str, Any]] = ("NopPruner", {})
    enqueue: tuple[Mapping[str, Any], ...] = ()
    warm_start: tuple[Path, ...] = ()
    minimum: int = 0
    trained: int | None = None
    rounds: tuple[Round, ...] = ()
    hours: float | None = None
    epochs: int | None = None
    storage: str = "journal"
    heartbeat: int = 30
    grace: int = 120
    keep: int | None = None

    @property
    def objectives(self) -> tuple[str, ...]:
        """All objectives, the one that ranks first."""
        return (self.objective, *self.further)

    @property
    def direction(self) -> str:
        """Of the objective, for Optuna: "minimize" or "maximize"."""
        return self.directions[0]

    @property
    def directions(self) -> list[str]:
        """`direction` of each objective."""
        return ["maximize" if higher_is_better(key) else "minimize" for key in self.objectives]

    @property
    def worst(self) -> tuple[float, ...]:
        """The objectives of a trial that was not trained.

        All are infinite, those too that are known without a training: a sampler orders such trials
        by how far they are beyond the limits.
        """
        signs = [-1.0 if direction == "maximize" else 1.0 for direction in self.directions]
        return tuple(sign * math.inf for sign in signs)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The objectives and the metrics of the limits."""
        return (*self.objectives, *(c.metric for c in self.constraints))

    @property
    def timed(self) -> tuple[str, ...]:
        """The latencies that a limit or an objective asks for."""
        return tuple(metric for metric in self.metrics if metric.startswith(_LATENCIES))

    @property
    def monitor(self) -> str:
        """What best.ckpt of a trial follows: the first objective that validation logs."""
        return next((key for key in self.objectives if key.startswith("val/")), "val/nme")

    @property
    def shared(self) -> bool:
        """Whether machines share the study through a database."""
        return self.storage != "journal"
