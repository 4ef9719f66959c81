"""The part of README.md that explains the keys of a sweep file, for `sweep --help`."""

from __future__ import annotations

import re
from pathlib import Path

README = Path(__file__).with_name("README.md")


def keys_help() -> str:
    """The table of keys as text: `key  meaning`, wrapped rows below."""
    rows = re.findall(r"^\| `([^`]+)` \| (.+?) \|$", README.read_text(encoding="utf-8"), re.M)
    return "\n".join(f"  {key:<12}  {meaning.replace('`', '')}" for key, meaning in rows)
