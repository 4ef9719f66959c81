"""Blocks of memory that a process of the command line keeps."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

_FREE_100_MB = """
from lit_landmarks.cli.allocator import keep_freed_memory
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
done = keep_freed_memory()
block = b"x" * 100_000_000
del block
print(done, resident() > 90_000_000)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
@pytest.mark.parametrize(
    ("setting", "answer"), [({}, "True True"), ({"MALLOC_MMAP_MAX_": "65536"}, "False False")]
)
def test_a_freed_block_stays_with_the_process(setting: dict[str, str], answer: str) -> None:
    own = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    own.pop("GLIBC_TUNABLES", None)
    done = subprocess.run(
        [sys.executable, "-c", _FREE_100_MB],
        env=own | setting,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == answer
