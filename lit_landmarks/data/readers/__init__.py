"""One module per on-disk format; each holds a `FaceDataset`.

Shared: `common` (paths that stay in the folder, boxes, selection), `mat5` (MATLAB files up to
version 7) and `hdf5` (version 7.3), which refuse every damaged file with one `UserError`.
"""
