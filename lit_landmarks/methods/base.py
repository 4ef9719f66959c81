"""What every method is: a `LandmarkModule` with named slots and steps that are written once.

Adding a method (a folder, a config; nothing else is edited):
    1. `methods/<name>/network.py`: pure torch, readable beside the paper's figure.
    2. `methods/<name>/module.py`: a subclass of `LandmarkModule` (its name is what YAML files say).
       Set `self.network` in `__init__`; write `forward` (always points in frame pixels) and
       `losses`; say what the data must bring in `needs`.
    3. `methods/<name>/__init__.py` imports the class; `methods/__init__.py` finds the folder.
    4. `methods/<name>/README.md`, and `configs/<name>.yaml`, which runs on the embedded data.
    The tests over `METHODS` and over `configs/` pick both up.

Adding a loss (one file):
    1. A function of tensors, in the method's `network.py`/`losses.py`, or in `nets/` if two
       methods use it; its docstring names paper and equation.
    2. One entry in the method's `losses`, its weight in `loss_weights`. Logging, the sum and the
       test that every parameter has a gradient follow by themselves.
"""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, cast

import numpy as np
import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import OptimizerCallable
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.optim import Optimizer

from lit_landmarks import metrics
from lit_landmarks.errors import UserError
from lit_landmarks.methods.schedules import OneCycle, Schedule
from lit_landmarks.schemes import get_scheme, is_built_in
from lit_landmarks.types import DataSpec, FaceBatch, Needs, Prediction, Role, ShapeStatistics

#: Every concrete method by class name, filled as their modules are imported.
METHODS: dict[str, type[LandmarkModule]] = {}

#: Key under which a checkpoint says what it belongs to.
IDENTITY = "lit_landmarks"


class DataSource(Protocol):
    """The part of a data module that a method sees."""

    @property
    def spec(self) -> DataSpec:
        """What the data brings."""

    def shape_statistics(self) -> ShapeStatistics:
        """PCA of augmented training labels."""


