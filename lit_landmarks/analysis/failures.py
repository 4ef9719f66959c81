"""Failure detection: flagging faces by their predicted error."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import spearmanr

from lit_landmarks.analysis.records import Array, FaceRecords


@dataclass(frozen=True)
class FailureDetection:
    """Precision and recall of the failure detector at one threshold.

    Attributes:
        fail_above: the threshold, predicted NME in percent; `failure` itself if no face failed.
        failure: true NME in percent from which a face has failed.
        failures: number of failed faces.
        flagged: number of faces above the threshold.
        precision: share of the flagged that failed; NaN if none is flagged.
        recall: share of the failed that are flagged; NaN if none failed.
    """

    fail_above: float
    failure: float
    failures: int
    flagged: int
    precision: float
    recall: float


def choose_fail_above(
    records: FaceRecords, failure: float, recall: float | None = None
) -> FailureDetection:
    """The threshold on the last predicted error that detects failed faces best.

    Args:
        records: the faces.
        failure: true NME in percent from which a face has failed.
        recall: share of failures to detect, at the best precision; None: the best F1.
    """
    predicted, failed = records.predicted[-1], records.error[-1] >= failure
    if not failed.any():
        # Nothing to choose by. The estimate is an NME, so the limit itself is the best guess.
        return measure_detection(records, failure, failure)
    order = np.argsort(-predicted, kind="stable")
    hits = np.cumsum(failed[order])
    flagged = np.arange(1, len(order) + 1)
    precisions, recalls = hits / flagged, hits / failed.sum()
    # Only between different predictions can a threshold be put.
    cut = np.append(predicted[order][1:] < predicted[order][:-1], True)
    score = 2 * precisions * recalls / (precisions + recalls + 1e-12)
    if recall is not None:
        score = np.where(recalls >= recall, precisions, -1.0)
    k = int(np.where(cut, score, -2.0).argmax())
    low = predicted[order][k + 1] if k + 1 < len(order) else predicted[order][k] - 1.0
    return measure_detection(records, float((predicted[order][k] + low) / 2), failure)


def measure_detection(
    records: FaceRecords, fail_above: float | Array, failure: float
) -> FailureDetection:
    """Precision and recall of the failure detector at one threshold.

    A face is flagged when its predicted error after the last stage exceeds `fail_above`; it has
    failed when its true NME is at least `failure`.

    Args:
        records: the faces.
        fail_above: the threshold, predicted NME in percent, or (F,) that of each face; the result
            then names their mean.
        failure: true NME in percent from which a face has failed.
    """
    flagged, failed = records.predicted[-1] > fail_above, records.error[-1] >= failure
    hits = int((flagged & failed).sum())
    return FailureDetection(
        fail_above=float(np.mean(fail_above)) if np.size(fail_above) else math.nan,
        failure=failure,
        failures=int(failed.sum()),
        flagged=int(flagged.sum()),
        precision=hits / int(flagged.sum()) if flagged.any() else float("nan"),
        recall=hits / int(failed.sum()) if failed.any() else float("nan"),
    )


def rank_correlation(records: FaceRecords) -> tuple[float, ...]:
    """Spearman's correlation of predicted and true error after each stage; NaN below 3 faces."""
    if len(records) < 3:
        return (float("nan"),) * len(records.error)
    pairs = zip(records.predicted, records.error, strict=True)
    return tuple(float(spearmanr(a, b).statistic) for a, b in pairs)
