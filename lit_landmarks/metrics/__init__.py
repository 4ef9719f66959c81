"""Metrics of landmarks, pose and visibility: kernels, torchmetrics classes, families, the suite.

Definitions
    A landmark's error is its Euclidean distance to the truth in pixels. A face's NME is the mean
    over its annotated landmarks, divided by the face's norm, in percent. A data set's NME is the
    mean over its faces.

    Norms, measured on the ground truth of the face (`NORMS`, `norm_values`):

    interocular  distance of the outer eye corners: 36-45 in ibug68 and face_synthetics70, 60-72 in
                 wflw98, 8-9 in cofw29 (0-based; `LandmarkScheme.eye_corners` holds them)
    interpupil   distance of the pupil points: means of 36-41 and 42-47 in ibug68, points 96 and 97
                 in wflw98, 16 and 17 in cofw29, 68 and 69 in face_synthetics70
                 (`LandmarkScheme.pupil_groups`)
    box          sqrt(w h) of the tight box of the annotated landmarks
    height       h of that box
    diagonal     sqrt(w^2 + h^2) of that box
    outer_eyes   distance of the outer eye corners in 3D, for aligned 3D errors alone

    FR at t is the percentage of faces with NME > t. AUC at t is the area under the cumulative error
    distribution from 0 to t in percent of the rectangle: E[max(0, t - NME)] / t, an exact sum.
    Published AUC of SPIGA's code come from a histogram and are up to 0.012 higher
    (`bench.golden.histogram_auc` does it their way).
    Percentiles p90, p95, p99 are linear between the two nearest faces, as NumPy's default is.
    The published figures of MERL-RAV (LUVLi, SPIGA) divide a face's sum of errors by all 68 points,
    however many are annotated, so that a point without label has no error; these are the figures
    that end in `_over_scheme`, for data sets with such faces. All others divide by the annotated.
    Pose error is the absolute difference per angle, the short way round, in degrees. `pose_mae` is
    against poses that the data set gives, `pose_mae_posit` against those that POSIT made from the
    points: the angles mean the same, but what a person differs from the mean face goes into them.
    Occlusion scores take *occluded* (by an object or by the head itself) as the positive class.
    3D NME compares points in crop pixels with both depths centered, under the norms above.
    Flicker and acceleration compare consecutive frames of a track in image pixels, as means over
    landmarks and frames. NMF is the normalized mean flicker of Micaelli et al. (arXiv 2304.00600),
    as their code has it: a root mean square over the landmarks and frames of a track, in hundredths
    of a pixel of a face whose box has 256 x 256 pixels, and the mean over tracks.

What is counted
    A landmark that is not annotated, and a face without a valid norm, are left out; how many faces
    that were is `skipped_<norm>`. A prediction that is NaN or infinite makes its face infinitely
    wrong: it fails every threshold and NME becomes infinite, never smaller.

Keys
    {role}/nme                           mean over data sets of NME, primary norms
    {role}/{dataset}/{name}[/subset]     everything else; README.md lists the names

    Example: `test/wflw/fr10_interocular/pose`. A key without any counted face is left out, except
    `{role}/nme`. The direction of a key is `higher_is_better(key)`. The subset is one that the data
    set declares, or a bin of |yaw| such as `yaw_0_30`: bins are subsets of such a name (those of
    AFLW2000-3D, by the angles in its files) or go by the pose labels, where `DatasetSpec.yaw_bins`
    gives their edges.

Adding a metric (2 files)
    1. A kernel in `functional.py` that gives values of single faces (NaN = not counted); those of
       video are in `motion.py`.
    2. In `families.py` a subclass of `GroupedMean` that states `higher_is_better`, a `MetricFamily`
       that names it and feeds it, and an entry in `FAMILIES`.
    A figure that is no mean over faces has its torchmetrics class in a third file, `classes.py`
    (sums) or `gathered.py` (rows). Tests with a hand-computed value join `tests/metrics`, and
    README.md takes the new row of `key_table()`.
"""

from lit_landmarks.metrics.classes import (
    AlignedError,
    AreaUnderCurve,
    FailureRate,
    GroupedMean,
    GroupedMetric,
    MeanCost,
    MeanOverBins,
    NormalizedMeanError,
    OcclusionScore,
    PoseError,
)
from lit_landmarks.metrics.direction import higher_is_better
from lit_landmarks.metrics.families import FAMILIES
from lit_landmarks.metrics.family import MetricFamily
from lit_landmarks.metrics.functional import nme, point_errors
from lit_landmarks.metrics.gathered import ErrorDistribution, FrameMotion, VisibilityAUROC
from lit_landmarks.metrics.keys import key_table, possible_keys
from lit_landmarks.metrics.norms import NORMS, norm_values
from lit_landmarks.metrics.suite import THRESHOLDS, FaceMetrics

__all__ = [
    "FAMILIES",
    "NORMS",
    "THRESHOLDS",
    "AlignedError",
    "AreaUnderCurve",
    "ErrorDistribution",
    "FaceMetrics",
    "FailureRate",
    "FrameMotion",
    "GroupedMean",
    "GroupedMetric",
    "MeanCost",
    "MeanOverBins",
    "MetricFamily",
    "NormalizedMeanError",
    "OcclusionScore",
    "PoseError",
    "VisibilityAUROC",
    "higher_is_better",
    "key_table",
    "nme",
    "norm_values",
    "point_errors",
    "possible_keys",
]
