"""Makers and toys that the tests of several rooms share."""
