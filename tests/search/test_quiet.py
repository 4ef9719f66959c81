"""Trainings pause while latency is measured."""

from __future__ import annotations

import itertools
import threading
import time
from pathlib import Path

import pytest

from lit_landmarks.search import quiet
from lit_landmarks.search.quiet import QuietTime


def test_trainings_pause_at_their_next_batch(tmp_path: Path) -> None:
    batches: list[float] = []
    stop, begun = threading.Event(), threading.Barrier(3)

    def train() -> None:
        turns = QuietTime(tmp_path)
        turns.pass_batch()
        begun.wait()
        while not stop.is_set():
            turns.pass_batch()
            time.sleep(0.005)
            batches.append(time.monotonic())
        turns.leave()
        turns.close()

    threads = [threading.Thread(target=train) for _ in range(2)]
    for thread in threads:
        thread.start()
    begun.wait()
    meter = QuietTime(tmp_path)
    spans = []
    for _ in range(3):
        with meter.measure():
            start = time.monotonic()
            time.sleep(0.1)
            spans.append((start, time.monotonic()))
        time.sleep(0.05)
    stop.set()
    for thread in threads:
        thread.join()
    assert not [b for b in batches for start, end in spans if start < b < end]
    gaps = itertools.pairwise(spans)
    assert all(any(a[1] < b < c[0] for b in batches) for a, c in gaps), "they go on between"
    meter.close()


def test_a_training_that_does_not_pause_is_not_waited_for_forever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quiet, "_PATIENCE", 0.05)
    validating, meter = QuietTime(tmp_path), QuietTime(tmp_path)
    validating.pass_batch()
    with meter.measure():
        pass
    validating.close()
    monkeypatch.setattr(quiet, "_PATIENCE", 60.0)
    start = time.monotonic()
    with meter.measure():
        assert time.monotonic() - start < 5.0, "a process that is gone holds no lock"
    meter.close()
