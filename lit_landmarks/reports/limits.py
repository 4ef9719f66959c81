"""Limits on metrics: how they are written, whether figures keep them, several on one metric."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lit_landmarks.errors import UserError
from lit_landmarks.metrics import higher_is_better
from lit_landmarks.metrics.direction import metric_name

_WRITTEN = re.compile(r"\s*(\S+)\s*(<=|>=)\s*(\S+)\s*")


@dataclass(frozen=True)
class Limit:
    """A limit on a metric.

    Example:
        >>> Limit("compute/mma", at_most=True, limit=100.0).violation(120.0)
        20.0
    """

    metric: str
    at_most: bool
    limit: float

    def violation(self, value: float) -> float:
        """How far `value` is beyond the limit; 0 or less within it, infinite for NaN."""
        if math.isnan(value):
            return math.inf
        return value - self.limit if self.at_most else self.limit - value

    def __str__(self) -> str:
        # A number of parameters in full; others as sweep files write them.
        whole = self.limit.is_integer() and abs(self.limit) < 1e15
        value = f"{self.limit:.0f}" if whole else f"{self.limit:g}"
        return f"{self.metric} {'<=' if self.at_most else '>='} {value}"


def check_metric(key: str) -> str:
    """Checks that a metric can rank runs or be limited, and returns its key.

    Raises:
        UserError: no metric that a run logs, or a loss; the text begins with the key.
    """
    try:
        higher_is_better(key)
    except UserError as error:
        raise UserError(f"'{key}' is no metric that a run logs; {error}") from error
    if metric_name(key).startswith("loss"):
        # Weights of losses differ between methods and trials, so losses do not compare.
        raise UserError(f"'{key}' is a loss, which does not compare; take a metric")
    return key


def parse_limit(text: str) -> Limit:
    """Parses a limit, as in a sweep file or after `--limit`.

    Raises:
        UserError: another form, or no metric; the text begins with what is wrong.

    Example:
        >>> parse_limit("compute/mma<=50")
        Limit(metric='compute/mma', at_most=True, limit=50.0)
    """
    match = _WRITTEN.fullmatch(text)
    try:
        limit = float(match[3]) if match else math.nan
    except ValueError:
        limit = math.nan
    if not match or not math.isfinite(limit):
        raise UserError(f"'{text}' is none; write 'compute/mma <= 100'")
    return Limit(check_metric(match[1]), match[2] == "<=", limit)


def compute_violations(
    limits: Iterable[Limit], metrics: Mapping[str, float]
) -> dict[str, float | None]:
    """Computes by how much each limit is broken; 0 or less within it, None without the metric."""
    return {
        str(limit): limit.violation(float(metrics[limit.metric]))
        if limit.metric in metrics
        else None
        for limit in limits
    }


def replace_limits(limits: Iterable[Limit], changes: Iterable[Limit]) -> tuple[Limit, ...]:
    """Replaces each limit by the change on the same metric and side; adds the other changes.

    Example:
        >>> [str(l) for l in replace_limits([parse_limit("a/mma <= 9")], [parse_limit("a/mma<=5")])]
        ['a/mma <= 5']
    """
    by_place = {(limit.metric, limit.at_most): limit for limit in [*limits, *changes]}
    return tuple(by_place.values())


def select_tightest(limits: Iterable[Limit]) -> tuple[Limit, ...]:
    """Selects the tightest of several limits on one side of a metric, in order of the first."""
    tightest: dict[tuple[str, bool], Limit] = {}
    for limit in limits:
        place = (limit.metric, limit.at_most)
        other = tightest.setdefault(place, limit)
        if limit.violation(other.limit) > 0:
            tightest[place] = limit
    return tuple(tightest.values())
