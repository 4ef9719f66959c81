"""Run directories, the metrics table, checkpoints and provenance, without any training."""

from __future__ import annotations

import csv
import json
import math
import subprocess
from pathlib import Path

import pytest
import torch

import lit_landmarks
from lit_landmarks.errors import UserError
from lit_landmarks.methods import METHODS
from lit_landmarks.methods.identity import description
from lit_landmarks.training.checkpoints import check_checkpoint
from lit_landmarks.training.metrics_table import MetricsTable
from lit_landmarks.training.provenance import git_state, package_versions
from lit_landmarks.training.run_directory import (
    RunDirectory,
    create_run,
    open_run,
    write_json,
)


def test_default_names_are_counted_and_never_reused(tmp_path: Path) -> None:
    first = create_run(None, "asmnet-helen", tmp_path)
    second = create_run(None, "asmnet-helen", tmp_path)
    assert [r.root.name for r in (first, second)] == ["asmnet-helen-001", "asmnet-helen-002"]
    third = create_run(None, "asmnet-helen", tmp_path)
    first.remove_if_untrained()
    # The freed name may be taken again, a used one may not.
    assert create_run(None, "asmnet-helen", tmp_path).root == first.root
    assert third.root.exists()


def test_a_folder_with_content_is_refused_and_an_empty_one_taken(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "run"
    assert create_run(folder, "x").root == folder
    assert create_run(folder, "x").root == folder
    (folder / "file").touch()
    with pytest.raises(UserError, match=r"choose another --run$"):
        create_run(folder, "x")
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "last.ckpt").touch()
    with pytest.raises(UserError, match="or continue it: fit --resume"):
        create_run(folder, "x")
    with pytest.raises(UserError, match="exists"):
        create_run(folder / "file", "x")
    with pytest.raises(UserError, match="cannot make a run directory"):
        create_run(folder / "file" / "below", "x")


def test_only_a_barren_run_is_removed(tmp_path: Path) -> None:
    run = create_run(tmp_path / "run", "x")
    run.checkpoints.mkdir()
    run.last.touch()
    run.remove_if_untrained()
    assert run.last.exists()
    run.last.unlink()
    run.remove_if_untrained()
    assert not run.root.exists()


def test_opening_and_reading(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no run directory"):
        open_run(tmp_path / "none")
    with pytest.raises(UserError, match=r"no config\.yaml"):
        open_run(tmp_path)
    (tmp_path / "config.yaml").touch()
    with pytest.raises(UserError, match="--resume"):
        open_run(tmp_path).read_result()
    write_json(RunDirectory(tmp_path).result, {"a": math.nan, "b": [math.inf, 1.5], "c": {"d": 1}})
    assert open_run(tmp_path).read_result() == {"a": None, "b": [None, 1.5], "c": {"d": 1}}


def test_table_keeps_what_a_checkpoint_has_seen(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    table = MetricsTable(path)
    table.log_metrics({"train/loss": 3.0, "epoch": 0}, step=9)
    table.log_metrics({"val/nme": 7.5}, step=9)
    table.log_metrics({"train/loss": 2.0, "epoch": 1}, step=14)
    table.save()
    # The checkpoint was written after step 9, so global_step was 10.
    resumed = MetricsTable(path, resume_step=10)
    resumed.log_metrics({"train/loss": 2.5, "epoch": 1}, step=19)
    resumed.finalize("success")
    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["9", "19"]
    assert rows[0] == {"step": "9", "epoch": "0", "train/loss": "3.0", "val/nme": "7.5"}
    assert rows[1]["val/nme"] == ""
    # A new run starts an empty table.
    fresh = MetricsTable(path)
    fresh.log_metrics({"x": 1.0}, step=0)
    fresh.save()
    assert path.read_text() == "step,epoch,x\n0,,1.0\n"


def save(path: Path, method: torch.nn.Module, **identity: object) -> Path:
    mark = {**description(method), **identity}
    torch.save({"state_dict": method.state_dict(), "lit_landmarks": mark}, path)
    return path


def test_checkpoints_of_something_else_are_refused(tmp_path: Path) -> None:
    method = METHODS["ASMNet"](scheme="ibug68", frame_size=64)
    check_checkpoint(save(tmp_path / "same.ckpt", method), method)
    other = save(tmp_path / "scheme.ckpt", method, scheme="wflw98")
    with pytest.raises(UserError, match=r"wflw98.*ibug68"):
        check_checkpoint(other, method)
    other = save(tmp_path / "class.ckpt", method, class_path="a.b.Other")
    with pytest.raises(UserError, match=r"Other.*ASMNet"):
        check_checkpoint(other, method)
    content = torch.load(tmp_path / "same.ckpt", weights_only=True)
    name = next(iter(content["state_dict"]))
    content["state_dict"][name] = torch.zeros(1, 2)
    torch.save(content, tmp_path / "shape.ckpt")
    with pytest.raises(UserError, match=r"does not fit.*\(1, 2\) there"):
        check_checkpoint(tmp_path / "shape.ckpt", method)


def test_nothing_in_a_checkpoint_is_executed(tmp_path: Path) -> None:
    """A pickle that would call something is refused, not run."""

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (str(tmp_path / "executed"),)

    method = METHODS["ASMNet"](scheme="ibug68", frame_size=64)
    torch.save({"state_dict": Evil()}, tmp_path / "evil.ckpt")
    with pytest.raises(UserError, match="no readable checkpoint"):
        check_checkpoint(tmp_path / "evil.ckpt", method)
    assert not (tmp_path / "executed").exists()


def test_git_state_of_a_checkout_and_of_an_installation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lit_landmarks, "__file__", str(tmp_path / "lit_landmarks" / "x.py"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_state() is None

    def git(*arguments: str) -> None:
        who = ("-c", "user.name=n", "-c", "user.email=e@x")
        subprocess.run(["git", "-C", str(tmp_path), *who, *arguments], check=True, timeout=60)

    git("init", "-q")
    (tmp_path / "pyproject.toml").write_text("a = 1\n")
    git("add", ".")
    git("commit", "-q", "-m", "x")
    clean = git_state()
    assert clean is not None
    assert len(clean["commit"]) == 40
    assert not clean["dirty"]
    (tmp_path / "pyproject.toml").write_text("a = 2\n")
    assert git_state() == {"commit": clean["commit"], "dirty": True}


def test_versions_are_those_that_move_numbers() -> None:
    versions = package_versions()
    assert versions["lit_landmarks"] == lit_landmarks.__version__
    assert {"python", "torch", "timm", "lightning"} <= versions.keys()
    json.dumps(versions)
