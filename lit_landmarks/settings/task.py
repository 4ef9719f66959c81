"""`Task`: settings of one training verb, parsed once, and the objects that they describe."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import Namespace
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, Trainer, seed_everything

from lit_landmarks.analysis.target_cost import reach_target_cost
from lit_landmarks.console import plain_console
from lit_landmarks.data import LandmarkDataModule
from lit_landmarks.errors import UserError
from lit_landmarks.methods import LandmarkModule
from lit_landmarks.methods.steps import MethodSteps
from lit_landmarks.schemes import SCHEMES
from lit_landmarks.settings.ambiguity import refuse_ambiguous
from lit_landmarks.settings.arguments import Overrides, to_arguments
from lit_landmarks.settings.composition import (
    compose,
    find_unset_variables,
    keep_measured,
    take_data_sets,
)
from lit_landmarks.settings.costs import Timing, measure_costs
from lit_landmarks.settings.diagnosis import refuse_unknown_names, reraise, trainer_errors
from lit_landmarks.settings.measured import connect_measured
from lit_landmarks.settings.parser import parse_settings
from lit_landmarks.settings.plan import plan_fit
from lit_landmarks.settings.process_state import preserve_process_state
from lit_landmarks.settings.request import Request, TrainingVerb, read_request
from lit_landmarks.settings.schemes import declare_from_runs, declare_from_sets
from lit_landmarks.settings.untrained import costs_too_much
from lit_landmarks.settings.values import refuse_linked
from lit_landmarks.training.baseline import describe_unbeaten
from lit_landmarks.training.build import connect, describe_unplaced_points
from lit_landmarks.training.callbacks import MONITOR
from lit_landmarks.training.checkpoints import check_checkpoint, load_method, load_weights
from lit_landmarks.training.curves import collect_curves, save_curves
from lit_landmarks.training.data_record import find_changes
from lit_landmarks.training.divergence import refuse_broken_predictions
from lit_landmarks.training.evaluation import (
    describe_chosen_on,
    evaluation_trainer,
    list_chosen_on,
    measure,
    print_metrics,
)
from lit_landmarks.training.fitting import Fit, equip, run_fit
from lit_landmarks.training.label_shift import describe_label_shift
from lit_landmarks.training.loggers import LoggerOptions
from lit_landmarks.training.precision import check_precision
from lit_landmarks.training.predictions import save_points
from lit_landmarks.training.ranks import is_follower
from lit_landmarks.training.run_directory import RunDirectory
from lit_landmarks.training.run_lock import lock_run
from lit_landmarks.training.wandb_logging import WandbOptions
from lit_landmarks.types import ROLES, DataSpec, Role

#: Settings that say where and how to start, not what to run; they stay out of config.yaml.
_OF_FIT = ("run", "resume", "folds", "accept_changed_data", "max_mma")
NOT_SAVED = ("config", *_OF_FIT, "ckpt_path", "output", "ced", "flip_average")


class Task:
    """Settings of one training verb, parsed once, and the objects that they describe.

    Method, data and trainer are built when they are first asked for; later calls give the same
    objects. Weights depend on the settings alone (`seed_everything`), and the process's own random
    generators are left as they were.

    Args:
        request: the verb, its argument files and overriding settings.
        data_sets: False sets the data sets aside before the settings are parsed, for what needs
            the method alone: whether the data is here then does not matter.

    Attributes:
        request: as given.
        composed: the merged argument files and the file that set each key.
        settings: the parsed settings.

    Raises:
        UserError: a setting that is unknown, bad or missing, in one line with the cure.

    Example:
        >>> task = Task.from_files(["quick"], {"data.init_args.frame_size": 64})
        >>> type(task.method()).__name__, task.method().frame_size
        ('MuSiCa', 64)
    """

    def __init__(self, request: Request, data_sets: bool = True) -> None:
        self.request = request
        self.composed = compose(request.configs)
        refuse_linked(request.overrides)
        refuse_ambiguous(self.composed.tree, request.overrides)
        self._sets_aside = None if data_sets else take_data_sets(self.composed.tree)
        refuse_unknown_names(self.composed)
        parsed = parse_settings(request, self.composed)
        self._parser = parsed.parser
        self.settings: Namespace = parsed.config

    @classmethod
    def from_files(
        cls,
        files: Sequence[str | Path],
        overrides: Overrides = (),
        run: str | Path | None = None,
        data_sets: bool = True,
    ) -> Task:
        """A fit of argument files.

        Args:
            files: YAML files, or names of shipped ones such as "asmnet"; later ones win.
            overrides: settings after the files: `{"trainer.max_epochs": 3}` or
                `["--trainer.max_epochs=3"]`.
            run: run directory that `fit` makes; None for `runs/<method>-<data>-<counter>`.
            data_sets: see the class.
        """
        configs = [Path(file) for file in files]
        folder = None if run is None else Path(run)
        request = Request("fit", configs, folder, overrides=to_arguments(overrides))
        return cls(request, data_sets)

    @classmethod
    def from_run(
        cls,
        run: str | Path,
        overrides: Overrides = (),
        checkpoint: str | Path | None = None,
        verb: TrainingVerb = "validate",
    ) -> Task:
        """An evaluation of a finished run.

        Args:
            run: the run directory.
            overrides: settings after the run's config.yaml, as for `from_files`.
            checkpoint: None for the run's best.
            verb: validate, test or predict.
        """
        arguments = ["--run", str(run), *to_arguments(overrides)]
        arguments += [] if checkpoint is None else ["--ckpt_path", str(checkpoint)]
        return cls.from_arguments(verb, arguments)

    @classmethod
    def from_arguments(cls, verb: TrainingVerb, arguments: Sequence[str]) -> Task:
        """What `python -m lit_landmarks <verb> <arguments>` describes."""
        return cls(read_request(verb, arguments))

    # ---- settings --------------------------------------------------------------------------

    @property
    def seed(self) -> int:
        """The seed of weights and training."""
        return int(self.settings["seed_everything"])

    @functools.cached_property
    def resolved(self) -> str:
        """All settings as YAML that `fit --config` accepts."""
        saved = self.settings.clone()
        for key in NOT_SAVED:
            saved.pop(key, None)
        # Relative to the working folder until now; read again, it would start at the run's.
        data = saved["data"]["init_args"]
        data["root"] = data["root"] if "$" in data["root"] else str(Path(data["root"]).resolve())
        # With what is null: it may stand where the default is not.
        text: str = self._parser.dump(saved, skip_unset=False, skip_validation=True)
        return text

    # ---- objects ---------------------------------------------------------------------------

    def method(self) -> LandmarkModule:
        """The configured method with weights from its seed; no data is read."""
        return self._method

    def data(self) -> LandmarkDataModule:
        """The configured data module.

        Raises:
            UserError: a data set that cannot be, or a path with a variable that is not set.
        """
        return self._data

    def trainer(self) -> Trainer:
        """A trainer with the configured arguments that keeps no files.

        `fit` makes its own, with a run directory, loggers and callbacks.

        Raises:
            UserError: arguments that the trainer refuses.
        """
        return self._trainer

    def build_method(self) -> LandmarkModule:
        """A new method, apart from that of `method`."""
        self._declare_unknown_scheme()
        built: LandmarkModule = self._build("model")
        return built

    def connect(self) -> DataSpec:
        """Binds the method to its data, and compares it with the checkpoint that is to be loaded.

        Returns:
            The data's spec.

        Raises:
            UserError: data or a checkpoint that does not fit the method.
        """
        data = self.data()
        method = self.method()
        if self.settings.get("flip_average"):
            method.average_flips()
        spec = connect(method, data, self.request.verb)
        resume = self.request.resume
        checkpoint = self.request.checkpoint if resume is None else resume.last
        if checkpoint is not None:
            check_checkpoint(checkpoint, method)
        return spec

    def load_trained(self) -> tuple[LandmarkModule, LandmarkDataModule]:
        """The method with the weights of its checkpoint, and the data it is bound to.

        Raises:
            UserError: no checkpoint was given, or it does not fit the method.
        """
        checkpoint = self._checkpoint()
        self.connect()
        load_weights(self.method(), checkpoint)
        return self.method(), self.data()

    def load_apart(self) -> tuple[LandmarkModule, LandmarkDataModule]:
        """The trained method, and the training sets alone, each with the points of its own scheme.

        They are not bound: the sets may have other points than the method.

        Raises:
            UserError: no checkpoint was given, or the data cannot be read.
        """
        method, _ = load_method(self._checkpoint())
        self._keep_role("train")
        self.settings["data"]["init_args"]["scheme"] = None
        return method, self.data()

    def _checkpoint(self) -> Path:
        if self.request.checkpoint is None:
            raise UserError("no checkpoint to load; make the task with Task.from_run")
        return self.request.checkpoint

    # ---- what is done with them ------------------------------------------------------------

    def costs(self, timed: bool | Timing | None = False) -> dict[str, float]:
        """Costs (`compute/...`) of the configured method, without data and without training.

        Args:
            timed: measure latency too (ms per call, CPU, one thread); True in PyTorch.
        """
        return measure_costs(self.build_method(), Timing() if timed is True else timed or None)

    def fit(
        self,
        callbacks: Sequence[Callback] = (),
        monitor: str = MONITOR,
        lock: bool = True,
    ) -> dict[str, Any]:
        """Trains into a run directory and measures the best checkpoint.

        Args:
            callbacks: beside those of the configuration, such as a study's pruning; what one
                raises reaches the caller.
            monitor: the metric that best.ckpt follows.
            lock: refuse a run in which another process is at work; a study, whose database says
                whose a trial is, sees to that itself.

        Returns:
            The content of result.json; empty on all ranks but the first, and for a method that
            costs more than `max_mma`, which is not trained.

        Raises:
            UserError: bad settings or data.
        """
        with preserve_process_state():
            self._set_seed()
            limit = None if self.request.resume is not None else self.settings["max_mma"]
            if limit is not None and costs_too_much(
                self.method(), limit, self.request.run, self.tracking(), self.resolved
            ):
                return {}
            arguments = dict(self._build("trainer"))
            check_precision(arguments)
            plan = plan_fit(self, monitor)
            held = lock and not is_follower()
            with lock_run(plan.run.root, "fit") if held else contextlib.nullcontext():
                try:
                    return self._train(plan, arguments, callbacks)
                except BaseException:  # a signal may come at any line
                    if not is_follower():
                        plan.run.remove_if_untrained()
                    raise

    def tracking(self) -> WandbOptions:
        """How W&B tracks the fit."""
        options: WandbOptions = self._build("wandb")
        return options

    def loggers(self) -> LoggerOptions:
        """The further loggers of the fit."""
        options: LoggerOptions = self._build("loggers")
        return options

    def _train(
        self, plan: Fit, arguments: dict[str, Any], callbacks: Sequence[Callback]
    ) -> dict[str, Any]:
        """Trains as planned and prints the results; see `fit`."""
        method, data = self.method(), self.data()
        with trainer_errors():  # last: what it opens in W&B, `run_fit` closes
            trainer, tracker = equip(arguments, plan, callbacks)
        if is_follower():
            run_fit(plan, trainer, method, data, tracker, reach_target_cost)
            return {}
        console = plain_console()
        for note in plan.notes:
            console.print(f"note: {note}")
        console.print(f"run directory: {plan.run.root}")
        result = run_fit(plan, trainer, method, data, tracker, reach_target_cost)
        print_metrics(result["metrics"], f"{plan.run.root}")
        if warning := describe_unbeaten(result["metrics"], data.spec):
            console.print(warning)
        if advice := describe_label_shift(result["metrics"], data.spec, method.label_shift):
            console.print(advice)
        if names := list_chosen_on(data):
            console.print(f"note: {describe_chosen_on(names)}")
        console.print(f"results: {plan.run.result}")
        return result

    def measure(self) -> dict[str, float]:
        """Metrics of the checkpoint on the validation or test sets, as the verb says.

        Raises:
            UserError: bad settings or data, or weights that predict NaN.
        """
        role: Role = "val" if self.request.verb == "validate" else "test"
        self._keep_role(role)
        with preserve_process_state():
            method, checkpoint = connect_measured(self)
            self._note_data(method)
            trainer = self.trainer()
            metrics = measure(trainer, method, self.data(), self.request.verb, checkpoint)
            refuse_broken_predictions(metrics, role)
        if (names := list_chosen_on(self.data())) and not is_follower():
            plain_console().print(f"note: {describe_chosen_on(names)}")
        return metrics

    def predict(self, output: Path) -> int:
        """Writes the landmarks of every face to an .npz file, and a CSV of the same name.

        Returns:
            The number of faces.
        """
        self._keep_role("test" if self.settings["data"]["init_args"]["test"] else "val")
        with preserve_process_state():
            method, checkpoint = connect_measured(self)
            self._note_data(method)
            trainer = self.trainer()
            return save_points(trainer, method, self.data(), checkpoint, output)

    def save_curves(self, metrics: Mapping[str, float]) -> Path:
        """Adds ced.npz to the run, from the errors that `measure` has left in the method.

        Args:
            metrics: what `measure` gave.

        Raises:
            UserError: they are not the run's own, or there is no run.
        """
        if self.request.run is None:
            raise UserError("error curves are written into a run; give it with --run RUN")
        role: Role = "val" if self.request.verb == "validate" else "test"
        run = RunDirectory(self.request.run)
        recorded = run.read_result()["metrics"]
        before, now = recorded.get(f"{role}/nme"), metrics[f"{role}/nme"]
        # The mean of a part of the faces may be that of all by chance.
        counts = [k for k in metrics if k.startswith(f"{role}/") and k.endswith("/faces")]
        same = all(recorded.get(k) == metrics[k] for k in counts)
        if not same or before is None or not math.isclose(before, now, rel_tol=1e-3):
            raise UserError(
                f"{role}/nme is {now:.3f} here and {before} in {run.result}, so these are not the "
                "run's own errors; remove other settings"
            )
        curves = collect_curves(self.method(), [role])
        if not is_follower():
            save_curves(run.ced, curves)
        return run.ced

    def _keep_role(self, role: Role) -> None:
        """Leaves the data sets of the other roles out of the settings: they need not be there.

        Without an effect once the data is built, or where no set plays the role.
        """
        arguments = self.settings["data"]["init_args"]
        if arguments[role]:
            for other in {*ROLES} - {role}:
                arguments[other] = {}
            arguments["weights"] = None
            keep_measured(arguments, arguments[role])

    def _note_data(self, method: MethodSteps) -> None:
        """Prints what is left out of the data, and how it differs from that of the run."""
        if is_follower():
            return
        data = self.data()
        for note in describe_unplaced_points(method, data.spec):
            plain_console().print(f"note: {note}")
        if self.request.run is None:
            return
        roles = [role for role in ROLES if data.sets[role]]
        for change in find_changes(RunDirectory(self.request.run), data, roles):
            plain_console().print(f"note: the data is not that of the run: {change}")

    # ---- building --------------------------------------------------------------------------

    @functools.cached_property
    def _method(self) -> LandmarkModule:
        return self.build_method()

    @functools.cached_property
    def _data(self) -> LandmarkDataModule:
        self._refuse_unset_variables()
        self._declare_schemes()
        built: LandmarkDataModule = self._build("data")
        return built

    @functools.cached_property
    def _trainer(self) -> Trainer:
        arguments = dict(self._build("trainer"))
        with preserve_process_state(), trainer_errors():
            return evaluation_trainer(arguments)

    def _build(self, key: str) -> Any:
        """Builds one part of the settings, with generators that start from the seed."""
        with preserve_process_state():
            self._set_seed()
            part = Namespace()  # type: ignore[no-untyped-call]
            part[key] = self.settings[key]
            try:
                return self._parser.instantiate(part)[key]
            except (ValueError, ImportError, MisconfigurationException) as error:
                reraise(error)

    def _set_seed(self) -> None:
        seed_everything(self.seed, workers=True, verbose=False)

    def _declare_schemes(self) -> None:
        """Registers the schemes that data declares, and the run that is evaluated or resumed."""
        data = self.settings.clone()["data"]["init_args"].as_dict()
        declare_from_sets(data, data["root"])
        # A new fit follows its data, even if its settings are those of a run.
        if self.request.verb != "fit" or self.request.resume is not None:
            declare_from_runs(self.request.configs)

    def _declare_unknown_scheme(self) -> None:
        """Registers the method's scheme unless it is there: from a run, or data that is here.

        Raises:
            UserError: the scheme is unknown, and a data set that may declare it cannot be read.
        """
        data = self.settings["data"]["init_args"]
        if self._sets_aside is not None:
            declare_from_runs(self.request.configs)
            if data["scheme"] is not None and data["scheme"] not in SCHEMES:
                with contextlib.suppress(TypeError):  # arguments that nobody has checked
                    declare_from_sets(self._sets_aside, data["root"])
        elif data["scheme"] is not None and data["scheme"] not in SCHEMES:
            self._declare_schemes()

    def _refuse_unset_variables(self) -> None:
        """Raises for paths that name an environment variable which is not set."""
        data = yaml.safe_load(self.resolved).get("data", {})
        for text in find_unset_variables(data):
            origin = self.composed.origin_of("root")
            where = f" in {origin}" if origin else ""
            raise UserError(f"'{text}'{where} names a variable that is not set; export it first")
