"""Choice of the device that something runs on."""

from __future__ import annotations

from typing import Literal

import torch


def default_device() -> Literal["cuda", "cpu"]:
    """The first GPU if there is one, else the CPU."""
    return "cuda" if torch.cuda.is_available() else "cpu"
