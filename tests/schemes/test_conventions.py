"""The list of conventions is part of the checkpoint format: names may be appended, never moved."""

from __future__ import annotations

import pytest

from lit_landmarks.errors import UserError
from lit_landmarks.schemes import CONVENTIONS, convention_index


def test_order_of_stored_names_is_frozen() -> None:
    assert CONVENTIONS[:6] == ("300w", "wflw", "cofw", "aflw", "merl_rav", "300w_lp")
    assert CONVENTIONS[6:10] == ("lapa", "face_synthetics", "youtube_faces", "position_map")
    assert CONVENTIONS[10:13] == ("synthetic_visible", "synthetic_3d", "custom")
    assert len(set(CONVENTIONS)) == len(CONVENTIONS)


def test_index_and_unknown_name() -> None:
    assert [convention_index(name) for name in CONVENTIONS] == list(range(len(CONVENTIONS)))
    with pytest.raises(UserError, match="'300W'; known: 300w"):
        convention_index("300W")
