"""Published figures of SPIGA's stored predictions on 300W private, measured again.

Called as `python -m lit_landmarks.bench.golden FILE.npz`.

The file holds `gt` and `pred` (M, 68, 2), `gt_pose` and `pred_pose` (M, 6) and `names`, which start
with `indoor_` or `outdoor_`. `PUBLISHED` are the figures of the paper (arXiv 2210.07233) and of its
repository's own result files for the same predictions, as printed there.

Their AUC integrates a histogram of 10,000 bins over the range of the errors, a bin at its left
edge, up to the last edge below the threshold; ours is the exact sum, at most 0.012 lower on these
faces. `histogram_auc` does it their way, and both are shown. One figure rounds differently: AUC8
inter-ocular of all faces, exactly 57.256, and by the histogram 57.257 or 57.268 as the bin edge at
8.000008 is taken to lie above the threshold or on it; the printed 57.27 is the latter.
"""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lit_landmarks.errors import UserError
from lit_landmarks.metrics.functional import sideways_offset
from lit_landmarks.metrics.norms import NORMS, norm_values
from lit_landmarks.metrics.suite import FaceMetrics
from lit_landmarks.types import DatasetSpec, DataSpec, FaceBatch, Prediction

NAME = "300w_private"
SUBSETS = ("indoor", "outdoor")
#: Arrays of the file -> shape of one face.
_SHAPES = {"gt": (68, 2), "pred": (68, 2), "gt_pose": (6,), "pred_pose": (6,)}
#: (metric, subset) -> figure as printed.
PUBLISHED: Mapping[tuple[str, str | None], str] = {
    ("nme_box", None): "2.031",
    ("nme_box", "indoor"): "2.035",
    ("nme_box", "outdoor"): "2.027",
    ("auc7_box", None): "71.0",
    ("auc7_box", "indoor"): "70.96",
    ("auc7_box", "outdoor"): "71.05",
    ("fr7_box", None): "0.17",
    ("fr7_box", "indoor"): "0.33",
    ("fr7_box", "outdoor"): "0.00",
    ("nme_interocular", None): "3.43",
    ("nme_interocular", "indoor"): "3.43",
    ("nme_interocular", "outdoor"): "3.43",
    ("auc8_interocular", None): "57.27",
    ("auc8_interocular", "indoor"): "57.35",
    ("auc8_interocular", "outdoor"): "57.17",
    ("fr8_interocular", None): "0.67",
    ("fr8_interocular", "indoor"): "1.00",
    ("fr8_interocular", "outdoor"): "0.33",
    ("pose_mae", None): "1.537",
    ("pose_mae_yaw", None): "1.61",
    ("pose_mae_pitch", None): "2.05",
    ("pose_mae_roll", None): "0.96",
}


def histogram_auc(
    errors: NDArray[np.float64], threshold: float, bins: int = 10_000, slack: float = 1e-5
) -> float:
    """AUC in percent as SPIGA's repository integrates it (see the module's docstring).

    Args:
        errors: (M,) NME in percent.
        threshold: upper limit t in percent.
        bins: bins over the range of the data.
        slack: edges up to this far above the threshold count as below it.
    """
    counts, edges = np.histogram(errors, bins)
    below = edges[:-1] < threshold + slack
    left, reached = edges[:-1][below], np.cumsum(counts)[below] / len(errors)
    area = float(np.trapezoid(reached, left))
    if errors.max() < threshold:  # the strip that the bins do not reach
        area += float(threshold - left[-1])
    return 100.0 * area / threshold


