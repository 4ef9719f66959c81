"""`fit`, `validate`, `test` and `predict`."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lit_landmarks.cli.train_help import HELP_OF_CLASS, format_help, wants_everything
from lit_landmarks.console import plain_console
from lit_landmarks.errors import UserError
from lit_landmarks.settings.arguments import split_overrides
from lit_landmarks.settings.preflight import check_settings
from lit_landmarks.settings.request import Request, TrainingVerb, read_request
from lit_landmarks.training.ranks import is_follower
from lit_landmarks.training.run_directory import RunDirectory, refuse_used_folder, write_json
from lit_landmarks.training.run_lock import lock_run

if TYPE_CHECKING:
    from lit_landmarks.settings import Task

#: Settings that do not change the figures: where else they go, and how the faces are shared out.
_SAME_FIGURES = (
    "output",
    "ced",
    "trainer.devices",
    "trainer.strategy",
    "trainer.num_nodes",
    "trainer.enable_progress_bar",
)


def run(verb: TrainingVerb, arguments: Sequence[str]) -> int:
    """Runs a training verb; plain mistakes and help do not wait for torch."""
    everything = wants_everything(arguments)
    if everything or any(item.split("=")[0].endswith(HELP_OF_CLASS) for item in arguments):
        from lit_landmarks.settings.parser import print_help

        print_help(verb, ["--help"] if everything else list(arguments))
        return 0
    if {"-h", "--help"} & {*arguments}:
        print(format_help(verb))
        return 0
    request = read_request(verb, arguments)
    if verb == "fit" and request.run is not None and not is_follower() and not request.folds:
        refuse_used_folder(request.run)
    check_settings(verb, request.configs, request.overrides)
    return _run(request)


def _run(request: Request) -> int:
    from lit_landmarks.settings import Task

    if request.folds is not None:
        from lit_landmarks.settings.folds import fit_folds

        fit_folds(request)
        return 0
    task = Task(request)
    if request.verb == "fit":
        task.fit()
    elif request.verb == "predict":
        _predict(task)
    else:
        _measure(task)
    return 0


def _measure(task: Task) -> None:
    """Prints the metrics of a checkpoint, and writes what --ced and --output ask for."""
    from lit_landmarks.inference.runtimes import is_graph
    from lit_landmarks.training.evaluation import print_metrics

    if task.settings["ced"] and task.request.run is None:
        raise UserError("--ced writes into a run; give it with --run RUN")
    if task.settings["ced"] and is_graph(task.request.checkpoint):
        raise UserError("--ced writes the curves of a run's own checkpoint; remove it")
    writes = task.settings["ced"] and not is_follower()
    with _lock(task) if writes else contextlib.nullcontext():
        metrics = task.measure()
        curves = task.save_curves(metrics) if task.settings["ced"] else None
    checkpoint = str(task.request.checkpoint)
    if is_follower():
        return
    print_metrics(metrics, f"{task.request.verb} {checkpoint}")
    if task.settings["flip_average"]:
        both = metrics["compute/mma"]
        plain_console().print(
            f"note: each face was averaged with its mirror image, at {both:.1f} MMA for the two"
        )
    if task.request.run is not None:
        plain_console().print(f"figures: {_save(task, metrics)}")
    if curves is not None:
        plain_console().print(f"error curves: {curves}")
    if output := task.settings["output"]:
        write_json(Path(output), {"checkpoint": checkpoint, "metrics": metrics})


def _save(task: Task, metrics: Mapping[str, float]) -> Path:
    """Writes the figures into the run that was measured."""
    from lit_landmarks.training.measurements import save_measurement

    request = task.request
    assert request.run is not None
    assert request.checkpoint is not None
    role: Literal["val", "test"] = "val" if request.verb == "validate" else "test"
    configs = [path for path in request.configs if path != RunDirectory(request.run).config]
    extra = [item for path in configs for item in ("--config", str(path))]
    settings = [
        f"--{key}" if key == "flip_average" else f"--{key}={text}"
        for key, text in split_overrides(request.overrides).items()
        if key not in _SAME_FIGURES
    ]
    arguments = ["--run", str(request.run), "--ckpt_path", str(request.checkpoint), *extra]
    command = ["python", "-m", "lit_landmarks", request.verb, *arguments, *settings]
    return save_measurement(
        RunDirectory(request.run),
        role,
        task.data(),
        metrics,
        request.checkpoint,
        shlex.join(command),
        settings,
    )


def _lock(task: Task) -> contextlib.AbstractContextManager[None]:
    assert task.request.run is not None
    return lock_run(task.request.run, f"{task.request.verb} --ced")


def _predict(task: Task) -> None:
    """Writes predicted landmarks and prints where."""
    output = task.settings["output"] or (task.request.run or Path()) / "predictions.npz"
    count = task.predict(Path(output))
    if not is_follower():
        plain_console().print(f"{count} faces: {output}")
        if task.settings["flip_average"]:
            plain_console().print("note: each face was run twice, as it is and mirrored")
