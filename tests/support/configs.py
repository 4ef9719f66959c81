"""Argument files and sweep files whose runs take seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

Tree = dict[str, object]


def tiny_config() -> Tree:
    """A fit of seconds, a fresh copy: six rendered faces of 32 pixels, three steps an epoch."""

    def faces(n: int, seed: int) -> Tree:
        return {
            "class_path": "SyntheticFaces",
            "init_args": {"n": n, "seed": seed, "max_yaw": 30.0, "image_size": 48},
        }

    return {
        "seed_everything": 3,
        "model": {"class_path": "ASMNet", "init_args": {"dropout": 0.3}},
        "data": {
            "class_path": "LandmarkDataModule",
            "init_args": {
                "frame_size": 32,
                "batch_size": 4,
                "weights": {"faces": 2},
                "train": {"faces": faces(6, 1)},
                "val": {"faces": faces(4, 2)},
            },
        },
        "trainer": {
            "accelerator": "cpu",
            "max_epochs": 3,
            "limit_train_batches": 3,
            "enable_progress_bar": False,
            "callbacks": [
                {
                    "class_path": "lit_landmarks.training.media.Media",
                    "init_args": {"faces": 1},
                }
            ],
        },
        "wandb": {"mode": "disabled"},
    }


def quick_config() -> Tree:
    """`tiny_config` of a method of three layers: one step an epoch, no pictures, a fresh copy."""
    tree: dict[str, Any] = tiny_config()
    tree["model"] = {
        "class_path": "tests.support.tiny_regressor.TinyRegressor",
        "init_args": {"dropout": 0.3},
    }
    tree["trainer"] |= {"limit_train_batches": 1, "callbacks": []}
    return tree


def write_sweep(folder: Path, **changes: Any) -> Path:
    """Write a sweep file and its base config, for studies whose fits are made up.

    Args:
        folder: where; the file is `<name>.yaml`.
        changes: keys of the sweep file that replace those given here.

    Returns:
        The sweep file.
    """
    (folder / "base.yaml").write_text("a: 1\n")
    tree = {
        "name": "made-up",
        "base": ["base.yaml"],
        "trials": 12,
        "constraints": ["compute/mma <= 20"],
        "space": {"model.width": {"int": [1, 40]}},
        "sampler": {"class": "RandomSampler", "arguments": {"seed": 1}},
    } | changes
    file = folder / f"{tree['name']}.yaml"
    file.write_text(yaml.safe_dump(tree))
    return file
