"""Facial landmark detection under a compute budget: five methods, one suite."""

__version__ = "0.1.0"
