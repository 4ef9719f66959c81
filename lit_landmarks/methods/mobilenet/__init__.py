"""The MobileNetV2 baseline of the ASMNet paper; see README.md in this folder."""

from lit_landmarks.methods.mobilenet.module import MobileNetBaseline
from lit_landmarks.methods.mobilenet.network import PooledRegressor

__all__ = ["MobileNetBaseline", "PooledRegressor"]
