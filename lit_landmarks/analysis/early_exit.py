"""The early exit of a method: the one place that asks whether a method has one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lit_landmarks.methods.adaptive import AdaptiveModule
from lit_landmarks.methods.base import LandmarkModule


def early_exit_of(method: LandmarkModule) -> AdaptiveModule | None:
    """The part of a method that holds exit thresholds; None where every face costs the same."""
    return method if isinstance(method, AdaptiveModule) else None


@contextmanager
def all_stages(method: LandmarkModule) -> Iterator[None]:
    """Early exit is switched off while the block runs."""
    early_exit = early_exit_of(method)
    if early_exit is None:
        yield
        return
    before, early_exit.early_stop = early_exit.early_stop, False
    try:
        yield
    finally:
        early_exit.early_stop = before
