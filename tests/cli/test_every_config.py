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
    "data": {"init_args": {"frame_size": 64, "batch_size": 2, "eval_batch_size": 2}},
    "wandb": {"mode": "disabled"},
}


def needs_real_faces(path: Path) -> bool:
    return "LIT_LANDMARKS_DATA" in path.read_text()


def parts_of(path: Path) -> list[Path]:
    """The file itself if it names a method, else the file on top of ASMNet's."""
    complete = path.parent == CONFIGS
    base = [] if complete else [CONFIGS / "asmnet.yaml"]
    return [*base, path]


def few_faces(tree: dict[str, object], path: Path) -> None:
    """Cuts every data set of `tree` down to a few faces, and writes the settings to `path`."""
    settings = tree["data"]["init_args"]  # type: ignore[index]
    for role in ("train", "val", "test"):
        for spec in (settings.get(role) or {}).values():
            arguments = spec.setdefault("init_args", {})
            if spec["class_path"] == "SyntheticFaces":
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
    tree = compose(parts_of(path)).tree
    short = tmp_path / "short.yaml"
    short.write_text(yaml.safe_dump(SHORT))
    config = tmp_path / "config.yaml"
    few_faces(tree, config)
    run = tmp_path / "run"
    assert main(["fit", "--config", str(config), "--config", str(short), "--run", str(run)]) == 0
    assert (run / "result.json").is_file()


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(CONFIGS).as_posix())
def test_config_says_what_it_is_for(path: Path) -> None:
    assert path.read_text().startswith("# ")
