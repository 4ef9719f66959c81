"""Metrics of landmarks, pose and visibility: kernels, torchmetrics classes, and the suite.

Definitions
    A landmark's error is its Euclidean distance to the truth in pixels. A face's NME is the mean
    over its annotated landmarks, divided by the face's normaliser, in percent. A data set's NME is
    the mean over its faces.

    Normalisers, measured on the ground truth of the face (`NORMALISERS`, `normaliser_values`):

    interocular  distance of the outer eye corners: 36-45 in ibug68 and face_synthetics70, 60-72 in
                 wflw98, 8-9 in cofw29 (0-based; `LandmarkScheme.eye_corners` holds them)
    interpupil   distance of the pupil points: means of 36-41 and 42-47 in ibug68, points 96 and 97
                 in wflw98, 16 and 17 in cofw29, 68 and 69 in face_synthetics70
                 (`LandmarkScheme.pupil_groups`)
    box          sqrt(w h) of the tight box of the annotated landmarks
    height       h of that box
    diagonal     sqrt(w^2 + h^2) of that box

    FR at t is the percentage of faces with NME > t. AUC at t is the area under the cumulative error
    distribution from 0 to t in percent of the rectangle: E[max(0, t - NME)] / t, an exact sum.
    Percentiles p90, p95, p99 come from a histogram and are exact to 0.01 points of NME.
    Pose error is the absolute difference per angle, the short way round, in degrees.
    Occlusion scores take *occluded* (by an object or by the head itself) as the positive class.
    3D NME compares points in frame pixels with both depths centred, in the normalisers above.

What is counted
    A landmark that is not annotated, and a face without a valid normaliser, are left out; how many
    faces that were is `skipped_<normaliser>`. A prediction that is NaN or infinite makes its face
    infinitely wrong: it fails every threshold and NME becomes infinite, never smaller.

Keys
    {role}/nme                                  mean over data sets of NME, primary normalisers
    {role}/{dataset}/{name}[/subset]            everything else, where name is
      nme_{normaliser}                          every normaliser
      nme_{primary}_inner, nme_{primary}_contour, nme_{primary}_stage{t}   (t from 1)
      nme3d_{primary}                           methods that predict 3D points
      fr{t}_{normaliser}, auc{t}_{normaliser}   t per normaliser in `THRESHOLDS`
      p90_{primary}, p95_{primary}, p99_{primary}
      pose_mae, pose_mae_yaw, pose_mae_pitch, pose_mae_roll
      occlusion_precision, _recall, _f1, _accuracy
      mma                                       methods whose cost depends on the face
      faces, skipped_{normaliser}               counts
    Example: `test/wflw/fr10_interocular/pose`. A key without any counted face is left out, except
    `{role}/nme`. The direction of a key is `higher_is_better(key)`.

Adding a metric (3 files)
    1. A kernel in `functional.py` that gives per-face values (NaN = not counted).
    2. A subclass of `GroupedMean` in `classes.py` with its `higher_is_better`.
    3. A child, its update and its name in `suite.py`, and its pattern in `direction.FAMILIES`;
       tests with a hand-computed value join `tests/metrics`.
"""

from lit_landmarks.metrics.classes import (
    AreaUnderCurve,
    ErrorDistribution,
    FailureRate,
    GroupedMean,
    GroupedMetric,
    MeanCost,
    NormalisedMeanError,
    OcclusionScore,
    PoseError,
)
from lit_landmarks.metrics.direction import higher_is_better
from lit_landmarks.metrics.functional import nme, point_errors
from lit_landmarks.metrics.normalisers import NORMALISERS, normaliser_values
from lit_landmarks.metrics.suite import THRESHOLDS, FaceMetrics

__all__ = [
    "NORMALISERS",
    "THRESHOLDS",
    "AreaUnderCurve",
    "ErrorDistribution",
    "FaceMetrics",
    "FailureRate",
    "GroupedMean",
    "GroupedMetric",
    "MeanCost",
    "NormalisedMeanError",
    "OcclusionScore",
    "PoseError",
    "higher_is_better",
    "nme",
    "normaliser_values",
    "point_errors",
]
