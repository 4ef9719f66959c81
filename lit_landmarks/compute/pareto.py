"""What no cheaper thing beats."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")


def undominated(items: Iterable[tuple[float, float, T]], by: float = 0.0) -> list[T]:
    """The Pareto front, cheapest first.

    Args:
        items: cost, value (lower is better) and the thing itself.
        by: how much lower a value must be than those of all cheaper things, at the least.
    """
    front: list[T] = []
    lowest = float("inf")
    for _, value, thing in sorted(items, key=lambda item: item[:2]):
        if value < lowest - by:
            lowest = value
            front.append(thing)
    return front
