"""Argument files become one tree; a clash is told with the names of both files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from lit_landmarks.errors import UserError
from lit_landmarks.settings.composition import compose, find_unset_variables, keep_measured


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_later_files_win_key_by_key(tmp_path: Path) -> None:
    first = write(tmp_path, "a.yaml", "trainer: {max_epochs: 3, devices: 1}\nmodel: ASMNet\n")
    second = write(tmp_path, "b.yaml", "trainer: {max_epochs: 5}\n")
    composed = compose([first, second])
    assert composed.tree["trainer"] == {"max_epochs": 5, "devices": 1}
    assert composed.tree["model"] == {"class_path": "ASMNet"}
    assert composed.origin_of("trainer.max_epochs") == second
    assert composed.origin_of("devices") == first


def test_data_sets_and_lists_are_replaced_whole(tmp_path: Path) -> None:
    first = write(
        tmp_path,
        "a.yaml",
        "data: {init_args: {train: {a: {class_path: X}}, val: {a: {class_path: X}}}}\n"
        "trainer: {callbacks: [{class_path: One}]}\n",
    )
    second = write(
        tmp_path,
        "b.yaml",
        "data: {init_args: {train: {b: {class_path: Y}}}}\n"
        "trainer: {callbacks: [{class_path: Two}]}\n",
    )
    third = write(tmp_path, "c.yaml", "trainer: {callbacks+: [{class_path: Three}]}\n")
    tree = compose([first, second, third]).tree
    assert tree["data"]["init_args"]["train"] == {"b": {"class_path": "Y"}}
    assert tree["data"]["init_args"]["val"] == {"a": {"class_path": "X"}}
    assert tree["data"]["class_path"] == "LandmarkDataModule"
    assert [c["class_path"] for c in tree["trainer"]["callbacks"]] == ["Two", "Three"]


def test_augmentation_and_weights_end_with_their_training_sets(tmp_path: Path) -> None:
    first = write(
        tmp_path,
        "a.yaml",
        "data: {init_args: {train: {a: {class_path: X}}, augmentation: {rotation: 5},"
        " weights: {a: 2}, batch_size: 8}}\n",
    )
    only_val = write(tmp_path, "b.yaml", "data: {init_args: {val: {b: {class_path: Y}}}}\n")
    train = write(tmp_path, "c.yaml", "data: {init_args: {train: {b: {class_path: Y}}}}\n")
    assert compose([first, only_val]).tree["data"]["init_args"]["augmentation"] == {"rotation": 5}
    settings = compose([first, train]).tree["data"]["init_args"]
    assert "augmentation" not in settings
    assert "weights" not in settings
    assert settings["batch_size"] == 8


def test_yaw_bins_end_with_their_sets(tmp_path: Path) -> None:
    first = write(
        tmp_path,
        "a.yaml",
        "data: {init_args: {val: {a: {class_path: X}}, test: {b: {class_path: X}},"
        " yaw_bins: {a: [0, 30], b: [0, 30]}}}\n",
    )
    other = write(tmp_path, "b.yaml", "data: {init_args: {test: {c: {class_path: Y}}}}\n")
    same = write(tmp_path, "c.yaml", "data: {init_args: {batch_size: 8}}\n")
    misnamed = write(
        tmp_path,
        "d.yaml",
        "data: {init_args: {test: {c: {class_path: Y}}, yaw_bins: {d: [0, 30]}}}\n",
    )

    def bins(*files: Path) -> Any:
        return compose(files).tree["data"]["init_args"]["yaw_bins"]

    assert bins(first, other) == {"a": [0, 30]}
    assert bins(first, same) == {"a": [0, 30], "b": [0, 30]}
    assert bins(first, misnamed) == {"a": [0, 30], "d": [0, 30]}, "for the data module to refuse"


def test_another_nested_class_drops_the_arguments_of_the_old_one(tmp_path: Path) -> None:
    first = write(
        tmp_path,
        "a.yaml",
        "model: {class_path: M, init_args: {optimizer: {class_path: torch.optim.AdamW,"
        " init_args: {lr: 1.0, weight_decay: 2.0}}}}\n",
    )
    same = write(tmp_path, "b.yaml", "model: {init_args: {optimizer: {init_args: {lr: 3.0}}}}\n")
    other = write(
        tmp_path,
        "c.yaml",
        "model: {init_args: {optimizer: {class_path: SGD, init_args: {lr: 4.0}}}}\n",
    )
    kept = compose([first, same]).tree["model"]["init_args"]["optimizer"]["init_args"]
    dropped = compose([first, other]).tree["model"]["init_args"]["optimizer"]
    assert kept == {"lr": 3.0, "weight_decay": 2.0}
    assert dropped == {"class_path": "SGD", "init_args": {"lr": 4.0}}


@pytest.mark.parametrize(("key", "kind"), [("model", "method"), ("data", "data module")])
def test_two_files_with_different_classes_are_named(tmp_path: Path, key: str, kind: str) -> None:
    first = write(tmp_path, "a.yaml", f"{key}: {{class_path: One}}\n")
    same = write(tmp_path, "b.yaml", f"{key}: {{class_path: some.module.One}}\n")
    other = write(tmp_path, "c.yaml", f"{key}: {{class_path: Two}}\n")
    compose([first, same])
    with pytest.raises(UserError, match=kind) as caught:
        compose([first, other])
    assert all(word in str(caught.value) for word in (str(first), str(other), "One", "Two"))


def test_scheme_is_stated_once(tmp_path: Path) -> None:
    path = write(tmp_path, "a.yaml", "model: {class_path: M, init_args: {scheme: wflw98}}\n")
    with pytest.raises(UserError, match=r"data\.init_args\.scheme"):
        compose([path])


def test_short_forms_are_arguments_of_the_class(tmp_path: Path) -> None:
    text = "model: {class_path: ASMNet, dropout: 0.1}\nmodel.epochs: 3\n"
    first = write(tmp_path, "a.yaml", text + "data: {root: faces, batch_size: 2}\n")
    second = write(tmp_path, "b.yaml", "model: {dropout: 0.3}\n")
    composed = compose([first, second])
    arguments = {"dropout": 0.3, "epochs": 3}
    assert composed.tree["model"] == {"class_path": "ASMNet", "init_args": arguments}
    assert composed.tree["data"]["init_args"] == {"root": str(tmp_path / "faces"), "batch_size": 2}
    assert composed.origin_of("model.init_args.dropout") == second


@pytest.mark.parametrize(
    "text",
    [
        "model: {class_path: ASMNet, dropout: 0.1, init_args: {dropout: 0.2}}",
        "model: {class_path: ASMNet, init_args: {dropout: 0.2}}\nmodel.dropout: 0.1",
        "data: {batch_size: 2, init_args: {batch_size: 2}}",
    ],
)
def test_short_and_long_forms_of_one_setting(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, "a.yaml", text)
    with pytest.raises(
        UserError, match=r"init_args\.\w+ are the same setting, .*a\.yaml; keep one"
    ):
        compose([path])


def test_paths_start_at_the_folder_of_their_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACES", "/elsewhere")
    text = "data: {init_args: {root: ../faces, cache_dir: ./cache, train: {a: {class_path: X,"
    text += " init_args: {root: sub/a}}}}}\n"
    path = write(tmp_path, "configs/data/a.yaml", text)
    settings = compose([path]).tree["data"]["init_args"]
    assert settings["root"] == str(tmp_path / "configs" / "faces")
    assert settings["cache_dir"] == str(tmp_path / "configs" / "data" / "cache")
    # Relative roots of data sets start at the data's root, not here.
    assert settings["train"]["a"]["init_args"]["root"] == "sub/a"
    other = write(tmp_path, "b.yaml", "data: {init_args: {root: $FACES/x}}\n")
    assert compose([other]).tree["data"]["init_args"]["root"] == "/elsewhere/x"


def test_unset_variables_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_FOLDER", raising=False)
    path = write(tmp_path, "a.yaml", "data: {init_args: {root: $NO_SUCH_FOLDER/x}}\n")
    assert list(find_unset_variables(compose([path]).tree)) == ["$NO_SUCH_FOLDER/x"]


def test_a_part_may_be_another_file(tmp_path: Path) -> None:
    part = write(tmp_path, "data/d.yaml", "data: {init_args: {root: faces, batch_size: 3}}\n")
    path = write(tmp_path, "a.yaml", "model: ASMNet\ndata: data/d.yaml\n")
    composed = compose([path])
    assert composed.tree["data"]["init_args"]["root"] == str(tmp_path / "data" / "faces")
    assert composed.origin_of("batch_size") == part
    bad = write(tmp_path, "b.yaml", "model: data/d.yaml\n")
    with pytest.raises(UserError, match="only `model:`"):
        compose([bad])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("trainer: {a: 1\nmodel: [", ":2 is not YAML"),
        ("- 1\n- 2\n", "holds no settings"),
        ("", "holds no settings"),
        ("trainer: 3\n", "not a group of settings"),
    ],
)
def test_files_that_are_no_settings(tmp_path: Path, text: str, told: str) -> None:
    path = write(tmp_path, "a.yaml", text)
    with pytest.raises(UserError) as caught:
        compose([path])
    assert told in str(caught.value)
    assert str(path) in str(caught.value)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        compose([tmp_path / "none.yaml"])
    with pytest.raises(UserError, match="is a folder"):
        compose([tmp_path])


def test_what_earlier_versions_wrote_is_read_by_todays_names(tmp_path: Path) -> None:
    old = {
        "model": {
            "class_path": "lit_landmarks.methods.mobilenet.module.MobileNetBaseline",
            "init_args": {"error_weight": 0.05, "dropout": 0.1},
        },
        "trainer": {
            "callbacks": [{"class_path": "lit_landmarks.training.optimum.OptimumDistance"}]
        },
    }
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(old))
    tree = compose([file]).tree
    assert tree["model"] == {
        "class_path": "lit_landmarks.methods.asmnet.baseline.MobileNetBaseline",
        "init_args": {"dropout": 0.1, "error_head": {"weight": 0.05}},
    }
    (callback,) = tree["trainer"]["callbacks"]
    assert callback["class_path"] == "lit_landmarks.methods.asmnet.optimum.OptimumDistance"

    arguments = {"error_weight": 0.1, "early_stop": True, "target_mma": 60.0}
    file.write_text(yaml.safe_dump({"model": {"class_path": "MuSiCa", "init_args": arguments}}))
    assert compose([file]).tree["model"]["init_args"] == {
        "error_weight": 0.1,
        "early_exit": {"enabled": True, "target_mma": 60.0},
    }


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("model: a.yaml", "a.yaml includes itself: a.yaml includes a.yaml"),
        ("model: b.yaml", "includes itself: a.yaml includes b.yaml includes a.yaml"),
        ("trainer: {5: 3}", "key 5 of trainer is no text"),
        ("null: 3", "key None is no text"),
        ("data: {init_args: {augmentation: {true: 1}}}", "key True of data.init_args.augmentation"),
        ("model: {class_path: 5}", "class_path of model is 5"),
        ("model+: [1]", "model is no list"),
        ("trainer: &a {callbacks: [*a]}", "trainer.callbacks.0 contains itself"),
    ],
)
def test_what_yaml_can_say_and_settings_cannot(text: str, says: str, tmp_path: Path) -> None:
    write(tmp_path, "b.yaml", "model: a.yaml")
    with pytest.raises(UserError, match=re.escape(says)):
        compose([write(tmp_path, "a.yaml", text)])


def test_what_is_said_of_measured_sets_goes_with_them(tmp_path: Path) -> None:
    first = write(
        tmp_path,
        "a.yaml",
        """
data:
  init_args:
    test: {a: {class_path: X}, b: {class_path: X}}
    whole: [a, b]
    yaw_bins: {a: [0, 30]}
""",
    )
    second = write(tmp_path, "b.yaml", "data: {init_args: {test: {b: {class_path: X}}}}")
    arguments = compose([first, second]).tree["data"]["init_args"]
    assert (arguments["whole"], arguments["yaw_bins"]) == (["b"], {})
    keep_measured(arguments, [])
    assert arguments["whole"] == []
