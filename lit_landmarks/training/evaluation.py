"""Evaluation of a checkpoint: metrics, predicted points and a printed table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console
from rich.table import Table

from lit_landmarks.console import literal_console
from lit_landmarks.files import atomic_path
from lit_landmarks.geometry.crops import transform_points
from lit_landmarks.methods.base import LandmarkModule
from lit_landmarks.training.callbacks import NmeProgressBar
from lit_landmarks.training.precision import check_precision
from lit_landmarks.training.ranks import gather_faces, start_by_command, use_threads_of_one
from lit_landmarks.types import FaceBatch, Prediction

#: Figures that people compare, and the headings of their columns.
SHOWN = {
    "nme": "NME",
    "nme_interocular": "NME io",
    "nme_box": "NME box",
    "fr10_interocular": "FR10 io",
    "auc10_interocular": "AUC10 io",
    "pose_mae": "pose deg",
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
    trainer: Trainer, method: LandmarkModule, data: Any, verb: str, checkpoint: Path | None
) -> dict[str, float]:
    """Evaluate a method on the validation or test sets.

    Args:
        trainer: any trainer.
        method: the method; its weights are replaced by the checkpoint's.
        data: the data module.
        verb: validate or test.
        checkpoint: None measures the weights as they are.
    """
    use_threads_of_one(trainer)
    stage = trainer.validate if verb == "validate" else trainer.test
    stage(method, datamodule=data, ckpt_path=checkpoint, weights_only=True, verbose=False)
    return {k: float(v) for k, v in sorted(trainer.callback_metrics.items())}


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


class _Points(Callback):
    """Collects predicted points in pixels of the image files."""

    def __init__(self) -> None:
        self.columns: dict[str, list[Any]] = {"points": [], "dataset_id": [], "index": []}

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Prediction,
        batch: FaceBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        points = transform_points(batch.frame_to_image, outputs.points)
        self.columns["points"].append(points.float().cpu().numpy())
        self.columns["dataset_id"].append(batch.dataset_id.cpu().numpy())
        self.columns["index"].append(batch.index.cpu().numpy())


def save_points(
    trainer: Trainer, method: LandmarkModule, data: Any, checkpoint: Path | None, output: Path
) -> int:
    """Predicts every face and writes an .npz: points (n, N, 2), dataset_id, index, datasets.

    Returns:
        The number of faces.
    """
    collector = _Points()
    use_threads_of_one(trainer)
    trainer.callbacks.append(collector)  # type: ignore[attr-defined]
    trainer.predict(
        method,
        datamodule=data,
        ckpt_path=checkpoint,
        weights_only=True,
        return_predictions=False,
    )
    columns = gather_faces(collector.columns)
    columns["datasets"] = np.array([s.name for s in data.spec.datasets])
    if trainer.is_global_zero:
        with atomic_path(output) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **columns)
    return len(columns.get("points", ()))


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
    table = Table(title=title, title_justify="left")
    table.add_column("set", no_wrap=True)
    for name in used:
        table.add_column(SHOWN[name], justify="right")
    for label, row in sorted(rows.items()):
        if any(name in row for name in used):
            table.add_row(label, *(f"{row[n]:.2f}" if n in row else "-" for n in used))
    literal_console().print(table)
