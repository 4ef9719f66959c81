"""The 3D template head: every scheme as named points on its surface, and mean faces.

    >>> mean_face("ibug68").shape
    torch.Size([68, 3])

Adding a scheme to the head (no file, or one line): points that bear names of known schemes are
found by name; a new name needs a line in `surface_points._FRONT`. Any other point of the surface,
as dense labels need, is a `SurfacePoints` of three vertices and weights, read by
`surface_points.blend`; `SurfaceFinder.locate` finds it from its place in the front view.

`dense520` gets onto another head by its 68 points: `dense.transfer`; points of another head get
onto the template likewise: `places_of_mesh`. Position maps of a head:
`position_maps.lay_out`.
"""

from lit_landmarks.template.dense import places_of_mesh
from lit_landmarks.template.head import TemplateHead, template_head
from lit_landmarks.template.mean_face import (
    has_mean_face,
    mean_face,
    placed_query_points,
    query_points,
)

__all__ = [
    "TemplateHead",
    "has_mean_face",
    "mean_face",
    "placed_query_points",
    "places_of_mesh",
    "query_points",
    "template_head",
]
