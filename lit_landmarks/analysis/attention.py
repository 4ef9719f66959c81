"""Patch attention of a cascade: importance of each patch, compared with human fixations.

The importance of a patch is the mean of its 256 weights (local patch attention; how the paper
reduces them is not known), averaged over faces.

Human attention: Hickman, Firestone, Beck and Speer ("Eye fixations when viewing faces", JADA 141,
2010, doi 10.14219/jada.archive.2010.0019) tracked 50 adults and rank what is fixated longest, of
the parts that landmarks cover: eyes, nose, mouth, chin (brows count as "other" there). Janik,
Wellens, Goldberg and Dell'Osso ("Eyes as the center of focus in the visual examination of human
faces", Percept. Mot. Skills 47, 1978) found about 40 % of the looking time on the eyes and less on
each other part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.console import Console
from scipy.stats import spearmanr

from lit_landmarks.analysis.records import Array, FaceRecords
from lit_landmarks.console import print_figures
from lit_landmarks.draw.files import Image
from lit_landmarks.draw.plots import bar_plot, new_figure, save_figure
from lit_landmarks.errors import UserError
from lit_landmarks.schemes import get_scheme
from lit_landmarks.template import has_mean_face, mean_face
from lit_landmarks.training.run_directory import write_json

#: Regions of a face by what is in the names of its points; the first that fits.
_REGION_NAMES = {
    "mouth": ("mouth", "lip"),
    "eyes": ("eye_", "pupil"),
    "brows": ("brow",),
    "nose": ("nose", "ala", "nostril", "subnasale"),
    "jaw": ("jaw", "chin"),
}
#: Hickman et al. 2010, longest looked at first; the chin stands for the jaw line.
HUMAN_ORDER = ("eyes", "nose", "mouth", "jaw")
#: Bins of |yaw| in degrees.
YAW_BINS = ((0, 15), (15, 30), (30, 90))
#: Inner lips further apart than this share of the eye distance are an open mouth.
OPEN_MOUTH = 0.08


def find_region(name: str) -> str:
    """The region of a point by its name in the scheme; "other" if none fits."""
    fits = (r for r, parts in _REGION_NAMES.items() if any(part in name for part in parts))
    return next(fits, "other")


@dataclass(frozen=True)
class Attention:
    """Importance of M patches.

    Attributes:
        scheme: of the landmarks.
        patches: (M,) landmarks that have a patch.
        weights: (T, M) mean weight of each patch in each stage.
        spread: (T, M) its standard deviation over faces.
        groups: name -> (T, M) mean weights of some faces, such as those of one pose.
        faces: name -> how many faces a group has.
        shape: (N, 2) or (N, 3) the face that patches are drawn on: the 3D mean face, or, for a
            scheme without one, the mean shape of the measured faces.
    """

    scheme: str
    patches: tuple[int, ...]
    weights: Array
    spread: Array
    groups: Mapping[str, Array]
    faces: Mapping[str, int]
    shape: Array

    @property
    def total(self) -> Array:
        """(M,) importance over all stages, each of mean 1."""
        relative = self.weights / self.weights.mean(1, keepdims=True)
        return np.asarray(relative.mean(0), dtype=np.float64)

    def by_region(self) -> dict[str, float]:
        """Mean importance of the patches of each region; 1 is that of all patches."""
        names = get_scheme(self.scheme).point_names
        regions = np.array([find_region(names[p]) for p in self.patches])
        means = {str(r): float(self.total[regions == r].mean()) for r in np.unique(regions)}
        return dict(sorted(means.items(), key=lambda item: -item[1]))


def measure_attention(records: FaceRecords, scheme: str, patches: Sequence[int]) -> Attention:
    """Importance over faces, and over those of a pose or an expression.

    Args:
        records: faces with attention.
        scheme: of the landmarks.
        patches: landmarks that have a patch.

    Raises:
        UserError: the records hold no attention.
    """
    if records.attention is None:
        raise UserError("the method has no attention; give a run of MuSiCa")
    groups = {f"yaw {low}-{high}": rows for (low, high), rows in _yaw_rows(records).items()}
    mouths = find_open_mouths(records, scheme)
    if mouths is not None:
        opened, labelled = mouths
        groups |= {"mouth open": opened, "mouth closed": labelled & ~opened}
    groups = {name: rows for name, rows in groups.items() if rows.sum() >= 2}
    return Attention(
        scheme=scheme,
        patches=tuple(patches),
        weights=np.nanmean(records.attention, 1),
        spread=np.nanstd(records.attention, 1),
        groups={n: np.nanmean(records.attention[:, rows], 1) for n, rows in groups.items()},
        faces={name: int(rows.sum()) for name, rows in groups.items()},
        shape=_mean_face(scheme, records),
    )


def _yaw_rows(records: FaceRecords) -> dict[tuple[int, int], NDArray[np.bool_]]:
    yaw = np.abs(records.pose[:, 0])
    return {(low, high): (yaw >= low) & (yaw < high) for low, high in YAW_BINS}


def find_open_mouths(
    records: FaceRecords, scheme: str
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]] | None:
    """Which mouths are open.

    Returns:
        (F,) whether the inner lips part, and (F,) whether the points that tell are labelled; None
        for a scheme without inner lips.
    """
    names = get_scheme(scheme).point_names
    wanted = ("upper_lip_inner", "lower_lip_inner", "right_eye_outer", "left_eye_outer")
    if not set(wanted) <= set(names):
        return None
    top, bottom, right, left = (records.truth[:, names.index(name)] for name in wanted)
    gap = np.linalg.norm(bottom - top, axis=1) - OPEN_MOUTH * np.linalg.norm(left - right, axis=1)
    return np.asarray(gap > 0.0), np.isfinite(gap)


def correlate_with_humans(attention: Attention) -> tuple[float, float]:
    """Spearman's correlation with the human order: over regions, and over single patches.

    A patch has the rank of its region; regions that the account leaves out are left out. NaN where
    fewer than three regions have patches.
    """
    names = get_scheme(attention.scheme).point_names
    regions = [find_region(names[p]) for p in attention.patches]
    ranked = [k for k, r in enumerate(regions) if r in HUMAN_ORDER]
    means = attention.by_region()
    shared = [r for r in HUMAN_ORDER if r in means]
    if len(shared) < 3:
        return float("nan"), float("nan")
    human = [-HUMAN_ORDER.index(r) for r in shared]
    over_regions = spearmanr(human, [means[r] for r in shared]).statistic
    ranks = [-HUMAN_ORDER.index(regions[k]) for k in ranked]
    over_patches = spearmanr(ranks, attention.total[ranked]).statistic
    return float(over_regions), float(over_patches)


def select_patches(attention: Attention, count: int) -> tuple[int, ...]:
    """Greedy choice of landmarks by attention, with a least distance on the mean face.

    Each next patch has the largest product of its importance and its distance to the nearest one
    chosen; the first is the most important.

    Raises:
        UserError: a wrong number.
    """
    if not 1 <= count <= len(attention.patches):
        raise UserError(f"cannot keep {count} of {len(attention.patches)} patches")
    places = attention.shape[list(attention.patches)]
    weight = attention.total
    chosen = [int(weight.argmax())]
    nearest = np.linalg.norm(places - places[chosen[0]], axis=1)
    while len(chosen) < count:
        score = np.where(np.isin(np.arange(len(weight)), chosen), -1.0, weight * nearest)
        chosen.append(int(score.argmax()))
        nearest = np.minimum(nearest, np.linalg.norm(places - places[chosen[-1]], axis=1))
    return tuple(sorted(attention.patches[k] for k in chosen))


def _mean_face(scheme: str, records: FaceRecords) -> Array:
    if has_mean_face(scheme):
        return np.asarray(mean_face(scheme), dtype=np.float64)
    # A point that no face has labelled lies in the middle.
    middle = np.nanmean(records.truth, (0, 1))
    shapes = np.where(np.isfinite(records.truth).any(0), records.truth, middle)
    return np.asarray(np.nanmean(shapes, 0), dtype=np.float64)


def draw_attention(attention: Attention, group: str | None = None) -> Figure:
    """The weights of every stage on the mean face, scaled to their own range."""
    weights = attention.weights if group is None else attention.groups[group]
    places = attention.shape[:, :2]
    count = len(weights)
    figure, first = new_figure(3.0 * count + 0.6, 3.4)
    first.remove()
    axes = figure.subplots(1, count, squeeze=False)[0]
    for number, (ax, row) in enumerate(zip(axes, weights, strict=True)):
        ax.plot(*places.T, ".", color="0.75", markersize=3)
        dots = ax.scatter(*places[list(attention.patches)].T, c=row, cmap="viridis", s=26)
        ax.set(aspect="equal", xticks=[], yticks=[], title=f"stage {number + 1}")
        ax.invert_yaxis()
        figure.colorbar(dots, ax=ax, shrink=0.7)
    if group is not None:
        figure.suptitle(f"{group} ({attention.faces[group]} faces)")
    return figure


def draw_weights(image: Image, points: Array, weights: Array, zoom: int = 2) -> Image:
    """A face with a dot on each patch, larger and brighter the more the patch weighs.

    Args:
        image: (S, S, 3) uint8 RGB.
        points: (M, 2) middles of the patches, pixels.
        weights: (M,).
        zoom: the picture is enlarged by this.
    """
    picture = np.ascontiguousarray(cv2.resize(image, None, fx=zoom, fy=zoom))
    shares = (weights - weights.min()) / (np.ptp(weights) + 1e-9)
    levels = np.rint(255 * shares).astype(np.uint8)[None]
    colors = cv2.applyColorMap(levels, cv2.COLORMAP_VIRIDIS)[0, :, ::-1].tolist()
    for (x, y), share, color in zip(points, shares, colors, strict=True):
        # Pixel i of the image covers zoom pixels whose middle is zoom * (i + 0.5) - 0.5.
        place = round(zoom * (x + 0.5) - 0.5), round(zoom * (y + 0.5) - 0.5)
        cv2.circle(picture, place, 1 + round(3 * float(share)), color, -1, cv2.LINE_AA)
    return np.asarray(picture, dtype=np.uint8)


def draw_regions(attention: Attention) -> Figure:
    """Importance of the regions, of all faces and of each group."""
    names = get_scheme(attention.scheme).point_names
    regions = list(attention.by_region())
    of_patch = np.array([find_region(names[p]) for p in attention.patches])
    series = {"all": attention.weights, **attention.groups}

    def values(weights: Array) -> list[float]:
        scaled = (weights / weights.mean(1, keepdims=True)).mean(0)
        return [float(scaled[of_patch == region].mean()) for region in regions]

    label = "importance (1: mean of all patches)"
    return bar_plot(regions, {name: values(w) for name, w in series.items()}, label)


def write_attention(attention: Attention, folder: Path) -> None:
    """Writes attention.json, a figure of all faces and of each group, and one of the regions."""
    save_figure(draw_attention(attention), folder / "attention.png")
    save_figure(draw_regions(attention), folder / "regions.png")
    for name in attention.groups:
        picture = folder / f"attention_{name.replace(' ', '_')}.png"
        save_figure(draw_attention(attention, name), picture)
    regions, patches = correlate_with_humans(attention)
    content = {
        "scheme": attention.scheme,
        "patches": list(attention.patches),
        "weights": attention.weights.tolist(),
        "regions": attention.by_region(),
        "human_correlation": {"regions": regions, "patches": patches},
        "groups": {
            name: {"faces": attention.faces[name], "weights": weights.tolist()}
            for name, weights in attention.groups.items()
        },
    }
    write_json(folder / "attention.json", content)


def print_attention(attention: Attention, console: Console) -> None:
    """Prints the importance of each region, and the correlation with human attention."""
    rows = [(region, f"{value:.3f}") for region, value in attention.by_region().items()]
    title = "importance of a patch (1: mean of all)"
    print_figures(title, ("region", "importance"), rows, console=console)
    regions, patches = correlate_with_humans(attention)
    if np.isnan(regions):
        console.print("too few regions for a rank correlation with human attention")
        return
    console.print(
        f"rank correlation with human attention: {regions:.2f} over regions, "
        f"{patches:.2f} over patches"
    )
