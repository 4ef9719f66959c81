"""Measurements of the suite itself and of peers.

    data.py       making batches, beside a training step and beside albumentations + OpenCV
    cache.py      caching source crops, beside decoding the same JPEG files
    cascade.py    time that an early exit saves
    sweep.py      cost of a study beside its fits
    samplers.py   one study by several samplers
    detectors.py  face detectors: faces found, boxes against landmarks, time
    peers/        landmark models of others beside ours: error, time, size
    golden.py     published figures of stored predictions, `python -m lit_landmarks.bench.golden`

Anything of the command line that a measurement runs is handed in by `cli`, which stands above.
"""
