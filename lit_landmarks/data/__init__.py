"""Faces in, batches out: readers, synthetic faces, cache, mixing and the batch transform.

The way of a face: reader -> `FaceIndex` -> source crops on disk (`cache`) -> `ConcatFaces` ->
`SourceBatch` -> to the device -> `BatchTransform` -> `FaceBatch`. A photo with face boxes takes the
same way through `cut_faces`. `index` has the recipe for a new data set.
"""

from lit_landmarks.advertisements import silence_advertisements
from lit_landmarks.data.augment import Augmentation, AugmentationParams
from lit_landmarks.data.batch import SourceBatch
from lit_landmarks.data.check import CheckReport, check_dataset
from lit_landmarks.data.framing import cut_faces
from lit_landmarks.data.ict import IctFaces
from lit_landmarks.data.index import DATASETS, FaceDataset, FaceIndex
from lit_landmarks.data.module import LandmarkDataModule
from lit_landmarks.data.readers import import_readers
from lit_landmarks.data.readers.aflw import Aflw19
from lit_landmarks.data.readers.aflw2000 import Aflw2000
from lit_landmarks.data.readers.coco import CocoKeypoints
from lit_landmarks.data.readers.cofw import Cofw, Cofw68
from lit_landmarks.data.readers.cvat_xml import CvatXml
from lit_landmarks.data.readers.dlib_xml import DlibXml
from lit_landmarks.data.readers.face_synthetics import FaceSynthetics
from lit_landmarks.data.readers.ibug import Ibug300W
from lit_landmarks.data.readers.json_faces import JsonFaces
from lit_landmarks.data.readers.labelme import LabelMe
from lit_landmarks.data.readers.lapa import LaPa
from lit_landmarks.data.readers.lp300w import Lp300W
from lit_landmarks.data.readers.merl_rav import MerlRav
from lit_landmarks.data.readers.position_maps import PositionMaps
from lit_landmarks.data.readers.wflw import Wflw
from lit_landmarks.data.readers.youtube_faces import YouTubeFaces
from lit_landmarks.data.synthetic import DisplacedFaces, SyntheticFaces
from lit_landmarks.data.tracks import IctTracks, SyntheticTracks
from lit_landmarks.data.transform import BatchTransform

import_readers()
silence_advertisements()

__all__ = [
    "DATASETS",
    "Aflw19",
    "Aflw2000",
    "Augmentation",
    "AugmentationParams",
    "BatchTransform",
    "CheckReport",
    "CocoKeypoints",
    "Cofw",
    "Cofw68",
    "CvatXml",
    "DisplacedFaces",
    "DlibXml",
    "FaceDataset",
    "FaceIndex",
    "FaceSynthetics",
    "Ibug300W",
    "IctFaces",
    "IctTracks",
    "JsonFaces",
    "LaPa",
    "LabelMe",
    "LandmarkDataModule",
    "Lp300W",
    "MerlRav",
    "PositionMaps",
    "SourceBatch",
    "SyntheticFaces",
    "SyntheticTracks",
    "Wflw",
    "YouTubeFaces",
    "check_dataset",
    "cut_faces",
]
