"""The table of sweep-file keys in README.md, for `sweep --help`."""

from __future__ import annotations

import re
from pathlib import Path

README = Path(__file__).with_name("README.md")


def describe_keys() -> str:
    """Describes the keys of a sweep file, a line `key  meaning` for each."""
    rows = re.findall(r"^\| `([^`]+)` \| (.+?) \|$", README.read_text(encoding="utf-8"), re.M)
    return "\n".join(f"  {key:<12}  {meaning.replace('`', '')}" for key, meaning in rows)
