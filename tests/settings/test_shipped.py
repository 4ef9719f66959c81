"""Shipped argument and sweep files are found by name; an existing path wins."""

from __future__ import annotations

from pathlib import Path

import pytest

from lit_landmarks.errors import UserError
from lit_landmarks.search import read_sweep
from lit_landmarks.settings import compose, shipped

ROOT = Path(shipped.__file__).parents[2]


def test_a_checkout_has_its_configs_and_sweeps_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert shipped.find_file(Path("asmnet"), "configs") == ROOT / "configs" / "asmnet.yaml"
    assert shipped.find_file(Path("asmnet.yaml"), "configs") == ROOT / "configs" / "asmnet.yaml"
    nested = ROOT / "configs" / "data" / "helen_afw.yaml"
    assert shipped.find_file(Path("data/helen_afw"), "configs") == nested
    assert "data/helen_afw" in shipped.shipped_names("configs")
    assert read_sweep(Path("smoke")).file == ROOT / "sweeps" / "smoke.yaml"
    tree = compose([Path("asmnet"), Path("data/synthetic")]).tree
    assert tree["model"]["class_path"].endswith("ASMNet")
    assert "train" in tree["data"]["init_args"]


def test_an_existing_path_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("asmnet").write_text("trainer: {max_epochs: 7}\n")
    assert shipped.find_file(Path("asmnet"), "configs") == Path("asmnet")
    assert compose([Path("asmnet")]).tree == {"trainer": {"max_epochs": 7}}
    for path in (Path("../asmnet"), tmp_path / "mobilenet"):
        assert shipped.find_file(path, "configs") == path


def test_an_installed_package_has_copies_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site-packages" / "lit_landmarks"
    copy = package / "_shipped" / "configs" / "data" / "own.yaml"
    copy.parent.mkdir(parents=True)
    copy.write_text("trainer: {max_epochs: 3}\n")
    # A folder of that name beside the package is not ours.
    (tmp_path / "site-packages" / "configs").mkdir()
    monkeypatch.setattr(shipped, "_PACKAGE", package)
    assert shipped.shipped_names("configs") == ["data/own"]
    assert shipped.shipped_names("sweeps") == []
    assert compose([Path("data/own")]).tree == {"trainer": {"max_epochs": 3}}
    (package.parent / "pyproject.toml").touch()
    mine = package.parent / "configs" / "data" / "own.yaml"
    mine.parent.mkdir()
    mine.write_text("trainer: {max_epochs: 4}\n")
    assert shipped.find_file(Path("data/own"), "configs") == mine, "a checkout's own file first"


@pytest.mark.parametrize(
    ("name", "hint"),
    [("asmnt", "did you mean asmnet or "), ("helen_afw", "data/helen_afw"), ("zzz", "or one of ")],
)
def test_the_error_lists_near_names(name: str, hint: str) -> None:
    with pytest.raises(UserError, match="no such file: " + name) as caught:
        compose([Path(name)])
    assert hint in str(caught.value)


def test_a_sweep_that_is_not_there() -> None:
    with pytest.raises(UserError, match=r"no sweep file smok; did you mean smoke\?"):
        read_sweep(Path("smok"))
