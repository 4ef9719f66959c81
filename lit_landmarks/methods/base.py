"""The contract of a method: `FaceInputs` in, `Prediction` out, and named losses.

The recipes for a new method and a new loss stand in `lit_landmarks.methods`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Self, final

import torch
from lightning.pytorch.cli import OptimizerCallable

from lit_landmarks.errors import UserError
from lit_landmarks.methods.landmark_axes import LandmarkAxis
from lit_landmarks.methods.parts import MethodParts
from lit_landmarks.methods.phases import Phase
from lit_landmarks.methods.schedules import Schedule
from lit_landmarks.nets.correction import SemanticCorrection
from lit_landmarks.nets.distillation import TeacherOptions
from lit_landmarks.nets.early_exit import EarlyExitOptions
from lit_landmarks.nets.error_head import ErrorHeadOptions
from lit_landmarks.nets.head3d import Head3dOptions
from lit_landmarks.nets.label_shift import LabelShiftOptions
from lit_landmarks.nets.normalizer import SpatialNormalizer
from lit_landmarks.nets.precision import full_precision
from lit_landmarks.template import query_points
from lit_landmarks.types import FaceInputs, FrameKind, Needs, Prediction

#: Every concrete method by class name, filled as their modules are imported.
METHODS: dict[str, type[LandmarkModule]] = {}


class LandmarkModule(MethodParts):
    """A landmark method: `predict` and `losses`, and the parts that any method takes.

    Args:
        scheme: name of the scheme that the method predicts; None for query methods.
        frame_size: side of the square input images in pixels.
        normalizer: chooses the crop from a wide image; None: the input is cut around the face.
        correction: displaces answers per annotation convention; None: one answer for all.
        head3d: options of a 3D head: shape, pose, focal length from 2D labels; None: without.
        error_head: options of a head that predicts the method's own NME; None: without.
        early_exit: how a cascade lets faces leave early.
        label_shift: conventions whose labels lie to one side; None: labels are taken as they are.
        optimizer: makes the optimizer from parameter groups (no decay on norms and biases).
        schedule: learning rate over training; its peak is the optimizer's `lr`.
        phases: parts of training; None: the method's own.
        rates: prefix of parameter names -> factor on the learning rate.
        teacher: a trained model whose landmarks are learned beside the labels; None: none.
        init_from: checkpoint from which a new run takes all weights that fit, of this method or
            of another (a resumed run ignores it); see `training.transfer`.

    Attributes:
        normalizer, correction, head3d, error_head, early_exit, label_shift: the parts, or None.
        transferred: names of the tensors that `init_from` has given as a whole.
    """

    #: Convolutions run about 15 % faster with channels last on CPU, more with AMP on a GPU.
    channels_last: ClassVar[bool] = True
    #: Settings without which trained weights compute something else; `init_from` compares them.
    settings_of_weights: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        *,
        scheme: str | None = "ibug68",
        frame_size: int = 128,
        normalizer: SpatialNormalizer | None = None,
        correction: SemanticCorrection | None = None,
        head3d: Head3dOptions | None = None,
        error_head: ErrorHeadOptions | None = None,
        early_exit: EarlyExitOptions | None = None,
        label_shift: LabelShiftOptions | None = None,
        optimizer: OptimizerCallable = lambda p: torch.optim.AdamW(p, lr=2e-3, weight_decay=1e-4),
        schedule: Schedule | None = None,
        phases: list[Phase] | None = None,
        rates: dict[str, float] | None = None,
        teacher: TeacherOptions | None = None,
        init_from: str | None = None,
    ) -> None:
        super().__init__(optimizer=optimizer, schedule=schedule, phases=phases, rates=rates)
        if frame_size < 32:
            raise UserError(f"model.frame_size is {frame_size}; a frame has at least 32 pixels")
        self.scheme = scheme
        self.frame_size = frame_size
        self.teacher = teacher
        self.init_from = init_from
        self.transferred: frozenset[str] = frozenset()
        self.take_parts(normalizer, correction, head3d, error_head, early_exit, label_shift)

    def __init_subclass__(cls, abstract: bool = False, **kwargs: Any) -> None:
        """Register concrete methods by class name."""
        super().__init_subclass__(**kwargs)
        if not abstract:
            METHODS[cls.__name__] = cls

    # ---- what a method says of itself --------------------------------------------------------

    @property
    def needs(self) -> Needs:
        """What the data must bring; a normalizer takes wide frames."""
        return Needs(frame=None if self.normalizer is None else "wide")

    @property
    def tight_frame(self) -> FrameKind:
        """The kind of frame of a method that wants tight crops: a normalizer cuts them itself."""
        return "tight" if self.normalizer is None else "wide"

    @classmethod
    @abstractmethod
    def tiny(cls, **more: Any) -> Self:
        """The same wiring, small: a method that tests train in a second."""

    def example(self, faces: int = 1) -> FaceInputs:
        """Inputs of the right kind and size for cost, export, profiles and tests.

        A query method is asked for the 68 points of iBUG's scheme.
        """
        image = torch.zeros(faces, 3, self.frame_size, self.frame_size)
        queries = None
        if self.scheme is None:
            queries = query_points("ibug68").expand(faces, -1, -1)
        convention = None
        if self.correction is not None:
            convention = torch.zeros(faces, dtype=torch.int64)
        return FaceInputs(image, queries=queries, convention=convention)

    def optional_labels(self) -> Mapping[str, str]:
        """Labels that a part of the method learns from, beside those that it `needs`.

        Returns:
            label -> how to build the method without that part.
        """
        return {}

    def landmark_axes(self) -> Mapping[str, LandmarkAxis]:
        """Tensors with entries for each landmark, by their names in the state.

        `init_from` gives them to a method with other points landmark by landmark; a tensor that
        is not named here is taken as a whole or not at all.
        """
        return {}

    # ---- prediction ------------------------------------------------------------------------

    @final  # type: ignore[misc]  # torch declares `forward` as an attribute
    def forward(self, inputs: FaceInputs) -> Prediction:
        """Landmarks of every face, in pixels of `inputs.image`.

        Normalizer, `predict`, back to the input's pixels, convention: the one way for training,
        evaluation, cost, export and users. Outside of training faces may leave a cascade early.
        Under mixed precision what is predicted is in single precision, whatever computed it.
        """
        if self.channels_last and not torch.compiler.is_compiling():
            image = inputs.image.contiguous(memory_format=torch.channels_last)
            inputs = replace(inputs, image=image)
        inputs = self._ask(inputs)
        crop = None if self.normalizer is None else self.normalizer(inputs)
        prediction = self.add_error(self.predict(inputs if crop is None else crop.inputs))
        with full_precision(inputs.image.device):
            prediction = prediction.in_single()
            if self.head3d is not None:
                prediction = self.head3d(prediction, self.crop_size)
            if crop is not None:
                prediction = crop.place_back(prediction, (self.crop_size, self.frame_size))
            prediction = self.answer_in_convention(prediction, inputs)
            if prediction.exit_stage is not None and not self.training:
                prediction.mma = self.face_costs(prediction.exit_stage)
        return prediction

    def _ask(self, inputs: FaceInputs) -> FaceInputs:
        """The inputs with the queries of the scheme where none are given, in their convention."""
        if not self.answers_queries:
            return inputs
        queries = inputs.queries
        if self.scheme_queries is not None:
            own = self.scheme_queries.expand(inputs.image.shape[0], -1, -1)
            if queries is None:
                queries = own
            elif queries.shape == own.shape:  # labels made by hand bring no queries
                queries = torch.where(queries.isfinite(), queries, own)
        if queries is None:
            raise UserError(
                f"no points to look for, {type(self).__name__}; give queries, such as"
                " template.query_points('ibug68')"
            )
        if self.correction is not None:
            queries = self.correction.move_queries(queries, inputs.convention)
        return replace(inputs, queries=queries)

    @abstractmethod
    def predict(self, inputs: FaceInputs) -> Prediction:
        """Landmarks in pixels of the crop that is given, whatever it was cut from.

        A cascade asks `self.early_exit` for `thresholds` and `last_stage`, and gives `exit_stage`.
        """
