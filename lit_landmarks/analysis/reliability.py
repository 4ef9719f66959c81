"""Whether attention tells which landmarks can be trusted: against visibility and error.

The attention that a landmark receives differs between landmarks whatever the face. So a landmark is
compared with itself on other faces: the question is whether it receives less where it is occluded,
and less where its predicted place is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from scipy.stats import rankdata, spearmanr

from lit_landmarks.analysis.attention import draw_weights
from lit_landmarks.analysis.batches import iterate_faces
from lit_landmarks.analysis.records import Array
from lit_landmarks.console import print_figures
from lit_landmarks.data import LandmarkDataModule
from lit_landmarks.draw.files import Image, save_jpeg
from lit_landmarks.draw.overlay import to_image
from lit_landmarks.draw.sheet import contact_sheet
from lit_landmarks.errors import UserError
from lit_landmarks.methods.base import LandmarkModule
from lit_landmarks.methods.spiga import SPIGA
from lit_landmarks.nets.early_exit import run_all_stages
from lit_landmarks.nets.error_head import error_norm
from lit_landmarks.training.run_directory import write_json
from lit_landmarks.types import FaceBatch, Prediction, Role

#: A landmark is compared with itself where it has this many faces of either kind.
LEAST_FACES = 5


@dataclass(frozen=True)
class LandmarkRecords:
    """F faces with the attention that each landmark received, and how it turned out.

    Attributes:
        attention: (T, F, N) weight received in each step; 1 is that of all landmarks alike.
        visible: (F, N) as in `FaceBatch`: 0 occluded, 1 visible, 2 self-occluded, -1 unknown.
        error: (F, N) distance from the label in percent of the eye distance (half the box where it
            is undefined); NaN where not labelled.
    """

    attention: Array
    visible: NDArray[np.int64]
    error: Array


@dataclass(frozen=True)
class Reliability:
    """What the attention of one step says about landmarks.

    Attributes:
        auroc_occluded: probability that a landmark receives more where it is visible than where
            something is in front of it, a mean over landmarks by their number of such pairs of
            faces; NaN without labels.
        auroc_turned: the same against faces that hide it by their own turn (self-occlusion).
        received_occluded: weight of occluded landmarks less that of the same ones where visible.
        received_turned: the same of self-occluded landmarks.
        error_correlation: Spearman's correlation of attention and error over the faces of a
            landmark, mean over landmarks.
    """

    auroc_occluded: float
    auroc_turned: float
    received_occluded: float
    received_turned: float
    error_correlation: float


class HiddenFaces:
    """The faces with most hidden landmarks, dots as large as what a landmark receives.

    Without labels of visibility the first faces are drawn.

    Args:
        count: of faces.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._drawn: list[tuple[float, Image]] = []

    def add(self, faces: FaceBatch, prediction: Prediction) -> None:
        """Draw those faces of a batch that hide more landmarks than the faces so far."""
        assert prediction.attention is not None
        weights = prediction.attention[-1].double().cpu().numpy()
        hidden = ((faces.visible == 0) | (faces.visible == 2)).sum(1).tolist()
        for row, number in enumerate(hidden):
            lowest = min((each for each, _ in self._drawn), default=-1.0)
            if len(self._drawn) < self.count or number > lowest:
                points = prediction.points[row].double().cpu().numpy()
                picture = draw_weights(to_image(faces.image[row]), points, weights[row])
                self._drawn.append((float(number), picture))
                self._drawn = sorted(self._drawn, key=lambda entry: -entry[0])[: self.count]

    def sheet(self) -> Image:
        """The pictures on one sheet, most hidden landmarks first."""
        return contact_sheet([picture for _, picture in self._drawn])


