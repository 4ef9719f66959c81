"""Makers that the tests of several rooms share: pictures, argument files, sweep files."""
