"""The W&B run of a fit as a logger: a row for each epoch, and no trouble of W&B ends a training."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import wandb
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from lit_landmarks.console import plain_console
from lit_landmarks.errors import UserError, first_line
from lit_landmarks.training.callbacks import monitor_mode
from lit_landmarks.training.wandb_parts import STEP, History

#: W&B's warnings at the end of a run, without its prefix.
_TROUBLE = re.compile(r"^wandb: (?:WARNING|ERROR) (.*)$", re.MULTILINE)


class RunTracker(WandbLogger):
    """Logs one row of history for each epoch.

    Lightning logs learning rates, pictures, validation and training of an epoch one by one. They
    are sent as one row when the training's figures come, which is after last.ckpt was written: an
    epoch that a resumed run repeats was not sent before. The row of the last epoch waits for the
    pictures of the best checkpoint. The figures of that checkpoint are in the summary alone, since
    a value of another epoch at the end would bend every curve.

    Args:
        run: the open W&B run.
        folder: run directory.
        history: where the run's history ends.

    Attributes:
        history: as given.
        is_last_epoch: whether the epoch that runs is the last one; the trainer's owner sets it.
    """

    def __init__(self, run: Any, folder: Path, history: History) -> None:
        super().__init__(experiment=run, save_dir=str(folder), project=run.project)
        self.history = history
        self.is_last_epoch: Callable[[], bool] = lambda: False
        self._next_row = history.rows
        self._row: dict[str, Any] = {}
        self._complete = self._ended = self._complained = False
        self._defined: set[str] = set()

    @property
    def part(self) -> Path:
        """W&B's folder of this part of the run."""
        return Path(self.experiment.dir).parent

    @rank_zero_only  # type: ignore[untyped-decorator,unused-ignore]
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Adds figures and pictures to the row of the epoch.

        Args:
            metrics: name -> figure, or a list of `wandb.Image`.
            step: optimizer step.
        """
        if self._ended:
            metrics = {k: v for k, v in metrics.items() if not isinstance(v, int | float)}
        if "epoch" in metrics and step is not None:
            if self._row.get(STEP, step) != step:
                self._send_row()
            self._row[STEP] = step
        self._row |= metrics
        if any(key.startswith("train/") for key in metrics):
            self._complete = True
            if not self.is_last_epoch():
                self._send_row()

    def replay(self, rows: Mapping[int, Mapping[str, Any]]) -> None:
        """Logs the rows of metrics.csv that the run lacks, as after a kill.

        Args:
            rows: optimizer step -> name -> figure.
        """
        for step in sorted(rows):
            if step > self.history.step:
                figures = {name: float(value) for name, value in rows[step].items()}
                self.log_metrics(figures, step)

    def end_training(self) -> None:
        """Takes no more figures into the history; those of the best checkpoint come next."""
        self._ended = True

    def log_row(self, row: Mapping[str, Any]) -> None:
        """Logs a row of history."""
        for key in row:
            if key.startswith("val/") and key not in self._defined:
                self._defined.add(key)
                self._define(key)
        number, self._next_row = self._next_row, None
        self._attempt(lambda: self.experiment.log(dict(row), step=number, commit=True))

    def log_summary(self, values: Mapping[str, Any]) -> None:
        """Adds values to the summary."""
        self._attempt(lambda: self.experiment.summary.update(dict(values)))

    def log_files(self, name: str, kind: str, files: Mapping[str, Path]) -> None:
        """Logs files as an artifact; those that are not there are left out.

        Args:
            name: of the artifact; characters that W&B refuses are replaced.
            kind: type of the artifact, such as "model".
            files: name within the artifact -> path.
        """

        def send() -> None:
            artifact = wandb.Artifact(re.sub(r"[^\w.-]", "-", name), type=kind)
            for inner, path in files.items():
                if path.is_file():
                    artifact.add_file(str(path), name=inner)
            self.experiment.log_artifact(artifact, aliases=["best"])

        self._attempt(send)

    def close(self, exit_code: int, summary: Mapping[str, Any]) -> None:
        """Sends what waits and ends the run; trouble is one line.

        Args:
            exit_code: 0 for a run that ended as it should.
            summary: final values.
        """
        # A fit that failed within an epoch repeats that epoch when it is resumed.
        if self._row and (self._complete or exit_code == 0):
            self._send_row()
        self.log_summary(summary)
        output = io.StringIO()
        try:
            with contextlib.redirect_stderr(output):
                self.experiment.finish(exit_code=exit_code)
            warnings = _TROUBLE.findall(output.getvalue())
        except TimeoutError as error:
            warnings = [first_line(error)]
        except Exception as error:  # whatever W&B's service raises, which is then of no more use
            warnings = [first_line(error, named=True)]
            restart_service()
        if warnings:
            self._complain(warnings[0].rstrip("."))

    def _send_row(self) -> None:
        row, self._row, self._complete = self._row, {}, False
        self.log_row(row)

    def _define(self, key: str) -> None:
        """Makes the summary of a metric its best value; one without a direction keeps its last."""
        with contextlib.suppress(UserError):
            mode = monitor_mode(key)
            self._attempt(
                lambda: self.experiment.define_metric(
                    key, step_metric=STEP, step_sync=True, summary=mode
                )
            )

    def _attempt(self, action: Callable[[], object]) -> None:
        """Does something in W&B, whose errors do not end a training."""
        try:
            action()
        except Exception as error:  # whatever W&B's service or a transport raises
            self._complain(first_line(error, named=True))

    def _complain(self, why: str) -> None:
        """Prints what W&B did not do, once."""
        if self._complained:
            return
        self._complained = True
        plain_console().print(
            f"W&B did not take all of {self._save_dir} ({why}); nothing else is lost, and "
            f"`wandb sync --include-online {self.part}` may send the rest"
        )


def restart_service() -> None:
    """Ends W&B's service, which a later run starts anew; one that crashed answers nothing more."""
    with contextlib.suppress(Exception):
        wandb.teardown(exit_code=1)
