"""The ICT FaceKit morphable head: a `faces.Head` made from a file that the user converts.

    >>> head = load_ict_head("ict_facekit.npz")  # doctest: +SKIP

`convert_facekit` makes the file from a clone of ICT-FaceKit (MIT); `IctRenderer` and `sample_ict`
take the place of `Renderer` and `sample_faces`.

Adding a thing to wear (one file): a class with `triangles`, `texture`, `count` and `place` in
`wear.py`, its style in `hair.IctStyle`, its line in `IctHead._mesh`; a new material goes to
`parts.Material` and `shader.IctShader`. Raise `renderer.ICT_VERSION`, by which caches are keyed.
"""

from lit_landmarks.rendering.ict.convert import convert_facekit
from lit_landmarks.rendering.ict.head import IctHead, load_ict_head
from lit_landmarks.rendering.ict.renderer import ICT_VERSION, IctRenderer
from lit_landmarks.rendering.ict.sampling import bare_faces, follow_gaze, sample_ict

__all__ = [
    "ICT_VERSION",
    "IctHead",
    "IctRenderer",
    "bare_faces",
    "convert_facekit",
    "follow_gaze",
    "load_ict_head",
    "sample_ict",
]
