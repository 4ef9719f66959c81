"""What is reported of an exception: its first line, or its class."""

from __future__ import annotations

import pytest

from lit_landmarks.errors import first_line


@pytest.mark.parametrize(
    ("error", "line", "named"),
    [
        (ValueError("one\ntwo"), "one", "ValueError: one"),
        (ValueError("\n  one \ntwo"), "one ", "ValueError: one "),
        (ValueError(""), "ValueError", "ValueError"),
        (KeyError("a"), "'a'", "KeyError: 'a'"),
    ],
)
def test_first_line(error: Exception, line: str, named: str) -> None:
    assert first_line(error) == line
    assert first_line(error, named=True) == named
