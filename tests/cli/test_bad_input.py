"""Bad input: one line that names the cause and the cure, status 2, nothing left behind."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

from lit_landmarks.cli import main

Complaint = Callable[..., str]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"trainr": {"a": 1}}, ["unknown key 'trainr.a'", "tiny.yaml", "did you mean trainer"]),
        ({"trainer": {"max_epoch": 3}}, ["unknown key 'trainer.max_epoch'", "max_epochs"]),
        ({"model": {"class_path": "ASMNt"}}, ["unknown method 'ASMNt'", "MobileNetBaseline"]),
        (
            {"model": {"class_path": "ASMNet", "init_args": {"drop": 1}}},
            ["unknown setting of ASMNet 'drop'", "did you mean dropout?"],
        ),
        (
            {"model": {"class_path": "ASMNet", "init_args": {"dropout": "much"}}},
            ["dropout: expected float, got much"],
        ),
        (
            {"model": {"class_path": "ASMNet", "init_args": {"loss": {"distance": "far"}}}},
            ["loss.distance: expected one of", "'squared'", "got far"],
        ),
        (
            {"data": {"init_args": {"train": {"a": {"class_path": "Helen"}}}}},
            ["unknown data set 'Helen'", "Ibug300W", "SyntheticFaces"],
        ),
        (
            {"data": {"init_args": {"train": {"a": {"class_path": "Ibug300W"}}}}},
            ["Ibug300W needs a value for root"],
        ),
        (
            {
                "data": {
                    "init_args": {
                        "train": {"a": {"class_path": "Ibug300W", "init_args": {"root": "gone"}}}
                    }
                }
            },
            ["gone", "correct root"],
        ),
        (
            {"data": {"init_args": {"test": {"a/b": {"class_path": "SyntheticFaces"}}}}},
            ["data set 'a/b' is no name", "data.init_args.test"],
        ),
        ({"data": {"init_args": {"val": {}}}}, ["needs a val set", "data.init_args.val"]),
        ({"data": {"init_args": {"scheme": "ibug69"}}}, ["ibug69", "ibug68"]),
        ({"data": {"init_args": {"root": "$NO_SUCH/x"}}}, ["$NO_SUCH/x", "export it"]),
        ({"data": {"init_args": {"batch_size": 1}}}, ["ASMNet", "batch of one", "batch_size to 2"]),
        ({"trainer": {"accelerator": "abacus"}}, ["trainer:", "abacus"]),
        ({"model": {"init_args": {"scheme": "wflw98"}}}, ["data.init_args.scheme"]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_bad_settings(
    tiny: Path, tmp_path: Path, complaint: Complaint, change: dict[str, object], told: list[str]
) -> None:
    tree = yaml.safe_load(tiny.read_text())
    for key, value in change.items():
        old = tree.get(key, {})
        if isinstance(value, dict) and "init_args" in value and "class_path" not in value:
            old["init_args"] = {**old["init_args"], **value["init_args"]}
            if "train" in value["init_args"]:
                old["init_args"].pop("weights")
            tree[key] = old
        else:
            tree[key] = {**old, **value} if isinstance(value, dict) else value
    tiny.write_text(yaml.safe_dump(tree))
    line = complaint("fit", "--config", tiny, "--run", tmp_path / "run")
    assert all(word in line for word in told), line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["fti"], ["unknown verb 'fti'", "did you mean fit?"]),
        (["fit"], ["--config FILE", "--resume RUN"]),
        (["fit", "--config", "none.yaml"], ["no such file: none.yaml"]),
        (["fit", "--resume", "none"], ["no run directory at none"]),
        (["fit", "--resume", "none", "--config", "a.yaml"], ["omit --config"]),
        (["validate"], ["--run RUN or --ckpt_path FILE"]),
        (["test", "--run", "none"], ["no run directory at none"]),
        (["validate", "--ckpt_path", "none.ckpt"], ["lies in no run"]),
        (["profile"], ["needs a config or a run"]),
        (["profile", "asmnet", "--threads", "0"], ["--threads 0: give 1 or more"]),
        (["profile", "asmnet", "--repeats", "-1"], ["--repeats -1: give 0 for no latency"]),
        (["bench", "dat"], ["unknown part of bench 'dat'", "did you mean data?"]),
        (["bench", "data", "--sise", "64"], ["unknown argument '--sise'", "bench data --help"]),
        (["analyse"], ["calibrate|tradeoff|attention", "analyse --help"]),
        (["analyse", "calibrat"], ["unknown part of analyse", "did you mean calibrate?"]),
        (["calibrate", "--run", "x"], ["python -m lit_landmarks analyse calibrate"]),
        (["tradeoff"], ["python -m lit_landmarks analyse tradeoff"]),
        (["attention"], ["python -m lit_landmarks analyse attention"]),
        (["data", "check", "--dataset", "Helen"], ["unknown data set 'Helen'", "Ibug300W"]),
        (["data", "check", "--rot", "x"], ["unknown argument '--rot'", "--root"]),
        (["results"], ["results --help"]),
    ],
    ids=lambda value: " ".join(value[:2]),
)
def test_bad_arguments(complaint: Complaint, arguments: list[str], told: list[str]) -> None:
    line = complaint(*arguments)
    assert all(word in line for word in told), line


def test_unknown_flag_and_value_on_the_command_line(tiny: Path, complaint: Complaint) -> None:
    line = complaint("fit", "--config", tiny, "--trainer.max_epoch", 3)
    assert "unknown argument '--trainer.max_epoch'" in line
    assert "did you mean --trainer.max_epochs?" in line
    line = complaint("fit", "--config", tiny, "--trainer.max_epochs", "many")
    assert "trainer.max_epochs: expected int, got many" in line
    line = complaint("fit", "--config", tiny, "--model.init_args.frame_size", 32)
    assert "--data.init_args.frame_size" in line


def test_two_files_with_different_methods(tiny: Path, tmp_path: Path, complaint: Complaint) -> None:
    other = tmp_path / "other.yaml"
    other.write_text("model: MobileNetBaseline\n")
    line = complaint("fit", "--config", tiny, "--config", other)
    assert all(word in line for word in (str(tiny), str(other), "ASMNet", "MobileNetBaseline"))


def test_a_used_folder_is_not_overwritten(tiny: Path, tmp_path: Path, complaint: Complaint) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "mine.txt").write_text("precious")
    assert "exists and is not empty; choose another" in complaint(
        "fit", "--config", tiny, "--run", run
    )
    assert [p.name for p in run.iterdir()] == ["mine.txt"]


def test_a_run_without_checkpoint_is_not_resumed(tmp_path: Path, complaint: Complaint) -> None:
    run = tmp_path / "run"
    run.mkdir()
    assert "holds no config.yaml" in complaint("fit", "--resume", run)
    (run / "config.yaml").write_text("model: ASMNet\n")
    assert "no checkpoint to resume from" in complaint("fit", "--resume", run)


def test_a_checkpoint_that_is_none(tmp_path: Path, finished: Path, complaint: Complaint) -> None:
    path = tmp_path / "x.ckpt"
    path.write_bytes(b"no zip at all")
    run = ("validate", "--run", finished, "--ckpt_path")
    assert "no readable checkpoint" in complaint(*run, path)
    torch.save({"weights": torch.zeros(2)}, path)
    assert "no checkpoint of ours" in complaint(*run, path)


def test_a_checkpoint_of_something_else(
    finished: Path, tmp_path: Path, complaint: Complaint
) -> None:
    best = finished / "checkpoints" / "best.ckpt"
    other = tmp_path / "other.yaml"
    tree = yaml.safe_load((finished / "config.yaml").read_text())
    tree["data"]["init_args"]["scheme"] = "cofw29"
    for role in ("train", "val"):
        tree["data"]["init_args"][role]["faces"]["init_args"]["scheme"] = "cofw29"
    other.write_text(yaml.safe_dump(tree))
    line = complaint("validate", "--config", other, "--ckpt_path", best)
    assert all(word in line for word in ("scheme", "ibug68", "cofw29", str(best)))

    tree = yaml.safe_load((finished / "config.yaml").read_text())
    tree["model"] = {"class_path": "MobileNetBaseline"}
    other.write_text(yaml.safe_dump(tree))
    line = complaint("validate", "--config", other, "--ckpt_path", best)
    assert all(word in line for word in ("ASMNet", "MobileNetBaseline"))

    # The same class with other settings: what the user passes wins, and then does not fit.
    line = complaint(
        "validate", "--run", finished, "--model.init_args.loss", '{"pose_weight": 0.0}'
    )
    assert "does not fit the configured method" in line


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--help"], ["fit", "validate", "profile", "results"]),
        (["fit", "--help"], ["--resume RUN", "--wandb.mode", "later ones win"]),
        (["fit", "--model.help", "ASMNet"], ["--model.dropout", "--model.loss.pose_weight"]),
        (["validate", "--help"], ["--run RUN", "--output"]),
        (["profile", "--help"], ["Multiply-adds", "--repeats"]),
        (["data", "--help"], ["contact sheet", "--root"]),
        (["bench", "--help"], ["albumentations", "--size"]),
        (["bench", "data", "--help"], ["albumentations", "--size"]),
        (["analyse", "--help"], ["calibrate", "tradeoff", "attention"]),
        (["analyse", "calibrate", "--help"], ["--mma", "--slack", "calibration.json"]),
        (["results", "--help"], ["record", "write", "check"]),
    ],
    ids=lambda value: " ".join(value[:2]),
)
def test_help_explains(
    arguments: list[str], told: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        status = main(arguments)
    except SystemExit as done:
        status = int(done.code or 0)
    text = capsys.readouterr().out
    assert status == 0
    assert all(word in text for word in told)


@pytest.mark.parametrize("number", [errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENOENT])
def test_a_path_of_the_wrong_kind_is_one_line(
    complaint: Complaint, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fail(*_: object) -> int:
        raise OSError(number, os.strerror(number), "some/file")

    monkeypatch.setattr("lit_landmarks.cli.entry.run_verb", fail)
    line = complaint("data")
    assert f"{os.strerror(number)}, some/file; " in line


@pytest.mark.parametrize("precision", ["bf16-true", "64-true", "16-true"])
def test_a_precision_that_rounds_labels_is_refused_before_anything_is_written(
    tiny: Path, complaint: Complaint, precision: str
) -> None:
    run = tiny.parent / "run"
    message = complaint("fit", "--config", tiny, "--run", run, f"--trainer.precision={precision}")
    assert f"trainer.precision {precision}" in message
    assert "bf16-mixed" in message
    assert not run.exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"weight_decay": -3}, "weight_decay"),
        ({"betas": [0.9, 1.5]}, "beta"),
        ({"lr": float("nan")}, "learning rate"),
    ],
)
def test_an_optimizer_that_refuses_its_arguments_leaves_no_run(
    tiny: Path, complaint: Complaint, arguments: dict[str, object], told: str
) -> None:
    tree = yaml.safe_load(tiny.read_text())
    tree["model"]["init_args"]["optimizer"] = {
        "class_path": "torch.optim.AdamW",
        "init_args": {"lr": 0.01, **arguments},
    }
    tiny.write_text(yaml.safe_dump(tree))
    line = complaint("fit", "--config", tiny, "--run", tiny.parent / "run")
    assert "model.init_args.optimizer" in line
    assert told in line
    assert not (tiny.parent / "run").exists()


def test_a_logger_whose_package_is_missing(tiny: Path, complaint: Complaint) -> None:
    run = tiny.parent / "run"
    line = complaint("fit", "--config", tiny, "--run", run, "--trainer.logger", "CometLogger")
    assert "install what it needs" in line
    assert "Namespace" not in line
    assert not run.exists()


@pytest.mark.parametrize(
    ("key", "told"),
    [(7, "'7'"), (True, "'True'"), (1.5, "'1.5'"), (None, "'None'")],
)
def test_a_data_set_whose_name_yaml_reads_as_something_else(
    tiny: Path, complaint: Complaint, key: object, told: str
) -> None:
    tree = yaml.safe_load(tiny.read_text())
    sets = tree["data"]["init_args"]["val"]
    sets[key] = sets.pop("faces")
    tiny.write_text(yaml.safe_dump(tree))
    line = complaint("fit", "--config", tiny, "--run", tiny.parent / "run")
    assert f"write the name in quotes: {told}" in line


def test_data_before_the_methods_own_is_not_lost_in_silence(
    tiny: Path, complaint: Complaint
) -> None:
    data = tiny.parent / "own.yaml"
    own = {"train": {"mine": {"class_path": "SyntheticFaces", "init_args": {"n": 5}}}}
    data.write_text(yaml.safe_dump({"data": {"init_args": own}}))
    line = complaint("fit", "--config", data, "--config", tiny)
    assert all(text in line for text in (str(data), str(tiny), "method's file first"))
    data.write_text(yaml.safe_dump({"data": {"init_args": {"test": own["train"]}}}))
    with pytest.raises(AssertionError, match="0"):  # sets that nobody replaces stay
        complaint("profile", data, tiny, "--repeats", "0")


@pytest.mark.parametrize("verb", ["fit", "profile"])
def test_settings_without_a_method(tiny: Path, complaint: Complaint, verb: str) -> None:
    tree = yaml.safe_load(tiny.read_text())
    del tree["model"]
    tiny.write_text(yaml.safe_dump(tree))
    assert "no method in these settings; add a method's config" in complaint(verb, "--config", tiny)


@pytest.mark.parametrize("top", ["annotations", "shapes"])
def test_a_file_of_annotations_given_as_settings(
    tiny: Path, complaint: Complaint, top: str
) -> None:
    file = tiny.parent / "points.json"
    file.write_text(f'{{"{top}": [], "images": []}}')
    assert "faces or annotations, not settings" in complaint("fit", "--config", file)


def test_a_run_whose_first_epoch_did_not_end(
    tiny: Path, tmp_path: Path, complaint: Complaint
) -> None:
    """Each of the three ways to go on says one that works."""
    run = tmp_path / "left"
    (run / "checkpoints").mkdir(parents=True)
    (run / "config.yaml").write_text(tiny.read_text())
    assert "remove this one" in complaint("fit", "--config", tiny, "--run", run)
    line = complaint("fit", "--resume", run)
    assert f"start anew with `fit --config {run / 'config.yaml'}`" in line
    for verb in ("validate", "predict"):
        assert "has no checkpoint yet" in complaint(verb, "--run", run)
