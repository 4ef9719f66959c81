"""Evaluation of a checkpoint: metrics, predicted points and a printed table."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, Trainer
from rich.console import Console

from lit_landmarks.console import print_figures
from lit_landmarks.data import LandmarkDataModule
from lit_landmarks.methods.steps import MethodSteps
from lit_landmarks.training.callbacks import NmeProgressBar
from lit_landmarks.training.checkpoints import CHOSEN_ON, read_checkpoint
from lit_landmarks.training.fold_thresholds import UseFoldThresholds, read_fold_thresholds
from lit_landmarks.training.precision import check_precision
from lit_landmarks.training.processes import start_by_command, use_threads_of_one

#: Figures that people compare, and the headings of their columns.
SHOWN = {
    "nme": "NME",
    "nme_interocular": "NME io",
    "nme_box": "NME box",
    "nme_box_yaw_bins": "NME bins",
    "nme_mean_shape": "mean shape",
    "fr10_interocular": "FR10 io",
    "auc10_interocular": "AUC10 io",
    "pose_mae": "pose deg",
    "pose_mae_posit": "POSIT deg",
}


def evaluation_trainer(arguments: dict[str, Any]) -> Trainer:
    """Make a trainer that writes no files.

    Args:
        arguments: the configured arguments of `Trainer`; callbacks and loggers are left out.

    Raises:
        UserError: a precision that would round the labels.
    """
    check_precision(arguments)
    terminal = Console().is_terminal and arguments.get("enable_progress_bar") is not False
    return Trainer(
        **{
            **arguments,
            "strategy": start_by_command(arguments.get("strategy", "auto")),
            "logger": False,
            "callbacks": [NmeProgressBar()] if terminal else [],
            "enable_progress_bar": terminal,
            "enable_checkpointing": False,
            "enable_model_summary": False,
        }
    )


def measure(
    trainer: Trainer, method: MethodSteps, data: Any, verb: str, checkpoint: Path | None
) -> dict[str, float]:
    """Evaluate a method on the validation or test sets.

    Args:
        trainer: any trainer.
        method: the method; its weights are replaced by the checkpoint's.
        data: the data module.
        verb: validate or test.
        checkpoint: None measures the weights as they are.

    Returns:
        The figures; `compute/mma` too where faces are averaged with their mirror images, since it
        is not the method's own then.
    """
    use_threads_of_one(trainer)
    stage = trainer.validate if verb == "validate" else trainer.test
    with heed_choices(trainer, data, checkpoint):
        stage(method, datamodule=data, ckpt_path=checkpoint, weights_only=True, verbose=False)
    figures = {k: float(v) for k, v in sorted(trainer.callback_metrics.items())}
    if method.flip_average:
        adaptive = average_mma(figures, "val" if verb == "validate" else "test")
        total = method.total_mma() if adaptive is None else adaptive / 2
        if total is not None:
            figures["compute/mma"] = 2 * total
    return figures


@contextlib.contextmanager
def heed_choices(
    trainer: Trainer, data: LandmarkDataModule, checkpoint: Path | None
) -> Iterator[None]:
    """Keeps what was chosen on faces from flattering the figures of these faces.

    Test sets that chose the checkpoint are marked, and faces that chose its exit thresholds are
    evaluated with thresholds that were chosen without them.

    Args:
        trainer: what evaluates while the block runs.
        data: its data module.
        checkpoint: what is evaluated; None for weights that no checkpoint holds.
    """
    content = {} if checkpoint is None else read_checkpoint(checkpoint)
    faces, folds = content.get(CHOSEN_ON), read_fold_thresholds(content)
    if faces is not None:
        data.mark_chosen_on(faces.numpy())
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    own = [UseFoldThresholds(folds)] if folds is not None and folds.thresholds.size else []
    callbacks.extend(own)
    try:
        yield
    finally:
        for callback in own:
            callbacks.remove(callback)


def list_chosen_on(data: LandmarkDataModule) -> tuple[str, ...]:
    """Names of the test sets whose faces have chosen the checkpoint that was measured last."""
    return tuple(d.name for d in data.spec.in_role("test") if d.chosen_on)


def describe_chosen_on(names: Sequence[str]) -> str:
    """One line on test sets that are no test of the checkpoint."""
    listed = ", ".join(f"test/{name}" for name in names)
    return f"faces of {listed} chose this checkpoint: test/nme leaves them out"


def average_mma(metrics: Mapping[str, float], role: str = "val") -> float | None:
    """Mean MMA over the evaluated faces of all data sets; None unless the method is adaptive.

    Args:
        metrics: logged figures, `{role}/{data set}/mma` and `/faces` among them.
        role: whose faces.
    """
    total, faces = 0.0, 0.0
    for key, value in metrics.items():
        parts = key.split("/")
        if len(parts) == 3 and parts[0] == role and parts[2] == "mma" and value is not None:
            count = float(metrics[f"{role}/{parts[1]}/faces"])
            total += count * float(value)
            faces += count
    return total / faces if faces else None


def print_metrics(metrics: Mapping[str, Any], title: str) -> None:
    """Print a table of the main metrics, one row for each data set and subset."""
    rows: dict[str, dict[str, float]] = {}
    for key, value in metrics.items():
        role, *rest = key.split("/")
        if value is None or not rest or role == "compute":
            continue
        label = role if len(rest) == 1 else "/".join([role, rest[0], *rest[2:]])
        rows.setdefault(label, {})[rest[0] if len(rest) == 1 else rest[1]] = value
    used = [name for name in SHOWN if any(name in row for row in rows.values())]
    lines = [
        (label, *(f"{row[name]:.2f}" if name in row else "-" for name in used))
        for label, row in sorted(rows.items())
        if any(name in row for name in used)
    ]
    print_figures(title, ("set", *(SHOWN[name] for name in used)), lines)
