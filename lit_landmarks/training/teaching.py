"""A teacher's landmarks on training faces, predicted once and cached."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.markup import escape
from rich.progress import track

from lit_landmarks.compute.devices import default_device
from lit_landmarks.data import LandmarkDataModule
from lit_landmarks.data.cache import cache_folder
from lit_landmarks.data.columns import read_arrays
from lit_landmarks.data.framing import cut_faces
from lit_landmarks.data.index import FaceDataset
from lit_landmarks.errors import UserError
from lit_landmarks.files import atomic_path, hold_lock
from lit_landmarks.geometry import transform_points
from lit_landmarks.methods.base import LandmarkModule
from lit_landmarks.nets.distillation import TeacherOptions
from lit_landmarks.schemes import convention_index, get_map
from lit_landmarks.template import query_points
from lit_landmarks.training.checkpoints import find_checkpoint, load_method
from lit_landmarks.types import CropSpec, FaceInputs

#: Raise when the answers of a teacher change for the same faces.
_VERSION = 1
_FACES_AT_ONCE = 32


class Teacher:
    """A trained method that labels faces in the crops that it was trained on.

    Args:
        options: where it is, and how it answers.
        device: that it runs on; None: the first GPU if there is one.

    Raises:
        UserError: no such checkpoint, or a mean with mirror images that its scheme does not allow.
    """

    def __init__(self, options: TeacherOptions, device: torch.device | None = None) -> None:
        self.options = options
        self.device = device or torch.device(default_device())
        path = find_checkpoint(options.run)
        self.method, description = load_method(path)
        if "crop" not in description:
            raise UserError(
                f"model.teacher.run {path} does not say how faces were cut for it; give a"
                " checkpoint that `fit` wrote"
            )
        self.crop = CropSpec(**description["crop"])
        if options.flip_average:
            self.method.average_flips()
        self.key = hashlib.sha256(path.read_bytes()).hexdigest()

    def label(
        self, dataset: FaceDataset, name: str, folder: str | None, scheme: str | None = None
    ) -> NDArray[np.float32]:
        """Landmarks of all faces of a data set, from the cache if it holds them.

        Of several processes one predicts them, and the others wait for its file.

        Args:
            dataset: the faces, cut by the boxes of their labels.
            name: of the data set, for the progress bar.
            scheme: of the answer; None for the set's own.
            folder: cache folder; see `data.cache.cache_folder`.

        Returns:
            (n, N, 2) image pixels, NaN for points that the teacher lacks.

        Raises:
            UserError: no map from the teacher's scheme, or an image is bad.
        """
        index = dataset.index()
        scheme = scheme or dataset.scheme
        mapping = get_map(self.method.scheme or scheme, scheme).source_index.numpy()
        digest = hashlib.sha256(dataset.content_key(range(len(index))).encode())
        digest.update(index.box.tobytes())
        settings = (scheme, dataset.convention, self.options.flip_average, _VERSION)
        digest.update(repr((self.key, settings)).encode())
        path = cache_folder(folder) / f"teacher-{digest.hexdigest()[:32]}.npz"
        shape = (len(index), len(mapping), 2)
        if (points := _read(path, shape)) is not None:
            return points
        with hold_lock(path):
            if (points := _read(path, shape)) is not None:
                return points
            own = self._predict(dataset, name, scheme)
            points = np.where(mapping[:, None] < 0, np.float32(np.nan), own[:, mapping.clip(0)])
            with atomic_path(path) as temporary, temporary.open("wb") as file:
                np.savez(file, points=points)
        return points

    @torch.no_grad()
    def _predict(self, dataset: FaceDataset, name: str, scheme: str) -> NDArray[np.float32]:
        """(n, M, 2) landmarks in image pixels, in the teacher's scheme, or `scheme` if asked."""
        device, method = self.device, self.method.to(self.device)
        boxes = torch.from_numpy(dataset.index().box)
        blocks = torch.split(torch.arange(len(boxes)), _FACES_AT_ONCE)
        title = f"teacher on {escape(name)}"
        answers: list[torch.Tensor] = []
        for rows in track(blocks, title, transient=True):
            images = dataset.load(rows.tolist())
            cut = [
                cut_faces(image, boxes[row : row + 1], self.crop)
                for image, row in zip(images, rows.tolist(), strict=True)
            ]
            inputs = FaceInputs(torch.cat([crop for crop, _ in cut]).to(device))
            if method.scheme is None:
                queries = query_points(scheme).to(device)
                inputs.queries = queries.expand(len(rows), -1, -1)
            if method.correction is not None:
                convention = convention_index(str(method.answered_convention(dataset.convention)))
                inputs.convention = torch.full((len(rows),), convention, device=device)
            to_image = torch.cat([affine for _, affine in cut])
            answers.append(transform_points(to_image, method.answer(inputs).points.cpu()))
        points: NDArray[np.float32] = torch.cat(answers).numpy()
        return points


def set_teacher(
    method: LandmarkModule, data: LandmarkDataModule, device: torch.device | None = None
) -> None:
    """Give the training faces of a method that has a teacher the landmarks of that teacher.

    Args:
        method: the method that learns.
        data: its data.
        device: that the teacher runs on, the one that this process trains on.

    Raises:
        UserError: the teacher cannot be loaded, or answers in another scheme.
    """
    if method.teacher is None:
        return
    teacher = Teacher(method.teacher, device)
    for name, dataset in data.sets["train"].items():
        data.set_teacher(name, teacher.label(dataset, name, data.cache_dir, data.scheme))


def _read(path: Path, shape: tuple[int, ...]) -> NDArray[Any] | None:
    """The landmarks of a cache file, or None if there are none that can be read."""
    try:
        points = read_arrays(path)["points"]
    except (OSError, ValueError, KeyError):
        return None
    return points if points.shape == shape and points.dtype == np.float32 else None
