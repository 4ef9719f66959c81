"""The methods, one folder each; importing this package registers all of them in `METHODS`."""

from importlib import import_module
from pkgutil import iter_modules

from lit_landmarks.methods.base import METHODS, LandmarkModule

for _found in iter_modules(__path__):
    if _found.ispkg:
        import_module(f"{__name__}.{_found.name}")

__all__ = ["METHODS", "LandmarkModule"]
