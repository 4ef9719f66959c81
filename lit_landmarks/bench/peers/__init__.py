r"""Landmark models of others beside ours, `python -m lit_landmarks bench peers`.

    models.py     which models there are, how they are run, and what their boxes and points are
    worker.py     the process that answers for MediaPipe or dlib, in an interpreter of its own
    face_api.cjs  the process that answers for face-api, in Node.js
    processes.py  processes, their pipes, and the core that all share
    figures.py    errors, times and sizes
    fitting.py    boxes and points that serve a model best

Adding a model: a class in `worker.py` and its line in `models.PEERS`, whose mapping comes from

    python -m lit_landmarks bench peers --fit --peer NAME \
        --root $LIT_LANDMARKS_DATA/300w/helen/trainset --first 300
"""
