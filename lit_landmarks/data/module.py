"""`LandmarkDataModule`: data sets in, ready `FaceBatch`es out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import lightning
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from lit_landmarks.data.augment import Augmentation
from lit_landmarks.data.cache import source_crops
from lit_landmarks.data.dataset import ConcatFaces, CroppedFaces, MixSampler, identity_collate
from lit_landmarks.data.face_keys import face_keys, match_faces
from lit_landmarks.data.folds import split_sets
from lit_landmarks.data.index import FaceDataset
from lit_landmarks.data.readers.common import check_name
from lit_landmarks.data.shares import EvaluationShare, TrainingShare
from lit_landmarks.data.surroundings import collect_surroundings
from lit_landmarks.data.transform import BatchTransform
from lit_landmarks.errors import UserError
from lit_landmarks.geometry import pca
from lit_landmarks.schemes import (
    LandmarkScheme,
    convention_index,
    get_map,
    get_scheme,
    is_built_in,
    register_scheme,
)
from lit_landmarks.types import (
    ROLES,
    TIGHT_SCALE,
    CropSpec,
    DatasetSpec,
    DataSpec,
    FaceBatch,
    FrameKind,
    Role,
    ShapeStatistics,
)

#: Side of the frame in units of the longer side of the face box.
FRAME_SCALES: dict[FrameKind, float] = {"tight": TIGHT_SCALE, "wide": 3.0}
#: Enough shapes for 2 x 98 coordinates; more change the statistics in the third digit.
_SHAPES = 20_000
_LABEL_BATCH = 1024
#: Share of a test set from which on it counts as one that has chosen the checkpoint.
_CHOSEN_SHARE = 0.01


class LandmarkDataModule(lightning.LightningDataModule):
    """Every data set of a run, mapped to one scheme, cut to one frame.

    Args:
        train, val, test: name -> data set.
        scheme: target scheme to which every set is mapped (points without a counterpart are
            masked), or None to pad rows that keep their own (query methods).
        frame_size: side of the frame that a method sees, pixels.
        frame: "tight" around the face or "wide".
        frame_scale: side of the frame in box sides; None takes the value of `FRAME_SCALES`.
        root: folder from which relative paths of the data sets start.
        only: names of the training sets that are used; None uses all.
        weights: name of a training set -> how often each of its faces is drawn per epoch (1).
        epoch_faces: smallest number of training faces in an epoch: where there are fewer, each is
            drawn several times, augmented anew, so that epochs mean the same for 20 photos and for
            2000; None draws each face as `weights` says.
        yaw_bins: name of a validation or test set -> edges in whole degrees of bins of |yaw|, such
            as [0, 30, 60, 90], that are measured alone: by the pose of the labels, or of POSIT.
        whole: names of validation and test sets whose frames hold the whole picture, whatever the
            box: for a method with a normalizer, which needs none.
        fold: which of how many folds of the training faces validates, such as "2/5", while the
            others train; `val` is empty then. Faces of one person, photo or video stay together
            (`data.folds`); `fit --folds 5` trains all folds.
        batch_size, eval_batch_size: faces per batch; None evaluates twice the training size.
        source_size: side of the cached source crops, pixels; None keeps the frame's resolution.
        source_scale: side of the source crops in box sides; None is `types.SOURCE_MARGIN` frames.
        augmentation: strength of the random part.
        num_workers: loader processes; 0 is the fastest for all but remote disks.
        seed: seed of the order and of the augmentation.
        cache_dir: cache folder; None is `$LIT_LANDMARKS_CACHE` or `~/.cache/lit_landmarks`.

    Raises:
        UserError: a data set is bad, does not map to `scheme`, or an argument is out of range.
    """

    def __init__(
        self,
        train: dict[str, FaceDataset],
        val: dict[str, FaceDataset] | None = None,
        test: dict[str, FaceDataset] | None = None,
        scheme: str | None = "ibug68",
        frame_size: int = 128,
        frame: FrameKind = "tight",
        frame_scale: float | None = None,
        root: str = ".",
        only: list[str] | None = None,
        weights: dict[str, float] | None = None,
        epoch_faces: int | None = None,
        yaw_bins: dict[str, list[float]] | None = None,
        whole: list[str] | None = None,
        fold: str | None = None,
        batch_size: int = 32,
        eval_batch_size: int | None = None,
        source_size: int | None = None,
        source_scale: float | None = None,
        augmentation: Augmentation | None = None,
        num_workers: int = 0,
        seed: int = 0,
        cache_dir: str | None = None,
    ) -> None:
        super().__init__()
        if only is not None:
            for name in only:
                if name not in train:
                    raise UserError(
                        f"data.init_args.only names {name!r}, no training set; there are:"
                        f" {', '.join(train)}"
                    )
            weights = {n: w for n, w in (weights or {}).items() if n in only or n not in train}
            train = {name: dataset for name, dataset in train.items() if name in only}
        if fold is not None and train:
            train, val = split_sets(train, val or {}, fold)
        self.sets: dict[Role, dict[str, FaceDataset]] = {
            "train": train,
            "val": val or {},
            "test": test or {},
        }
        self.scheme = scheme
        self.frame_size = frame_size
        self.frame = frame
        self.frame_scale = frame_scale or FRAME_SCALES[frame]
        self.crop = CropSpec(frame_size, frame, self.frame_scale)
        self.root = root
        self.weights = weights or {}
        self.epoch_faces = epoch_faces
        self.yaw_bins = {name: tuple(edges) for name, edges in (yaw_bins or {}).items()}
        self.whole = tuple(whole or ())
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size or 2 * batch_size
        self.source_scale = source_scale or self.crop.source_scale
        same = math.ceil(frame_size * self.source_scale / self.frame_scale / 32) * 32
        self.source_size = source_size or same
        self.augmentation = augmentation or Augmentation()
        self.num_workers = num_workers
        self.seed = seed
        self.cache_dir = cache_dir
        self._epoch = 0
        self._teacher: dict[str, NDArray[np.float32]] = {}
        self._check()

    def _check(self) -> None:
        """Refuse what no data can mend."""
        if not self.sets["train"] and not self.sets["val"] and not self.sets["test"]:
            raise UserError("no data set in data.init_args.train, val or test; name at least one")
        if self.frame_size < 16 or self.batch_size < 1 or self.source_scale < self.frame_scale:
            raise UserError(
                f"frame_size {self.frame_size} (16 or more), batch_size {self.batch_size} (1 or"
                f" more) and source_scale {self.source_scale} (at least frame_scale,"
                f" {self.frame_scale}) do not fit; correct data.init_args"
            )
        for role in ROLES:
            for name in self.sets[role]:
                check_name("data set", name, f"data.init_args.{role}")
        measured = {*self.sets["val"], *self.sets["test"]}
        for option, names, sets, kind in (
            ("weights", self.weights, list(self.sets["train"]), "training"),
            ("yaw_bins", self.yaw_bins, sorted(measured), "validation or test"),
            ("whole", self.whole, sorted(measured), "validation or test"),
        ):
            for name in names:
                if name not in sets:
                    text = f"{option} names {name!r}, no {kind} set; known: {', '.join(sets)}"
                    raise UserError(text)
        for name, weight in self.weights.items():
            if not (math.isfinite(weight) and weight > 0):
                raise UserError(f"weight of {name!r} is {weight}; give a number above 0")
        if self.epoch_faces is not None and self.epoch_faces < 1:
            raise UserError(
                f"data.init_args.epoch_faces is {self.epoch_faces}; give a number of faces, or null"
            )
        for role in ("val", "test"):
            for name, dataset in self.sets[role].items():
                if name in self.whole:
                    dataset.show_whole(self.frame_scale)
        for dataset in self._all_sets():
            # Before anything is asked: a set whose files declare the scheme reads them now.
            dataset.start_from(self.root)
            dataset.cache_dir = self.cache_dir
            convention_index(dataset.convention)
            if self.scheme is not None:
                get_map(dataset.scheme, self.scheme)

    def _all_sets(self) -> list[FaceDataset]:
        return [dataset for role in ROLES for dataset in self.sets[role].values()]

    @cached_property
    def spec(self) -> DataSpec:
        """What the data tells a method; reads labels, no pixels."""
        described = []
        for role in ROLES:
            for name, dataset in self.sets[role].items():
                index = dataset.index()
                described.append(
                    DatasetSpec(
                        name=name,
                        role=role,
                        scheme=self.scheme or dataset.scheme,
                        convention=dataset.convention,
                        primary_norm=dataset.primary_norm,
                        size=len(index),
                        labels=index.labels,
                        # A subset with every face would repeat each figure of its set.
                        subsets=tuple(n for n, inside in index.subsets.items() if not inside.all()),
                        yaw_bins=() if role == "train" else self.yaw_bins.get(name, ()),
                    )
                )
        n_points = max(get_scheme(d.scheme).n_points for d in described)
        return DataSpec(self.scheme, n_points, self.frame_size, self.frame, tuple(described))

    def mark_chosen_on(self, faces: NDArray[np.int64]) -> None:
        """Mark the test sets that hold faces on which the checkpoint was chosen, in `spec`.

        A few such faces in a large set change its figures little: from one in a hundred on a set is
        marked.

        Args:
            faces: (n, 2) keys of those faces, see `face_keys`.
        """
        described = []
        for spec, dataset in zip(self.spec.datasets, self._all_sets(), strict=True):
            marked = False
            if spec.role == "test" and len(faces):
                share = float((match_faces(face_keys(dataset), faces) >= 0).mean())
                marked = share >= _CHOSEN_SHARE
            described.append(replace(spec, chosen_on=marked))
        self.spec = replace(self.spec, datasets=tuple(described))

    @property
    def drawn_faces(self) -> int:
        """Training faces that an epoch draws, repeated ones counted as often as they are drawn."""
        weights = self._draws()
        return sum(max(1, round(weights[d.name] * d.size)) for d in self.spec.in_role("train"))

    @property
    def train_batch(self) -> int:
        """Faces in a training batch: fewer than `batch_size` only where there are fewer in all."""
        return min(self.batch_size, self.drawn_faces)

    def _draws(self) -> dict[str, float]:
        """How often each face of a training set is drawn per epoch, by the set's name."""
        sets = self.spec.in_role("train")
        draws = {d.name: self.weights.get(d.name, 1.0) for d in sets}
        faces = sum(draws[d.name] * d.size for d in sets)
        if self.epoch_faces is None or faces >= self.epoch_faces:
            return draws
        return {name: draw * self.epoch_faces / faces for name, draw in draws.items()}

    @cached_property
    def transform(self) -> BatchTransform:
        """Source crops to frames."""
        return BatchTransform(
            crop=self.crop,
            schemes=[d.scheme for d in self.spec.datasets],
            n_points=self.spec.n_points,
            augmentation=self.augmentation,
            seed=self.seed,
        )

    def set_teacher(self, name: str, points: NDArray[np.float32]) -> None:
        """Give training faces the landmarks that another model predicts, as the label `teacher`.

        Args:
            name: of a training set.
            points: (n, M, 2) image pixels, as delivered; NaN where there are none.
        """
        self._teacher[name] = points

    def faces(self, role: Role, pixels: bool = True) -> ConcatFaces | None:
        """All sets of a role, mixed; builds the cache on first use unless `pixels` is False."""
        draws = self._draws() if role == "train" else {}
        parts = [
            CroppedFaces(
                spec=spec,
                own_scheme=dataset.scheme,
                index=dataset.index(),
                crops=source_crops(dataset, self.source_size, self.source_scale, self.cache_dir)
                if pixels
                else None,
                size=self.source_size,
                scale=self.source_scale,
                dataset_id=number,
                weight=draws.get(spec.name, 1.0),
                teacher=self._teacher.get(spec.name) if role == "train" else None,
            )
            for number, (spec, dataset) in enumerate(
                zip(self.spec.datasets, self._all_sets(), strict=True)
            )
            if spec.role == role
        ]
        if role == "train" and pixels and parts and self.augmentation.surround:
            self._collect_surroundings(parts)
        return ConcatFaces(parts, self.spec.n_points, self.spec.subsets) if parts else None

    def _collect_surroundings(self, parts: Sequence[CroppedFaces]) -> None:
        """Give the transform what its patches show, once."""
        if self.transform.surroundings is None:
            crops = [(part.crops, part.boxes) for part in parts if part.crops is not None]
            self.transform.surroundings = collect_surroundings(crops)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch outside of a trainer; inside, the trainer's own is used."""
        self._epoch = epoch

    @property
    def epoch(self) -> int:
        """Epoch that order and augmentation follow."""
        return self._epoch if self.trainer is None else self.trainer.current_epoch

    def own_schemes(self) -> tuple[str, ...]:
        """Names of the schemes in use that not every installation knows."""
        names = {dataset.scheme for sets in self.sets.values() for dataset in sets.values()}
        names |= {self.scheme} if self.scheme is not None else set()
        return tuple(sorted(name for name in names if not is_built_in(name)))

    def _loader(self, role: Role, limit: float | int | None = None) -> DataLoader[Any] | list[Any]:
        """Loader of a role; a whole number as `limit` is the most batches of an evaluation."""
        faces = self.faces(role)
        if faces is None:
            return []
        options: dict[str, Any] = {
            "collate_fn": identity_collate,
            "num_workers": self.num_workers,
            "persistent_workers": self.num_workers > 0,
            "pin_memory": torch.cuda.is_available(),
            # A loader process that is spawned begins without what users have declared.
            "worker_init_fn": partial(_declare, [get_scheme(name) for name in self.own_schemes()]),
        }
        shares = None if self.trainer is None else self.trainer.distributed_sampler_kwargs
        processes, rank = (shares["num_replicas"], shares["rank"]) if shares else (1, 0)
        if role != "train":
            share = None
            if processes > 1:
                most = limit if isinstance(limit, int) else None
                share = EvaluationShare(len(faces), self.eval_batch_size, processes, rank, most)
            return DataLoader(faces, batch_size=self.eval_batch_size, sampler=share, **options)
        sampler = MixSampler(faces, self.seed)
        sampler.set_epoch(self.epoch)
        if processes > 1:
            part = TrainingShare(sampler, self.batch_size, processes, rank)
            return DataLoader(faces, batch_size=self.batch_size, sampler=part, **options)
        # A last batch of one face would break batch normalisation.
        drop = len(sampler) > self.batch_size
        return DataLoader(
            faces, batch_size=self.batch_size, sampler=sampler, drop_last=drop, **options
        )

    def train_dataloader(self) -> DataLoader[Any] | list[Any]:
        """All training sets mixed; the trainer tells the sampler the epoch."""
        return self._loader("train")

    def val_dataloader(self) -> DataLoader[Any] | list[Any]:
        """All validation sets, one after the other, in file order."""
        return self._loader("val", self._limit("val"))

    def test_dataloader(self) -> DataLoader[Any] | list[Any]:
        """All test sets, one after the other, in file order."""
        return self._loader("test", self._limit("test"))

    def predict_dataloader(self) -> DataLoader[Any] | list[Any]:
        """The test sets, or the validation sets where there are none."""
        return self._loader("test" if self.sets["test"] else "val", self._limit("predict"))

    def _limit(self, stage: str) -> float | int | None:
        """The trainer's `limit_<stage>_batches`: a number of batches or, as a float, a share."""
        limit: float | int | None = getattr(self.trainer, f"limit_{stage}_batches", None)
        return limit

    def transfer_batch_to_device(
        self, batch: Any, device: torch.device, dataloader_idx: int
    ) -> Any:
        """Move a batch; pixels travel as 8 bits."""
        if isinstance(batch, FaceBatch):
            return batch.to(device, non_blocking=True)
        return super().transfer_batch_to_device(batch, device, dataloader_idx)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Cut the frames on the device; random only while the trainer trains."""
        random = self.trainer is not None and self.trainer.training
        return self.transform(batch, random=random, epoch=self.epoch)

    @property
    def measured_roles(self) -> tuple[Role, ...]:
        """Of validation and test those that have faces: what analyses measure."""
        roles: tuple[Role, ...] = ("val", "test")
        return tuple(role for role in roles if self.sets[role])

    def batches(self, role: Role, random: bool = False, epoch: int = 0) -> Iterator[FaceBatch]:
        """Ready batches without a trainer, in file order or, if `random`, as in training."""
        faces = self.faces(role)
        if faces is None:
            raise UserError(f"no data set in data.init_args.{role}; name one")
        items: Sequence[int] = range(len(faces))
        size = self.eval_batch_size
        if random:
            sampler, size = MixSampler(faces, self.seed), self.batch_size
            sampler.set_epoch(epoch)
            items = list(sampler)
        for start in range(0, len(items), size):
            batch = faces.__getitems__(items[start : start + size])
            yield self.transform(batch, random=random, epoch=epoch)

    def shape_statistics(self) -> ShapeStatistics:
        """PCA of augmented training labels in centred frame units; no image is touched.

        The faces of as many epochs as give about 20,000 shapes, with the weights of the sets and
        the augmentation of training. Faces with a missing point are left out.

        Raises:
            UserError: padded schemes, no training set, or no complete face.
        """
        faces = self.faces("train", pixels=False)
        if self.scheme is None or faces is None:
            raise UserError(
                "shape statistics need training faces of one scheme; set data.init_args.scheme"
                " and data.init_args.train"
            )
        sampler = MixSampler(faces, self.seed)
        items: list[int] = []
        epochs: list[int] = []
        while len(items) < _SHAPES:
            sampler.set_epoch(epochs[-1] + 1 if epochs else 0)
            drawn = list(sampler)[:_SHAPES]
            items += drawn
            epochs += [sampler.epoch] * len(drawn)
        shapes: list[Tensor] = []
        for start in range(0, len(items), _LABEL_BATCH):
            part = slice(start, start + _LABEL_BATCH)
            batch = faces.__getitems__(items[part])
            points = self.transform.points(batch, random=True, epoch=torch.tensor(epochs[part]))
            shapes.append(points[batch.mask.all(1)])
        complete = torch.cat(shapes)
        if len(complete) < 2:
            raise UserError(
                "no training face has all points of the scheme, so there is no shape to measure;"
                " add a complete training set or choose its scheme"
            )
        return pca((complete + 0.5).flatten(1) / self.frame_size - 0.5)


def _declare(schemes: Sequence[LandmarkScheme], worker: int) -> None:
    for scheme in schemes:
        register_scheme(scheme)
