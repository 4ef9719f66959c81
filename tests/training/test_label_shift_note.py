"""The line that tells of labels which lie to one side."""

from __future__ import annotations

from lit_landmarks.nets.label_shift import LabelShift, LabelShiftOptions
from lit_landmarks.training.label_shift import describe_label_shift
from lit_landmarks.types import DatasetSpec, DataSpec

SETS = (
    DatasetSpec("helen", "val", "ibug68", "300w", "interocular", 100),
    DatasetSpec("hard", "val", "ibug68", "wflw", "interocular", 100),
    DatasetSpec("few", "val", "ibug68", "300w", "interocular", 8),
)
SPEC = DataSpec("ibug68", 68, 128, "tight", SETS)


def figures(*, nme: float = 2.0, **shifts: float) -> dict[str, float | None]:
    values: dict[str, float | None] = {f"val/{d.name}/faces": float(d.size) for d in SETS}
    values |= {f"val/{d.name}/nme_box": nme for d in SETS}
    return values | {f"val/{name}/label_shift": shift for name, shift in shifts.items()}


def test_sets_that_lie_away_are_named_with_the_cure() -> None:
    line = describe_label_shift(figures(helen=0.56, hard=0.1, few=2.0), SPEC, None)
    assert line is not None
    assert "val/helen (+0.56 % of the box, 300w)" in line
    assert "hard" not in line
    assert "few" not in line
    assert "label_shift.conventions" in line


def test_a_convention_whose_shift_is_learned_is_left_out() -> None:
    learned = LabelShift(LabelShiftOptions(["300w"]))
    metrics = figures(helen=0.56, hard=-0.4)
    line = describe_label_shift(metrics, SPEC, learned)
    assert line is not None
    assert "helen" not in line
    assert "val/hard (-0.40 % of the box, wflw)" in line
    assert describe_label_shift(figures(helen=0.56), SPEC, learned) is None
    assert describe_label_shift(figures(), SPEC, None) is None


def test_a_network_that_has_learned_little_says_nothing_of_the_labels() -> None:
    assert describe_label_shift(figures(helen=1.7, nme=8.4), SPEC, None) is None
