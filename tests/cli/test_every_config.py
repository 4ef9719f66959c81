"""Every YAML in configs/ is read, built and trained for a step, on few faces and small frames."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from lit_landmarks.cli import main
from lit_landmarks.settings import compose

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
FILES = sorted(CONFIGS.rglob("*.yaml"))
#: One step on small frames: batches of two, so that batch norms have something to average.
SHORT = {
    "trainer": {
        "accelerator": "cpu",
        "max_epochs": 1,
        "limit_train_batches": 1,
        "limit_val_batches": 1,
        "limit_test_batches": 1,
        "check_val_every_n_epoch": 1,
        "enable_progress_bar": False,
    },
    "wandb": {"mode": "disabled"},
}
#: Arguments that make a method small.
NARROW: dict[str, dict[str, float]] = {
    "MuSiCa": {"hidden": 32},
    "ASMNet": {"width": 0.35},
    "SPIGA": {"hourglass_channels": 32},
}


#: Side of the frame, for configs with windows that are too small for 64 pixels.
FRAME = {
    "spiga": 128,
    "spiga_100mma": 128,
    "spiga_250mma": 128,
    "spiga_1000mma": 256,
    "spiga_cascade": 128,
    "infinite3d_wide": 256,
    "wide": 256,
    "wide_synthetic": 256,
    "whole_photos": 256,
}
#: What a fragment is put on top of, where ASMNet cannot take its frames.
BASE = dict.fromkeys(("wide", "wide_synthetic", "whole_photos"), "infinite3d_wide.yaml")


def few_at_once(size: int) -> dict[str, object]:
    return {"init_args": {"frame_size": size, "batch_size": 2, "eval_batch_size": 2}}


def needs_real_faces(path: Path) -> bool:
    return "LIT_LANDMARKS_DATA" in path.read_text()


def settings_of(path: Path) -> dict[str, object]:
    """The file itself if it names a method, else on top of a method's; few weights.

    Widths that no file sets are narrow: what is tested is in the files, and hundreds of megabytes
    of checkpoints are not.
    """
    complete = path.parent == CONFIGS and "class_path" in path.read_text()
    base = [] if complete else [CONFIGS / BASE.get(path.stem, "asmnet.yaml")]
    tree = compose([*base, path]).tree
    model = tree["model"]
    for name, value in NARROW.get(model["class_path"], {}).items():
        assert name not in model["init_args"], f"{path} sets {name}; test it as it is"
        model["init_args"][name] = value
    return tree


def few_faces(tree: dict[str, object], path: Path) -> None:
    """Cuts every data set of `tree` down to a few faces, and writes the settings to `path`."""
    settings = tree["data"]["init_args"]  # type: ignore[index]
    for role in ("train", "val", "test"):
        for spec in (settings.get(role) or {}).values():
            arguments = spec.setdefault("init_args", {})
            if spec["class_path"] == "ColumnFaces":  # heads that a user renders first
                spec["class_path"] = "SyntheticFaces"
                arguments.clear()
                arguments.update(scheme="dense520", convention="300w_lp", visibility=False)
            if spec["class_path"] in (
                "SyntheticFaces",
                "DisplacedFaces",
                "IctFaces",
                "SyntheticTracks",
            ):
                arguments.update(n=4, image_size=64)
            else:
                arguments.pop("last", None)
                arguments["first"] = 4
    path.write_text(yaml.safe_dump(tree))


def test_the_walk_finds_them() -> None:
    names = {path.relative_to(CONFIGS).as_posix() for path in FILES}
    assert {"asmnet.yaml", "mobilenet.yaml", "data/synthetic.yaml", "trainer/cpu.yaml"} <= names


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(CONFIGS).as_posix())
def test_config_trains_for_a_step(
    path: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if needs_real_faces(path):
        request.getfixturevalue("real_data")
    tree = settings_of(path)
    short = tmp_path / "short.yaml"
    size = FRAME.get(path.stem, 64)
    short.write_text(yaml.safe_dump({**SHORT, "data": few_at_once(size)}))
    config = tmp_path / "config.yaml"
    few_faces(tree, config)
    run = tmp_path / "run"
    assert main(["fit", "--config", str(config), "--config", str(short), "--run", str(run)]) == 0
    assert (run / "result.json").is_file()


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(CONFIGS).as_posix())
def test_config_says_what_it_is_for(path: Path) -> None:
    assert path.read_text().startswith("# ")
