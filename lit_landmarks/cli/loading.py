"""A trained method with its data, for verbs that look at both themselves."""

from __future__ import annotations

from typing import Any

from lit_landmarks.cli.lightning import run_cli
from lit_landmarks.cli.parsing import Request
from lit_landmarks.cli.train import EvaluateCLI
from lit_landmarks.data import LandmarkDataModule
from lit_landmarks.methods import LandmarkModule
from lit_landmarks.training.checkpoints import load_weights


class LoadCLI(EvaluateCLI):
    """Parses, builds, compares with the checkpoint and loads its weights; runs nothing."""

    model: LandmarkModule
    datamodule: LandmarkDataModule

    def validate(self, **_: Any) -> None:
        """Weights into the method, nothing else."""
        assert self.request.checkpoint is not None
        load_weights(self.model, self.request.checkpoint)


def load_trained(request: Request) -> tuple[LandmarkModule, LandmarkDataModule]:
    """The method with the weights of the request's checkpoint, and the data.

    Args:
        request: of verb "validate", from `read_request`.

    Raises:
        UserError: bad settings, no validation set, or a checkpoint that does not fit.
    """
    built: LoadCLI = run_cli(LoadCLI, request)
    return built.model, built.datamodule
