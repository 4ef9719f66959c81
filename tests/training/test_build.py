"""What a method needs against what data brings; seeds by epoch."""

from __future__ import annotations

import random
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from lit_landmarks.data import LandmarkDataModule, SyntheticFaces
from lit_landmarks.errors import UserError
from lit_landmarks.methods.musica import MuSiCa
from lit_landmarks.schemes import SCHEMES, read_scheme, register_scheme
from lit_landmarks.training.build import (
    check_needs,
    connect,
    describe_unlisted_conventions,
    describe_unplaced_points,
)
from lit_landmarks.training.callbacks import (
    EpochSeed,
    format_epoch,
    make_best_checkpoint,
    monitor_mode,
)
from lit_landmarks.types import DatasetSpec, DataSpec, Needs
from tests.support.toys import OffsetPerConvention

HELEN = DatasetSpec("helen", "train", "ibug68", "300w", "interocular", 10)
SPEC = DataSpec("ibug68", 68, 128, "tight", (HELEN,))


def test_enough_is_enough() -> None:
    check_needs("M", Needs(), SPEC)
    # POSIT makes a pose wherever there is a mean face.
    check_needs("M", Needs(labels=frozenset({"pose"}), frame="tight", statistics=True), SPEC)
    rich = replace(HELEN, labels=frozenset({"visible"}))
    check_needs("M", Needs(labels=frozenset({"visible"})), replace(SPEC, datasets=(HELEN, rich)))


@pytest.mark.parametrize(
    ("needs", "spec", "told"),
    [
        (Needs(labels=frozenset({"visible"})), SPEC, ["M", "visible", "helen", "add a set"]),
        (Needs(frame="wide"), SPEC, ["M", "wide", "helen", "tight", "data.init_args.frame"]),
        (Needs(), replace(SPEC, scheme=None), ["M", "helen", "data.init_args.scheme"]),
    ],
)
def test_a_mismatch_names_both(needs: Needs, spec: DataSpec, told: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        check_needs("M", needs, spec)
    assert all(word in str(caught.value) for word in told)


def test_only_training_sets_count() -> None:
    rich = replace(HELEN, name="synthetic", role="val", labels=frozenset({"visible"}))
    with pytest.raises(UserError, match="visible"):
        check_needs(
            "M", Needs(labels=frozenset({"visible"})), replace(SPEC, datasets=(HELEN, rich))
        )


def drawn(seed: int, epoch: int) -> tuple[float, float]:
    states = random.getstate(), np.random.get_state()
    try:
        EpochSeed(seed).on_train_epoch_start(cast(Any, SimpleNamespace(current_epoch=epoch)), None)  # type: ignore[arg-type]
        return random.random(), float(np.random.rand())
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])


def test_generators_follow_seed_and_epoch_alone() -> None:
    assert drawn(1, 2) == drawn(1, 2)
    assert len({drawn(seed, epoch) for seed in range(3) for epoch in range(3)}) == 9


def test_direction_comes_from_the_metric(tmp_path: Any) -> None:
    assert make_best_checkpoint(tmp_path).mode == "min"
    assert monitor_mode("val/helen/auc10_interocular") == "max"


def test_line_of_an_epoch() -> None:
    metrics = {"train/loss": 0.12345, "val/nme": 5.6789, "lr-AdamW": 1.0}
    trainer = SimpleNamespace(current_epoch=2, max_epochs=40, callback_metrics=metrics)
    line = format_epoch(cast(Any, trainer), 12.34)
    assert line == "epoch 3/40  loss 0.1235  val/nme 5.679  12.3 s"


def test_a_convention_that_the_correction_does_not_list_is_said() -> None:
    correction = OffsetPerConvention(conventions=["300w", "wflw"])
    method = MuSiCa.tiny(correction=correction)
    spec = LandmarkDataModule(
        train={"heads": SyntheticFaces(n=2)}, val={"more": SyntheticFaces(n=2)}, frame_size=64
    ).spec
    (line,) = describe_unlisted_conventions(method, spec)
    assert line.startswith("train/heads, val/more: convention synthetic_visible is not in")
    assert line.endswith("it is answered as 300w, the reference")
    assert describe_unlisted_conventions(MuSiCa.tiny(), spec) == ()


def test_points_without_a_place_on_the_template_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lit_landmarks.schemes.registry.SCHEMES", dict(SCHEMES))
    for name, points in (("one", ["nose_tip", "mole", "scar"]), ("none", ["mole", "scar"])):
        register_scheme(read_scheme({"name": name, "points": points}, "here"))
    asked, fixed = (cast(Any, SimpleNamespace(asks_each_set=asks)) for asks in (True, False))
    spec = replace(SPEC, scheme=None, datasets=(HELEN, replace(HELEN, name="mine", scheme="one")))
    (line,) = describe_unplaced_points(asked, spec)
    assert line.startswith("train/mine: 2 of 3 points have no place on the template (mole, scar)")
    assert describe_unplaced_points(fixed, spec) == ()
    spec = replace(spec, datasets=(replace(HELEN, name="mine", scheme="none"),))
    data = cast(Any, SimpleNamespace(spec=spec, sets={"train": {"mine": None}, "val": {"mine": 0}}))
    with pytest.raises(UserError, match=r"no point of train/mine \(scheme none\) has a place"):
        connect(asked, data, "fit")
