"""Elementwise products are a figure that verbs tell and studies limit."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from lit_landmarks.cli import main
from lit_landmarks.methods import METHODS
from tests.support.configs import tiny_config

#: 68 points of two coordinates, a product for each number of a 32 px picture; then their scale.
GATED = (68 * 2 * 3 * 32 * 32 + 68 * 2) / 1e6


@pytest.fixture(autouse=True)
def _registry() -> Iterator[None]:
    before = dict(METHODS)
    yield
    METHODS.clear()
    METHODS.update(before)


def write_config(folder: Path, name: str) -> Path:
    tree = tiny_config()
    tree["model"] = {"class_path": f"tests.support.gated.{name}"}
    tree["data"]["init_args"]["frame_size"] = 32
    tree["trainer"]["max_epochs"] = 1
    file = folder / "gated.yaml"
    file.write_text(yaml.safe_dump(tree))
    return file


def test_a_method_of_elementwise_products_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, run = write_config(tmp_path, "Gated"), tmp_path / "run"
    notice = "note: 0.4 MMA of elementwise products, 100 % of the whole, are not in compute/mma"
    assert main(["profile", "--config", str(file), "--repeats", "0"]) == 0
    assert notice in capsys.readouterr().out
    assert main(["fit", "--config", str(file), "--run", str(run)]) == 0
    assert notice in capsys.readouterr().out
    metrics = json.loads((run / "result.json").read_text())["metrics"]
    assert metrics["compute/mma_elementwise"] == pytest.approx(GATED)
    assert metrics["compute/mma"] == 0


@pytest.mark.parametrize(("limit", "trained"), [(GATED * 0.99, 0), (GATED * 1.01, 1)])
def test_a_study_limits_elementwise_products(tmp_path: Path, limit: float, trained: int) -> None:
    write_config(tmp_path, "Gated")
    sweep = {
        "name": "gated",
        "base": ["gated.yaml"],
        "trials": 1,
        "constraints": [f"compute/mma_elementwise <= {limit}"],
        "space": {"model.init_args.optimizer.init_args.lr": {"float": [1e-4, 1e-2], "log": True}},
    }
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(sweep))
    study = tmp_path / "study"
    assert main(["sweep", "run", str(tmp_path / "sweep.yaml"), "--study", str(study)]) == 0
    assert len(list(study.glob("trials/*/result.json"))) == trained


def test_an_operator_of_unknown_cost_is_refused_before_training(
    tmp_path: Path, complaint: Callable[..., str]
) -> None:
    file, run = write_config(tmp_path, "Exponential"), tmp_path / "run"
    told = "'aten::linalg_matrix_exp' are unknown; register a formula"
    assert told in complaint("profile", "--config", file, "--repeats", "0")
    assert told in complaint("fit", "--config", file, "--run", run)
    assert not run.exists()
