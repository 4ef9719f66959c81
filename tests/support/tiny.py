"""A fit that takes seconds: six rendered faces of 32 pixels, three steps an epoch."""

from __future__ import annotations

Tree = dict[str, object]


def tiny_tree() -> Tree:
    """The settings; each call gives a fresh copy."""

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
