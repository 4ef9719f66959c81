"""Provenance of a result: package versions, git state, machine."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import lit_landmarks

#: Packages whose version can move a number.
PACKAGES = (
    "torch",
    "lightning",
    "torchmetrics",
    "timm",
    "kornia",
    "numpy",
    "opencv-python-headless",
)


def package_versions() -> dict[str, str]:
    """Versions of Python, of this package and of those in `PACKAGES` that are installed."""
    versions = {"python": platform.python_version(), "lit_landmarks": lit_landmarks.__version__}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def git_state() -> dict[str, Any] | None:
    """Commit of the checkout this package runs from and whether it has changes; None outside."""
    folder = Path(lit_landmarks.__file__).resolve().parents[1]
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None or _git(folder, "ls-files", "--error-unmatch", "pyproject.toml") is None:
        # Installed into an environment that lies in some other checkout.
        return None
    status = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "dirty": bool(status)}


def machine() -> dict[str, Any]:
    """Processor, its usable cores, and the accelerator if there is one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    import torch  # `results` reads and writes figures without it

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {"system": platform.system(), "cores": cores, "gpu": gpu, "executable": sys.platform}


def peak_memory() -> dict[str, float]:
    """Most memory that this process has held so far, MiB: `host`, and `gpu` where it has one.

    The trials of one sweep worker share a process, so theirs is that of the largest until then.
    Windows does not tell a process its own peak: no `host` there.
    """
    import torch  # `results` reads and writes figures without it

    peak: dict[str, float] = {}
    with contextlib.suppress(ImportError):
        import resource

        unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes there, KiB elsewhere
        peak["host"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1)
    if torch.cuda.is_available():
        peak["gpu"] = round(torch.cuda.max_memory_allocated() / 2**20, 1)
    return peak


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
