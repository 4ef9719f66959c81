"""Which keys an evaluation may log, told from the data's spec before anything runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from lit_landmarks.metrics.groups import POINT_GROUPS, FaceGroup, FaceGroups
from lit_landmarks.metrics.normalisers import NORMALISERS
from lit_landmarks.metrics.suite import OCCLUSION_NAMES, PERCENTILES, POSE_NAMES, THRESHOLDS
from lit_landmarks.types import DataSpec, Prediction, Role


def possible_keys(
    spec: DataSpec,
    role: Role,
    example: Prediction,
    adaptive: bool = False,
    thresholds: Mapping[str, Sequence[float]] = THRESHOLDS,
) -> set[str]:
    """Keys with a direction that `FaceMetrics` can log for a role; labels decide which it does.

    Args:
        spec: what the data holds.
        role: train, val or test.
        example: a prediction of the method; what it leaves out is not measured.
        adaptive: whether the method tells the cost of each face.
        thresholds: of FR and AUC, per normaliser.
    """
    groups = FaceGroups(spec, role).groups
    keys = {
        group.key(role, name)
        for group in groups
        for name in _names(group, example, adaptive, thresholds)
    }
    return keys | ({f"{role}/nme"} if groups else set())


def _names(
    group: FaceGroup,
    example: Prediction,
    adaptive: bool,
    thresholds: Mapping[str, Sequence[float]],
) -> Iterator[str]:
    for normaliser in NORMALISERS:
        yield f"nme_{normaliser}"
        for level in thresholds.get(normaliser, ()):
            yield f"fr{level:g}_{normaliser}"
            yield f"auc{level:g}_{normaliser}"
    for kind in POINT_GROUPS[1:]:
        yield f"nme_{group.primary}_{kind}"
    for share in PERCENTILES:
        yield f"p{share}_{group.primary}"
    if example.stages is not None:
        for stage in range(1, len(example.stages) + 1):
            yield f"nme_{group.primary}_stage{stage}"
    if example.points3d is not None:
        yield f"nme3d_{group.primary}"
    if example.pose is not None:
        yield from POSE_NAMES
    if example.visibility is not None:
        yield from OCCLUSION_NAMES
    if adaptive:
        yield "mma"
