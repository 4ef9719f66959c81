"""MuSiCa: cascaded patch regression with a learned early exit; see README.md in this folder."""

from lit_landmarks.methods.musica.module import MuSiCa
from lit_landmarks.methods.musica.network import MuSiCaNet
from lit_landmarks.methods.musica.patch_selection import choose_patches

__all__ = ["MuSiCa", "MuSiCaNet", "choose_patches"]
