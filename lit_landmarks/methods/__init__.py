"""The methods, one folder each; importing this package registers all of them in `METHODS`.

Adding a method (a folder, a config; nothing else is edited):
    1. `methods/<name>/network.py`: pure torch, readable beside the paper's figure.
    2. `methods/<name>/module.py`: a subclass of `LandmarkModule` (its name is what YAML files say).
       Make the network in `__init__` and end with `self.attach(...)`; write `predict` (points in
       pixels of the image that it was given) and `losses`; say what the data must bring in `needs`,
       and `tiny`, a small one for tests.
    3. `methods/<name>/__init__.py` imports the class; `methods/__init__.py` finds the folder.
    4. `methods/<name>/README.md`, and `configs/<name>.yaml`, which runs on the embedded data.
    The tests over `METHODS` and over `configs/` pick both up.

Adding a loss (one file):
    1. A function of tensors in the method's module, or in `nets/losses.py`, a second file, if two
       methods use it; its docstring names paper and equation.
    2. One entry in the method's `losses`, its weight in `loss_weights`. Logging, the sum and the
       test that every parameter has a gradient follow by themselves.
"""

from importlib import import_module
from pkgutil import iter_modules

from lit_landmarks.advertisements import silence_advertisements
from lit_landmarks.methods.base import METHODS, LandmarkModule

silence_advertisements()

for _module_info in iter_modules(__path__):
    if _module_info.ispkg:
        import_module(f"{__name__}.{_module_info.name}")

__all__ = ["METHODS", "LandmarkModule"]
