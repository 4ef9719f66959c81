"""ASMNet (CVPRW 2021); see README.md in this folder."""

from lit_landmarks.methods.asmnet.module import ASMNet
from lit_landmarks.methods.asmnet.network import ASMNetwork

__all__ = ["ASMNet", "ASMNetwork"]
