"""Registered weights: an entry from a run, loaded by name; what does not fit is refused."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import lit_landmarks
from lit_landmarks.cli import main
from lit_landmarks.errors import UserError
from lit_landmarks.methods.musica import MuSiCa
from lit_landmarks.training.checkpoints import load_method
from lit_landmarks.training.publishing import (
    list_training_sources,
    slim_checkpoint,
    write_checkpoint,
)
from lit_landmarks.training.run_directory import RunDirectory
from lit_landmarks.training.transfer import transfer_weights
from lit_landmarks.weights import (
    TABLE,
    find_weights,
    list_weights,
    read_table,
    shipped_folder,
    write_table,
)


@pytest.fixture
def refusal(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """The one line of a command that is refused."""

    def run(*arguments: object) -> str:
        capsys.readouterr()
        assert main([str(a) for a in arguments]) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        return line

    return run


def test_an_entry_states_what_was_trained_and_measured(run: Path, registry: Path) -> None:
    entry = read_table(registry)["tiny-68"]
    result = json.loads((run / "result.json").read_text())
    assert (entry.method, entry.scheme, entry.licence) == ("MuSiCa", "ibug68", "MIT")
    assert (entry.command, entry.commit) == ("fit --config tiny.yaml", "0123456789")
    assert entry.trained_on == ("SyntheticFaces",)
    assert entry.crop == {"size": 32, "kind": "tight", "scale": 1.35}
    assert entry.mma == pytest.approx(result["metrics"]["compute/mma"], abs=1e-3)
    assert entry.parameters == result["metrics"]["compute/parameters"]
    (figure,) = entry.nme
    assert (figure.set, figure.boxes, figure.faces) == ("val/faces", "ground_truth", 4)
    assert figure.nme == pytest.approx(result["metrics"]["val/faces/nme_interocular"], abs=0.005)
    assert entry.sha256 == hashlib.sha256(entry.path.read_bytes()).hexdigest()


def test_the_file_holds_weights_in_half_precision_and_nothing_of_the_training(
    run: Path, registry: Path
) -> None:
    best = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    slim = torch.load(registry / "tiny-68.ckpt", weights_only=True)
    assert not {"optimizer_states", "lr_schedulers", "callbacks", "raw_state_dict"} & set(slim)
    assert slim["lit_landmarks"]["precision"] == "float16"
    assert slim["state_dict"].keys() == best["state_dict"].keys()
    for name, value in slim["state_dict"].items():
        full = best["state_dict"][name]
        halved = full.dtype == torch.float32 and full.ndim >= 2
        assert value.dtype == (torch.float16 if halved else full.dtype), name
        # Half precision rounds to 11 binary digits.
        tolerance = 2.0**-11 if halved else 0.0
        torch.testing.assert_close(value.to(full.dtype), full, rtol=tolerance, atol=1e-7)
    assert (registry / "tiny-68.ckpt").stat().st_size < (
        run / "checkpoints" / "best.ckpt"
    ).stat().st_size / 4


def test_weights_are_loaded_by_name(run: Path, own_registry: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
    (by_name,) = lit_landmarks.load("tiny-68")(image, [[40, 30, 120, 110]])
    (by_run,) = lit_landmarks.load(run)(image, [[40, 30, 120, 110]])
    np.testing.assert_allclose(by_name.points, by_run.points, atol=0.05)
    landmarker = lit_landmarks.load("tiny-68")
    assert landmarker.notes["command"] == "fit --config tiny.yaml"
    assert next(landmarker.method.parameters()).dtype == torch.float32


def test_a_new_run_starts_from_a_name_or_a_run(run: Path, own_registry: Path) -> None:
    arguments = {"patches": 6, "hidden": 16, "rank": 4, "frame_size": 32}
    transfers = [transfer_weights(MuSiCa(**arguments), where) for where in ("tiny-68", run)]
    for transfer in transfers:
        assert transfer.fresh == []
        assert transfer.taken == transfer.parameters
    assert "tiny-68 (MuSiCa, ibug68)" in transfers[0].describe()


def test_a_file_that_is_not_the_measured_one_is_refused(
    own_registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(own_registry, tmp_path / "copy")
    monkeypatch.setenv("LIT_LANDMARKS_WEIGHTS", str(tmp_path / "copy"))
    file = tmp_path / "copy" / "tiny-68.ckpt"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"tiny-68\.ckpt is damaged or another file: its SHA-256"):
        lit_landmarks.load("tiny-68")
    file.unlink()
    with pytest.raises(UserError, match=r"no file .* for the weights 'tiny-68'"):
        lit_landmarks.load("tiny-68")


def test_an_unknown_name_is_answered_with_those_that_there_are(
    own_registry: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"weights by name: .*did you mean tiny-68\?"):
        lit_landmarks.load("tiny-86")
    monkeypatch.setenv("LIT_LANDMARKS_WEIGHTS", str(tmp_path))
    with pytest.raises(UserError, match=r"no weights\.yaml in .*; make one with `weights add"):
        lit_landmarks.load("tiny-68")


def test_lists_say_what_there_is(own_registry: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "weights"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "tiny-68" in text
    assert "MuSiCa, ibug68, 32 px tight" in text
    assert "on val/faces (4 faces, ground-truth boxes, interocular)" in text
    assert main(["weights", "list"]) == 0
    assert "licence: MIT" in " ".join(capsys.readouterr().out.split())
    assert main(["weights", "check", "--to", str(own_registry)]) == 0
    assert "1 entries" in capsys.readouterr().out


def test_the_package_lists_its_own_weights_within_their_limit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("LIT_LANDMARKS_WEIGHTS", raising=False)
    entries = list_weights()
    assert entries.keys() == read_table(shipped_folder()).keys()
    assert sum(e.path.stat().st_size for e in entries.values()) <= 10_000_000
    assert {p.name for p in shipped_folder().glob("*.ckpt")} == {e.file for e in entries.values()}
    assert main(["weights", "check"]) == 0
    assert main(["weights", "list"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in entries)
    assert entries or "no weights are registered yet" in text


def test_a_table_reads_as_it_was_written(registry: Path, tmp_path: Path) -> None:
    entries = read_table(registry)
    write_table(tmp_path, entries)
    assert (tmp_path / TABLE).read_text() == (registry / TABLE).read_text()
    tree = yaml.safe_load((tmp_path / TABLE).read_text())
    del tree["weights"]["tiny-68"]["sha256"]
    (tmp_path / TABLE).write_text(yaml.safe_dump(tree))
    with pytest.raises(UserError, match="tiny-68: unknown fields: none, missing fields: sha256"):
        read_table(tmp_path)
    tree["weights"]["tiny-68"] |= {"sha256": "0", "file": "../other.ckpt"}
    (tmp_path / TABLE).write_text(yaml.safe_dump(tree))
    with pytest.raises(UserError, match="no name of a file beside it"):
        read_table(tmp_path)
    for value in ("null", "IctFaces"):
        text = (registry / TABLE).read_text().replace("[SyntheticFaces]", value)
        text = text.replace("\n    - SyntheticFaces", f" {value}")
        (tmp_path / TABLE).write_text(text)
        with pytest.raises(UserError, match=r"tiny-68: a bad value \(trained_on is no list"):
            read_table(tmp_path)
    (tmp_path / TABLE).write_text("weights:\n  a: {date: 2024-06-31}\n")
    with pytest.raises(UserError, match=r"cannot be read .*'2024-06-31' cannot be read: day is"):
        read_table(tmp_path)
    assert find_weights("runs/x.ckpt") is None


def _change(run: Path, folder: Path, **changes: object) -> Path:
    """A copy of the run whose settings name other training sets or weights to start from."""
    shutil.copytree(run, folder)
    tree = yaml.safe_load((folder / "config.yaml").read_text())
    tree["model"]["init_args"] |= changes.pop("model", {})  # type: ignore[operator]
    tree["data"]["init_args"] |= changes
    (folder / "config.yaml").write_text(yaml.safe_dump(tree))
    return folder


def test_what_was_trained_on_photos_is_not_for_the_package(
    run: Path, own_registry: Path, tmp_path: Path, refusal: Callable[..., str]
) -> None:
    photos = {"helen": {"class_path": "Ibug300W", "init_args": {"root": "x"}}}
    direct = _change(run, tmp_path / "a", train=photos)
    line = refusal("weights", "add", direct, "--name", "a", "--commit", "1")
    assert "helen (Ibug300W: not rendered by `data synthesize`)" in line
    assert "--to FOLDER" in line
    later = _change(run, tmp_path / "b", model={"init_from": str(direct / "checkpoints/best.ckpt")})
    assert [s.photos is None for s in list_training_sources(RunDirectory(later))] == [True, False]
    assert "helen" in refusal("weights", "add", later, "--name", "b", "--commit", "1")
    gone = _change(run, tmp_path / "c", model={"init_from": str(tmp_path / "gone.ckpt")})
    assert "and it is gone" in refusal("weights", "add", gone, "--name", "c", "--commit", "1")
    named = _change(run, tmp_path / "d", model={"init_from": "tiny-68"})
    assert "another registry" in refusal("weights", "add", named, "--name", "d", "--commit", "1")


@pytest.mark.parametrize("backgrounds", [None, "walls"])
def test_rendered_faces_on_disk_count_as_rendered(
    backgrounds: str | None, run: Path, tmp_path: Path
) -> None:
    plan = {"source": "IctFaces", "arguments": {"backgrounds": backgrounds}}
    (tmp_path / "heads" / ".synthesize").mkdir(parents=True)
    (tmp_path / "heads" / ".synthesize" / "plan.json").write_text(json.dumps(plan))
    heads = {"heads": {"class_path": "ColumnFaces", "init_args": {"root": "heads"}}}
    copy = _change(run, tmp_path / "a", train=heads, root=str(tmp_path))
    (source,) = list_training_sources(RunDirectory(copy))
    assert source.class_name == "IctFaces"
    assert (source.photos is None) == (backgrounds is None)


def test_entries_are_not_overwritten_and_names_are_no_paths(
    run: Path, own_registry: Path, tmp_path: Path, refusal: Callable[..., str]
) -> None:
    before = (own_registry / "tiny-68.ckpt").read_bytes()
    words = ("weights", "add", run, "--commit", "1", "--to")
    assert "--replace" in refusal(*words, own_registry, "--name", "tiny-68")
    assert "already; choose another" in refusal(*words, tmp_path, "--name", "tiny-68")
    assert "is no name for weights" in refusal(*words, tmp_path, "--name", "a/b")
    assert (own_registry / "tiny-68.ckpt").read_bytes() == before


@pytest.mark.slow
def test_fewer_bits_that_cost_accuracy_are_refused(
    run: Path,
    tmp_path: Path,
    refusal: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ("weights", "add", run, "--commit", "1", "--to", tmp_path, "--precision", "int8")
    assert main([*map(str, words), "--name", "b", "--tolerance", "50"]) == 0
    assert re.search(r"int8: [\d.]+ -> [\d.]+ % on val/faces", capsys.readouterr().out)
    monkeypatch.setattr(
        "lit_landmarks.training.publishing.quantize_rows",
        lambda values: (torch.ones(values.shape, dtype=torch.int8), torch.ones(len(values))),
    )
    assert "int8 raises the NME on val/faces" in refusal(*words, "--name", "a")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.ckpt", TABLE]


def test_whole_numbers_of_eight_bits_are_read_as_they_were_rounded(
    run: Path, tmp_path: Path
) -> None:
    best = run / "checkpoints" / "best.ckpt"
    write_checkpoint(tmp_path / "int8.ckpt", slim_checkpoint(best, "int8"))
    method, said = load_method(tmp_path / "int8.ckpt")
    full, _ = load_method(best)
    assert said["precision"] == "int8"
    for (name, value), original in zip(method.named_parameters(), full.parameters(), strict=True):
        assert value.dtype == torch.float32
        if value.ndim < 2:
            assert torch.equal(value, original), name
            continue
        step = original.flatten(1).abs().amax(1, keepdim=True) / 127
        gap = (value - original).flatten(1).abs()
        assert bool((gap <= 0.51 * step + 1e-9).all()), name
    # What the trainer loads goes through the same hook.
    content = torch.load(tmp_path / "int8.ckpt", weights_only=True)
    again = MuSiCa(patches=6, hidden=16, rank=4, frame_size=32)
    again.on_load_checkpoint(content)
    again.load_state_dict(content["state_dict"])
    for one, two in zip(again.parameters(), method.parameters(), strict=True):
        assert torch.equal(one, two)
