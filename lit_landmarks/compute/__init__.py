"""Cost of a module: multiply-adds (MMA), parameters, latency.

`count_mma(module, example)` needs no data and no training. Two attributes of a module steer it:
`is_preprocess = True` on a submodule of fixed filters or resampling puts its multiply-adds into
`mma_preprocess`, and a method `cost_variants()` (see `Adaptive`) tells the exits of a module whose
cost depends on the face. An operator that the tables of `operators` do not have is refused by name;
`register_formula` tells them its cost.
"""

from lit_landmarks.compute.cost import (
    Adaptive,
    Cost,
    Example,
    count_mma,
    count_parameters,
    count_stages,
)
from lit_landmarks.compute.counter import plain_attention
from lit_landmarks.compute.devices import default_device
from lit_landmarks.compute.latency import Latency, Profile, evaluation, latency, profile_module
from lit_landmarks.compute.operators import UncountedOperator, register_formula

__all__ = [
    "Adaptive",
    "Cost",
    "Example",
    "Latency",
    "Profile",
    "UncountedOperator",
    "count_mma",
    "count_parameters",
    "count_stages",
    "default_device",
    "evaluation",
    "latency",
    "plain_attention",
    "profile_module",
    "register_formula",
]
