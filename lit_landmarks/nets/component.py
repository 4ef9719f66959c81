"""Modules that record their constructor arguments, so that a checkpoint can rebuild them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Any, Self

from torch import nn

PLAIN = (str, int, float, bool, type(None))
#: Stands for an argument that has no plain form.
NO_FORM = object()


def class_path(cls: type) -> str:
    """Dotted path of a class, as argument files write it."""
    return f"{cls.__module__}.{cls.__qualname__}"


def plain_value(value: Any) -> Any:
    """A constructor argument as plain values; `NO_FORM` where it has none."""
    if isinstance(value, Built):
        return {"class_path": class_path(type(value)), "init_args": value.init_args}
    if is_dataclass(value) and not isinstance(value, type):
        return plain_value(asdict(value))
    if isinstance(value, Mapping):
        return _plain_items({str(key): item for key, item in value.items()})
    if isinstance(value, list | tuple):
        items = [plain_value(item) for item in value]
        return NO_FORM if NO_FORM in items else items
    return value if isinstance(value, PLAIN) else NO_FORM


def _plain_items(values: Mapping[str, Any]) -> dict[str, Any]:
    """Items whose value has a plain form."""
    items = {name: plain_value(value) for name, value in values.items()}
    return {name: value for name, value in items.items() if value is not NO_FORM}


class Built:
    """Base class that records the constructor arguments of an object, defaults included.

    Arguments without a plain form (an optimizer's factory) are left out: they do not belong to what
    is loaded again.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Record the arguments before `__init__` runs."""
        self = super().__new__(cls)
        self.__dict__["_arguments"] = kwargs
        return self

    @property
    def init_args(self) -> dict[str, Any]:
        """Plain values by argument name; of the classes' defaults where nothing was given."""
        values: dict[str, Any] = {}
        for cls in reversed(type(self).__mro__):
            if "__init__" in cls.__dict__ and issubclass(cls, Built):
                for name, parameter in inspect.signature(cls.__init__).parameters.items():
                    if parameter.default is not inspect.Parameter.empty:
                        values[name] = parameter.default
        return _plain_items(values | self.__dict__["_arguments"])


class Component(Built, nn.Module):
    """Base class of parts that a configuration adds to any method, such as a normalizer."""
