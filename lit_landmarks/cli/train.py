"""`fit`, `validate`, `test` and `predict`."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch import Callback

from lit_landmarks.analysis.target_cost import reach_target_cost
from lit_landmarks.cli.configs import Composed
from lit_landmarks.cli.isolation import isolated
from lit_landmarks.cli.lightning import LandmarkCLI, print_help, run_cli
from lit_landmarks.cli.parsing import Request, read_request
from lit_landmarks.console import plain_console
from lit_landmarks.errors import UserError
from lit_landmarks.training.build import connect, notes, run_name
from lit_landmarks.training.callbacks import MONITOR
from lit_landmarks.training.checkpoints import check_checkpoint
from lit_landmarks.training.curves import collect_curves, save_curves
from lit_landmarks.training.evaluation import (
    evaluation_trainer,
    measure,
    print_metrics,
    save_points,
)
from lit_landmarks.training.fitting import Fit, equip, run_fit
from lit_landmarks.training.ranks import is_follower, shared_run
from lit_landmarks.training.run_directory import RunDirectory, write_json
from lit_landmarks.types import Role


class FitCLI(LandmarkCLI):
    """Builds and runs a fit; `result` is the content of its result.json."""

    def __init__(
        self,
        request: Request,
        composed: Composed,
        file: Path,
        callbacks: Sequence[Callback] = (),
        monitor: str = MONITOR,
    ) -> None:
        self.callbacks = callbacks
        self.monitor = monitor
        self.result: dict[str, Any] = {}
        super().__init__(request, composed, file)

    def instantiate_classes(self) -> None:
        """Method, data, their comparison; only then the run directory and the trainer."""
        self.config_init = self.parser.instantiate(self.config)
        self.datamodule = self._get(self.config_init, "data")
        self.model = self._get(self.config_init, "model")
        spec = connect(self.model, self.datamodule, "fit")
        resume = self.request.resume
        if resume is not None:
            check_checkpoint(resume.last, self.model)
        text = self.resolved()
        run = resume or shared_run(self.request.run, run_name(self.model, spec))
        self.plan = Fit(
            run=run,
            config=yaml.safe_load(text),
            config_text=text,
            seed=int(self.settings()["seed_everything"]),
            command=command_line(self.request),
            tracking=self._get(self.config_init, "wandb"),
            resume=resume is not None,
            monitor=self.monitor,
            schemes=self.datamodule.own_schemes(),
            notes=notes(self.model, spec),
        )
        try:
            self.trainer, self.tracker = self.make_trainer(
                equip,
                arguments=dict(self._get(self.config_init, "trainer")),
                plan=self.plan,
                extra=self.callbacks,
            )
        except BaseException:
            run.remove_if_barren()
            raise

    def fit(self, **_: Any) -> None:
        """Called by LightningCLI in place of the trainer's own."""
        console = plain_console()
        if is_follower():
            self._run()
            return
        for note in self.plan.notes:
            console.print(f"note: {note}")
        console.print(f"run directory: {self.plan.run.root}")
        self.result = self._run()
        print_metrics(self.result["metrics"], f"{self.plan.run.root}")
        console.print(f"results: {self.plan.run.result}")

    def _run(self) -> dict[str, Any]:
        return run_fit(
            self.plan, self.trainer, self.model, self.datamodule, self.tracker, reach_target_cost
        )


