"""`sweep` with real fits of seconds: run, resume, status, best, and bad files before any trial."""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
import yaml

from lit_landmarks.cli import main
from lit_landmarks.metrics.direction import metric_name
from lit_landmarks.search import StudyFolder, read_all_earlier, read_sweep, summarize_study
from lit_landmarks.search.checks import list_logged_keys
from lit_landmarks.search.refit import (
    choose_refit_folder,
    choose_refit_seeds,
    list_selection_seeds,
)
from lit_landmarks.search.sweep_file import KEYS
from lit_landmarks.settings import Task
from lit_landmarks.training import tracking
from lit_landmarks.training.wandb_tracker import RunTracker
from tests.support.configs import write_sweep


@pytest.fixture
def sweep(quick: Path, tmp_path: Path) -> Path:
    """A study over a method of three layers, which costs 0.06 MMA at 32 pixels, 0.98 at 160."""
    tree = {
        "name": "tiny", "base": [quick.name], "trials": 2,
        "constraints": ["compute/mma <= 0.5"],
        "space": {"data.init_args.frame_size": {"choice": [32, 160]},
                  "model.init_args.dropout": {"float": [0.0, 0.5]}},
        "settings": {"trainer.max_epochs": 1},
        "sampler": {"class": "RandomSampler", "arguments": {"seed": 0}},
    }  # fmt: skip
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump(tree))
    return path


def test_a_study_from_its_file_to_its_best_config(
    sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], complaint: Callable[..., str]
) -> None:
    root = tmp_path / "study"
    folder = StudyFolder(root)
    assert main(["sweep", "run", str(sweep), "--study", str(root)]) == 0
    assert "of 2 trials" in capsys.readouterr().out
    study = folder.open(folder.sweep())
    # Whatever the sampler chose: one within the limit and one beyond it.
    study.enqueue_trial({"data.init_args.frame_size": 32, "model.init_args.dropout": 0.1})
    study.enqueue_trial({"data.init_args.frame_size": 160, "model.init_args.dropout": 0.1})
    assert main(["sweep", "resume", str(root), "--trials", "4"]) == 0
    dear = study.trials[-1]
    assert dear.state == optuna.trial.TrialState.COMPLETE
    assert dear.constraints["compute/mma <= 0.5"] > 0
    assert "run" not in dear.user_attrs, "nothing is trained"
    capsys.readouterr()
    assert main(["sweep", "status", str(root), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["trials"] == 4
    assert told["best"]["parameters"]["data.init_args.frame_size"] == 32
    best = tmp_path / "best.yaml"
    assert main(["sweep", "best", str(root), "--output", str(best), "--refit", "2"]) == 0
    told = capsys.readouterr().out.splitlines()[-1]
    values = [json.loads(p.read_text())["metrics"]["val/nme"]
              for p in sorted((root / "refit").glob("*/result.json"))]  # fmt: skip
    mean, deviation = statistics.fmean(values), statistics.stdev(values)
    seeds = "2 other seeds (0, 1; the trial was selected with 3)"
    assert told == f"val/nme with {seeds}: {mean:.3f} ± {deviation:.3f}"
    assert (root / "refit").is_dir()
    assert list((root / "refit").glob("*-seed0/result.json"))
    settings = yaml.safe_load(best.read_text())
    assert settings["seed_everything"] == 3
    assert settings["wandb"]["group"] is None, "a fit of them is no trial of the study"
    assert settings["data"]["init_args"]["frame_size"] == 32
    assert "resume" in complaint("sweep", "run", sweep, "--study", root)


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("space", {"model.init_args.drop": {"float": [0, 1]}}, "drop"),
        ("space", {"model.init_args.dropout": {"choice": ["much"]}}, "dropout"),
        (
            "space",
            {
                "model.init_args.dropout": {"float": [0, 1]},
                "trainer.limit_val_batches": {"choice": [1, "two"]},
            },
            "trainer.limit_val_batches: two",
        ),
        ("space", {"data.init_args.frame_size": {"float": [32, 64]}}, "frame_size"),
        ("space", {"data.init_args.frame_size": {"int": [48, 8]}}, "empty range, 48 to 8"),
        (
            "constraints",
            ["val/wflw/nme_interocular <= 4"],
            "logs 'val/wflw/nme_interocular'; near it: val/faces/nme_interocular",
        ),
        ("constraints", ["val/faces/nme_interocular/pose <= 4"], "near it: "),
        ("constraints", ["val/faces/occlusion_f1 >= 4"], "no part of the run logs"),
        ("constraints", ["compute/mma_min <= 4"], "no part of the run logs"),
        ("objective", "test/nme", "no part of the run logs 'test/nme'; near it: val/nme"),
        ("settings", {"trainer.accelerator": "tpu"}, "trainer: "),
        ("base", ["gone.yaml"], "gone.yaml, which is not there"),
        ("storage", "postgresql://nobody@127.0.0.1:1/none", "cannot reach storage"),
    ],
)
def test_bad_studies_start_nothing(
    sweep: Path, tmp_path: Path, complaint: Callable[..., str], key: str, value: object, told: str
) -> None:
    tree = yaml.safe_load(sweep.read_text())
    tree[key] = value
    sweep.write_text(yaml.safe_dump(tree))
    assert told in complaint("sweep", "run", sweep, "--study", tmp_path / "study")
    assert not (tmp_path / "study").exists(), "nothing is left behind"