def record_landmarks(
    method: LandmarkModule,
    data: LandmarkDataModule,
    role: Role,
    device: torch.device | str = "cpu",
    hidden: HiddenFaces | None = None,
) -> dict[str, LandmarkRecords]:
    """Runs a cascade with attention over all faces of a role, by data set.

    Args:
        method: weights loaded.
        data: the data module.
        role: train, val or test; without augmentation.
        device: where to run.
        hidden: is given every batch, to draw from it.

    Raises:
        UserError: the method gives no attention of its landmarks.
    """
    if not isinstance(method, SPIGA) or not len(method.network.cascade.steps):
        raise UserError(
            f"{type(method).__name__} has no attention among landmarks; give a SPIGA with steps"
        )
    method.to(device).eval()
    parts: dict[str, dict[str, list[NDArray[np.float64]]]] = {}
    with torch.no_grad(), run_all_stages(method.early_exit):
        for name, faces in iterate_faces(data, role, device):
            prediction = method(faces.inputs)
            assert prediction.attention is not None
            if hidden is not None:
                hidden.add(faces, prediction)
            distance = torch.linalg.vector_norm(prediction.points - faces.points, dim=-1)
            error = 100 * distance / error_norm(faces)[:, None]
            columns = parts.setdefault(name, {})
            for key, value in (
                ("attention", prediction.attention.transpose(0, 1)),
                ("visible", faces.visible),
                ("error", torch.where(faces.mask, error, torch.nan)),
            ):
                columns.setdefault(key, []).append(value.double().cpu().numpy())
    records: dict[str, LandmarkRecords] = {}
    for name, columns in parts.items():
        joined = {key: np.concatenate(values) for key, values in columns.items()}
        attention = np.moveaxis(joined["attention"], 1, 0)
        visible = joined["visible"].astype(np.int64)
        records[name] = LandmarkRecords(attention, visible, joined["error"])
    return records


def measure_reliability(records: LandmarkRecords) -> list[Reliability]:
    """What the attention of each step says; see `Reliability`."""
    return [_measure(step, records.visible, records.error) for step in records.attention]


def _measure(attention: Array, visible: NDArray[np.int64], error: Array) -> Reliability:
    correlations = []
    for received, deviation in zip(attention.T, error.T, strict=True):
        rows = np.isfinite(deviation) & np.isfinite(received)
        constant = rows.sum() < LEAST_FACES or not np.ptp(received[rows])
        if not constant and np.ptp(deviation[rows]) > 0:
            correlations.append(spearmanr(received[rows], deviation[rows]).statistic)
    occluded, turned = (_compare(attention, visible, hidden) for hidden in (0, 2))
    return Reliability(
        auroc_occluded=occluded[0],
        auroc_turned=turned[0],
        received_occluded=occluded[1],
        received_turned=turned[1],
        error_correlation=float(np.mean(correlations)) if correlations else float("nan"),
    )


def _compare(attention: Array, visible: NDArray[np.int64], hidden: int) -> tuple[float, float]:
    """AUROC and mean difference of hidden from visible landmarks, each compared with itself."""
    wins, differences, pairs = [], [], []
    for received, labels in zip(attention.T, visible.T, strict=True):
        shown, covered = received[labels == 1], received[labels == hidden]
        shown, covered = shown[np.isfinite(shown)], covered[np.isfinite(covered)]
        if min(len(shown), len(covered)) < LEAST_FACES:
            continue
        ranks = rankdata(np.concatenate((shown, covered)))[: len(shown)]
        wins.append(ranks.sum() - len(shown) * (len(shown) + 1) / 2)
        pairs.append(len(shown) * len(covered))
        differences.append(covered.mean() - shown.mean())
    if not pairs:
        return float("nan"), float("nan")
    return float(sum(wins) / sum(pairs)), float(np.average(differences, weights=pairs))


def print_reliability(results: Mapping[str, list[Reliability]], console: Console) -> None:
    """Prints a row for each data set and step; an AUROC of 0.5 says nothing, 1 tells all."""
    rows = []
    for name, steps in results.items():
        for number, step in enumerate(steps, 1):
            figures = (step.auroc_occluded, step.auroc_turned, step.error_correlation)
            rows.append((name, number, *(f"{figure:.3f}" for figure in figures)))
    columns = ("data set", "step", "AUROC occluded", "AUROC turned away", "correlation with error")
    print_figures("attention that landmarks receive", columns, rows, console=console)


def write_reliability(
    results: Mapping[str, list[Reliability]], sheets: Mapping[str, Image], folder: Path
) -> None:
    """Writes reliability.json, and a sheet of faces of each role."""
    write_json(
        folder / "reliability.json",
        {name: [vars(step) for step in steps] for name, steps in results.items()},
    )
    for role, sheet in sheets.items():
        save_jpeg(sheet, folder / f"received_{role}.jpg")
