"""Lightning's advertisements, which it logs when a trainer is made, are left out."""

from __future__ import annotations

import logging

#: Loggers through which Lightning speaks; each also hands its own handler what its children say.
_LOGGERS = (
    "lightning.pytorch",
    "lightning.fabric",
    "lightning.pytorch.utilities.rank_zero",
    "lightning.fabric.utilities.rank_zero",
    "lightning_utilities.core.rank_zero",
)


def is_advertisement(record: logging.LogRecord) -> bool:
    """Whether a message recommends a product; Lightning marks these as tips."""
    text = record.getMessage()
    return "Tip:" in text and "try installing" in text


def _passes(record: logging.LogRecord) -> bool:
    return not is_advertisement(record)


def silence_advertisements() -> None:
    """Filters advertisements out of Lightning's loggers, once; all other messages pass.

    Call it after Lightning is imported: its import makes the handlers.
    """
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        for place in (logger, *logger.handlers):
            if _passes not in place.filters:
                place.addFilter(_passes)
