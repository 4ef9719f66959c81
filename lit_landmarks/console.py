"""The console that verbs, studies and callbacks print to."""

from __future__ import annotations

from rich.console import Console


def plain_console() -> Console:
    """A console that colors no numbers or paths, and leaves long lines whole."""
    return Console(highlight=False, soft_wrap=True)
