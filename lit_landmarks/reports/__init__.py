"""Comparing runs: results files and README tables, tables of runs, curves, W&B reports.

What `compare` shows goes through these, each of which knows only the ones above it:

    entries.py            a run, a trial or a W&B run as an `Entry`; a study as a `StudyRecord`
    wandb_runs.py         entries of a W&B project
    compare.py            rows, columns, the best of each, settings that differ, CSV and JSON
    compare_charts.py     the charts, as data
    face_pictures.py      the worst, typical and best faces of the runs, for the page
    compare_terminal.py   on a terminal
    page.py               as one HTML file: `assets/page.html.j2`, its style and its script
    wandb_report.py       as a W&B report (extra `wandb-report`)
    study_run.py          what a study leaves when it ends: pictures and its own W&B run

Adding a chart (1 file): a function in `compare_charts.py` that gives a `draw.chart.Drawing`, or
None where there is nothing to draw, and its call in `all_charts`. Page, PNGs and tests follow.
"""
