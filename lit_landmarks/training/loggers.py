"""TensorBoard and MLflow beside metrics.csv and W&B; imported only when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lightning.pytorch.loggers import MLFlowLogger, TensorBoardLogger
from lightning.pytorch.loggers.logger import Logger

from lit_landmarks.errors import UserError, first_line, needs_extra
from lit_landmarks.files import write_atomic
from lit_landmarks.training.run_directory import RunDirectory


@dataclass
class LoggerOptions:
    """Further trackers of a fit.

    Attributes:
        tensorboard: write RUN/tensorboard; `tensorboard --logdir runs` shows it.
        mlflow: log to MLflow.
        mlflow_uri: its tracking server or store; None writes RUN/mlflow.db, which needs none.
        mlflow_experiment: the experiment that the run belongs to.
    """

    tensorboard: bool = False
    mlflow: bool = False
    mlflow_uri: str | None = None
    mlflow_experiment: str = "lit_landmarks"


def open_loggers(
    options: LoggerOptions, run: RunDirectory, config: Mapping[str, Any]
) -> list[Logger]:
    """The loggers that are asked for; a run that is continued goes on in its own.

    Args:
        options: which.
        run: the run directory.
        config: the resolved arguments, logged as hyperparameters.

    Raises:
        UserError: a package is missing, or MLflow's store cannot be reached.
    """
    loggers: list[Logger] = []
    if options.tensorboard:
        loggers.append(_open("tensorboard", lambda: _tensorboard(run, config)))
    if options.mlflow:
        loggers.append(_open("mlflow", lambda: _mlflow(options, run, config)))
    return loggers


def _open(extra: str, make: Callable[[], Logger]) -> Logger:
    with needs_extra(f"loggers.{extra}", extra, f"set loggers.{extra} false"):
        return make()


def _tensorboard(run: RunDirectory, config: Mapping[str, Any]) -> Logger:
    logger = TensorBoardLogger(run.root, name="tensorboard", version="")
    logger.log_hyperparams(dict(config))
    return logger


def _mlflow(options: LoggerOptions, run: RunDirectory, config: Mapping[str, Any]) -> Logger:
    """The MLflow run of a run directory, the same one when the run is continued."""
    note = run.root / "mlflow_run_id"
    before = note.read_text(encoding="utf-8").strip() if note.is_file() else None
    uri = options.mlflow_uri or f"sqlite:///{(run.root / 'mlflow.db').resolve()}"
    logger = MLFlowLogger(
        options.mlflow_experiment,
        run_name=run.root.name,
        tracking_uri=uri,
        run_id=before,
        artifact_location=None if options.mlflow_uri else (run.root / "mlflow").resolve().as_uri(),
    )
    try:
        identity = logger.run_id
        if before is None:  # MLflow refuses other values than those of the start
            logger.log_hyperparams(dict(config))
    except ImportError:
        raise
    except Exception as error:  # whatever its client or store raises
        raise UserError(
            f"MLflow did not open a run at {uri}: {first_line(error)}; correct loggers.mlflow_uri"
        ) from error
    write_atomic(note, f"{identity}\n")
    return logger
