"""A data set by its class name, or by the import path of a class of one's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from lit_landmarks.data import DATASETS
from lit_landmarks.errors import UserError
from lit_landmarks.settings.datasets import build_dataset

OWN = """
from lit_landmarks.data.synthetic import SyntheticFaces

class {name}(SyntheticFaces):
    '''Faces of one's own.'''
"""


@pytest.mark.parametrize(("module", "name"), [("own_faces", "OwnFaces"), ("lab_sets", "LabFaces")])
def test_a_class_of_ones_own(
    module: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / f"{module}.py").write_text(OWN.format(name=name))
    monkeypatch.syspath_prepend(tmp_path)
    try:
        dataset = build_dataset(f"{module}.{name}", ["--n", "3"])
        assert (type(dataset).__module__, type(dataset).__name__) == (module, name)
        assert len(dataset.index()) == 3
    finally:
        DATASETS.pop(name, None)


@pytest.mark.parametrize("name", ["no_such_module.Faces", "json.Faces", "NoFaces"])
def test_a_class_that_is_not_there(name: str) -> None:
    with pytest.raises(UserError, match="unknown data set"):
        build_dataset(name, [])
