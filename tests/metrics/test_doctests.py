"""The examples under the classes and kernels of the metrics room run as they stand."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
from types import ModuleType

import pytest

from lit_landmarks import metrics

MODULES = [
    importlib.import_module(f"{metrics.__name__}.{module.name}")
    for module in pkgutil.iter_modules(metrics.__path__)
    if module.name != "golden"  # a command
]


def is_family(thing: object) -> bool:
    """A family, which needs no example: its torchmetrics class has one."""
    family = metrics.MetricFamily
    return inspect.isclass(thing) and issubclass(thing, family) and thing is not family


@pytest.mark.parametrize("module", MODULES, ids=lambda m: m.__name__.rpartition(".")[2])
def test_examples(module: ModuleType) -> None:
    failed, attempted = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert attempted > 0 or module.__name__.endswith("families")  # whose base has the example
    assert failed == 0


def test_every_public_class_and_kernel_has_an_example() -> None:
    bare = [
        f"{module.__name__}.{name}"
        for module in MODULES
        for name, thing in vars(module).items()
        if not name.startswith("_")
        and getattr(thing, "__module__", None) == module.__name__
        and (inspect.isclass(thing) or inspect.isfunction(thing))
        and not is_family(thing)
        and ">>>" not in (thing.__doc__ or "")
    ]
    # bases and plain records, which the examples of others use
    assert sorted(name.rpartition(".")[2] for name in bare) == [
        "EvaluatedBatch", "GatheredMetric", "GroupedMetric", "MeanStates", "SuiteLayout",
    ]  # fmt: skip  # one row
