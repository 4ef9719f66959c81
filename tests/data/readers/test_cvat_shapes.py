"""Shapes of CVAT that hold no point."""

from __future__ import annotations

import re
from pathlib import Path

from lit_landmarks.data import CvatXml
from tests.support.images import write_image


def test_a_shape_without_a_point_is_a_bad_row(tmp_path: Path) -> None:
    places = {"eye_r": "20,20", "eye_l": "40,20", "nose": "31,35", "chin": ""}
    shapes = "".join(f'<points label="{k}" points="{v}"/>\n' for k, v in places.items())
    (tmp_path / "annotations.xml").write_text(
        f'<annotations>\n<image id="3" name="a.png" width="64" height="64">\n{shapes}</image>'
        "</annotations>"
    )
    write_image(tmp_path / "a.png", 90)
    index, problems = CvatXml(str(tmp_path)).scan()
    assert len(index) == 1
    (problem,) = problems
    assert re.search(r"no point in <points>, .*annotations\.xml:6; set one", str(problem))
