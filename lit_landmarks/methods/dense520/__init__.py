"""520 dense 3D landmarks by a MobileNet (Basak et al., arXiv 2308.15170)."""

from lit_landmarks.methods.dense520.loss import DenseLossOptions
from lit_landmarks.methods.dense520.module import Dense520
from lit_landmarks.methods.dense520.surface_correction import SurfaceCorrection

__all__ = ["Dense520", "DenseLossOptions", "SurfaceCorrection"]
