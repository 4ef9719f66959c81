"""Colors of plots and charts."""

from __future__ import annotations

#: Series colors that stay apart for color-blind readers: the hues of Okabe and Ito's set without
#: yellow, darkened until each has a contrast of 3 to white (WCAG 1.4.11).
COLORS = ("#0072b2", "#d55e00", "#00825e", "#b5548e", "#2e92c4", "#b87400", "#333333")
#: Text and tick labels, axes and uncolored series, grid lines.
INK, GREY, RULE = "#5b6676", "#8d97a5", "#dde2e9"
#: How many series have a color of their own.
PALETTE_SIZE = len(COLORS)
