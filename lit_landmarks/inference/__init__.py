"""Trained methods on pictures: `load(...)` gives a `Landmarker`, which gives `Face` objects."""

from lit_landmarks.inference.face import Face, to_keypoints
from lit_landmarks.inference.landmarker import Landmarker
from lit_landmarks.inference.loading import load
from lit_landmarks.inference.meshes import write_mesh
from lit_landmarks.inference.places import Places, pick_place, read_places
from lit_landmarks.inference.predictor import Predictor

__all__ = [
    "Face",
    "Landmarker",
    "Places",
    "Predictor",
    "load",
    "pick_place",
    "read_places",
    "to_keypoints",
    "write_mesh",
]
