"""Methods and settings that `load` finds beside or in a checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest

from lit_landmarks.errors import UserError
from lit_landmarks.inference.loading import _load_by_config
from lit_landmarks.training.run_directory import RunDirectory


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("model: {class_path: ASMNet}", r"config\.yaml: 'class_path' is missing or unknown; train"),
        ("frame: tight", r"config\.yaml: 'narrow' is missing or unknown; train the run"),
        ("frame_size: 64", r"config\.yaml cannot be read \(.*\); train the run again"),
    ],
)
def test_a_config_of_an_older_run_that_says_too_little(
    tmp_path: Path, change: str, message: str
) -> None:
    text = "model: {class_path: ASMNet}\ndata: {init_args: {frame_size: 64, frame: tight}}\n"
    new = {"model": "model: {}", "frame": "frame: narrow", "frame_size": "frame_size: [64]"}
    (tmp_path / "config.yaml").write_text(text.replace(change, new[change.partition(":")[0]]))
    with pytest.raises(UserError, match=message):
        _load_by_config(RunDirectory(tmp_path), tmp_path / "last.ckpt")
