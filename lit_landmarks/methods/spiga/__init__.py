"""SPIGA: a cascade of graph-attention regressors that starts at the head pose."""

from lit_landmarks.methods.spiga.module import SPIGA

__all__ = ["SPIGA"]
