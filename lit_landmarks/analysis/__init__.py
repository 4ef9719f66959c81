"""Analysis of a trained method: early exit, failure detection, patch attention.

Each module knows only the ones above it:

    batches.py       faces of a role, batch by batch, with a progress bar
    records.py       predicted and true error of every face after every stage
    thresholds.py    exit thresholds for a wanted cost or NME
    failures.py      failure detection by the predicted error
    target_cost.py   thresholds written into a checkpoint, at the end of a fit or on demand
    attention.py     importance of the patches of a cascade
    calibration.py   `analyse calibrate`: thresholds, figures per data set, tables and plot
    tradeoff.py      `analyse tradeoff`: NME against cost, with and without early exit
"""
