"""Overriding settings as text, and the command that repeats a request."""

from __future__ import annotations

import shlex
from pathlib import Path

from lit_landmarks.settings import read_request
from lit_landmarks.settings.arguments import split_overrides, to_arguments


def test_overrides_and_arguments() -> None:
    given = {"a.b": 3, "c": None, "d": [1, 2], "e": "x: y", "f": {"g": 0.5}, "h": True}
    arguments = to_arguments(given)
    assert arguments == ["--a.b=3", "--c=null", "--d=[1, 2]", "--e=x: y", "--f={g: 0.5}",
                         "--h=true"]  # fmt: skip
    assert to_arguments(arguments) == arguments
    assert split_overrides(arguments)["f"] == "{g: 0.5}"


def test_values_follow_their_keys_and_the_last_one_counts() -> None:
    texts = split_overrides(["--a", "1", "--flag", "--b=2", "stray", "--a=-3"])
    assert texts == {"a": "-3", "flag": "true", "b": "2"}


def test_a_request_tells_its_command() -> None:
    arguments = ["--config", "a b.yaml", "--run", "r", "--trainer.max_epochs=1"]
    request = read_request("fit", arguments)
    assert request.configs == [Path("a b.yaml")]
    assert shlex.split(request.command()) == ["python", "-m", "lit_landmarks", "fit", *arguments]
