"""3D heads: a parametric head made in code, every scheme as named points on its surface.

    >>> mean_face("ibug68").shape
    torch.Size([68, 3])

Adding a head (one file):
    1. Give it the attributes and methods of `faces.Head`: vertices from parameters, triangles with
       a `parts.Material` each, a paint table, points and contour paths per scheme.
    2. `Renderer(head)`, `PlacedHeads.of(head, faces)` and `sample_faces(draws, head, ranges)` take
       it as they take `ParametricHead`: they know parameters by name only.

Adding a scheme to the head (no file, or one line): points that bear names of known schemes are
found by name; a new name needs a line in `surface_points._FRONT`. Any other point of the surface,
as dense labels need, is a `SurfacePoints` of three vertices and weights, read by
`parametric.blend`; `SurfaceFinder.locate` finds it from its place in the front view.

`dense520` gets onto another head by its 68 points: `dense.transfer`. Position maps of a head:
`position_maps.lay_out`.

Adding a parameter: one function in `parameters.py`.

Changing how a face looks: raise `render.renderer.RENDER_VERSION`, by which caches are keyed.
"""

from lit_landmarks.heads.mean_face import has_mean_face, mean_face
from lit_landmarks.heads.parametric import ParametricHead, parametric_head

__all__ = ["ParametricHead", "has_mean_face", "mean_face", "parametric_head"]