def test_without_a_feasible_trial_there_is_no_best(
    sweep: Path, tmp_path: Path, complaint: Callable[..., str]
) -> None:
    tree = yaml.safe_load(sweep.read_text())
    tree["constraints"] = ["compute/mma <= 0.001"]
    sweep.write_text(yaml.safe_dump(tree))
    root = tmp_path / "study"
    assert main(["sweep", "run", str(sweep), "--study", str(root)]) == 0
    assert not (root / "trials").exists(), "no trial was trained"
    assert "no trial within compute/mma <= 0.001; loosen" in complaint("sweep", "best", root)
    assert "holds no study" in complaint("sweep", "status", tmp_path / "none")


def test_what_is_logged_was_foreseen(finished: Path) -> None:
    """Every figure of a finished run with a direction is among those that a limit may name."""
    task = Task.from_files([finished / "config.yaml"])
    task.connect()
    foreseen = list_logged_keys(task.method(), task.data())
    metrics = json.loads((finished / "result.json").read_text())["metrics"]
    no_direction = re.compile(r"faces|skipped_\w+|nme_mean_shape|label_shift")
    assert {k for k in metrics if not no_direction.fullmatch(metric_name(k))} <= foreseen
    assert "val/faces/nme_interocular" in foreseen


def test_an_objective_of_its_own_chooses_the_best_epoch(sweep: Path, tmp_path: Path) -> None:
    tree = yaml.safe_load(sweep.read_text())
    tree |= {"objective": "val/faces/auc10_interocular", "trials": 1, "constraints": [],
             "seeds": [3, 5]}  # fmt: skip
    tree["space"] = {"model.init_args.dropout": {"float": [0.0, 0.5]}}
    sweep.write_text(yaml.safe_dump(tree))
    root = tmp_path / "study"
    assert main(["sweep", "run", str(sweep), "--study", str(root)]) == 0
    folder = StudyFolder(root)
    trial = folder.open(folder.sweep()).trials[0]
    results = [json.loads((root / "trials/0000" / s / "result.json").read_text())
               for s in ("seed3", "seed5")]  # fmt: skip
    assert [r["seed"] for r in results] == [3, 5]
    values = [r["metrics"]["val/faces/auc10_interocular"] for r in results]
    assert trial.value == pytest.approx(statistics.fmean(values))
    assert sorted(trial.intermediate_values) == [0], "the final evaluation is no epoch"
    best = torch.load(root / "trials/0000/seed3/checkpoints/best.ckpt", weights_only=True)
    watched = next(v for k, v in best["callbacks"].items() if k.startswith("ModelCheckpoint"))
    assert watched["monitor"] == "val/faces/auc10_interocular"
    assert "'mode': 'max'" in next(k for k in best["callbacks"] if k.startswith("ModelCheckpoint"))


