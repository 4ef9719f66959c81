"""Trained methods on pictures: `load(...)` gives a `Landmarker`, which gives `Face` objects."""

from lit_landmarks.inference.landmarker import Face, Landmarker
from lit_landmarks.inference.loading import load
from lit_landmarks.inference.meshes import write_mesh

__all__ = ["Face", "Landmarker", "load", "write_mesh"]
