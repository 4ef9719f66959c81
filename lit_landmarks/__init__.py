"""Facial landmark detection under a compute budget."""

__version__ = "0.2.0"
