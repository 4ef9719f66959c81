"""Start and end of a command: where classes are looked for, and who reads what is printed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lit_landmarks.cli import entry, main


def test_the_installed_command_finds_classes_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["lit-landmarks", "--version"])
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert str(tmp_path) not in sys.path
    assert main(["--version"]) == 0
    assert str(tmp_path) not in sys.path, "called from Python, it leaves the path alone"
    assert main() == 0
    assert sys.path[0] == str(tmp_path)


@pytest.mark.parametrize("lines", [1, 100_000])
def test_output_that_nobody_reads_ends_without_a_traceback(lines: int) -> None:
    # As `list | head -1`: the reader is gone before, or while, something is printed.
    code = (
        "import sys, lit_landmarks.cli.entry as entry\n"
        f"entry.run_verb = lambda *_: print('row\\n' * {lines}) or 0\n"
        "sys.stdin.readline()\n"
        "sys.exit(entry.main(['list']))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    assert process.wait(timeout=60) == 141


def test_a_pipe_that_is_not_the_output_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(*_: object) -> int:
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(entry, "run_verb", cut)
    with pytest.raises(BrokenPipeError):
        main(["list"])