def test_wandb_is_told_what_became_of_a_trial(
    sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = yaml.safe_load(sweep.read_text())
    tree["settings"] |= {"wandb.mode": "offline", "trainer.max_epochs": 2}
    tree |= {"trials": 1, "pruner": {"class": "ThresholdPruner", "arguments": {"upper": 0.0}}}
    sweep.write_text(yaml.safe_dump(tree))
    opened, configs, summaries, codes = [], [], [], []
    open_tracker, close = tracking.open_tracker, RunTracker.close

    def spy(options: Any, run: Any, config: Any) -> Any:
        opened.append((options.group, options.name, options.job_type, options.tags))
        configs.append(config)
        return open_tracker(options, run, config)

    def log_summary(tracker: RunTracker, values: Any) -> None:
        summaries.append(values)

    def closing(tracker: RunTracker, code: int, summary: Any) -> None:
        codes.append(code)
        close(tracker, code, summary)

    monkeypatch.setattr(tracking, "open_tracker", spy)
    monkeypatch.setattr(RunTracker, "log_summary", log_summary)
    monkeypatch.setattr(RunTracker, "close", closing)
    monkeypatch.setattr("lit_landmarks.cli.study_end.track_study", lambda *_: None)
    root = tmp_path / "study"
    folder = StudyFolder(root)
    folder.create(read_sweep(sweep))
    study = folder.open(folder.sweep())
    for size in (32, 160, 32):
        study.enqueue_trial({"data.init_args.frame_size": size})
    assert main(["sweep", "resume", str(root)]) == 0
    tree |= {"pruner": {"class": "NopPruner"}, "base": [str(sweep.parent / "quick.yaml")]}
    (root / "sweep.yaml").write_text(yaml.safe_dump(tree))
    assert main(["sweep", "resume", str(root), "--trials", "3"]) == 0
    trials = folder.open(folder.sweep()).trials
    assert [t.state.name for t in trials] == ["PRUNED", "COMPLETE", "COMPLETE"]
    tags = ["TinyRegressor", "tiny"]
    assert opened == [("tiny", f"tiny-000{n}", "trial", tags) for n in range(3)]
    assert [config["study"]["trial"] for config in configs] == [0, 1, 2]
    hp = {key: value for key, value in configs[2].items() if key.startswith("hp/")}
    dropout = trials[2].params["model.init_args.dropout"]
    assert hp == {"hp/frame_size": 32, "hp/dropout": dropout}
    # Each is told its cost, its state and its limits, when it opens and when it closes.
    told = [(s["study"]["state"], s["study"]["feasible"]) for s in summaries]
    running = ("running", True)
    assert told[:2] == [running, ("pruned", True)], "a pruned trial keeps the limits"
    assert told[2:4] == [("running", False), ("infeasible", False)]
    assert told[4:] == [running, ("complete", True)]
    limit = "compute/mma <= 0.5"
    for summary, trial in zip(summaries[::2], trials, strict=True):
        assert summary["study"]["constraints"][limit] == pytest.approx(trial.constraints[limit])
        assert summary["compute/mma"] == pytest.approx(trial.user_attrs["metrics"]["compute/mma"])
        assert summary["compute/parameters"] > 0
    assert codes == [0, 0, 0], "pruned and infeasible trials have ended as they should"


def test_help_explains_every_key(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["sweep", "--help"])
    told = capsys.readouterr().out
    assert [key for key in KEYS if f"\n  {key} " not in told] == []


def test_the_best_is_refitted_with_the_settings_of_the_refit(sweep: Path, tmp_path: Path) -> None:
    tree = yaml.safe_load(sweep.read_text())
    tree |= {"trials": 1, "constraints": [], "refit": {"trainer.max_epochs": 2}}
    sweep.write_text(yaml.safe_dump(tree))
    root = tmp_path / "study"
    assert main(["sweep", "run", str(sweep), "--study", str(root)]) == 0
    assert main(["sweep", "best", str(root), "--refit", "1"]) == 0
    (refit,) = (root / "refit").glob("*/result.json")
    assert json.loads(refit.read_text())["epochs"] == 2
    trial = json.loads((root / "trials" / "0000" / "result.json").read_text())
    assert trial["epochs"] == 1
    # Once more nothing is trained; with other settings all of it.
    assert main(["sweep", "best", str(root), "--refit", "1"]) == 0
    assert list((root / "refit").glob("*/result.json")) == [refit]
    copy = yaml.safe_load((root / "sweep.yaml").read_text()) | {"refit": {"trainer.max_epochs": 3}}
    (root / "sweep.yaml").write_text(yaml.safe_dump(copy))
    assert main(["sweep", "best", str(root), "--refit", "1"]) == 0
    found = (root / "refit").glob("*/result.json")
    assert sorted(json.loads(path.read_text())["epochs"] for path in found) == [2, 3]


def test_refits_have_other_seeds_than_the_selection(tmp_path: Path) -> None:
    for seeds, selection, refits in (
        ({}, [4], [0, 1, 2]),
        ({"seeds": 2}, [0, 1], [2, 3, 4]),
        ({"seeds": [1, 5]}, [1, 5], [0, 2, 3]),
    ):
        folder = StudyFolder(tmp_path / f"study{selection[-1]}")
        folder.create(read_sweep(write_sweep(tmp_path, **seeds)))
        study = folder.open(folder.sweep())
        study.ask().set_user_attr("run", "trials/0000")
        run = folder.trials / "0000" / (f"seed{selection[0]}" if seeds else "")
        run.mkdir(parents=True)
        (run / "config.yaml").write_text(yaml.safe_dump({"seed_everything": 4}))
        trained = list_selection_seeds(folder.sweep(), folder, study.trials[0])
        assert trained == selection
        assert choose_refit_seeds(trained, 3) == refits


def test_refits_of_an_earlier_version_are_known(tmp_path: Path) -> None:
    old = tmp_path / "0003-seed1" / "config.yaml"
    old.parent.mkdir()
    tree = {"trainer": {"max_epochs": 2}, "wandb": {"name": None}, "seed_everything": 0}
    old.write_text(yaml.safe_dump(tree | {"seed_everything": 1, "wandb": {"name": "a"}}))
    assert choose_refit_folder(tmp_path, 3, 1, tree) == old.parent
    other = choose_refit_folder(tmp_path, 3, 1, tree | {"trainer": {"max_epochs": 3}})
    assert re.fullmatch(r"0003-[0-9a-f]{8}-seed1", other.name)


def test_a_bad_setting_of_the_refit_is_told_before_any_trial(
    sweep: Path, tmp_path: Path, complaint: Callable[..., str]
) -> None:
    tree = yaml.safe_load(sweep.read_text()) | {"refit": {"trainer.max_epoch": 2}}
    sweep.write_text(yaml.safe_dump(tree))
    told = complaint("sweep", "run", sweep, "--study", tmp_path / "study")
    assert "max_epoch" in told
    assert not (tmp_path / "study").exists()


def test_a_study_knows_an_earlier_one_whose_trials_it_would_train_alike(
    sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], complaint: Callable[..., str]
) -> None:
    tree = yaml.safe_load(sweep.read_text()) | {"trials": 1, "constraints": []}
    tree["space"] = {"model.init_args.dropout": {"float": [0.0, 0.5]}}
    sweep.write_text(yaml.safe_dump(tree))
    assert main(["sweep", "run", str(sweep), "--study", str(tmp_path / "first")]) == 0
    sweep.write_text(yaml.safe_dump(tree | {"warm_start": ["first"]}))
    root = tmp_path / "second"
    capsys.readouterr()
    run = ["sweep", "run", str(sweep), "--study", str(root), "--seed", "7"]
    assert main(run) == 0
    assert "first: the sampler knows 1 of its trials" in capsys.readouterr().out
    folder = StudyFolder(root)
    assert folder.sweep().sampler == ("RandomSampler", {"seed": 7})
    shared, own = folder.open(folder.sweep()).trials
    assert shared.value != own.value
    assert summarize_study(folder.sweep(), folder.open(folder.sweep()), folder)["trials"] == 1
    assert "--seed is for" in complaint("sweep", "resume", root, "--seed", "3")
    # With another number of epochs, or other faces, values do not compare.
    longer = tree["settings"] | {"trainer.max_epochs": 2}
    sweep.write_text(yaml.safe_dump(tree | {"warm_start": ["first"], "settings": longer}))
    (earlier,) = read_all_earlier(read_sweep(sweep), [tmp_path / "first"])
    assert (len(earlier.shared), len(earlier.entries)) == (0, 1)
    assert earlier.difference == "trainer.max_epochs is 1 there and 2 here"
    faces = {"n": 3, "seed": 2, "max_yaw": 30.0, "image_size": 48}
    val = {"faces": {"class_path": "SyntheticFaces", "init_args": faces}}
    other = tree["settings"] | {"data.init_args.val": val}
    sweep.write_text(yaml.safe_dump(tree | {"warm_start": ["first"], "settings": other}))
    refused = complaint("sweep", "run", sweep, "--study", tmp_path / "third")
    assert "was validated on other faces (val/faces has 3 faces, 4 before)" in refused
    assert not (tmp_path / "third").exists()


