"""`SyntheticFaces`: faces rendered by our own code, with exact labels; the embedded default.

A face is a function of (seed, row): it is the same whatever the size of the set, the batch that it
is rendered in and the order of calls.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lit_landmarks.compute import default_device
from lit_landmarks.data.index import FaceDataset, FaceIndex, Report
from lit_landmarks.data.label_cache import cached
from lit_landmarks.errors import UserError
from lit_landmarks.rendering.faces import FaceParameters, Head, Ranges, sample_faces
from lit_landmarks.rendering.labels import Contour, FaceLabels, PlacedHeads
from lit_landmarks.rendering.parametric import parametric_head
from lit_landmarks.rendering.renderer import RENDER_VERSION, Renderer
from lit_landmarks.rendering.rng import CounterRng
from lit_landmarks.schemes import get_scheme
from lit_landmarks.template.displaced_points import DISPLACED, displaced_points
from lit_landmarks.template.surface_points import blend

#: Names of the two conventions in `schemes.CONVENTIONS` and how each draws the jaw.
_CONTOURS: dict[str, Contour] = {
    "synthetic_visible": "visible",
    "synthetic_3d": "3d",
    "300w_lp": "300w_lp",
}
#: Rows whose labels are made together.
_ROWS_AT_ONCE = 32


class SyntheticFaces(FaceDataset):
    """Rendered heads with 2D, 3D, visibility, pose and camera labels.

    Args:
        n: number of faces.
        seed: of the set; sets of different seeds share no face.
        max_yaw: largest yaw in degrees, up to 90.
        max_pitch: largest pitch in degrees.
        max_roll: largest roll in degrees.
        scheme: any scheme with points on the head.
        convention: "synthetic_visible" (the jaw follows the silhouette, as in 300W),
            "synthetic_3d" (fixed to the skull) or "300w_lp" (iBUG's points where 300W-LP and
            AFLW2000-3D have them). "visible" and "3d" are short for the first two.
        image_size: side of the rendered picture in pixels.
        face_scale: side of the picture in face widths.
        visibility: say of every point whether it is seen (the slow part of the labels).
        device: where to render; "auto" takes a GPU if there is one.

    Raises:
        UserError: an argument is out of range, or the scheme has no place on the head.
    """

    source = "rendered by this package"
    licence = "none needed: made in code, no asset"
    rendered = True

    def __init__(
        self,
        n: int = 2000,
        seed: int = 0,
        max_yaw: float = 60.0,
        max_pitch: float = 30.0,
        max_roll: float = 30.0,
        scheme: str = "ibug68",
        convention: str = "synthetic_visible",
        image_size: int = 192,
        face_scale: float = 2.1,
        visibility: bool = True,
        device: str = "cpu",
    ) -> None:
        convention = {"visible": "synthetic_visible", "3d": "synthetic_3d"}.get(
            convention, convention
        )
        if convention not in _CONTOURS:
            names = ", ".join(_CONTOURS)
            raise UserError(f"SyntheticFaces cannot draw convention {convention!r}; take {names}")
        if n < 1:
            raise UserError(f"SyntheticFaces needs at least one face, n={n}; raise n")
        if not 0 <= max_yaw <= 90 or not 0 <= max_pitch <= 80 or not 0 <= max_roll <= 180:
            raise UserError(
                f"SyntheticFaces: max_yaw={max_yaw}, max_pitch={max_pitch}, max_roll={max_roll};"
                " keep them within 90, 80 and 180 degrees"
            )
        if not 32 <= image_size <= 2048:
            raise UserError(f"SyntheticFaces: image_size={image_size}; take 32 to 2048 pixels")
        self.n, self.seed = n, seed
        self.max_yaw, self.max_pitch, self.max_roll = max_yaw, max_pitch, max_roll
        self.scheme = get_scheme(scheme).name
        self.convention = convention
        self.image_size, self.face_scale = image_size, face_scale
        self.visibility, self.device = visibility, device
        self.primary_norm = "interocular" if max_yaw <= 60 else "box"
        self._renderer: Renderer | None = None

    @property
    def _ranges(self) -> Ranges:
        return Ranges(
            max_yaw=self.max_yaw,
            max_pitch=self.max_pitch,
            max_roll=self.max_roll,
            image_size=self.image_size,
            face_scale=self.face_scale,
        )

    @property
    def _model(self) -> Head:
        """The head that is drawn."""
        return parametric_head()

    def _label_key(self) -> tuple[object, ...]:
        """All that the labels depend on, beside the number of faces and the code."""
        return self.scheme, self.convention, self.visibility, self.seed, self._ranges

    def faces(self, rows: Sequence[int]) -> FaceParameters:
        """Identity, expression, pose and camera of some faces."""
        return self._sample(self._draws(rows))

    def _draws(self, rows: Sequence[int]) -> CounterRng:
        return CounterRng(self.seed, torch.as_tensor(list(rows), dtype=torch.int64))

    def _looks(self, rng: CounterRng) -> CounterRng:
        """Draws of looks and backgrounds, which the frames of a video share."""
        return rng

    def _sample(self, rng: CounterRng) -> FaceParameters:
        return sample_faces(rng, self._model, self._ranges)

    def labels(self, rows: Sequence[int], scheme: str | None = None) -> FaceLabels:
        """Exact labels of some faces in any scheme, without rendering them."""
        placed = PlacedHeads.of(self._model, self.faces(rows))
        return placed.labels(scheme or self.scheme, _CONTOURS[self.convention])

    def _read(self, report: Report) -> FaceIndex:
        name = type(self).__name__
        return cached(
            name, self._label_key(), self.n, lambda: self.index_of(range(self.n)), self.cache_dir
        )

    def index_of(self, rows: Sequence[int]) -> FaceIndex:
        """The labels of some faces, without those of the others."""
        contour = _CONTOURS[self.convention]
        parts, boxes = [], []
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            some = rows[start : start + _ROWS_AT_ONCE]
            placed = PlacedHeads.of(self._model, self.faces(some))
            parts.append(placed.labels(self.scheme, contour, self.visibility))
            # The box is that of the 68 points in every scheme, so that crops agree.
            box_labels = parts[-1]
            if self.scheme != "ibug68":
                box_labels = placed.labels("ibug68", contour, visibility=False)
            outline = box_labels.points
            boxes.append(torch.cat([outline.amin(1), outline.amax(1)], -1))

        def column(name: str) -> NDArray[np.float32]:
            return torch.cat([getattr(p, name) for p in parts]).numpy()

        points = column("points")
        # By the yaw that was drawn, in the axes of the camera: `max_yaw` bounds that one.
        yaw = np.abs(self.faces(rows).angles[:, 0].float().numpy())
        return FaceIndex(
            points=points,
            mask=np.ones(points.shape[:2], dtype=np.bool_),
            box=torch.cat(boxes).numpy(),
            visible=torch.cat([p.visible for p in parts]).numpy() if self.visibility else None,
            points3d=column("points3d"),
            head3d=column("head3d"),
            pose=column("pose"),
            focal=column("focal"),
            subsets={"frontal": yaw < 30, "half": (yaw >= 30) & (yaw < 60), "profile": yaw >= 60},
        )

    def render(self, rows: Sequence[int]) -> NDArray[np.uint8]:
        """(B, S, S, 3) uint8 RGB pictures of some faces."""
        if self._renderer is None:
            device = default_device() if self.device == "auto" else self.device
            self._renderer = Renderer(self._model, device)
        rng = self._draws(rows)
        return self._renderer(rng, self._sample, self._looks(rng)).cpu().numpy()

    def load(self, rows: Sequence[int]) -> list[NDArray[np.uint8]]:
        """The pictures of some faces, for the cache."""
        return list(self.render(rows))

    def content_key(self, rows: Sequence[int]) -> str:
        """A hash of all that the pixels depend on."""
        key = (RENDER_VERSION, self.seed, self._ranges, list(rows))
        return hashlib.sha256(repr(key).encode()).hexdigest()


class DisplacedFaces(SyntheticFaces):
    """The pictures of `SyntheticFaces` with iBUG's points moved over the template.

    A convention with a known displacement, see `template.displaced_points`: what a correction of
    conventions has to find. Without labels of visibility.

    Args:
        n, seed, max_yaw, image_size: see `SyntheticFaces`.
    """

    def __init__(
        self,
        n: int = 2000,
        seed: int = 0,
        max_yaw: float = 60.0,
        image_size: int = 192,
    ) -> None:
        super().__init__(n, seed, max_yaw, image_size=image_size, visibility=False)
        self.convention = DISPLACED
        self._dense = SyntheticFaces(
            n,
            seed,
            max_yaw,
            scheme="dense520",
            convention="synthetic_3d",
            image_size=image_size,
            visibility=False,
        )

    def _read(self, report: Report) -> FaceIndex:
        self._dense.cache_dir = self.cache_dir
        return _displace(self._dense.index())

    def index_of(self, rows: Sequence[int]) -> FaceIndex:
        """The labels of some faces, without those of the others."""
        return _displace(self._dense.index_of(rows))

    def labels(self, rows: Sequence[int], scheme: str | None = None) -> FaceLabels:
        """Exact labels of some faces in any scheme, where `synthetic_3d` has them."""
        return self._dense.labels(rows, scheme)


def _displace(index: FaceIndex) -> FaceIndex:
    """Labels of 520 points as those of the 68 of the made-up convention."""
    places = displaced_points()
    columns: dict[str, Any] = {
        name: blend(torch.from_numpy(getattr(index, name)), places).numpy()
        for name in ("points", "points3d", "head3d")
    }
    mask = np.ones(columns["points"].shape[:2], dtype=np.bool_)
    return replace(index, mask=mask, visible=None, **columns)
