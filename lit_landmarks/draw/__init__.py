"""Pictures: overlays on faces, contact sheets, curves and bars.

Images are RGB uint8 arrays (H, W, 3). Drawing changes no input, uses no global state and gives the
same bytes for the same input. Files appear under their name only when they are whole.
"""

from lit_landmarks.draw.files import Image, save_png
from lit_landmarks.draw.overlay import FaceAnnotator, to_image
from lit_landmarks.draw.plots import (
    bar_plot,
    ced_plot,
    figure_image,
    new_figure,
    save_figure,
)
from lit_landmarks.draw.sheet import contact_sheet

__all__ = [
    "FaceAnnotator",
    "Image",
    "bar_plot",
    "ced_plot",
    "contact_sheet",
    "figure_image",
    "new_figure",
    "save_figure",
    "save_png",
    "to_image",
]
