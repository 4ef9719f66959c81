"""COCO keypoints, written: `data convert --layout coco`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from lit_landmarks.data.index import FaceIndex
from lit_landmarks.schemes import LandmarkScheme

_DECIMALS = 4


def coco_text(
    index: FaceIndex,
    images: Sequence[str],
    sizes: Mapping[str, tuple[int, ...]],
    scheme: LandmarkScheme,
) -> str:
    """The text of a COCO file of keypoints.

    Coordinates count from 0 at the centre of the first pixel. Visibility is 0 for a point that is
    not annotated (x = y = 0), 1 for an occluded or self-occluded one, and 2 for any other.

    Args:
        index: n faces.
        images: n names of their pictures, relative to the file.
        sizes: name -> width and height in pixels.
        scheme: whose point names and polylines become keypoints and skeleton of the one category.
    """
    numbers = {name: k for k, name in enumerate(sizes, start=1)}
    pictures = [
        {"id": k, "file_name": name, "width": int(sizes[name][0]), "height": int(sizes[name][1])}
        for name, k in numbers.items()
    ]
    skeleton = [
        [a + 1, b + 1]
        for indices, closed in scheme.polylines.values()
        for a, b in zip(indices, indices[1:] + indices[: int(closed)], strict=False)
    ]
    category = {
        "id": 1,
        "name": scheme.name,
        "supercategory": "face",
        "keypoints": list(scheme.point_names),
        "skeleton": skeleton,
    }
    annotations = [
        json.dumps(
            {"id": row + 1, "image_id": numbers[image], "category_id": 1, **_face(index, row)},
            allow_nan=False,
        )
        for row, image in enumerate(images)
    ]
    head = {"info": {"description": scheme.source}, "images": pictures, "categories": [category]}
    opening = json.dumps(head, indent=1, allow_nan=False).removesuffix("\n}")
    return f'{opening},\n "annotations": [\n' + ",\n".join(annotations) + "\n]}\n"


def _face(index: FaceIndex, row: int) -> dict[str, Any]:
    keypoints: list[float] = []
    for k, (x, y) in enumerate(index.points[row].tolist()):
        if not index.mask[row, k]:
            keypoints += [0, 0, 0]
            continue
        occluded = index.visible is not None and int(index.visible[row, k]) in (0, 2)
        keypoints += [round(x, _DECIMALS), round(y, _DECIMALS), 1 if occluded else 2]
    x0, y0, x1, y1 = index.box[row].tolist()
    box = [round(v, _DECIMALS) for v in (x0, y0, x1 - x0, y1 - y0)]
    return {
        "keypoints": keypoints,
        "num_keypoints": int(index.mask[row].sum()),
        "bbox": box,
        "area": round(box[2] * box[3], _DECIMALS),
        "iscrowd": 0,
    }