class EvaluateCLI(LandmarkCLI):
    """Builds a trainer that writes nothing, and measures or predicts with a checkpoint."""

    def instantiate_classes(self) -> None:
        """Method, data, their comparison, and the comparison with the checkpoint."""
        self.config_init = self.parser.instantiate(self.config)
        self.datamodule = self._get(self.config_init, "data")
        self.model = self._get(self.config_init, "model")
        connect(self.model, self.datamodule, self.request.verb)  # type: ignore[arg-type]
        assert self.request.checkpoint is not None
        check_checkpoint(self.request.checkpoint, self.model)
        self.trainer = self.make_trainer(
            evaluation_trainer, arguments=dict(self._get(self.config_init, "trainer"))
        )

    def validate(self, **_: Any) -> None:
        """Called by LightningCLI in place of the trainer's own."""
        self._measure("validate")

    def test(self, **_: Any) -> None:
        """Called by LightningCLI in place of the trainer's own."""
        self._measure("test")

    def predict(self, **_: Any) -> None:
        """Called by LightningCLI in place of the trainer's own."""
        output = self.settings().get("output") or self._beside("predictions.npz")
        count = save_points(
            self.trainer, self.model, self.datamodule, self.request.checkpoint, Path(output)
        )
        plain_console().print(f"{count} faces: {output}")

    def _measure(self, verb: str) -> None:
        metrics = measure(self.trainer, self.model, self.datamodule, verb, self.request.checkpoint)
        print_metrics(metrics, f"{verb} {self.request.checkpoint}")
        if self.settings().get("ced"):
            self._write_curves("val" if verb == "validate" else "test", metrics)
        if output := self.settings().get("output"):
            write_json(
                Path(output), {"checkpoint": str(self.request.checkpoint), "metrics": metrics}
            )

    def _write_curves(self, role: Role, metrics: Mapping[str, float]) -> None:
        """Adds ced.npz to a run that was made before there was one.

        Raises:
            UserError: what was measured is not what result.json tells of.
        """
        if self.request.run is None:
            raise UserError("--ced writes into a run; give it with --run RUN")
        run = RunDirectory(self.request.run)
        known = run.read_result()["metrics"]
        told = known.get(f"{role}/nme")
        # The mean of a part of the faces may be that of all by chance.
        counts = [k for k in metrics if k.startswith(f"{role}/") and k.endswith("/faces")]
        same = all(known.get(k) == metrics[k] for k in counts)
        if not same or told is None or not math.isclose(told, metrics[f"{role}/nme"], rel_tol=1e-3):
            raise UserError(
                f"{role}/nme is {metrics[f'{role}/nme']:.3f} here and {told} in {run.result}, so "
                "these are not the run's own errors; leave other settings away"
            )
        curves = collect_curves(self.model, [role])
        if self.trainer.is_global_zero:
            save_curves(run.ced, curves)
            plain_console().print(f"error curves: {run.ced}")

    def _beside(self, name: str) -> Path:
        return (self.request.run or Path()) / name


def command_line(request: Request) -> str:
    """The command that repeats this, as typed."""
    words = ["python", "-m", "lit_landmarks", request.verb]
    if request.resume is not None:
        words += ["--resume", str(request.resume.root)]
    else:
        words += [word for path in request.configs for word in ("--config", str(path))]
        words += ["--run", str(request.run)] if request.run is not None else []
    return shlex.join([*words, *request.rest])


def fit(
    arguments: Sequence[str], callbacks: Sequence[Callback] = (), monitor: str = MONITOR
) -> dict[str, Any]:
    """A fit in this process, for studies; what a callback raises reaches the caller.

    Args:
        arguments: what follows `fit` on the command line.
        callbacks: beside those of the configuration, such as a study's pruning.
        monitor: the metric that best.ckpt follows.

    Returns:
        The content of result.json.

    Raises:
        UserError: bad settings or data.
    """
    with isolated():
        done: FitCLI = run_cli(FitCLI, read_request("fit", list(arguments)), callbacks, monitor)
    return done.result


def run(arguments: list[str]) -> int:
    """Runs a training verb; `arguments` begin with its name."""
    verb, *rest = arguments
    if any(word.split("=")[0].endswith((".help", "--help")) or word == "-h" for word in rest):
        print_help(verb, rest)
        return 0
    if verb == "fit":
        fit(rest)
    else:
        run_cli(EvaluateCLI, read_request(verb, rest))
    return 0
