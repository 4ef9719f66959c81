"""Training: comparing method and data, the run directory, callbacks, checkpoints and tracking.

`build` compares what a method needs with what the data brings; `fitting` runs one fit from the
first step to result.json; `run_directory` names every file that a fit leaves behind.
"""
