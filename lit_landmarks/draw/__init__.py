"""Pictures: overlays on faces, contact sheets, curves and bars.

Images are RGB uint8 arrays (H, W, 3). Drawing changes no input, uses no global state and gives the
same bytes for the same input. Files appear under their name only when they are whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lit_landmarks.lazy import import_on_use

if TYPE_CHECKING:
    from lit_landmarks.draw.files import Image, save_jpeg, save_png
    from lit_landmarks.draw.overlay import LEGEND, FaceAnnotator, to_image
    from lit_landmarks.draw.plots import (
        bar_plot,
        ced_plot,
        figure_image,
        new_figure,
        save_figure,
    )
    from lit_landmarks.draw.sheet import contact_sheet

__all__ = [
    "LEGEND",
    "FaceAnnotator",
    "Image",
    "bar_plot",
    "ced_plot",
    "contact_sheet",
    "figure_image",
    "new_figure",
    "save_figure",
    "save_jpeg",
    "save_png",
    "to_image",
]

#: Names and their modules, imported when they are first asked for: matplotlib takes a second.
_MODULES = {
    "Image": "lit_landmarks.draw.files",
    "LEGEND": "lit_landmarks.draw.overlay",
    "save_jpeg": "lit_landmarks.draw.files",
    "save_png": "lit_landmarks.draw.files",
    "FaceAnnotator": "lit_landmarks.draw.overlay",
    "to_image": "lit_landmarks.draw.overlay",
    "bar_plot": "lit_landmarks.draw.plots",
    "ced_plot": "lit_landmarks.draw.plots",
    "figure_image": "lit_landmarks.draw.plots",
    "new_figure": "lit_landmarks.draw.plots",
    "save_figure": "lit_landmarks.draw.plots",
    "contact_sheet": "lit_landmarks.draw.sheet",
}

__getattr__ = import_on_use(__name__, _MODULES)
