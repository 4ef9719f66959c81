"""COCO files with ids as text or given twice, and with boxes of another form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lit_landmarks.data import CocoKeypoints
from lit_landmarks.errors import UserError
from tests.support.images import write_image


def coco_faces(root: Path, **changes: Any) -> CocoKeypoints:
    """Six pictures with a face of four points each, and a COCO file of them."""
    root.mkdir(exist_ok=True)
    rows, images = [], []
    for k in range(6):
        write_image(root / f"{k}.png", 90, (120, 160))
        points = [(60, 40), (100 - k, 42), (80, 60 + k), (70, 85)]
        keypoints = [v for x, y in points for v in (x, y, 2)]
        row = {"id": k, "image_id": k, "category_id": 1, "keypoints": keypoints}
        rows.append(row | {"bbox": [55, 35, 50, 55]})
        images.append({"id": k, "file_name": f"{k}.png", "width": 160, "height": 120})
    category = {"id": 1, "name": "four", "keypoints": ["a", "b", "c", "d"]}
    tables = {"images": images, "annotations": rows, "categories": [category]}
    for key, change in changes.items():
        tables[key] = [row | change(k, row) for k, row in enumerate(tables[key])]
    (root / "x.json").write_text(json.dumps(tables))
    return CocoKeypoints(str(root))


def test_numbers_of_coco_as_text(tmp_path: Path) -> None:
    data = coco_faces(
        tmp_path,
        images=lambda k, row: {"id": str(k)},
        categories=lambda k, row: {"id": "1"},
    )
    assert [Path(path).name for path in data.index().paths] == [f"{k}.png" for k in range(6)]


@pytest.mark.parametrize("number", [0, "7", None])
def test_pictures_of_one_number_are_refused(tmp_path: Path, number: Any) -> None:
    data = coco_faces(tmp_path, images=lambda k, row: {"id": number if k in (0, 3) else k})
    with pytest.raises(UserError, match=r"'0.png' and '3.png' have one id, .*images\[3\]; give"):
        data.index()


@pytest.mark.parametrize(
    ("box", "form"),
    [
        ([55, 35, 105, 90], "x0, y0, x1, y1"),
        ([80, 62, 50, 55], "center x, center y, width, height"),
        ([35, 55, 55, 50], "y"),
    ],
)
def test_boxes_of_another_form_in_coco(tmp_path: Path, box: list[int], form: str) -> None:
    data = coco_faces(tmp_path, annotations=lambda k, row: {"bbox": box})
    message = rf"(look like {form}|holds \d of 4|does not meet).*(write|ground_truth)"
    with pytest.raises(UserError, match=message) as error:
        data.index()
    assert "write x0" not in str(error.value)
    data.boxes = "ground_truth"
    assert len(data.index()) == 6
