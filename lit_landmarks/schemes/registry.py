"""The registry of schemes: `get_scheme`, `register_scheme`."""

from __future__ import annotations

from lit_landmarks.errors import UserError
from lit_landmarks.schemes.aflw19 import AFLW19
from lit_landmarks.schemes.base import LandmarkScheme
from lit_landmarks.schemes.cofw29 import COFW29
from lit_landmarks.schemes.dense520 import DENSE520, DENSE520_PUBLISHED
from lit_landmarks.schemes.face_synthetics70 import FACE_SYNTHETICS70
from lit_landmarks.schemes.ibug68 import IBUG68
from lit_landmarks.schemes.lapa106 import LAPA106
from lit_landmarks.schemes.wflw98 import WFLW98

#: Every registered scheme by name.
SCHEMES: dict[str, LandmarkScheme] = {
    scheme.name: scheme
    for scheme in (
        *(IBUG68, WFLW98, COFW29, AFLW19, LAPA106, FACE_SYNTHETICS70),
        *(DENSE520, DENSE520_PUBLISHED),
    )
}
_BUILT_IN = frozenset(SCHEMES)


def is_built_in(name: str) -> bool:
    """Whether every installation knows the scheme; others are declared by data or by a program."""
    return name in _BUILT_IN


def get_scheme(name: str) -> LandmarkScheme:
    """The scheme called `name`.

    Raises:
        UserError: unknown name; the message lists the registered ones.

    Example:
        >>> get_scheme("ibug68").point_names[30]
        'nose_tip'
    """
    if name not in SCHEMES:
        raise UserError(f"unknown landmark scheme {name!r}; known: {', '.join(sorted(SCHEMES))}")
    return SCHEMES[name]


def register_scheme(scheme: LandmarkScheme) -> LandmarkScheme:
    """Register a scheme by its name, and return it.

    Raises:
        UserError: another scheme has the name already.
    """
    if SCHEMES.setdefault(scheme.name, scheme) != scheme:
        raise UserError(f"landmark scheme {scheme.name!r} exists already; choose another name")
    return scheme
