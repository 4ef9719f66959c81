"""Landmark schemes (which points), conventions (how they are placed) and maps between schemes.

Adding a scheme (2 files to touch, 1 of them new):

1. Write `schemes/<name>.py` with one `LandmarkScheme`. Name every point; *left* and *right* are the
   subject's, and a point and its mirror image differ in that word only, so that `flip_by_names`
   derives the permutation.
2. List it in `SCHEMES` in `schemes/registry.py`. `tests/schemes` then checks it: names,
   permutation, polylines, groups. (A program of yours may call `register_scheme` instead.)
3. If its points are points of another scheme, add a row to `_MAPS` in `schemes/maps.py`, and a test
   that compares both on a real face.
4. If its points can be named on the surface of the template head, add them in `template`: this
   gives the scheme synthetic faces, a 3D mean face and pose labels.
"""

from lit_landmarks.schemes.base import LandmarkScheme, Polyline, flip_by_names, swap_sides
from lit_landmarks.schemes.conventions import CONVENTIONS, convention_index
from lit_landmarks.schemes.declared import declare_scheme, read_scheme, scheme_json
from lit_landmarks.schemes.imported import mirror_pairs, scheme_from_names
from lit_landmarks.schemes.maps import SchemeMap, get_map, has_map, register_map
from lit_landmarks.schemes.registry import SCHEMES, get_scheme, is_built_in, register_scheme

__all__ = [
    "CONVENTIONS",
    "SCHEMES",
    "LandmarkScheme",
    "Polyline",
    "SchemeMap",
    "convention_index",
    "declare_scheme",
    "flip_by_names",
    "get_map",
    "get_scheme",
    "has_map",
    "is_built_in",
    "mirror_pairs",
    "read_scheme",
    "register_map",
    "register_scheme",
    "scheme_from_names",
    "scheme_json",
    "swap_sides",
]
