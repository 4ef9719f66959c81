"""The parts that any method takes by configuration: how they are made, and what they learn from."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import torch
from torch import Tensor

from lit_landmarks.errors import UserError
from lit_landmarks.methods.costs import StageCosts
from lit_landmarks.methods.steps import MethodSteps
from lit_landmarks.nets.correction import SemanticCorrection
from lit_landmarks.nets.early_exit import EarlyExit, EarlyExitOptions
from lit_landmarks.nets.error_head import ErrorHead, ErrorHeadOptions, percent_factor
from lit_landmarks.nets.head3d import TIGHT_SHARE, Head3d, Head3dOptions
from lit_landmarks.nets.label_shift import LabelShift, LabelShiftOptions
from lit_landmarks.nets.mesh_visibility import MeshVisibility
from lit_landmarks.nets.normalizer import SpatialNormalizer
from lit_landmarks.template import has_mean_face, mean_face, query_points
from lit_landmarks.template.mesh import scheme_triangles, template_patches
from lit_landmarks.types import FaceBatch, FaceInputs, Prediction

#: Points of which the mesh of a face takes its shape; fewer do not say how it is turned.
_FEWEST = 5


@cache
def _face_mesh() -> MeshVisibility:
    """The template between the 520 dense points."""
    triangles = torch.from_numpy(scheme_triangles("dense520").copy())
    return MeshVisibility(query_points("dense520"), triangles)


def add_mesh_visibility(
    prediction: Prediction, inputs: FaceInputs, queries: Tensor | None, anchors: int = 0
) -> Prediction:
    """The prediction with the visibility of its points by the mesh of its 3D head, if it has one.

    Four points or fewer, without others beside them, have none.

    Args:
        prediction: with its own visibility, which stays, or with `head3d` and `points3d`.
        inputs: what was predicted from.
        queries: (N, 3) of the points, where the inputs have none.
        anchors: as of `MeshVisibility`.
    """
    few = prediction.points.shape[1] < _FEWEST
    if prediction.head3d is None or prediction.visibility is not None or few:
        return prediction
    if inputs.queries is not None:
        queries = inputs.queries
    assert queries is not None
    mesh = _face_mesh().to(prediction.points.device)
    places = queries.to(prediction.points).expand(len(inputs), -1, -1)
    visibility = mesh(prediction, places, anchors)
    return replace(prediction, visibility=visibility)


class MethodParts(StageCosts, MethodSteps):
    """Normalizer, correction, 3D head, error head, early exit and label shift of a method.

    Attributes:
        normalizer, correction, label_shift: given by the configuration, or None.
        head3d, error_head, early_exit: made by `attach`, or None.
    """

    normalizer: SpatialNormalizer | None
    correction: SemanticCorrection | None
    head3d: Head3d | None
    error_head: ErrorHead | None
    early_exit: EarlyExit | None
    #: (N, 3) query points of the scheme, of a method that answers queries and has one.
    scheme_queries: Tensor | None

    def take_parts(
        self,
        normalizer: SpatialNormalizer | None,
        correction: SemanticCorrection | None,
        head3d: Head3dOptions | None,
        error_head: ErrorHeadOptions | None,
        early_exit: EarlyExitOptions | None,
        label_shift: LabelShiftOptions | None,
    ) -> None:
        """Take the parts that a configuration gives, and the options of those that follow."""
        if correction is not None:
            if correction.moves_queries and not self.answers_queries:
                raise UserError(
                    f"{type(correction).__name__} moves queries, which {type(self).__name__} does"
                    " not take; set model.correction to CanonicalCorrection"
                )
            correction.connect(self.scheme, self._template())
        own = self.answers_queries and self.scheme is not None
        queries = query_points(str(self.scheme)) if own else None
        self.register_buffer("scheme_queries", queries, persistent=False)
        self.normalizer, self.correction = normalizer, correction
        reference = None if correction is None else correction.conventions[0]
        self.label_shift = None if label_shift is None else LabelShift(label_shift, reference)
        self.head3d, self.error_head, self.early_exit = None, None, None
        self.head3d_options, self.error_head_options = head3d, error_head
        self._exit_options = early_exit or EarlyExitOptions()

    def attach(self, *, features: int | None = None, stages: int | None = None) -> None:
        """End of a method's `__init__`: make the parts whose sizes only the network knows.

        Args:
            features: length of `Prediction.features`; None if the method gives none.
            stages: number of stages of a cascade; None if it is none.

        Raises:
            UserError: a configured part that this method cannot have.
        """
        name = type(self).__name__
        if self.error_head_options is not None:
            if features is None:
                raise UserError(f"{name} has no pooled features; set model.error_head null")
            self.error_head = ErrorHead(features, self.error_head_options)
        if self.head3d_options is not None:
            if self.answers_queries:
                raise UserError(f"{name} has a 3D head of its own; set model.head3d null")
            template = self._template()
            if features is None or template is None:
                lack = "pooled features" if features is None else "3D mean face for its scheme"
                raise UserError(f"{name} has no {lack}; set model.head3d null")
            share = TIGHT_SHARE if self.normalizer is None else self.normalizer.share
            self.head3d = Head3d(features, template, share, self.head3d_options)
        if stages is not None:
            self.early_exit = EarlyExit(stages, self._exit_options)
        elif self._exit_options.target_mma is not None:
            raise UserError(f"{name} has no stages to leave; set model.early_exit.target_mma null")

    def _template(self) -> Tensor | None:
        """(N, 3) mean face of the scheme, if there is one."""
        if self.scheme is None or not has_mean_face(self.scheme):
            return None
        return mean_face(self.scheme)

    @property
    def crop_size(self) -> int:
        """Side in pixels of the image that `predict` is given."""
        return self.frame_size if self.normalizer is None else self.normalizer.crop_size

    def add_visibility(
        self, prediction: Prediction, inputs: FaceInputs, anchors: int = 0
    ) -> Prediction:
        """The prediction with the visibility of its points, where a 3D head can tell it.

        It takes no part in learning and in the cost of the network.

        Args:
            prediction: of the inputs.
            inputs: what was predicted from.
            anchors: number of the last points that shape the mesh; 0: all do.
        """
        own = None
        if inputs.queries is None and prediction.head3d is not None:
            own = query_points(str(self.scheme))
        return add_mesh_visibility(prediction, inputs, own, anchors)

    def add_error(self, prediction: Prediction) -> Prediction:
        """The prediction with that of its own NME, if an error head is to give it."""
        if self.error_head is not None and prediction.error is None:
            assert prediction.features is not None
            features = prediction.features
            stages = features if features.ndim > 2 else features[None]
            prediction.error = self.error_head(stages) * percent_factor()
        return prediction

    def answer_in_convention(self, prediction: Prediction, inputs: FaceInputs) -> Prediction:
        """The prediction as the annotators of each face's convention place the points.

        In training the shift is taken out of the labels instead.
        """
        if self.correction is not None:
            prediction = self.correction(prediction, inputs.convention)
        if self.label_shift is not None and not self.training:
            prediction = self.label_shift(prediction, inputs)
        return prediction

    # ---- losses of the parts -----------------------------------------------------------------

    def all_losses(self, prediction: Prediction, batch: FaceBatch) -> dict[str, Tensor]:
        """The method's losses, and those of its parts."""
        losses = self.losses(prediction, batch)
        if self.normalizer is not None and self.normalizer.weight and prediction.crop is not None:
            first = () if prediction.first_crops is None else prediction.first_crops
            terms = [self.normalizer.loss(crop, batch) for crop in (*first, prediction.crop)]
            losses["normalizer"] = torch.stack(terms).sum()
        if self.correction is not None and self.correction.weight:
            queries, patches = query_points("ibug68"), template_patches()
            losses["correction"] = self.correction.loss(
                queries.to(batch.points), patches.to(batch.points)
            )
        if self.head3d is not None:
            losses |= self.head3d.losses(prediction, batch, self.crop_size)
        if self.error_head is not None and prediction.error is not None:
            losses["error"] = self.error_head.loss(prediction, batch)
        return losses

    def all_weights(self) -> dict[str, float]:
        """Weights of `all_losses` where the phase does not give them."""
        return {**self.loss_weights(), **self.part_weights()}

    def part_weights(self) -> dict[str, float]:
        """Weights of the losses of the parts; those that weigh 0 are left out."""
        weights = {} if self.error_head is None else {"error": self.error_head.weight}
        weights |= {} if self.head3d is None else self.head3d.loss_weights()
        weights |= {} if self.normalizer is None else {"normalizer": self.normalizer.weight}
        weights |= {} if self.correction is None else {"correction": self.correction.weight}
        return {name: weight for name, weight in weights.items() if weight}
