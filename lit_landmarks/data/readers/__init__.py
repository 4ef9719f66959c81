"""One module per on-disk format; each holds a `FaceDataset`."""
