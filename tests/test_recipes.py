"""Recipes of CONTRIBUTING.md (scheme, convention, loss), followed: the files stated are enough."""

from __future__ import annotations

import contextlib
import csv
import filecmp
import io
import json
import re
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from lit_landmarks.cli import main
from lit_landmarks.methods import METHODS
from lit_landmarks.schemes import CONVENTIONS
from tests.support.configs import tiny_config

ROOT = Path(__file__).resolve().parents[1]

_SCHEME = '''
"""Four points of a mouth."""

from __future__ import annotations

from lit_landmarks.schemes.base import LandmarkScheme, flip_by_names, outline

NAMES = ("right_mouth_corner", "lip_top", "left_mouth_corner", "lip_bottom")
MOUTH4 = LandmarkScheme(
    name="mouth4",
    n_points=4,
    point_names=NAMES,
    flip=flip_by_names(NAMES),
    polylines={"mouth": outline(0, 3, closed=True)},
    eye_corners=(0, 2),
    pupil_groups=((0,), (2,)),
    contour=(),
    inner=(0, 1, 2, 3),
)
'''

_FACES = {
    "format": "lit_landmarks faces",
    "version": 1,
    "scheme": "mouth4",
    "convention": "my_photos",
    "faces": [
        {"image": "a.png", "points": [[10.0, 20.0], [20.0, 10.0], [30.0, 20.0], [20.0, 30.0]]}
    ],
}

#: Reads faces in the new scheme and convention.
_READ = """
from lit_landmarks.data import DATASETS
from lit_landmarks.schemes import CONVENTIONS, get_scheme
faces = DATASETS["JsonFaces"](root="faces")
print(faces.scheme, faces.convention, faces.index().points.shape, get_scheme("mouth4").flip)
print(",".join(CONVENTIONS))
"""

_LOSS = '''
def spread(points: Tensor) -> Tensor:
    """Mean distance from their middle of points (B, N, 2)."""
    return (points - points.mean(1, keepdim=True)).norm(dim=-1).mean()
'''


def counts() -> dict[str, str]:
    """What is added, by each recipe of CONTRIBUTING.md, and the files that the recipe states."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("## Recipes")[1]
    return dict(re.findall(r"^\d+\. \*\*(.+?): (.+?)\*\*", text, re.MULTILINE))


def changed_files(package: Path) -> set[str]:
    """Python files of a copy of the package that are new or differ from ours."""
    ours = ROOT / "lit_landmarks"
    names = {file.relative_to(package).as_posix() for file in package.rglob("*.py")}
    return {
        name
        for name in names
        if not (ours / name).is_file() or not filecmp.cmp(ours / name, package / name, False)
    }


def insert(file: Path, before: str, text: str) -> None:
    """Put text in front of the first place where `before` stands."""
    source = file.read_text(encoding="utf-8")
    assert before in source, f"{file} has no {before!r}"
    file.write_text(source.replace(before, text + before, 1), encoding="utf-8")


def test_every_recipe_states_its_files_and_names_its_docstring_and_test() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("## Recipes")[1]
    recipes = re.split(r"^\d+\. ", text, flags=re.MULTILINE)[1:]
    assert len(recipes) == len(counts()) == 10
    for recipe in recipes:
        paths = re.findall(r"`((?:lit_landmarks|tests)/[\w/]+\.py)`", recipe)
        assert {path.split("/")[0] for path in paths} == {"lit_landmarks", "tests"}, recipe
        assert all((ROOT / path).is_file() for path in paths), recipe


def run_with_package(folder: Path, code: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Output of code that imports the package of a folder; other packages stay imported."""
    ours = {name for name in sys.modules if name.partition(".")[0] == "lit_landmarks"}
    output = io.StringIO()
    with monkeypatch.context() as patch:
        patch.syspath_prepend(str(folder))
        patch.chdir(folder)
        kept = {name: sys.modules.pop(name) for name in ours}
        try:
            with contextlib.redirect_stdout(output):
                exec(code, {})
            assert Path(sys.modules["lit_landmarks"].__file__ or "").is_relative_to(folder)
        finally:
            for name in [n for n in sys.modules if n.partition(".")[0] == "lit_landmarks"]:
                del sys.modules[name]
            sys.modules.update(kept)
    return output.getvalue()


def test_a_scheme_and_a_convention_are_added_by_their_recipes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "lit_landmarks"
    shutil.copytree(
        ROOT / "lit_landmarks", package, ignore=shutil.ignore_patterns("__pycache__", "*.md")
    )
    assert not changed_files(package)

    insert(package / "schemes" / "conventions.py", ")\n\n\ndef ", '    "my_photos",\n')
    assert counts()["A convention"] == "1 file"
    assert changed_files(package) == {"schemes/conventions.py"}

    (package / "schemes" / "mouth4.py").write_text(_SCHEME.lstrip(), encoding="utf-8")
    registry = package / "schemes" / "registry.py"
    insert(registry, "from lit_landmarks.schemes.wflw98", "from .mouth4 import MOUTH4\n")
    insert(registry, "*(DENSE520,", "MOUTH4, ")
    assert counts()["A scheme"] == "2 files"
    assert changed_files(package) - {"schemes/conventions.py"} == {
        "schemes/mouth4.py",
        "schemes/registry.py",
    }

    (tmp_path / "faces").mkdir()
    (tmp_path / "faces" / "faces.json").write_text(json.dumps(_FACES), encoding="utf-8")
    (tmp_path / "faces" / "a.png").touch()
    faces, conventions = run_with_package(tmp_path, _READ, monkeypatch).splitlines()
    assert faces == "mouth4 my_photos (1, 4, 2) (2, 1, 0, 3)"
    assert conventions.split(",") == [*CONVENTIONS, "my_photos"]


def test_a_loss_is_added_by_its_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few_shapes: None
) -> None:
    module = tmp_path / "modules" / "method_with_spread.py"
    module.parent.mkdir()
    source = (ROOT / "tests" / "support" / "any_query.py").read_text(encoding="utf-8")
    module.write_text(source.replace("AnyQuery", "MethodWithSpread"), encoding="utf-8")
    insert(module, "\n\nclass MethodWithSpread", _LOSS)
    insert(
        module,
        "    def losses(",
        "    def loss_weights(self) -> dict[str, float]:\n        return {'spread': 0.25}\n\n",
    )
    insert(module, '{"l1": ', '{"spread": spread(prediction.points)} | ')
    assert counts()["A loss"] == "1 file"
    assert [file.name for file in module.parent.iterdir()] == ["method_with_spread.py"]

    monkeypatch.syspath_prepend(str(module.parent))
    config, run = tmp_path / "spread.yaml", tmp_path / "run"
    tree = {**tiny_config(), "model": {"class_path": "method_with_spread.MethodWithSpread"}}
    tree["data"]["init_args"]["scheme"] = None  # type: ignore[index]
    config.write_text(yaml.safe_dump(tree), encoding="utf-8")
    try:
        arguments = ["--config", str(config), "--run", str(run), "--trainer.max_epochs", "1"]
        assert main(["fit", *arguments]) == 0
    finally:
        METHODS.pop("MethodWithSpread", None)
        sys.modules.pop("method_with_spread", None)
    with (run / "metrics.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row.get("val/loss_spread")]
    assert len(rows) == 1
    total, l1, spread = (float(rows[0][f"val/loss{name}"]) for name in ("", "_l1", "_spread"))
    assert spread > 0
    assert total == pytest.approx(l1 + 0.25 * spread, rel=1e-5)