class LandmarkModule(LightningModule):
    """A landmark method. Subclasses fill the slots; this class trains, evaluates and checks them.

    Slots: `network` (the learnable part), `losses` and `loss_weights`, `parameter_groups` with
    `optimizer` and `schedule`, `metrics` (made from the data's spec when a stage begins). A method
    that needs more of a batch than image and queries overrides `infer`.

    Args:
        scheme: name of the scheme that the method predicts; None for query methods.
        frame_size: side of the square frame in pixels.
        optimizer: makes the optimiser from parameter groups (no decay on norms and biases).
        schedule: learning rate over training; its peak is the optimiser's `lr`.
        init_from: checkpoint whose weights a new run starts from (a resumed run ignores it).

    Attributes:
        bound: the data's spec once `bind` was called.
    """

    needs: ClassVar[Needs] = Needs()
    monitor: ClassVar[str] = "val/nme"
    #: Convolutions run about 15 % faster with channels last on CPU, more with AMP on a GPU.
    channels_last: ClassVar[bool] = True

    network: nn.Module

    def __init__(
        self,
        *,
        scheme: str | None = "ibug68",
        frame_size: int = 128,
        optimizer: OptimizerCallable = lambda p: torch.optim.AdamW(p, lr=2e-3, weight_decay=1e-4),
        schedule: Schedule | None = None,
        init_from: str | None = None,
    ) -> None:
        super().__init__()
        if frame_size < 32:
            raise UserError(f"model.frame_size is {frame_size}; a frame has at least 32 pixels")
        self.scheme = scheme
        self.frame_size = frame_size
        self.make_optimizer = optimizer
        self.schedule = schedule or OneCycle()
        self.init_from = init_from
        self.bound: DataSpec | None = None
        self.metrics = nn.ModuleDict()

    def __init_subclass__(cls, abstract: bool = False, **kwargs: Any) -> None:
        """Register concrete methods by class name."""
        super().__init_subclass__(**kwargs)
        if not abstract:
            METHODS[cls.__name__] = cls

    # ---- slots -----------------------------------------------------------------------------

    @abstractmethod
    def forward(self, image: Tensor, queries: Tensor | None = None) -> Prediction:
        """Landmarks of every face.

        Args:
            image: (B, 3, S, S) RGB float in [0, 1].
            queries: (B, N, 3) template points in the head frame, for query methods.

        Returns:
            A `Prediction`; points in pixels of the frame that came in.
        """

    @abstractmethod
    def losses(self, prediction: Prediction, batch: FaceBatch) -> dict[str, Tensor]:
        """Named scalar losses, unweighted; masked points and absent labels left out."""

    def loss_weights(self) -> Mapping[str, float]:
        """Weights of the named losses now (they may depend on the epoch); 1 where not named."""
        return {}

    def infer(self, batch: FaceBatch) -> Prediction:
        """What the steps call. Override to hand `forward` more of the batch."""
        image = batch.image
        if self.channels_last:
            image = image.contiguous(memory_format=torch.channels_last)
        return cast(Prediction, self(image, batch.queries))

    def learn_from(self, statistics: ShapeStatistics) -> None:
        """Take shape statistics into buffers; only called if `needs.statistics`."""
        raise NotImplementedError(f"{type(self).__name__} needs statistics but cannot take them")

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Groups for the optimiser: weight decay only where a parameter is a matrix or a kernel."""
        decay: list[nn.Parameter] = []
        plain: list[nn.Parameter] = []
        for parameter in self.parameters():
            if parameter.requires_grad:
                (decay if parameter.ndim > 1 else plain).append(parameter)
        groups: list[dict[str, Any]] = [{"params": decay}, {"params": plain, "weight_decay": 0.0}]
        return [group for group in groups if group["params"]]

    # ---- data ------------------------------------------------------------------------------

    def bind(self, spec: DataSpec) -> None:
        """Check the data's scheme and frame against the method's and keep the names."""
        name = type(self).__name__
        if self.needs.one_scheme and spec.scheme != self.scheme:
            raise UserError(
                f"{name} predicts scheme '{self.scheme}' but the data brings '{spec.scheme}'; "
                "set model.init_args.scheme and data.init_args.scheme to the same name"
            )
        if spec.frame_size != self.frame_size:
            raise UserError(
                f"{name} has frame_size {self.frame_size} but the data {spec.frame_size}; "
                "set model.init_args.frame_size and data.init_args.frame_size to the same value"
            )
        self.bound = spec

    def optional_labels(self) -> Mapping[str, str]:
        """Labels that a part of the method learns from, beside those that it `needs`.

        Returns:
            label -> how to build the method without that part.
        """
        return {}

    @property
    def data_source(self) -> DataSource:
        """The trainer's data module."""
        return cast(DataSource, self.trainer.datamodule)  # type: ignore[attr-defined]

    def setup(self, stage: str) -> None:
        """Bind to the data and make the metrics of the roles that this stage evaluates."""
        if self.channels_last:
            self.to(memory_format=torch.channels_last)
        if getattr(self.trainer, "datamodule", None) is None:
            return
        spec = self.data_source.spec
        self.bind(spec)
        roles: dict[str, tuple[Role, ...]] = {
            "fit": ("val",),
            "validate": ("val",),
            "test": ("test",),
        }
        for role in roles.get(stage, ()):
            if spec.in_role(role):
                self.metrics[role] = metrics.FaceMetrics(spec, role)

    def on_fit_start(self) -> None:
        """A new run takes weights and shape statistics; a resumed one has both already."""
        if self.trainer.ckpt_path is not None:
            return
        if self.init_from is not None:
            self.load_weights(self.init_from)
        if self.needs.statistics:
            self.learn_from(self.data_source.shape_statistics())

    # ---- steps -----------------------------------------------------------------------------

    def training_step(self, batch: FaceBatch, batch_idx: int) -> Tensor:
        """One optimiser step's loss."""
        return self._step(batch, "train")[0]

    def validation_step(
        self, batch: FaceBatch, batch_idx: int, dataloader_idx: int = 0
    ) -> dict[str, Any]:
        """Losses and metrics of a validation batch; the prediction for callbacks that draw."""
        return {"prediction": self._step(batch, "val")[1]}

    def test_step(
        self, batch: FaceBatch, batch_idx: int, dataloader_idx: int = 0
    ) -> dict[str, Any]:
        """Losses and metrics of a test batch; the prediction for callbacks that draw."""
        return {"prediction": self._step(batch, "test")[1]}

    def predict_step(self, batch: FaceBatch, batch_idx: int, dataloader_idx: int = 0) -> Prediction:
        """Prediction of a batch, without graph."""
        return self.infer(batch).detach()

    def _step(self, batch: FaceBatch, stage: Role) -> tuple[Tensor, Prediction]:
        prediction = self.infer(batch)
        if stage != "train":
            self.face_metrics(stage).update(prediction.detach(), batch)
        if self.trainer.state.fn != TrainerFn.FITTING:
            # Outside of a fit a loss has no epoch to take its weights from, and no use.
            return prediction.points.new_zeros(()), prediction.detach()
        losses = self.losses(prediction, batch)
        total = self.total_loss(losses)
        values = {f"{stage}/loss": total} | {f"{stage}/loss_{k}": v for k, v in losses.items()}
        self.log_dict(
            {key: value.detach() for key, value in values.items()},
            on_step=False,
            on_epoch=True,
            batch_size=len(batch),
            add_dataloader_idx=False,
            sync_dist=True,
        )
        return total, prediction.detach()

    def total_loss(self, losses: Mapping[str, Tensor]) -> Tensor:
        """Weighted sum of named losses."""
        weights = self.loss_weights()
        unknown = set(weights) - set(losses)
        if unknown:
            raise KeyError(f"weights for losses that do not exist: {sorted(unknown)}")
        return torch.stack([weights.get(k, 1.0) * v for k, v in losses.items()]).sum()

    def face_metrics(self, role: Role) -> metrics.FaceMetrics:
        """The metric suite of `role`; it exists once a stage that evaluates it has begun."""
        return cast(metrics.FaceMetrics, self.metrics[role])

    def on_validation_epoch_start(self) -> None:
        """Empty the metrics (the sanity check has filled them)."""
        self.face_metrics("val").reset()

    def on_validation_epoch_end(self) -> None:
        """Log the metrics over all validation sets."""
        self.log_dict(self.face_metrics("val").compute())

    def on_test_epoch_start(self) -> None:
        """Empty the metrics."""
        self.face_metrics("test").reset()

    def on_test_epoch_end(self) -> None:
        """Log the metrics over all test sets."""
        self.log_dict(self.face_metrics("test").compute())

    # ---- training --------------------------------------------------------------------------

    @property
    def mode(self) -> Literal["min", "max"]:
        """Direction of `monitor`, as the metric itself declares it."""
        return "max" if metrics.higher_is_better(self.monitor) else "min"

    @property
    def total_epochs(self) -> int:
        """Epochs that this fit will have run at its end; schedules by thirds divide it."""
        trainer = self.trainer
        if trainer.max_epochs is not None and trainer.max_epochs > 0:
            return trainer.max_epochs
        return max(round(trainer.max_steps / max(trainer.num_training_batches, 1)), 1)

    def configure_optimizers(self) -> Any:
        """The optimiser over the method's groups, its rate set at every step."""
        groups = cast(Iterable[Any], self.parameter_groups())
        optimizer: Optimizer = self.make_optimizer(groups)
        scheduler = self.schedule.build(optimizer, int(self.trainer.estimated_stepping_batches))
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step", "name": "lr"},
        }

    def on_train_batch_start(self, batch: FaceBatch, batch_idx: int) -> None:
        """Reseed at the start of an epoch, so that dropout does not depend on a resume.

        On the first batch rather than in `on_train_epoch_start`: by now loaders have drawn what
        they draw from torch's generator.
        """
        if batch_idx == 0:
            seed = int(os.environ.get("PL_GLOBAL_SEED", "0"))
            words = [seed, self.current_epoch, self.global_rank]
            torch.manual_seed(int(np.random.SeedSequence(words).generate_state(1)[0]))

    # ---- checkpoints -----------------------------------------------------------------------

    def identity(self) -> dict[str, Any]:
        """What a checkpoint must agree on with the module that loads it; plain values only.

        The name of a user's scheme does not say its points, so they are listed.
        """
        cls = type(self)
        found = {"class_path": f"{cls.__module__}.{cls.__qualname__}", "scheme": self.scheme}
        if self.scheme is None or is_built_in(self.scheme):
            return found
        return found | {"points": list(get_scheme(self.scheme).point_names)}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Write who this is into the checkpoint."""
        checkpoint[IDENTITY] = self.identity() | {"frame_size": self.frame_size}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint of another class, scheme or convention list.

        Raises:
            UserError: naming both sides.
        """
        if IDENTITY not in checkpoint:
            raise UserError("the checkpoint was not written by lit_landmarks; give one from a run")
        theirs = checkpoint[IDENTITY]
        for key, ours in self.identity().items():
            if theirs.get(key) != ours:
                raise UserError(
                    f"the checkpoint has {key} '{theirs.get(key)}' but the configuration says "
                    f"'{ours}'; use the config.yaml of the run that wrote the checkpoint"
                )

    def load_weights(self, path: str | Path) -> None:
        """Load the weights (and learnt statistics) of a checkpoint file, strictly.

        Raises:
            UserError: no such file, not a checkpoint, or one of another class or scheme.
        """
        file = Path(path)
        if not file.is_file():
            raise UserError(f"no checkpoint at {file}; give the path of a run's .ckpt file")
        try:
            checkpoint = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:
            raise UserError(f"{file} is not a readable checkpoint ({error})") from error
        self.on_load_checkpoint(checkpoint)
        try:
            self.load_state_dict(checkpoint["state_dict"])
        except RuntimeError as error:
            first = str(error).strip().splitlines()[-1].strip()
            raise UserError(f"{file} does not fit this configuration: {first}") from error
