"""Pareto front of a value against its cost."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")


def pareto_front(items: Iterable[tuple[float, float, T]], by: float = 0.0) -> list[T]:
    """The items whose value beats that of every cheaper item; cheapest first.

    Args:
        items: (cost, value, item); lower values are better.
        by: the least difference by which a value must be lower than that of all cheaper items.
    """
    front: list[T] = []
    lowest = float("inf")
    for _, value, item in sorted(items, key=lambda entry: entry[:2]):
        if value < lowest - by:
            lowest = value
            front.append(item)
    return front
