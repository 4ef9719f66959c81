"""Cost of a face in a method with early exit: counted once for each exit."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lit_landmarks.compute import count_mma, count_stages
from lit_landmarks.nets.early_exit import EarlyExit
from lit_landmarks.types import FaceInputs, Prediction


class StageCosts(nn.Module):
    """Cost of each exit of a method, counted through its own `forward`, parts and all."""

    early_exit: EarlyExit | None
    _counted: list[float] | None = None

    @abstractmethod
    def example(self, faces: int = 1) -> FaceInputs:
        """Inputs to count with."""

    def total_mma(self) -> float:
        """Multiply-adds of a face that leaves no stage out, in millions."""
        return count_mma(self, self.example()).mma

    def cost_variants(self) -> Sequence[Callable[..., Any]]:
        """Callables like `forward` that end after each stage; none for a method without stages."""
        if self.early_exit is None:
            return []
        if not self.early_exit.enabled:
            return [self]
        return [partial(self._forward_to, stage) for stage in range(self.early_exit.stages)]

    def _forward_to(self, stage: int, inputs: FaceInputs) -> Prediction:
        assert self.early_exit is not None
        with self.early_exit.force_exit(stage):
            prediction: Prediction = self(inputs)
        return prediction

    def stage_costs(self) -> list[float]:
        """MMA of a face that leaves after each of the T stages; a single one without stages."""
        if self._counted is None:
            with nullcontext() if self.early_exit is None else self.early_exit.switch(True):
                self._counted = count_stages(self, self.example())
        return self._counted

    def face_costs(self, exit_stage: Tensor) -> Tensor | None:
        """(B,) MMA by exit; None while costs are counted or a graph is traced."""
        early_exit = self.early_exit
        if early_exit is None or early_exit.last_stage is not None:
            return None
        if torch.compiler.is_compiling() or exit_stage.is_meta:
            return None
        return torch.tensor(self.stage_costs(), device=exit_stage.device)[exit_stage]
