"""Shares of several processes in the faces of an epoch."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lit_landmarks.data.dataset import MixSampler
from lit_landmarks.data.shares import EvaluationShare, TrainingShare
from lit_landmarks.errors import UserError
from tests.data.test_mixing import _labels_only

SIZES = st.integers(1, 60), st.integers(1, 9), st.integers(1, 5)


def batches(share: EvaluationShare | TrainingShare, size: int) -> list[list[int]]:
    items = list(share)
    assert len(share) == len(items)
    return [items[start : start + size] for start in range(0, len(items), size)]


@given(*SIZES)
def test_an_evaluation_deals_out_the_batches_of_one_process(
    faces: int, size: int, processes: int
) -> None:
    shares = [
        batches(EvaluationShare(faces, size, processes, rank), size) for rank in range(processes)
    ]
    assert len({len(share) for share in shares}) == 1, "all processes run as many batches"
    dealt = [b for step in zip(*shares, strict=True) for b in step if b != [-1]]
    assert dealt == [list(range(s, min(s + size, faces))) for s in range(0, faces, size)]


def test_a_limit_counts_the_batches_of_all_processes() -> None:
    for limit, expected in ((1, 4), (3, 12), (9, 18)):
        shares = [list(EvaluationShare(18, 4, 2, rank, limit)) for rank in range(2)]
        seen = sorted(i for share in shares for i in share if i >= 0)
        assert seen == list(range(expected))


@given(st.integers(2, 60), st.integers(2, 9), st.integers(1, 5), st.integers(0, 9))
def test_an_epoch_of_training_is_divided_and_nothing_is_drawn_twice(
    faces: int, size: int, processes: int, epoch: int
) -> None:
    order = MixSampler(_labels_only([faces], [1.0]), seed=3)
    if faces < 2 * processes:
        with pytest.raises(UserError, match=f"{faces} training faces are too few"):
            TrainingShare(order, size, processes, 0)
        return
    shares = []
    for rank in range(processes):
        share = TrainingShare(order, size, processes, rank)
        share.set_epoch(epoch)
        shares.append(batches(share, size))
    assert order.epoch == epoch
    assert len({len(share) for share in shares}) == 1, "all processes take as many steps"
    steps = [list(itertools.chain(*step)) for step in zip(*shares, strict=True)]
    drawn = list(itertools.chain(*steps))
    assert drawn == list(order)[: len(drawn)], "the order of one process"
    assert faces - len(drawn) < 2 * processes
    for step in zip(*shares, strict=True):
        counts = [len(batch) for batch in step]
        assert min(counts) >= 2
        assert max(counts) - min(counts) <= 1


def test_a_repeat_is_the_first_face_with_a_row_of_minus_one() -> None:
    faces = _labels_only([4, 3], [1.0, 1.0])
    batch = faces.__getitems__([-1])
    assert (batch.index.tolist(), batch.dataset_id.tolist(), batch.draw.tolist()) == (
        [-1],
        [0],
        [0],
    )
    np.testing.assert_array_equal(batch.norms, faces.__getitems__([0]).norms)
    assert faces.__getitems__([3, 6]).index.tolist() == [3, 2]
