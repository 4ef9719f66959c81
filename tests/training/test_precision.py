"""Which precisions are trained in, and which are refused before anything is written."""

from __future__ import annotations

from typing import Any

import pytest
from lightning.pytorch.plugins import DoublePrecision, HalfPrecision, MixedPrecision

from lit_landmarks.errors import UserError
from lit_landmarks.training.precision import check_precision


@pytest.mark.parametrize(
    "arguments",
    [{}, {"precision": None}, {"precision": 32}, {"precision": "bf16"}, {"precision": 16},
     {"plugins": [MixedPrecision("bf16-mixed", "cpu")]}],
)  # fmt: skip
def test_accepted(arguments: dict[str, Any]) -> None:
    check_precision(arguments)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [({"precision": 64}, "trainer.precision 64 "), ({"precision": "16-true"}, "16-true rounds"),
     ({"precision": "transformer-engine"}, "transformer-engine rounds"),
     ({"plugins": HalfPrecision("bf16-true")}, "HalfPrecision"),
     ({"plugins": [DoublePrecision()]}, "DoublePrecision"), ({"plugins": ["64-true"]}, "64-true")],
)  # fmt: skip
def test_refused(arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(UserError, match=named):
        check_precision(arguments)
