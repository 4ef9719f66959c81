"""MuSiCa for training: L1 error over all iterations, and an estimate of it that stops faces."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from lit_landmarks.compute import count_mma
from lit_landmarks.errors import UserError
from lit_landmarks.methods.adaptive import AdaptiveModule
from lit_landmarks.methods.musica.network import Cascade, Init, MuSiCaNet
from lit_landmarks.methods.musica.patches import choose_patches
from lit_landmarks.methods.musica.windows import Sampling
from lit_landmarks.nets.error_head import ErrorUnits, percent_of, shape_error
from lit_landmarks.schemes import get_scheme
from lit_landmarks.types import FaceBatch, Needs, Prediction, ShapeStatistics

#: Weights of landmarks and of the error estimate (authors' code).
POINTS_WEIGHT, ERROR_WEIGHT = 0.95, 0.05


class MuSiCa(AdaptiveModule):
    """Cascaded patch regression that predicts its own error and stops early.

    Args:
        patches: landmarks that get a patch; see `choose_patches`.
        levels: for each iteration, how often the image is halved that it works on; one to eight
            iterations (paper: [2, 1, 0]).
        hidden: length of the recurrent state.
        rank: features of a patch that reach the recurrent layer; None for all 256 (paper).
        recurrent_scale: of what enters the recurrent layer (ours; 1: as the authors). Adam moves
            each weight by about the learning rate, so a layer of thousands of inputs jumps by more
            than tanh is wide; with 0.1 it moves by a tenth of that.
        sampling: patches at whole pixels (authors' code) or between them.
        init: initial weights; see `MuSiCaNet`.
        error_units: what the error head learns: the NME ("euclidean", ours), or the sum of both
            absolute differences over the same normaliser ("l1", authors' code), which is about
            4 / pi times as large.
        detach_error: keep the gradient of the error estimate away from the landmarks (ours; the
            authors let it through).
        detach_points: keep the gradient of later iterations away from earlier displacements (ours;
            the authors let it through).
        points_weight, error_weight: of the two losses (authors' code: 0.95, 0.05).
        early_stop: let faces leave once `analyse calibrate` has set thresholds.
        **base: see `LandmarkModule`.
    """

    needs: ClassVar[Needs] = Needs(frame="tight", statistics=True)
    network: MuSiCaNet

    def __init__(
        self,
        *,
        patches: list[int] | int | None = None,
        levels: Sequence[int] = (2, 1, 0),
        hidden: int = 512,
        rank: int | None = None,
        recurrent_scale: float = 1.0,
        sampling: Sampling = "integer",
        init: Init = "kaiming",
        error_units: ErrorUnits = "euclidean",
        detach_error: bool = True,
        detach_points: bool = True,
        points_weight: float = POINTS_WEIGHT,
        error_weight: float = ERROR_WEIGHT,
        early_stop: bool = True,
        **base: Any,
    ) -> None:
        if not 1 <= len(levels) <= 8 or any(not 0 <= level <= 3 for level in levels):
            raise UserError(
                f"model.levels is {list(levels)}; list one to eight numbers of halvings from 0 to 3"
            )
        super().__init__(stages=len(levels), early_stop=early_stop, **base)
        if self.scheme is None:
            raise UserError("MuSiCa predicts fixed points; set data.init_args.scheme")
        if self.frame_size % 2 ** max(levels):
            raise UserError(
                f"model.frame_size {self.frame_size} cannot be halved {max(levels)} times;"
                f" take a multiple of {2 ** max(levels)}"
            )
        if rank is not None and rank < 1:
            raise UserError(f"model.rank is {rank}; take null for all features, or 1 and more")
        if not 0.0 < recurrent_scale < float("inf"):
            raise UserError(f"model.recurrent_scale is {recurrent_scale}; give a number above 0")
        self.error_units = error_units
        self.detach_error = detach_error
        self.weights = {"points": points_weight, "error": error_weight}
        self.network = MuSiCaNet(
            get_scheme(self.scheme).n_points,
            choose_patches(self.scheme, patches),
            levels=tuple(levels),
            hidden=hidden,
            rank=rank,
            recurrent_scale=recurrent_scale,
            sampling=sampling,
            detach_points=detach_points,
            init=init,
        )
        self._costs: list[float] | None = None

    # ---- prediction ------------------------------------------------------------------------

    def forward(self, image: Tensor, queries: Tensor | None = None) -> Prediction:
        """All iterations for every face; see `LandmarkModule.forward`."""
        return self._prediction(self.network(image))

    def infer(self, batch: FaceBatch) -> Prediction:
        """The cascade; outside of training faces that are done leave it."""
        stop = None if self.stop is None else self.stop / percent_of(self.error_units)
        found = self.network(batch.image, stop=stop)
        prediction = self._prediction(found)
        prediction.exit_stage = found.exits
        if not self.training:
            costs = torch.tensor(self.exit_costs(), device=found.exits.device)
            prediction.mma = costs[found.exits]
        return prediction

    def _prediction(self, found: Cascade) -> Prediction:
        return Prediction(
            points=found.points[-1],
            stages=found.points,
            error=found.error * percent_of(self.error_units),
            attention=found.attention,
            aux=found,
        )

    # ---- cost ------------------------------------------------------------------------------

    def cost_variants(self) -> Sequence[Callable[..., Any]]:
        """The cascade ended after each of its iterations; without early stop, the whole of it."""
        if not self.early_stop:
            return [self.network]
        return [partial(self.network, iterations=k + 1) for k in range(len(self.stop_below) + 1)]

    def exit_costs(self) -> list[float]:
        """Millions of multiply-adds of a face that leaves after each iteration."""
        if self._costs is None:
            frame = torch.zeros(1, 3, self.frame_size, self.frame_size)
            ends = [_UpTo(self.network, k + 1) for k in range(len(self.stop_below) + 1)]
            self._costs = [count_mma(end, frame).mma for end in ends]
        return self._costs

    # ---- learning --------------------------------------------------------------------------

    def learn_from(self, statistics: ShapeStatistics) -> None:
        """Every face starts at the mean of the training shapes, as they lie in the frame."""
        self.network.mean.copy_(statistics.mean.view(-1, 2))

    def losses(self, prediction: Prediction, batch: FaceBatch) -> dict[str, Tensor]:
        """`points`, the L1 error summed over iterations, and `error`, how far its estimate is off.

        Authors' code: sum over i of 0.95 mean(e_i) + 0.05 mean(|e_i - E_i|).
        """
        assert isinstance(prediction.aux, Cascade)
        stages = prediction.aux.points
        l1 = shape_error(stages, batch, "l1")
        target = l1 if self.error_units == "l1" else shape_error(stages, batch)
        if self.detach_error:
            target = target.detach()
        gap = (target - prediction.aux.error).abs()
        return {"points": l1.mean(1).sum(), "error": gap.mean(1).sum()}

    def loss_weights(self) -> Mapping[str, float]:
        """See `points_weight` and `error_weight`."""
        return self.weights


class _UpTo(torch.nn.Module):
    """A network that ends after k iterations, for counting."""

    def __init__(self, network: MuSiCaNet, iterations: int) -> None:
        super().__init__()
        self.network, self.iterations = network, iterations

    def forward(self, image: Tensor) -> Tensor:
        found: Cascade = self.network(image, iterations=self.iterations)
        return found.points
