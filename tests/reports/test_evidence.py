"""Figures of shipped configs as `recommend` reads them from results files."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from lit_landmarks.reports.evidence import (
    Evidence,
    Recipe,
    choose_key,
    collect_evidence,
    group_by_faces,
    read_recipe,
    without_data,
)
from lit_landmarks.reports.results import Column, Measurement, record

FIT = "python -m lit_landmarks fit"
METHODS = {"small", "large"}


def measurement(command: str, data: str, seed: int = 0, **values: float) -> Measurement:
    figures = {f"test/{name}/nme_interocular": value for name, value in values.items()}
    return Measurement(command, seed, data, "1a2b3c", "2026-01-31", "1 CPU core", figures)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    path = tmp_path / "results.yaml"
    few = "train mine (24 faces), val mine (6 faces)"
    many = "train helen (770 faces), train lfpw (1,230 faces), val helen (100 faces)"
    small = f"{FIT} --config configs/small.yaml --config configs/data/mine.yaml --run runs/a"
    rows = [
        ("small", [measurement(small, many, 0, afw=5.0), measurement(small, many, 1, afw=5.4)]),
        ("large", [measurement(f"{FIT} --config large --model.rank 8", many, afw=4.0, helen=3.0)]),
        ("few", [measurement(small, few, afw=9.0)]),
        ("started", [measurement(f"{small} --model.init_args.init_from x.ckpt", few, afw=8.0)]),
        ("other", [measurement("python -m lit_landmarks test --run runs/a", many, afw=1.0)]),
        ("own file", [measurement(f"{FIT} --config studies/best.yaml", many, afw=1.0)]),
    ]
    columns = [Column("NME", "test/afw/nme_interocular")]
    for label, runs in rows:
        record(runs, path, "table", label, columns)
    # The same with other data or augmentation is no further seed; nor is a figure that was rounded.
    for more, value in (("weights.helen 2", 6.0), ("augmentation.noise 0", 7.0)):
        changed = measurement(f"{small} --data.init_args.{more}", many, 0, afw=value)
        record([changed], path, "table", more, columns)
    record([measurement(f"{small} --data.init_args.root /data", many, 0, afw=5.0004)],
           path, "rounded", "small", columns)  # fmt: skip
    # Validation faces may be those that it learned from.
    overfit = Measurement(small, 0, many, "1", "2026", "1", {"val/helen/nme_interocular": 0.1})
    record([overfit], path, "overfit", "small", [Column("NME", "val/helen/nme_interocular")])
    # The same run in another table adds nothing.
    record(rows[0][1][:1], path, "again", "small", columns)
    return path


def test_fits_of_shipped_configs_are_evidence_and_nothing_else(results: Path) -> None:
    entries = collect_evidence([results], METHODS)
    assert {(e.recipe.configs[0], e.faces, e.pretrained) for e in entries} == {
        ("small", 2000, False),
        ("large", 2000, False),
        ("small", 24, False),
        ("small", 24, True),
    }
    alike = [e for e in entries if e.recipe.configs[0] == "small" and e.faces == 2000]
    assert [e.mean("test/afw/nme_interocular") for e in alike[1:]] == [6.0, 7.0]
    assert alike[2].recipe.settings == ("--data.init_args.augmentation.noise=0",)
    small = alike[0]
    assert small.trained_on == ("helen", "lfpw")
    assert small.mean("test/afw/nme_interocular") == pytest.approx(5.2)
    assert set(small.figures) == {"test/afw/nme_interocular"}
    assert math.isnan(small.mean("test/helen/nme_interocular"))
    large = next(e for e in entries if e.recipe.configs[0] == "large")
    assert large.recipe.settings == ("--model.rank=8",)


@pytest.mark.parametrize(("faces", "nearest"), [(1, 24), (200, 24), (240, 2000), (9999, 2000)])
def test_the_nearest_number_of_faces_is_so_by_its_ratio(
    faces: int, nearest: int, results: Path
) -> None:
    # Between 24 and 2000 the middle is 219.
    first, second = group_by_faces(collect_evidence([results], METHODS), faces)
    assert {entry.faces for entry in first} == {nearest}
    assert {entry.faces for entry in second} == {24, 2000} - {nearest}


def test_a_group_is_ranked_by_the_figure_that_most_of_it_has() -> None:
    recipe = Recipe(("small",))
    keys = ["test/a/nme_box", "test/b/nme_box", "test/a_detector/nme_box"]
    first = Evidence(recipe, "", 24, ("mine",), False, {key: {0: 1.0} for key in keys})
    second = Evidence(recipe, "", 24, ("mine",), False, {keys[1]: {0: 1.0}})
    assert choose_key([first, second], detector=False) == keys[1]
    assert choose_key([first, second], detector=True) == keys[2]
    assert choose_key([second], detector=True) == keys[1]


def test_a_recipe_keeps_settings_of_the_method_and_drops_folders_and_data() -> None:
    command = (
        f"{FIT} --config configs/small.yaml --config configs/data/mine.yaml"
        " --config configs/data/upright.yaml --run runs/a --trainer.max_epochs 60"
        " --trainer.accelerator cpu --wandb.mode disabled --model.init_args.rank=4"
    )
    found = read_recipe(command, METHODS)
    assert found is not None
    recipe = without_data(found[0], {"small": True, "data/mine": True, "data/upright": False})
    assert recipe == Recipe(
        ("small", "data/upright"), ("--trainer.max_epochs=60", "--model.init_args.rank=4")
    )
    assert without_data(found[0], {"small": True, "data/mine": True}) is None
    assert read_recipe(f"{command} && {FIT} --resume runs/a", METHODS) is None
