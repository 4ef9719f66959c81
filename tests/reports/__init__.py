"""A package, so that tests share the made-up runs of conftest.py."""
