"""The page on pre-training: its commands run in order, on few faces, and take what it says."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest

from lit_landmarks.cli import main
from tests.test_readme import ROOT, SHORT, blocks, commands

PAGE = ROOT / "lit_landmarks" / "training" / "PRETRAINING.md"
#: Fewer faces and smaller pictures than on the page.
FEW = {"--n": "6", "--image_size": "64"}


@pytest.mark.slow
def test_the_commands_of_the_page_lead_from_renders_to_photos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if not Path(os.environ["LIT_LANDMARKS_DATA"], "300w").is_dir():
        pytest.skip("no 300W in $LIT_LANDMARKS_DATA")
    page = list(blocks(PAGE))
    (config,) = [block.text for block in page if block.language == "yaml"]
    (tmp_path / "rendered.yaml").write_text(config.replace("n: 250", "n: 4"))
    monkeypatch.chdir(tmp_path)
    done = []
    for block in page:
        for command in commands(block.text) if block.language == "bash" else ():
            words = shlex.split(command)[3:]
            for name, value in FEW.items():
                if name in words:
                    words[words.index(name) + 1] = value
            more = [f"{option}" for option in SHORT.get(words[0], [])]
            if words[0] == "fit":
                more += ["--data.batch_size=2", "--wandb.mode=disabled"]
            assert main([*words, *more]) == 0, command
            done.append(words[0])
    assert done == ["data", "fit", "fit"]
    printed = capsys.readouterr().out
    (shown,) = [block.text.strip() for block in page if block.language == "text"]
    assert re.search(r"^" + re.escape(shown) + r"$", printed, re.MULTILINE), printed[-3000:]
