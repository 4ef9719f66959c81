"""Faces in, batches out: readers, synthetic faces, cache, mixing and the batch transform."""

from lit_landmarks.data.index import DATASETS, FaceDataset, FaceIndex

__all__ = ["DATASETS", "FaceDataset", "FaceIndex"]
