"""Infinite 3D Landmarks (Chandran et al., CGF 2024): any template point, in 3D, from 2D labels."""

from lit_landmarks.methods.infinite3d.module import Infinite3D

__all__ = ["Infinite3D"]
