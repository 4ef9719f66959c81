"""Writes the table of mean faces, `mean_faces.json`, from the template head.

    python -m lit_landmarks.template.write_mean_faces

Numbers are the shortest decimals that read back as the same float32.
"""

from __future__ import annotations

import json

from torch import Tensor

from lit_landmarks.errors import UserError
from lit_landmarks.files import write_atomic
from lit_landmarks.schemes import SCHEMES, is_built_in
from lit_landmarks.template.mean_face import TABLE, mean_face_of_head, query_points_of_head


def mean_faces_json() -> str:
    """The table as text: a scheme's points one a row."""
    tables: dict[str, list[str]] = {"neutral": [], "parted": []}
    for name in sorted(filter(is_built_in, SCHEMES)):
        try:
            tables["neutral"].append(_scheme_json(name, mean_face_of_head(name)))
            tables["parted"].append(_scheme_json(name, query_points_of_head(name)))
        except UserError:
            continue  # a scheme whose points have no place on the head
    parts = [f"{json.dumps(key)}: {{\n" + ",\n".join(rows) + "\n}" for key, rows in tables.items()]
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _scheme_json(name: str, points: Tensor) -> str:
    rows = ",\n".join(f"[{', '.join(str(value) for value in row)}]" for row in points.numpy())
    return f"{json.dumps(name)}: [\n{rows}\n]"


if __name__ == "__main__":
    write_atomic(TABLE, mean_faces_json())
    print(f"wrote {TABLE}")
