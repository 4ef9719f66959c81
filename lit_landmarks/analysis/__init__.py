"""Analysis of a trained method: early exit, failures, attention, stability, conventions.

Early exit and failures:

    batches.py            faces of a role, batch by batch, with a progress bar
    records.py            predicted and true error of every face after every stage
    thresholds.py         exit thresholds for a wanted cost or NME
    failures.py           failure detection by the predicted error
    cross_fit.py          faces reported by thresholds that were chosen without them
    target_cost.py        thresholds written into a checkpoint, at the end of a fit or on demand
    calibration.py        `analyse calibrate`: thresholds, figures per data set, tables and plot
    tradeoff.py           `analyse tradeoff`: NME against cost, with and without early exit

Attention of a method:

    attention.py          importance of the patches of a cascade, against human fixations
    reliability.py        whether attention tells which landmarks can be trusted

Stability of landmarks:

    stability.py          jitter on still faces; flicker, acceleration and NMF on tracks
    video_stability.py    motion and jitter on a video without labels
    face_boxes.py         boxes of one face in a video

Shape and annotation:

    framing.py            what a normalizer undoes of shifts, scale and turns
    mean_shape.py         the mean face fitted to 2D points, against a predicted 3D shape
    conventions.py        where annotation conventions disagree on the template
    placement.py          a new scheme's points on the template, from a few labelled pictures
    label_shift.py        how far labels lie to one side of where mirror images agree
"""
