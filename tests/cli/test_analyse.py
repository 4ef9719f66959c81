"""`analyse` on a tiny MuSiCa: thresholds reach the checkpoint and work there."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

from lit_landmarks.bench.cascade import bench_cascade
from lit_landmarks.cli import main
from lit_landmarks.settings import Task


@pytest.fixture(scope="module")
def cascade(tmp_path_factory: pytest.TempPathFactory, tree: dict[str, object]) -> Path:
    """A finished run of a small MuSiCa."""
    folder = tmp_path_factory.mktemp("cascade")
    tree["model"] = {
        "class_path": "MuSiCa", "init_args": {"patches": 6, "hidden": 16, "rank": 4},
    }  # fmt: skip
    tree["trainer"] = {**tree["trainer"], "max_epochs": 1}  # type: ignore[dict-item]
    config = folder / "tiny.yaml"
    config.write_text(yaml.safe_dump(tree))
    assert main(["fit", "--config", str(config), "--run", str(folder / "run")]) == 0
    return folder / "run"


@pytest.fixture
def copy(cascade: Path, tmp_path: Path) -> Path:
    """One that a test may change."""
    return Path(shutil.copytree(cascade, tmp_path / "run"))


def test_thresholds_are_stored_and_used(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = torch.load(copy / "checkpoints/best.ckpt", weights_only=True)
    assert bool(before["state_dict"]["early_exit.exit_thresholds"].isinf().all())
    assert main(["analyse", "calibrate", "--run", str(copy), "--slack", "1000"]) == 0
    assert "thresholds stored" in capsys.readouterr().out
    after = torch.load(copy / "checkpoints/best.ckpt", weights_only=True)
    assert float(after["state_dict"]["early_exit.exit_thresholds"][0]) == torch.inf, (
        "any rise allowed: all leave"
    )
    told = json.loads((copy / "calibration.json").read_text())
    assert told["chosen_on_val"]["exits"][0] == 1.0
    assert (copy / "calibration.png").stat().st_size > 5000
    output = copy / "figures.json"
    assert main(["validate", "--run", str(copy), "--output", str(output)]) == 0
    measured = json.loads(output.read_text())["metrics"]
    assert measured["val/faces/mma"] == pytest.approx(told["sets"]["val/faces"]["mma"], rel=1e-5)
    kept = {k: v for k, v in before["state_dict"].items() if not k.startswith("early_exit.")}
    assert all(torch.equal(after["state_dict"][k], v) for k, v in kept.items())


def test_outside_of_a_run_the_report_lies_beside_the_checkpoint(
    copy: Path, tmp_path: Path, complaint: Callable[..., str]
) -> None:
    file = tmp_path / "deep" / "elsewhere" / "x.ckpt"
    file.parent.mkdir(parents=True)
    shutil.copy(copy / "checkpoints/best.ckpt", file)
    words = [
        "analyse",
        "calibrate",
        "--ckpt_path",
        str(file),
        "--config",
        str(copy / "config.yaml"),
    ]
    (file.parent / "calibration.json").mkdir()
    before = file.read_bytes()
    assert "calibration.json" in complaint(*words)
    assert file.read_bytes() == before, "without a report nothing is changed"
    (file.parent / "calibration.json").rmdir()
    assert main(words) == 0
    names = {path.name for path in file.parent.iterdir()}
    assert names == {"x.ckpt", "calibration.json", "calibration.png"}
    assert [path.name for path in file.parent.parent.iterdir()] == ["elsewhere"]


def test_a_dry_run_writes_nothing(copy: Path) -> None:
    before = sorted((p, p.stat().st_mtime_ns) for p in copy.rglob("*") if p.is_file())
    assert main(["analyse", "calibrate", "--run", str(copy), "--dry"]) == 0
    assert before == sorted((p, p.stat().st_mtime_ns) for p in copy.rglob("*") if p.is_file())


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--mma", "0.001"], "no threshold reaches 0.001 MMA"),
        (["--nme", "0.001"], "no threshold reaches NME 0.001"),
        (["--mma", "-3"], "--mma is -3.0; give a number above 0"),
        (["--slack", "nan"], "--slack is nan"),
        (["--recall", "2"], "--recall is 2.0"),
        (["--mma", "5", "--nme", "5"], "not allowed with"),
        (["--mma", "much"], "invalid float value"),
    ],
)
def test_bad_goals(
    cascade: Path, words: list[str], told: str, complaint: Callable[..., str]
) -> None:
    assert told in complaint("analyse", "calibrate", "--run", cascade, *words)


def test_methods_without_an_error_or_a_stage(finished: Path, complaint: Callable[..., str]) -> None:
    assert "does not predict its error" in complaint("analyse", "calibrate", "--run", finished)
    assert "of one stage" in complaint("analyse", "tradeoff", "--run", finished)
    assert "needs --run" in complaint("analyse", "tradeoff")


def test_tradeoff_draws_and_tracks(cascade: Path, tmp_path: Path) -> None:
    out = tmp_path / "curve"
    assert main(["analyse", "tradeoff", "--run", str(cascade), "--output", str(out)]) == 0
    curve = json.loads((out / "tradeoff.json").read_text())["curves"][0]
    assert curve["dataset"] == "val/faces"
    assert curve["cut_mma"] == sorted(curve["cut_mma"])
    assert curve["stop_mma"][0] == pytest.approx(curve["cut_mma"][0])
    assert (out / "val_faces.png").stat().st_size > 5000
    assert list(out.glob("wandb/offline-run-*/*.wandb"))


def test_bench_of_the_stop(
    copy: Path, cascade: Path, finished: Path, complaint: Callable[..., str],
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    few = functools.partial(bench_cascade, faces=30, batch=8)
    monkeypatch.setattr("lit_landmarks.bench.cascade.bench_cascade", few)
    assert "run `analyse calibrate` on it first" in complaint("bench", "cascade", "--run", cascade)
    assert "give a run of a cascade" in complaint("bench", "cascade", "--run", finished)
    assert "needs --run" in complaint("bench", "cascade")
    assert main(["analyse", "calibrate", "--run", str(copy), "--slack", "1000"]) == 0
    capsys.readouterr()
    assert main(["bench", "cascade", "--run", str(copy), "--json"]) == 0
    out = capsys.readouterr().out
    told = json.loads(out[out.index("{") :])
    assert told["stopped"] < told["full"], "all faces leave after the first stage"


def test_attention_is_told_and_patches_are_kept(
    cascade: Path, tmp_path: Path, complaint: Callable[..., str], finished: Path
) -> None:
    out = tmp_path / "attention"
    assert (
        main(["analyse", "attention", "--run", str(cascade), "--output", str(out), "--keep", "5"])
        == 0
    )
    told = json.loads((out / "attention.json").read_text())
    assert len(told["weights"]) == 3
    assert len(told["weights"][0]) == len(told["patches"]) == 6
    kept = yaml.safe_load((out / "patches.yaml").read_text())["model"]["init_args"]["patches"]
    assert len(kept) == 5
    assert set(kept) < set(told["patches"])
    assert (out / "attention.png").stat().st_size > 5000
    assert (out / "regions.png").stat().st_size > 2000
    assert "keep 4 or more" in complaint("analyse", "attention", "--run", cascade, "--keep", "9")
    assert "give a run of MuSiCa" in complaint("analyse", "attention", "--run", finished)


def test_a_fit_with_a_target_cost_ends_with_thresholds_that_reach_it(
    cascade: Path, tmp_path: Path
) -> None:
    full = json.loads((cascade / "result.json").read_text())["metrics"]
    target = (full["compute/mma_min"] + full["compute/mma_max"]) / 2
    run = tmp_path / "run"
    words = ["--run", str(run), f"--model.init_args.early_exit.target_mma={target}"]
    assert main(["fit", "--config", str(cascade / "config.yaml"), *words]) == 0
    found = json.loads((run / "result.json").read_text())["metrics"]
    assert full["compute/mma"] == pytest.approx(full["compute/mma_max"]), (
        "without a target no face leaves"
    )
    assert found["compute/mma"] <= target
    assert full["compute/mma_min"] <= found["compute/mma"] * 1.000001
    content = torch.load(run / "checkpoints/best.ckpt", weights_only=True)
    assert bool((content["state_dict"]["early_exit.exit_thresholds"] > -torch.inf).any())
    # Every validation face is in a fold, and is evaluated with what the other folds have chosen.
    folds = content["calibration"]
    assert sorted(folds["fold"].tolist()) == [0, 1, 2, 3]
    folds["thresholds"][:] = -torch.inf
    torch.save(content, run / "checkpoints/best.ckpt")
    metrics = Task.from_run(run).measure()
    assert metrics["val/faces/mma"] == pytest.approx(full["compute/mma_max"])
    # Other faces take the thresholds of all.
    metrics = Task.from_run(run, {"data.init_args.val.faces.init_args.seed": 9}).measure()
    assert metrics["val/faces/mma"] < full["compute/mma_max"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--model.init_args.early_exit.target_mma=-3",), "target_mma"),
        (("--model.init_args.early_exit.target_mma=0.0001",), "first stage alone costs"),
        (
            (
                "--model.init_args.early_exit.target_mma=5",
                "--model.init_args.early_exit.enabled=false",
            ),
            "early_exit.enabled",
        ),
    ],
)
def test_bad_target_costs(
    cascade: Path, tmp_path: Path, complaint: Callable[..., str], words: tuple[str, ...], told: str
) -> None:
    config, run = cascade / "config.yaml", tmp_path / "run"
    assert told in complaint("fit", "--config", config, "--run", run, *words)


@pytest.fixture(scope="module")
def graph_run(tmp_path_factory: pytest.TempPathFactory, tree: dict[str, object]) -> Path:
    """A finished run of a small SPIGA with an error head."""
    folder = tmp_path_factory.mktemp("graph")
    small = {"nodes": 8, "width": 8, "layers": 1, "position_width": 8, "decoder": [8]}
    tree["model"] = {
        "class_path": "SPIGA",
        "init_args": {
            "backbone": "mobilenetv3_small_050",
            "strides": [4, 32],
            "channels": 8,
            "start": "heatmaps",
            "training": "joint",
            "cascade": {**small, "windows": [0.5, 0.25]},
            "error_head": {"weight": 0.1},
        },
    }
    tree["trainer"] = {**tree["trainer"], "max_epochs": 1}  # type: ignore[dict-item]
    config = folder / "tiny.yaml"
    config.write_text(yaml.safe_dump(tree))
    assert main(["fit", "--config", str(config), "--run", str(folder / "run")]) == 0
    return folder / "run"


def test_reliability_of_attention(
    graph_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "reliability"
    words = ["analyse", "reliability", "--run", str(graph_run), "--output", str(output)]
    assert main([*words, "--faces", "2"]) == 0
    assert "AUROC occluded" in capsys.readouterr().out
    report = json.loads((output / "reliability.json").read_text())
    assert len(report["val/faces"]) == 2  # steps
    assert (output / "received_val.jpg").stat().st_size > 1000


def test_reliability_of_a_method_without_attention_among_landmarks(
    cascade: Path, complaint: Callable[..., str]
) -> None:
    assert "SPIGA" in complaint("analyse", "reliability", "--run", str(cascade))


def test_a_graph_cascade_leaves_early(graph_run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(graph_run, tmp_path / "run"))
    assert main(["analyse", "calibrate", "--run", str(copy), "--slack", "1000"]) == 0
    report = json.loads((copy / "calibration.json").read_text())
    assert report["chosen_on_val"]["exits"][0] == 1.0  # all at the start


def test_shift_of_labels_is_reported(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rendered faces are labelled exactly: no side, but for the scatter of eight faces."""
    assert main(["analyse", "label-shift", "--run", str(copy)]) == 0
    assert "to the right" in capsys.readouterr().out
    sets = json.loads((copy / "label_shift.json").read_text())["sets"]
    assert set(sets) == {"val/faces"}
    assert sets["val/faces"]["faces"] > 0
    assert set(sets["val/faces"]) == {"percent", "error", "pixels", "faces"}
