"""What the training verbs' parser does beyond LightningCLI."""

from __future__ import annotations

from pathlib import Path

import pytest
from lightning.pytorch.cli import LightningArgumentParser

from lit_landmarks.cli.lightning import keep_whole_numbers


@pytest.mark.parametrize("kept", [True, False])
def test_a_whole_number_is_no_share(kept: bool, tmp_path: Path) -> None:
    parser = LightningArgumentParser(exit_on_error=False)
    parser.add_argument("--config", action="config")
    # In the unlucky order, as `typing` may hand them out to anybody. A class would not do here: its
    # hints are read through `typing`, whose order hangs on what else ran in this process.
    parser.add_argument("--trainer.limit", type=float | int | None)
    parser.add_argument("--trainer.when", type=float | int, default=1.0)
    parser.add_argument("--trainer.name", type=str | None)
    if kept:
        keep_whole_numbers(parser)
    file = tmp_path / "config.yaml"
    file.write_text("trainer: {limit: 1, when: 0.5, name: '1'}")
    for words in (["--trainer.limit=1", "--trainer.when=0.5"], ["--config", str(file)]):
        found = parser.parse_args(words)["trainer"]
        assert isinstance(found["limit"], int) == kept, "else the fault is mended upstream"
        assert found["when"] == 0.5
    assert found["name"] == "1"
    share = parser.parse_args(["--trainer.limit=1.0"])["trainer"]["limit"]
    assert isinstance(share, float)
    assert parser.parse_args(["--trainer.limit=null"])["trainer"]["limit"] is None
