"""Published file layouts, for writing: one module per data set; each registers in `LAYOUTS`."""

from lit_landmarks.data.layouts import (
    aflw,
    cofw,
    columns,
    ibug,
    json_faces,
    large_pose,
    merl_rav,
    position_maps,
    text_points,
    wflw,
)
from lit_landmarks.data.layouts.base import (
    LAYOUTS,
    LabelledFace,
    Layout,
    write_bytes,
    write_image,
    write_text,
)

__all__ = [
    "LAYOUTS",
    "LabelledFace",
    "Layout",
    "aflw",
    "cofw",
    "columns",
    "ibug",
    "json_faces",
    "large_pose",
    "merl_rav",
    "position_maps",
    "text_points",
    "wflw",
    "write_bytes",
    "write_image",
    "write_text",
]
