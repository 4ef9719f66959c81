"""3D heads: a parametric head made in code, every scheme as named points on its surface.

    >>> mean_face("ibug68").shape
    torch.Size([68, 3])

Adding a head (one file): give it the attributes and methods of `Head` in `heads/base.py`
(vertices from parameters, triangles with materials, points and contour paths per scheme); the
renderer in `heads/render` and the data set `SyntheticFaces` take it as they take `ParametricHead`.

Adding a scheme to the head (no file, or one line): points that bear names of known schemes are
found by name; a new name needs a line in `surface_points._FRONT`.
"""

from lit_landmarks.heads.mean_face import has_mean_face, mean_face
from lit_landmarks.heads.parametric import ParametricHead, parametric_head

__all__ = ["ParametricHead", "has_mean_face", "mean_face", "parametric_head"]
