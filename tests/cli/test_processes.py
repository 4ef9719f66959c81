"""Commands with 1, 2 and 3 processes (CPU): the same figures and files to the last bit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.support.configs import Tree, tiny_config

ROOT = Path(__file__).resolve().parents[2]
#: Seven and two faces in batches of three: the shares of two and of three processes are uneven.
VAL = {"late": (7, 2), "early": (2, 3)}
#: Processes and how they start; spawned ones are started by command too.
STARTS = [(2, "ddp"), (3, "ddp_spawn")]


def several(processes: int, strategy: str) -> list[str]:
    return [f"--trainer.devices={processes}", f"--trainer.strategy={strategy}"]


def command(*arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "lit_landmarks", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def settings() -> Tree:
    def faces(n: int, seed: int) -> Tree:
        arguments = {"n": n, "seed": seed, "max_yaw": 30.0, "image_size": 48}
        return {"class_path": "SyntheticFaces", "init_args": arguments}

    tree: dict[str, dict[str, dict[str, object]]] = tiny_config()  # type: ignore[assignment]
    arguments = tree["data"]["init_args"]
    del arguments["weights"], tree["trainer"]["limit_train_batches"]
    arguments["train"] = {"faces": faces(11, 1)}
    arguments["val"] = {name: faces(*size) for name, size in VAL.items()}
    arguments["test"] = {"unseen": faces(4, 4)}
    arguments["eval_batch_size"] = 3
    tree["trainer"]["max_epochs"] = 2
    tree["trainer"]["callbacks"][0]["init_args"]["faces"] = 9  # type: ignore[index]
    return dict(tree)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("processes") / "settings.yaml"
    path.write_text(yaml.safe_dump(settings()))
    return path


@pytest.fixture(scope="module")
def run(config: Path) -> Path:
    command("fit", "--config", config, "--run", config.parent / "one")
    return config.parent / "one"


@pytest.mark.slow
@pytest.mark.parametrize("start", STARTS, ids=["two", "three"])
def test_evaluations(run: Path, start: tuple[int, str], tmp_path: Path) -> None:
    for verb in ("validate", "test"):
        told = []
        for name, extra in (("one", []), ("several", several(*start))):
            told.append(command(verb, "--run", run, "--output", tmp_path / name, *extra))
        assert told[0] == told[1], "one table"
        one, many = ((tmp_path / name).read_bytes() for name in ("one", "several"))
        assert many == one
        if verb == "validate":
            counts = json.loads(many)["metrics"]
            assert {name: counts[f"val/{name}/faces"] for name in VAL} == {"late": 7, "early": 2}
    said = []
    for name, extra in (("one.npz", []), ("several.npz", several(*start))):
        said.append(command("predict", "--run", run, "--output", tmp_path / name, *extra))
    assert [text.split(":")[0] for text in said] == ["4 faces"] * 2
    one, many = (
        np.load(tmp_path / name, allow_pickle=False) for name in ("one.npz", "several.npz")
    )
    assert many.files == one.files
    for column in one.files:
        np.testing.assert_array_equal(many[column], one[column])
    assert one["index"].tolist() == [0, 1, 2, 3]


@pytest.mark.slow
@pytest.mark.parametrize("start", STARTS, ids=["two", "three"])
def test_a_fit(config: Path, start: tuple[int, str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    told = command("fit", "--config", config, "--run", run, *several(*start))
    assert told.count("run directory") == told.count("results:") == 1
    metrics = json.loads((run / "result.json").read_text())["metrics"]
    assert metrics["val/late/faces"] == 7
    assert metrics["test/unseen/faces"] == 4
    # best.ckpt is that of the epoch with the lowest figure, and its figures are those of one.
    for verb, role in (("validate", "val"), ("test", "test")):
        command(verb, "--run", run, "--output", tmp_path / "one.json", "--trainer.devices=1",
                "--trainer.strategy=auto")  # fmt: skip
        figures = json.loads((tmp_path / "one.json").read_text())["metrics"]
        same = {k: v for k, v in metrics.items() if k.startswith(f"{role}/")}
        # The baseline is measured by fits alone.
        same = {k: v for k, v in same.items() if not k.endswith("nme_mean_shape")}
        assert same == {k: v for k, v in figures.items() if k.startswith(f"{role}/")}
    rows = (run / "metrics.csv").read_text().splitlines()
    column = rows[0].split(",").index("val/nme")
    logged = [float(v) for v in (row.split(",")[column] for row in rows[1:]) if v]
    assert metrics["val/nme"] == pytest.approx(min(logged[:2]), rel=1e-6)
    assert sorted(p.name for p in (run / "overlays").iterdir()) == [
        "faces", "faces.json", "test.png", "test_ced.png", "test_worst.png",
        "val.png", "val_ced.png", "val_worst.png",
    ]  # fmt: skip


@pytest.mark.slow
def test_phases_that_leave_parts_out(tmp_path: Path) -> None:
    """Three phases of SPIGA, of which the first two do not compute the cascade."""
    tree = settings()
    small = {"nodes": 8, "width": 8, "layers": 1, "position_width": 8, "decoder": [8]}
    tree["model"] = {
        "class_path": "SPIGA",
        "init_args": {
            "stacks": 1,
            "hourglass_channels": 16,
            "cascade": {**small, "windows": [0.5, 0.25]},
        },
    }
    tree["data"]["init_args"]["frame_size"] = 64
    tree["trainer"]["max_epochs"] = 5
    config, run = tmp_path / "settings.yaml", tmp_path / "run"
    config.write_text(yaml.safe_dump(tree))
    command("fit", "--config", config, "--run", run, *several(2, "ddp"))
    assert (run / "result.json").is_file()
