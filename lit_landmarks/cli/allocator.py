"""Memory that the C library keeps for the next step instead of returning it to the system."""

from __future__ import annotations

import ctypes
import os

#: Parameters of glibc's `mallopt`, by their names in `malloc.h`.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4


def keep_freed_memory() -> bool:
    """Has this process keep blocks of memory that it frees, for those that it asks for next.

    By itself glibc returns blocks above 32 MB to the system. A training step on a CPU frees and
    asks for the same large blocks again and again, and then each of their pages is zeroed by the
    kernel in every step. The most memory that a process has stays the same.

    Settings in the environment (`MALLOC_...`, `GLIBC_TUNABLES`) are left as they are.

    Returns:
        Whether anything was set; False for other C libraries.
    """
    if "GLIBC_TUNABLES" in os.environ or any(name.startswith("MALLOC_") for name in os.environ):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl, macOS, Windows
        return False
    settings = ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1), (M_TOP_PAD, 2**26))
    return all(mallopt(ctypes.c_int(name), ctypes.c_int(value)) for name, value in settings)
