"""ASMNet (CVPRW 2021) and its MobileNetV2 baseline; see README.md in this folder."""

from lit_landmarks.methods.asmnet.baseline import MobileNetBaseline
from lit_landmarks.methods.asmnet.baseline_network import PooledRegressor
from lit_landmarks.methods.asmnet.module import ASMNet
from lit_landmarks.methods.asmnet.network import ASMNetwork

__all__ = ["ASMNet", "ASMNetwork", "MobileNetBaseline", "PooledRegressor"]
