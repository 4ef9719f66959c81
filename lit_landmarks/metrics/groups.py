"""Groups of faces (data sets, subsets, bins of yaw) and of landmarks, and who belongs to them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from lit_landmarks.errors import UserError
from lit_landmarks.metrics.functional import bin_members
from lit_landmarks.metrics.norms import NORMS, distance, norm_values
from lit_landmarks.schemes import get_scheme
from lit_landmarks.types import DatasetSpec, DataSpec, FaceBatch, Role

#: Landmark groups; the first is every landmark of the scheme.
POINT_GROUPS = ("all", "inner", "contour")
#: Subsets of such a name are bins of |yaw|, over which a mean of bins is taken.
_YAW_BIN = re.compile(r"yaw_\d+_\d+")


@dataclass(frozen=True)
class FaceGroup:
    """A data set (`subset` None) or one of its subsets or bins of yaw.

    Attributes:
        dataset: name of the data set.
        subset: name of the subset or bin.
        primary: norm of NME under which the data set is compared.
        labels: what the data set carries beside points, of `types.LABELS`.

    Example:
        >>> FaceGroup("wflw", "pose", "interocular").key("test", "fr10_interocular")
        'test/wflw/fr10_interocular/pose'
    """

    dataset: str
    subset: str | None
    primary: str
    labels: frozenset[str] = frozenset()

    def key(self, role: str, name: str) -> str:
        """`role/dataset/name[/subset]`."""
        tail = "" if self.subset is None else f"/{self.subset}"
        return f"{role}/{self.dataset}/{name}{tail}"

    @property
    def is_yaw_bin(self) -> bool:
        """Whether the subset is a bin of |yaw|."""
        return self.subset is not None and _YAW_BIN.fullmatch(self.subset) is not None


def yaw_bin_names(edges: Sequence[float]) -> tuple[str, ...]:
    """Names of the bins of |yaw| between edges in degrees.

    Example:
        >>> yaw_bin_names((0, 30, 60, 90))
        ('yaw_0_30', 'yaw_30_60', 'yaw_60_90')
    """
    return tuple(f"yaw_{low:g}_{high:g}" for low, high in pairwise(edges))


def _check(datasets: tuple[DatasetSpec, ...], role: str) -> None:
    names = [d.name for d in datasets]
    for d in datasets:
        if names.count(d.name) > 1:
            raise UserError(f"two {role} data sets are named '{d.name}'; rename one")
        if d.primary_norm not in NORMS:
            raise UserError(
                f"data set '{d.name}': unknown norm '{d.primary_norm}'; use {', '.join(NORMS)}"
            )
        for part in (d.name, *d.subsets):
            if not part or "/" in part:
                raise UserError(f"data set '{d.name}': name '{part}' is empty or holds a '/'")
        if d.yaw_bins and any(_YAW_BIN.fullmatch(subset) for subset in d.subsets):
            raise UserError(f"data set '{d.name}' has subsets that are bins; leave yaw_bins out")
        rising = all(low < high for low, high in pairwise(d.yaw_bins))
        if not rising or any(edge < 0 or edge % 1 for edge in d.yaw_bins):
            raise UserError(f"data set '{d.name}': yaw_bins are rising whole degrees from 0")


class FaceGroups(nn.Module):
    """Membership of a batch's faces and landmarks in the groups of one role.

    Example:
        >>> wflw = DatasetSpec("wflw", "val", "wflw98", "wflw", "box", 9, subsets=("pose",))
        >>> groups = FaceGroups(DataSpec("wflw98", 98, 128, "tight", (wflw,)), "val")
        >>> [group.key("val", "nme_box") for group in groups.groups]
        ['val/wflw/nme_box', 'val/wflw/nme_box/pose']
    """

    dataset_of: Tensor
    subset_of: Tensor
    landmarks: Tensor
    primary_of: Tensor
    eye_corners: Tensor

    def __init__(self, spec: DataSpec, role: Role) -> None:
        """Lay out the groups of `role`, each data set followed by its subsets and bins."""
        super().__init__()
        _check(spec.in_role(role), role)
        self.n_points = spec.n_points
        self.groups: list[FaceGroup] = []
        self._yaw_bins: list[tuple[int, tuple[float, ...]]] = []
        dataset_of: list[int] = []
        subset_of: list[int] = []
        for index, data in enumerate(spec.datasets):
            if data.role != role:
                continue
            for subset in (None, *data.subsets):
                self._add_group(data, subset)
                subset_of.append(-1 if subset is None else spec.subsets.index(subset))
            if data.yaw_bins:
                self._yaw_bins.append((len(self.groups), data.yaw_bins))
            for name in yaw_bin_names(data.yaw_bins):
                self._add_group(data, name)
                subset_of.append(-1)
            dataset_of += [index] * (len(self.groups) - len(dataset_of))
        self._constant("dataset_of", dataset_of)
        self._constant("subset_of", subset_of)
        self._constant("primary_of", [NORMS.index(group.primary) for group in self.groups])
        self.register_buffer("landmarks", _landmark_groups(spec), persistent=False)
        self.schemes = [spec.scheme or data.scheme for data in spec.datasets]
        self._constant("eye_corners", [get_scheme(name).eye_corners for name in self.schemes])

    def _add_group(self, data: DatasetSpec, subset: str | None) -> None:
        self.groups.append(FaceGroup(data.name, subset, data.primary_norm, data.labels))

    def _constant(self, name: str, values: Sequence[int] | Sequence[tuple[int, int]]) -> None:
        self.register_buffer(name, torch.tensor(values).long(), persistent=False)

    def __len__(self) -> int:
        """Number of face groups G."""
        return len(self.groups)

    def bins_of(self, group: FaceGroup) -> list[int]:
        """Numbers of the groups that are the yaw bins of a data set; none of a subset or bin."""
        if group.subset is not None:
            return []
        return [
            number
            for number, part in enumerate(self.groups)
            if part.dataset == group.dataset and part.is_yaw_bin
        ]

    def members(self, batch: FaceBatch) -> Tensor:
        """(B, G) bool: which faces are in which group.

        Bins of `DatasetSpec.yaw_bins` go by the pose label; a face without one is in none of them.
        """
        inside = self.subset_of < 0
        if batch.subsets.shape[1]:
            inside = inside | batch.subsets[:, self.subset_of.clamp(min=0)]
        members = (batch.dataset_id.unsqueeze(1) == self.dataset_of) & inside
        for start, edges in self._yaw_bins:
            yaw = torch.where(batch.has_pose, batch.pose[:, 0].abs(), torch.nan)
            members[:, start : start + len(edges) - 1] &= bin_members(yaw, edges)
        return members

    def points(self, batch: FaceBatch) -> Tensor:
        """(B, 3, N) bool: which landmarks belong to which of `POINT_GROUPS`."""
        return self.landmarks[batch.dataset_id]

    def scheme_points(self, batch: FaceBatch) -> Tensor:
        """(B, N) bool: the points of each face's scheme, without those that fill up its row."""
        return self.landmarks[batch.dataset_id][:, 1:].any(dim=1)

    def primary_norm(self, norms: Tensor, members: Tensor) -> Tensor:
        """The norm (B,) of each face under which its data set is compared.

        Args:
            norms: (B, K) in the order of `NORMS`.
            members: (B, G) from `members`; subsets have the norm of their data set.
        """
        first = members.long().argmax(dim=1)
        return norms.gather(1, self.primary_of[first].unsqueeze(1)).squeeze(1)

    def norms_of(self, points: Tensor, batch: FaceBatch) -> Tensor:
        """`norm_values` (B, K) of any points (B, N, 2), each face by its own scheme."""
        own = self.scheme_points(batch)
        norms = points.new_full((len(points), len(NORMS)), torch.nan)
        for scheme in sorted(set(self.schemes)):
            theirs = [number for number, name in enumerate(self.schemes) if name == scheme]
            rows = torch.isin(batch.dataset_id, torch.tensor(theirs, device=points.device))
            norms = torch.where(rows.unsqueeze(1), norm_values(points, own, scheme), norms)
        return norms

    def outer_eyes(self, points: Tensor, mask: Tensor, batch: FaceBatch) -> Tensor:
        """Distance (B,) of the outer eye corners of points (B, N, D); NaN if one is unknown."""
        corners = self.eye_corners[batch.dataset_id]
        both = mask.gather(1, corners).all(dim=1)
        places = corners.unsqueeze(-1).expand(-1, -1, points.shape[-1])
        right, left = points.gather(1, places).unbind(dim=1)
        return distance(right, left, both)


def _landmark_groups(spec: DataSpec) -> Tensor:
    """(datasets, 3, N) bool; a data set without a common scheme keeps its own."""
    table = torch.zeros(len(spec.datasets), len(POINT_GROUPS), spec.n_points, dtype=torch.bool)
    table[:, 0] = True
    for row, data in enumerate(spec.datasets):
        scheme = get_scheme(spec.scheme or data.scheme)
        for column, indices in ((1, scheme.inner), (2, scheme.contour)):
            table[row, column, list(indices)] = True
    return table
