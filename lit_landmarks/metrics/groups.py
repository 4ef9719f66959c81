"""Who is counted where: groups of faces (data sets and subsets) and groups of landmarks."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lit_landmarks.errors import UserError
from lit_landmarks.metrics.normalisers import NORMALISERS
from lit_landmarks.schemes import get_scheme
from lit_landmarks.types import DatasetSpec, DataSpec, FaceBatch, Role

#: Landmark groups; the first is every landmark of the scheme.
POINT_GROUPS = ("all", "inner", "contour")


@dataclass(frozen=True)
class FaceGroup:
    """A data set (`subset` None) or one of its subsets."""

    dataset: str
    subset: str | None
    primary: str

    def key(self, role: str, name: str) -> str:
        """`role/dataset/name[/subset]`."""
        tail = "" if self.subset is None else f"/{self.subset}"
        return f"{role}/{self.dataset}/{name}{tail}"


def _check(datasets: tuple[DatasetSpec, ...], role: str) -> None:
    names = [d.name for d in datasets]
    for d in datasets:
        if names.count(d.name) > 1:
            raise UserError(f"two {role} data sets are named '{d.name}'; rename one")
        if d.primary_normaliser not in NORMALISERS:
            known = ", ".join(NORMALISERS)
            raise UserError(
                f"data set '{d.name}': unknown normaliser '{d.primary_normaliser}'; use {known}"
            )
        for part in (d.name, *d.subsets):
            if not part or "/" in part:
                raise UserError(f"data set '{d.name}': name '{part}' is empty or holds a '/'")


class FaceGroups(nn.Module):
    """Membership of a batch's faces and landmarks in the groups of one role."""

    dataset_of: Tensor
    subset_of: Tensor
    landmarks: Tensor
    primary_of: Tensor

    def __init__(self, spec: DataSpec, role: Role) -> None:
        """Lay out the groups of `role`, each data set followed by its subsets."""
        super().__init__()
        _check(spec.in_role(role), role)
        self.groups: list[FaceGroup] = []
        dataset_of: list[int] = []
        subset_of: list[int] = []
        for index, data in enumerate(spec.datasets):
            if data.role != role:
                continue
            for subset in (None, *data.subsets):
                self.groups.append(FaceGroup(data.name, subset, data.primary_normaliser))
                dataset_of.append(index)
                subset_of.append(-1 if subset is None else spec.subsets.index(subset))
        self.register_buffer("dataset_of", torch.tensor(dataset_of).long(), persistent=False)
        self.register_buffer("subset_of", torch.tensor(subset_of).long(), persistent=False)
        self.register_buffer("landmarks", _landmark_groups(spec), persistent=False)
        primary = [NORMALISERS.index(g.primary) for g in self.groups]
        self.register_buffer("primary_of", torch.tensor(primary).long(), persistent=False)

    def __len__(self) -> int:
        """Number of face groups G."""
        return len(self.groups)

    def members(self, batch: FaceBatch) -> Tensor:
        """(B, G) bool: which faces are in which group."""
        same = batch.dataset_id.unsqueeze(1) == self.dataset_of
        whole = self.subset_of < 0
        if batch.subsets.shape[1] == 0:
            return same & whole
        return same & (whole | batch.subsets[:, self.subset_of.clamp(min=0)])

    def points(self, batch: FaceBatch) -> Tensor:
        """(B, 3, N) bool: which landmarks belong to which of `POINT_GROUPS`."""
        return self.landmarks[batch.dataset_id]


def _landmark_groups(spec: DataSpec) -> Tensor:
    """(datasets, 3, N) bool; a data set without a common scheme keeps its own."""
    table = torch.zeros(len(spec.datasets), len(POINT_GROUPS), spec.n_points, dtype=torch.bool)
    table[:, 0] = True
    for row, data in enumerate(spec.datasets):
        scheme = get_scheme(spec.scheme or data.scheme)
        for column, indices in ((1, scheme.inner), (2, scheme.contour)):
            table[row, column, list(indices)] = True
    return table
