"""Trained methods as files for other runtimes: ONNX and LiteRT, checked against PyTorch.

README.md beside this module says what a file holds and how to run it.
"""
