"""Heads drawn as pictures with exact labels; used by the data room alone.

Adding a head (one file):
    1. Give it the attributes and methods of `faces.Head`: vertices from parameters, triangles with
       a `parts.Material` each, a paint table, points and contour paths per scheme.
    2. `Renderer(head)`, `PlacedHeads.of(head, faces)` and `sample_faces(rng, head, ranges)` take
       it as they take `ParametricHead`: they know parameters by name only.

Adding a parameter: one function in `parameters.py`.

Changing how a face looks: raise `renderer.RENDER_VERSION`, by which caches are keyed.
"""

from lit_landmarks.rendering.parametric import ParametricHead, parametric_head
from lit_landmarks.rendering.renderer import RENDER_VERSION, Renderer

__all__ = ["RENDER_VERSION", "ParametricHead", "Renderer", "parametric_head"]
