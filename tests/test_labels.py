"""The label table: one declaration from which batches, indices and their checks follow."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
import torch

from lit_landmarks.data import FaceIndex, SourceBatch
from lit_landmarks.labels import LABEL_TABLE, LABELS, get_label
from lit_landmarks.types import NORMS, FaceBatch

IMAGE, POINTS = torch.zeros(2, 3, 8, 8), torch.arange(12.0).view(2, 3, 2)


def test_the_table_has_exactly_the_columns_of_the_batches_and_of_the_index() -> None:
    ready = [label.name for label in LABEL_TABLE if not label.loader_only]
    has = [f"has_{name}" for name in LABELS]
    assert {f.name for f in fields(FaceBatch)} == {"image", *ready, *has}
    loader = {label.name for label in LABEL_TABLE if label.loader_only}
    assert {f.name for f in fields(SourceBatch)} - {f.name for f in fields(FaceBatch)} == loader
    indexed = {label.name for label in LABEL_TABLE if label.index_shape is not None}
    assert {f.name for f in fields(FaceIndex)} == {*indexed, "paths", "subsets"}
    assert LABELS == ("visible", "points3d", "head3d", "pose", "focal")


def test_what_is_not_given_is_absent() -> None:
    batch = FaceBatch.of(IMAGE, POINTS)
    assert len(batch) == 2
    assert bool(batch.mask.all())
    assert batch.visible.dtype == torch.int8
    assert bool((batch.visible == -1).all())
    assert batch.points3d.shape == batch.queries.shape == (2, 3, 3)
    assert bool(batch.queries.isnan().all())
    assert batch.norms.shape == (2, len(NORMS))
    assert bool(batch.norms.isnan().all())
    assert torch.equal(batch.frame_to_image, torch.eye(2, 3).expand(2, 2, 3))
    assert batch.subsets.shape == (2, 0)
    assert batch.track.tolist() == batch.time.tolist() == [-1, -1]
    assert not any(bool(getattr(batch, f"has_{name}").any()) for name in LABELS)


def test_has_columns_and_mask_follow_from_the_values() -> None:
    points = POINTS.double()
    points[0, 1, 0] = torch.nan
    pose = torch.tensor([[1.0, 2.0, 3.0, torch.nan, torch.nan, torch.nan], [torch.nan] * 6])
    visible = torch.tensor([[-1, -1, -1], [-1, 0, -1]])
    batch = FaceBatch.of(IMAGE, points, pose=pose, visible=visible, dataset_id=3)
    assert batch.mask.tolist() == [[True, False, True], [True, True, True]]
    assert batch.has_pose.tolist() == [True, False]
    assert batch.has_visible.tolist() == [False, True]
    assert batch.pose.dtype == batch.norms.dtype == torch.float64
    assert batch.visible.dtype == torch.int8
    assert batch.dataset_id.tolist() == [3, 3]
    both = FaceBatch.of(IMAGE, points, pose=pose, has_pose=torch.tensor([False, True]))
    assert both.has_pose.tolist() == [False, True]
    masked = FaceBatch.of(IMAGE, points, mask=torch.tensor([[True, True, False]] * 2))
    assert masked.mask.tolist() == [[True, False, False], [True, True, False]]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"yaw": 0}, "no label 'yaw'; there are: convention_id, "),
        ({"box": torch.zeros(2, 4)}, "no label 'box'; there are: "),
        ({"pose": torch.zeros(2, 3)}, r"pose is \(2, 3\), not \(2, 6\); give one row per face"),
        ({"focal": torch.zeros(3)}, r"focal is \(3,\), not \(2,\); give one row per face"),
        ({"has_pose": torch.ones(2, 1)}, r"has_pose is \(2, 1\), not \(2,\)"),
    ],
)
def test_wrong_columns_are_refused_in_one_line(labels: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        FaceBatch.of(IMAGE, POINTS, **labels)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("image", [torch.zeros(1, 3, 8, 8), torch.zeros(3, 8, 8)])
def test_there_is_an_image_for_every_face(image: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="give as many images as faces"):
        FaceBatch.of(image, POINTS)


def test_index_columns_have_the_shapes_of_the_table() -> None:
    points, mask = np.zeros((2, 3, 2), np.float32), np.ones((2, 3), bool)
    box = np.zeros((2, 4), np.float32)
    assert FaceIndex(points, mask, box, pose=np.zeros((2, 3), np.float32)).labels == {"pose"}
    wrong = {
        "pose": np.zeros((2, 6), np.float32),
        "focal": np.zeros((2, 1), np.float32),
        "visible": np.zeros((2, 3), np.int64),
        "track": np.zeros(3, np.int64),
    }
    for name, column in wrong.items():
        with pytest.raises(ValueError, match=f"FaceIndex.{name} is "):
            FaceIndex(points, mask, box, **{name: column})
    with pytest.raises(ValueError, match="subset young is "):
        FaceIndex(points, mask, box, subsets={"young": np.zeros(2, np.int8)})


def test_a_label_is_found_by_its_name() -> None:
    assert get_label("pose").index_shape == (3,)
    with pytest.raises(KeyError):
        get_label("yaw")
