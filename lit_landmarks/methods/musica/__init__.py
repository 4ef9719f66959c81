"""MuSiCa: cascaded patch regression that knows when to stop; see README.md in this folder."""

from lit_landmarks.methods.musica.module import MuSiCa
from lit_landmarks.methods.musica.network import MuSiCaNet
from lit_landmarks.methods.musica.patches import choose_patches

__all__ = ["MuSiCa", "MuSiCaNet", "choose_patches"]
