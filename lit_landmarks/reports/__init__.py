"""Comparing runs: results files and README tables, tables of runs, curves, W&B reports."""
