"""Pareto fronts: the items that no other item equals or beats."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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


def select_nondominated(items: Iterable[tuple[Sequence[float], T]]) -> list[T]:
    """The items of which no other one is at least as good in all values, in the given order.

    Of items with equal values the first is selected.

    Args:
        items: (values, item); lower values are better, and all items have as many.

    Example:
        >>> select_nondominated([((1, 9), "a"), ((2, 9), "b"), ((3, 1), "c"), ((1, 9), "d")])
        ['a', 'c']
    """
    rows = list(items)

    def beats(place: int, other: int) -> bool:
        ours, theirs = rows[place][0], rows[other][0]
        equal = tuple(ours) == tuple(theirs)
        return place < other if equal else all(a <= b for a, b in zip(ours, theirs, strict=True))

    places = range(len(rows))
    return [rows[k][1] for k in places if not any(beats(j, k) for j in places if j != k)]
