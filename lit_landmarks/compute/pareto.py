"""Pareto front: the items that no cheaper item equals or beats."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")


def pareto_front(items: Iterable[tuple[float, float, T]], by: float = 0.0) -> list[T]:
    """The items whose value beats that of every cheaper item; cheapest first.

    Args:
        items: (cost, value, item); lower values are better.
        by: the least difference by which a value must be lower than that of all cheaper items.

    Example:
        >>> pareto_front([(1.0, 5.0, "a"), (2.0, 6.0, "b"), (3.0, 4.0, "c")])
        ['a', 'c']
    """
    front: list[T] = []
    lowest = float("inf")
    for _, value, item in sorted(items, key=lambda entry: entry[:2]):
        if value < lowest - by:
            lowest = value
            front.append(item)
    return front
