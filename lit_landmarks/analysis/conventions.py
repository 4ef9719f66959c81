"""Where on the template, and by how much, annotation conventions disagree, as a run has learned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor

from lit_landmarks.analysis.attention import find_region
from lit_landmarks.console import print_figures
from lit_landmarks.draw.colors import GREY, INK
from lit_landmarks.draw.plots import new_figure, save_figure
from lit_landmarks.errors import UserError
from lit_landmarks.geometry import euler_to_matrix
from lit_landmarks.methods import LandmarkModule
from lit_landmarks.schemes import get_scheme, has_map
from lit_landmarks.template import mean_face, query_points
from lit_landmarks.template.displaced_points import DISPLACED, displaced_query_points
from lit_landmarks.template.fitted_points import FITTED_CONVENTIONS
from lit_landmarks.template.mean_face import fitted_query_points
from lit_landmarks.template.mesh import scheme_triangles
from lit_landmarks.training.run_directory import write_json

Array = NDArray[np.float64]

#: The template is drawn from the front and turned by these degrees of yaw.
_YAWS = (0.0, 55.0)
#: Reach in head units over which the displacement of a landmark colors the surface about it.
_REACH = 0.12


@dataclass(frozen=True)
class Disagreement:
    """Displacements of landmarks from the reference convention.

    Attributes:
        scheme: of the N landmarks.
        reference: name of the convention without displacement.
        displacements: convention -> (N, 3) head frame, in distances of the outer eye corners.
        true: the same where the template has the points of both conventions.
    """

    scheme: str
    reference: str
    displacements: Mapping[str, Array]
    true: Mapping[str, Array]

    def errors(self) -> dict[str, float]:
        """Convention -> RMS error of its displacements in percent of their true RMS size."""
        return {
            name: _percent(self.displacements[name] - true, true)
            for name, true in self.true.items()
        }

    def errors_along(self) -> dict[str, tuple[float, float]]:
        """The same in the plane of the face (x and y) and in depth, of the whole true size."""
        parts = {}
        for name, true in self.true.items():
            off = self.displacements[name] - true
            parts[name] = _percent(off[:, :2], true), _percent(off[:, 2], true)
        return parts

    def by_region(self) -> dict[str, dict[str, float]]:
        """Convention -> region -> mean displacement, percent of the distance of the eyes."""
        regions = np.array([find_region(name) for name in get_scheme(self.scheme).point_names])
        means: dict[str, dict[str, float]] = {}
        for convention, moved in self.displacements.items():
            length = 100.0 * np.linalg.norm(moved, axis=1)
            parts = {str(r): float(length[regions == r].mean()) for r in dict.fromkeys(regions)}
            means[convention] = {"all": float(length.mean()), **parts}
        return means


def _percent(off: Array, true: Array) -> float:
    """Size of an error in percent of the true size."""
    return 100.0 * float(np.linalg.norm(off)) / float(np.linalg.norm(true))


def measure_disagreement(method: LandmarkModule, scheme: str = "ibug68") -> Disagreement:
    """The displacements of a trained method's correction.

    Args:
        method: with a correction that has displacements on the template.
        scheme: of the landmarks; a method with fixed landmarks gives its own.

    Raises:
        UserError: the method has no such correction, or knows one convention alone.
    """
    correction = method.correction
    if correction is None:
        raise UserError(
            f"the {type(method).__name__} has no correction of conventions; give a run with"
            " model.correction"
        )
    conventions = correction.conventions
    if len(conventions) < 2:
        raise UserError("the correction knows one convention; give a run of several data sets")
    scheme = method.scheme or scheme
    count = len(conventions) - 1
    queries = query_points(scheme).to(method.device).expand(count, -1, -1)
    with torch.inference_mode():
        rows = torch.arange(1, count + 1, device=method.device)
        moved = correction.displacements(queries, rows).double().cpu().numpy()
    displacements = dict(zip(conventions[1:], moved, strict=True))
    true = {}
    for name in displacements:
        measured = true_displacements(conventions[0], name, scheme)
        if measured is not None:
            true[name] = measured
    return Disagreement(scheme, conventions[0], displacements, true)


def true_displacements(reference: str, convention: str, scheme: str) -> Array | None:
    """(N, 3) displacements between two conventions whose places on the template are measured.

    Args:
        reference: where displacements start.
        convention: where they end.
        scheme: of the landmarks.

    Returns:
        None unless either is fixed to the skull, that of 300W-LP's fits, or the made-up one.
    """
    before, after = (_find_places(name, scheme) for name in (reference, convention))
    if before is None or after is None:
        return None
    moved = (after - before).double().numpy()
    return moved if moved.any() else None


def _find_places(convention: str, scheme: str) -> Tensor | None:
    """(N, 3) places of a scheme's points on the template; None where they are not measured."""
    if convention == DISPLACED:
        return displaced_query_points() if scheme == "ibug68" else None
    if not has_map(scheme, "ibug68"):
        return None
    if convention in FITTED_CONVENTIONS:
        return fitted_query_points(scheme)
    return query_points(scheme) if convention == "synthetic_3d" else None