def test_a_round_trains_with_its_own_settings_and_a_new_seed(
    sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = yaml.safe_load(sweep.read_text()) | {"trials": 1, "constraints": []}
    tree["space"] = {"model.init_args.dropout": {"float": [0.0, 0.5]}}
    tree["rounds"] = [{"keep": 2, "settings": {"trainer.max_epochs": 2}}]
    sweep.write_text(yaml.safe_dump(tree))
    root = tmp_path / "study"
    assert main(["sweep", "run", str(sweep), "--study", str(root)]) == 0
    shown = capsys.readouterr().out
    assert "best after round 1 of 1: trial 0, val/nme" in shown
    result = json.loads((root / "rounds/1/trials/0000/result.json").read_text())
    assert (result["epochs"], result["seed"]) == (2, 0), "the search has trained with 3"
    assert main(["sweep", "best", str(root), "--output", str(tmp_path / "best.yaml")]) == 0
    best = yaml.safe_load((tmp_path / "best.yaml").read_text())
    assert best["trainer"]["max_epochs"] == 2
    assert main(["compare", str(root), "--output", str(tmp_path / "page.json")]) == 0
    page = json.loads((tmp_path / "page.json").read_text())
    assert page["best"] == "tiny-round1-0000"
    assert [study["name"] for study in page["studies"]] == ["tiny", "tiny-round1"]
