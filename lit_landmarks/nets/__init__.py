"""Torch parts that more than one method uses. Pure torch: no Lightning, no data."""