def print_disagreement(disagreement: Disagreement, console: Console) -> None:
    """Mean displacement of each region, a row for each convention."""
    means = disagreement.by_region()
    regions = list(next(iter(means.values())))
    rows = [
        (convention, *(f"{row[region]:.2f}" for region in regions))
        for convention, row in means.items()
    ]
    title = f"from {disagreement.reference}, percent of the distance of the eyes"
    print_figures(title, ("convention", *regions), rows, console=console)
    along = disagreement.errors_along()
    for convention, error in disagreement.errors().items():
        plane, depth = along[convention]
        console.print(
            f"{convention}: off its true displacements by {error:.1f} % of their size"
            f" ({plane:.1f} in the plane of the face, {depth:.1f} in depth)"
        )


def draw_disagreement(disagreement: Disagreement) -> Figure:
    """The template of each convention, colored by displacement, with arrows at the landmarks."""
    rows = disagreement.displacements
    figure, first = new_figure(3.2 * len(_YAWS) + 0.8, 3.2 * len(rows) + 0.3)
    first.remove()
    grid = figure.subplots(len(rows), len(_YAWS), squeeze=False)
    # Of a landmark's own place; that of lips that touch is parted only where queries are meant.
    places = mean_face(disagreement.scheme).double().numpy()
    surface = mean_face("dense520").double().numpy()
    triangles = scheme_triangles("dense520")
    top = max(100.0 * float(np.linalg.norm(d, axis=1).max()) for d in rows.values())
    for axes, (convention, moved) in zip(grid, rows.items(), strict=True):
        length = 100.0 * np.linalg.norm(_spread(moved, places, surface), axis=1)
        for ax, yaw in zip(axes, _YAWS, strict=True):
            turn = euler_to_matrix(torch.tensor([yaw, 0.0, 0.0])).double().numpy().T
            patches = _visible_patches(surface @ turn, triangles, length)
            patches.set_clim(0.0, max(top, 1e-6))
            ax.add_collection(patches)
            turned = places @ turn
            for line, closed in get_scheme(disagreement.scheme).polylines.values():
                loop = [*line, line[0]] if closed else list(line)
                ax.plot(*turned[loop, :2].T, color=GREY, linewidth=0.8)
            arrows = moved @ turn
            ax.quiver(
                *turned[:, :2].T, *arrows[:, :2].T,
                angles="xy", scale_units="xy", scale=1.0, width=0.006, color=INK,
            )  # fmt: skip
            ax.set(aspect="equal", xticks=[], yticks=[])
            ax.set_title(f"{convention} from {disagreement.reference}", fontsize=9)
            ax.autoscale_view()
            ax.invert_yaxis()
        figure.colorbar(patches, ax=list(axes), shrink=0.7, label="% of the distance of the eyes")
    return figure


def _visible_patches(surface: Array, triangles: NDArray[np.int64], length: Array) -> PolyCollection:
    corners = surface[triangles]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    # Clockwise from outside, y down: a triangle that faces the camera has a normal along +z.
    facing = np.flatnonzero(normals[:, 2] > 0)
    order = facing[np.argsort(-corners[facing, :, 2].mean(1))]
    patches = PolyCollection(corners[order][:, :, :2].tolist(), cmap="YlOrRd", linewidths=0.2)
    patches.set_array(length[triangles[order]].mean(1))
    patches.set_edgecolor("face")
    return patches


def _spread(moved: Array, places: Array, surface: Array) -> Array:
    """(V, 3) displacements of the surface, from those of the landmarks near by."""
    away = np.linalg.norm(surface[:, None] - places, axis=2)
    # A place far from all landmarks has none.
    weights = np.exp(-0.5 * (away / _REACH) ** 2)
    return np.asarray(weights @ moved / np.maximum(weights.sum(1, keepdims=True), 1.0))


def write_disagreement(disagreement: Disagreement, folder: Path) -> tuple[Path, Path]:
    """Writes template.json and template.png; their paths."""
    picture = save_figure(draw_disagreement(disagreement), folder / "template.png")
    content = {
        "scheme": disagreement.scheme,
        "reference": disagreement.reference,
        "regions_percent": disagreement.by_region(),
        "error_percent": disagreement.errors(),
        "error_percent_in_plane_and_depth": disagreement.errors_along(),
        "displacements": {k: v.tolist() for k, v in disagreement.displacements.items()},
    }
    report = folder / "template.json"
    write_json(report, content)
    return report, picture