def _read_stored(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of the file, of the shapes that belong together.

    Raises:
        UserError: as `measure`.
    """
    if not path.is_file():
        raise UserError(f"no file {path}; give the .npz with gt, pred, gt_pose, pred_pose, names")
    try:
        # From the open file: given a path, numpy leaves a broken archive open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            stored = {key: arrays[key] for key in arrays.files}
    except (OSError, ValueError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is no readable .npz; fetch the file again") from error
    if missing := {*_SHAPES, "names"} - set(stored):
        raise UserError(f"{path} has no array '{sorted(missing)[0]}'; it is another file")
    names = stored["names"]
    for key, shape in _SHAPES.items():
        array, want = stored[key], (names.size, *shape)
        if array.shape != want or array.dtype.kind != "f" or names.dtype.kind != "U":
            raise UserError(
                f"{key} is {array.dtype} {array.shape} for {names.size} names, not numbers {want},"
                f" {path}; it is another file"
            )
    return stored


def measure(path: Path, batch_size: int = 64) -> dict[str, float]:
    """Every metric of the stored predictions, through the whole suite in batches.

    Raises:
        UserError: the file is missing or is not such a file.
    """
    stored = _read_stored(path)
    gt, pred, gt_pose, pred_pose = (
        torch.from_numpy(stored[key].astype(np.float64)) for key in _SHAPES
    )
    names = stored["names"].tolist()
    subsets = torch.tensor([[name.startswith(s) for s in SUBSETS] for name in names])
    data = DatasetSpec(NAME, "test", "ibug68", "300w", "box", len(gt), subsets=SUBSETS)
    metrics = FaceMetrics(DataSpec("ibug68", gt.shape[1], 256, "tight", (data,)), "test")
    for start in range(0, len(gt), batch_size):
        rows = slice(start, start + batch_size)
        prediction = Prediction(points=pred[rows], pose=pred_pose[rows])
        batch = FaceBatch.of(
            torch.zeros(len(gt[rows]), 3, 0, 0),
            gt[rows],
            pose=gt_pose[rows],
            norms=norm_values(gt[rows], None, "ibug68"),
            subsets=subsets[rows],
        )
        metrics.update(prediction, batch)
    return metrics.compute()


def measure_histograms(path: Path) -> dict[tuple[str, str | None], float]:
    """The AUC figures of `PUBLISHED` as the authors' code integrates them.

    Raises:
        UserError: as `measure`.
    """
    stored = _read_stored(path)
    truth = stored["gt"].astype(np.float64)
    distances = np.linalg.norm(stored["pred"].astype(np.float64) - truth, axis=2).mean(axis=1)
    norms = norm_values(torch.from_numpy(truth), None, "ibug68").numpy()
    areas = {}
    for name, subset in PUBLISHED:
        if not name.startswith("auc"):
            continue
        threshold, norm = name.removeprefix("auc").split("_")
        rows = np.char.startswith(stored["names"], subset or "")
        errors = 100.0 * distances[rows] / norms[rows, NORMS.index(norm)]
        areas[name, subset] = histogram_auc(errors, float(threshold))
    return areas


def measure_side(path: Path) -> tuple[float, float]:
    """How far labels lie to the right of the predictions, which learned from mirror images too.

    Returns:
        mean over the faces in percent of the longer side of the face's box, and its standard
        error.

    Raises:
        UserError: as `measure`.
    """
    stored = _read_stored(path)
    truth, predicted = (torch.from_numpy(stored[key].astype(np.float64)) for key in ("gt", "pred"))
    share = sideways_offset(predicted, truth, torch.ones(truth.shape[:2], dtype=torch.bool))
    return float(share.mean()), float(share.std()) / len(share) ** 0.5


def compare(path: Path) -> list[tuple[str, str, str, str, str]]:
    """Rows (key, measured, by the histogram, published, verdict); AUC have two digits at least."""
    values, histograms = measure(path), measure_histograms(path)
    rows = []
    for (name, subset), published in PUBLISHED.items():
        key = f"test/{NAME}/{name}" + ("" if subset is None else f"/{subset}")
        digits = len(published.partition(".")[2])
        theirs = histograms.get((name, subset))
        if f"{values[key]:.{digits}f}" == published:
            verdict = "agrees"
        elif theirs is not None and f"{theirs:.{digits}f}" == published:
            verdict = "histogram"
        else:
            verdict = "differs"
        shown = max(digits, 2)
        histogram = "" if theirs is None else f"{theirs:.{shown}f}"
        rows.append((key, f"{values[key]:.{shown}f}", histogram, published, verdict))
    return rows


def main(args: list[str] | None = None) -> int:
    """Print the comparison; 0 if every digit agrees or is explained, 1 if not, 2 for bad input."""
    args = sys.argv[1:] if args is None else args
    if len(args) != 1:
        print("usage: python -m lit_landmarks.bench.golden FILE.npz", file=sys.stderr)
        return 2
    try:
        rows, (side, spread) = compare(Path(args[0])), measure_side(Path(args[0]))
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{'key':<45}{'measured':>10}{'histogram':>11}{'published':>11}")
    for key, measured, histogram, published, verdict in rows:
        note = "" if verdict == "agrees" else f"  {verdict}"
        print(f"{key:<45}{measured:>10}{histogram:>11}{published:>11}{note}")
    if any(verdict == "histogram" for *_, verdict in rows):
        print("histogram: published from a histogram of errors, not from their exact sum")
    print(f"labels lie {side:.2f} +- {spread:.2f} % of the box to the right of the predictions")
    return int(any(verdict == "differs" for *_, verdict in rows))


if __name__ == "__main__":
    sys.exit(main())
