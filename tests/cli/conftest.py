"""A fit that takes seconds: six rendered faces of 32 pixels, three steps an epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from lit_landmarks.cli import main
from lit_landmarks.methods import METHODS
from tests.support.configs import Tree, quick_config, tiny_config


@pytest.fixture(scope="session", autouse=True)
def _quick(few_shapes: None) -> None:
    """Every fit of this room measures few shapes."""


@pytest.fixture(scope="module", autouse=True)
def _registry() -> Iterator[None]:
    """Tests that walk the registry do not meet the methods of the tests here."""
    before = dict(METHODS)
    yield
    METHODS.clear()
    METHODS.update(before)


@pytest.fixture(scope="module")
def tree() -> Tree:
    """The settings, for modules that change them."""
    return tiny_config()


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, for tests that only read it."""
    folder = tmp_path_factory.mktemp("finished")
    config = folder / "tiny.yaml"
    config.write_text(yaml.safe_dump(tiny_config()))
    assert main(["fit", "--config", str(config), "--run", str(folder / "run")]) == 0
    return folder / "run"


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """The settings as a file."""
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(tiny_config()))
    return path


@pytest.fixture
def quick(tmp_path: Path) -> Path:
    """Settings as a file of a fit whose network does not matter."""
    path = tmp_path / "quick.yaml"
    path.write_text(yaml.safe_dump(quick_config()))
    return path


@pytest.fixture
def complaint(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command that must fail as bad input does, and gives its one line."""

    def run(*arguments: object) -> str:
        capsys.readouterr()
        status = main([str(a) for a in arguments])
        streams = capsys.readouterr()
        assert status == 2, streams.err
        lines = streams.err.strip().splitlines()
        assert len(lines) == 1, streams.err
        assert lines[0].startswith("error: ")
        assert "usage:" not in streams.out
        return lines[0]

    return run
