"""The consoles that verbs, studies and callbacks print to.

Both print text as it is: a path may hold `[v2]` or `:x:`, which rich would take for markup.
"""

from __future__ import annotations

from typing import Any

from rich.console import Console


def literal_console(**options: Any) -> Console:
    """A console for tables, whose texts are no markup.

    Args:
        **options: of `rich.console.Console`.
    """
    return Console(markup=False, emoji=False, **options)


def plain_console() -> Console:
    """A console that colors no numbers or paths, and leaves long lines whole."""
    return literal_console(highlight=False, soft_wrap=True)
