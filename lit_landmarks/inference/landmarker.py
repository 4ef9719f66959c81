"""`Landmarker`: a picture and face boxes in, landmarks in pixels of the picture out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lit_landmarks.data.framing import cut_faces
from lit_landmarks.errors import UserError
from lit_landmarks.geometry import affine_scale, transform_points
from lit_landmarks.geometry.crops import whole_box
from lit_landmarks.inference.face import Face, with_own_box
from lit_landmarks.inference.places import FARTHEST_PLACE
from lit_landmarks.inference.predictor import Predictor
from lit_landmarks.methods.anchors import answer_beside_anchors, take_points
from lit_landmarks.methods.mirroring import average_flipped, flip_permutation
from lit_landmarks.schemes import convention_index, get_scheme
from lit_landmarks.template import query_points
from lit_landmarks.types import CropSpec, FaceInputs, Prediction

if TYPE_CHECKING:
    from lit_landmarks.inference.annotation import Annotation, Boxes
    from lit_landmarks.inference.detectors import Detector


class Landmarker:
    """A trained method that cuts faces out of pictures as in training and maps landmarks back.

    Args:
        method: the method, weights loaded: a `LandmarkModule`, or what else is a `Predictor`.
        crop: how it was trained to see faces.
        notes: what its checkpoint says of it: metrics, licences, training command, MMA.
        batch_size: faces that are run at once.

    Attributes:
        flip_average: answer with the mean of a face and its mirror image (`average_flips`).

    Example:
        >>> from lit_landmarks.methods import METHODS
        >>> method = METHODS["MuSiCa"].tiny()
        >>> landmarker = Landmarker(method, CropSpec(64, "tight", 1.35))
        >>> image = np.zeros((240, 320, 3), np.uint8)
        >>> faces = landmarker(image, boxes=[[100, 60, 180, 140]])
        >>> faces[0].points.shape
        (68, 2)
    """

    def __init__(
        self,
        method: Predictor,
        crop: CropSpec,
        notes: Mapping[str, Any] | None = None,
        batch_size: int = 32,
    ) -> None:
        if crop.size != method.frame_size:
            raise UserError(
                f"crops of {crop.size} px for {type(method).__name__}, which takes "
                f"{method.frame_size} px; give the crop that it was trained with"
            )
        if isinstance(method, torch.nn.Module):
            method.eval()
        self.method = method
        self.crop = crop
        self.notes = dict(notes or {})
        self.batch_size = batch_size
        self.flip_average = False

    def average_flips(self) -> Landmarker:
        """The same with flip averaging; its notes say the cost of both runs.

        Raises:
            UserError: the scheme has no left-right pairs.
        """
        flip_permutation(self.method.scheme)
        notes = dict(self.notes)
        if notes.get("mma") is not None:
            notes["mma"] = 2 * notes["mma"]
        both = Landmarker(self.method, self.crop, notes, self.batch_size)
        both.flip_average = True
        return both

    def to(self, device: torch.device | str) -> Landmarker:
        """Move the method to another device; returns itself."""
        self.method.to(device)
        return self

    def __call__(
        self,
        image: NDArray[np.uint8] | Tensor,
        boxes: Any = None,
        queries: Any = None,
        convention: str | None = None,
    ) -> list[Face]:
        """Landmarks of the faces in a picture.

        Args:
            image: (H, W, 3) uint8 RGB, or a (3, H, W) tensor, uint8 or float in [0, 1].
            boxes: (F, 4) x0 y0 x1 y1 in pixels, tight about the landmarks of each face. None
                shows the whole picture, with one face, to a method that has a normalizer.
            queries: what a method of queries is asked for: (N, 3) template points, `Places`, or
                the name of a scheme; None: the points of its scheme, or iBUG's 68. Other methods
                have points of their own.
            convention: name of the annotation convention to answer in; None: the reference.

        Returns:
            A `Face` for each box, in order.

        Raises:
            UserError: a picture, boxes or queries of another form, a convention in which the
                method does not answer, or queries for a method that takes none.
        """
        self.check_convention(convention)
        whole = self.whole_box(image) if boxes is None or self.method.normalizer else None
        box = torch.as_tensor(np.asarray(whole if boxes is None else boxes), dtype=torch.float32)
        box = box.reshape(-1, 4)
        if len(box) == 0:
            return []
        faces = self.run(*cut_faces(image, box, self.crop), box, queries, convention)
        if whole is None:
            return faces
        shown = np.asarray(whole[0], np.float32)
        return [with_own_box(f) if np.array_equal(f.box, shown) else f for f in faces]

    def run(
        self,
        crops: Tensor,
        to_image: Tensor,
        boxes: Tensor,
        queries: Any = None,
        convention: str | None = None,
    ) -> list[Face]:
        """Landmarks of faces that are cut already, of one picture or of several.

        Args:
            crops: (F, 3, S, S) RGB in [0, 1], as `data.framing.cut_faces` gives them.
            to_image: (F, 2, 3) affines from crop pixels to pixels of each face's picture.
            boxes: (F, 4) by which they were cut.
            queries: as of a call.
            convention: as of a call.

        Returns:
            A `Face` for each, in pixels of its picture.

        Raises:
            UserError: as a call.
        """
        self.check_convention(convention)
        scheme = self.method.scheme
        if queries is not None:
            scheme = queries if isinstance(queries, str) else None
            queries = self._check_queries(queries)
        elif scheme is None:
            scheme = "ibug68"
        faces: list[Face] = []
        for start in range(0, len(boxes), self.batch_size):
            rows = slice(start, start + self.batch_size)
            inputs = self._inputs(crops[rows], scheme, queries, convention)
            with torch.inference_mode():
                prediction = self._predict_visibly(inputs.to(self.method.device)).to("cpu")
            faces += self._faces(prediction, to_image[rows].cpu(), boxes[rows], scheme, convention)
        return faces

    def check_convention(self, convention: str | None) -> None:
        """Check that the method can be asked for points in a convention.

        Raises:
            UserError: it cannot; it would answer in another one.
        """
        possible = self.method.answer_conventions
        if convention is not None and convention not in possible:
            name = type(self.method).__name__
            if not possible:
                raise UserError(
                    f"convention {convention!r} for {name}, which was trained for one only; omit it"
                )
            choices = ", ".join(possible)
            raise UserError(f"{name} answers in no convention {convention!r}; it has {choices}")

    def _check_queries(self, queries: Any) -> Tensor:
        if self.method.scheme is not None and not getattr(self.method, "answers_queries", False):
            raise UserError(
                f"queries for {type(self.method).__name__}, which answers the points of"
                f" {self.method.scheme}; omit them"
            )
        if isinstance(queries, str):
            return query_points(queries)
        try:
            places = getattr(queries, "queries", queries)
            points = torch.as_tensor(np.asarray(places, np.float32))
        except (TypeError, ValueError) as error:
            raise UserError(
                f"queries are {queries!r:.60}; give (N, 3) places on the template, `Places`, or the"
                " name of a scheme"
            ) from error
        if points.ndim != 2 or points.shape[1] != 3 or not len(points):
            raise UserError(f"queries of shape {tuple(points.shape)}; give (N, 3) places")
        if not bool((points.abs() <= FARTHEST_PLACE).all()):
            raise UserError(
                f"a query lies more than {FARTHEST_PLACE:g} from the head's origin, or is no"
                " number; places are in distances of the outer eye corners"
            )
        return points

    def annotate(
        self,
        sources: Any,
        boxes: Boxes | None = None,
        detector: Detector | str | None = None,
        **options: Any,
    ) -> Iterator[Annotation]:
        """Faces of whatever holds pictures; see `annotation.annotate`.

        Args:
            sources: a picture or video file, a folder, a pattern such as "photos/*.jpg", an array,
                the number of a camera, or a list of these.
            boxes: of the faces; by file, or (F, 4) for every picture.
            detector: that finds them, or its name.
            **options: of `annotation.annotate`.

        Returns:
            An `Annotation` for each picture or frame, as they are done. A file that cannot be read
            gives one with a `problem`; the rest goes on.
        """
        from lit_landmarks.inference.annotation import annotate

        return annotate(self, sources, boxes, detector, **options)

    def whole_box(self, image: NDArray[np.uint8] | Tensor) -> list[tuple[float, ...]]:
        """(1, 4) the box whose crop just holds the whole picture.

        Raises:
            UserError: the method has no normalizer, which could find the face in it.
        """
        if self.method.normalizer is None:
            raise UserError(
                f"no boxes for {type(self.method).__name__}, which has no normalizer; give the box"
                " of each face"
            )
        shape = tuple(image.shape)
        height, width = shape[1:] if isinstance(image, Tensor) else shape[:2]
        return [whole_box(width, height, self.crop.scale)]

    def _predict_visibly(self, inputs: FaceInputs) -> Prediction:
        """The prediction with visibility, which does not depend on what else is asked for."""
        if inputs.queries is None:
            return self.method.add_visibility(self._predict(inputs).detach(), inputs)
        _, answer = answer_beside_anchors(self._predict, self.method.add_visibility, inputs)
        return take_points(answer, inputs.queries.shape[1])

    def _predict(self, inputs: FaceInputs) -> Prediction:
        if self.flip_average:
            scheme = self.method.scheme if inputs.queries is None else None
            return average_flipped(self.method, inputs, scheme)
        return self.method(inputs)

    def _inputs(
        self, crops: Tensor, scheme: str | None, queries: Any, convention: str | None
    ) -> FaceInputs:
        inputs = FaceInputs(crops)
        if self.method.scheme is None or queries is not None:
            points = query_points(str(scheme)) if queries is None else queries
            inputs.queries = points.float().expand(len(crops), -1, -1)
        if convention is not None:
            inputs.convention = torch.full((len(crops),), convention_index(convention))
        return inputs

    def _faces(
        self,
        prediction: Prediction,
        to_image: Tensor,
        boxes: Tensor,
        scheme: str | None,
        convention: str | None,
    ) -> list[Face]:
        points = transform_points(to_image, prediction.points.float())
        scale = affine_scale(to_image)
        faces = []
        for k in range(len(points)):
            face: dict[str, Any] = {"points": points[k].numpy(), "scheme": scheme}
            face["box"] = boxes[k].numpy()
            face["convention"] = self.method.answered_convention(convention)
            if prediction.error is not None:
                face["error"] = float(prediction.error[-1, k])
            if prediction.pose is not None:
                face["pose"] = prediction.pose[k, :3].float().numpy()
            if prediction.visibility is not None:
                face["visibility"] = prediction.visibility[k].float().numpy()
            if prediction.points3d is not None:
                flat = transform_points(
                    to_image[k : k + 1], prediction.points3d[k : k + 1, :, :2].float()
                )[0]
                depth = prediction.points3d[k, :, 2:].float() * scale[k]
                face["points3d"] = torch.cat([flat, depth], 1).numpy()
            if prediction.mma is not None:
                face["mma"] = float(prediction.mma[k])
            faces.append(Face(**face))
        return faces

    def __repr__(self) -> str:
        """Method, scheme and crop in one line."""
        scheme = self.method.scheme
        points = f"{get_scheme(scheme).n_points} points" if scheme else "any points"
        name = type(self.method).__name__
        return f"Landmarker({name}, {points}, {self.crop.size} px, {self.crop.kind})"
