"""Fixtures of every test: real faces if they are here; nothing is written outside a temp folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import torch

from tests.support.wandb_server import WandbServer, serve_wandb

REPO = Path(__file__).resolve().parents[1]

# Set before the package is imported: libraries read some of these once, at import.
os.environ["WANDB_MODE"] = "offline"
os.environ["WANDB_SILENT"] = "true"
# Else each run opened lists every installed package, for half a second.
os.environ["WANDB_X_SAVE_REQUIREMENTS"] = "false"
os.environ["MPLBACKEND"] = "Agg"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["LIT_LANDMARKS_DATA"] = os.environ.get(
    "LIT_LANDMARKS_DATA", str(REPO.parent / "shared" / "data")
)

hypothesis.settings.register_profile(
    # Shared cores make deadlines lie; a fixed seed makes a red run repeatable.
    "repo",
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=25,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("repo")


@pytest.fixture(scope="session", autouse=True)
def _isolation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Caches and trackers write to a temporary folder; one thread for each xdist worker."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIT_LANDMARKS_CACHE", str(home / "cache"))
        patch.setenv("WANDB_DIR", str(home))
        patch.setenv("WANDB_CACHE_DIR", str(home / "wandb-cache"))
        patch.setenv("WANDB_CONFIG_DIR", str(home / "wandb-config"))
        patch.setenv("WANDB_DATA_DIR", str(home / "wandb-data"))
        threads = torch.get_num_threads()
        if "PYTEST_XDIST_WORKER" in os.environ:
            torch.set_num_threads(1)
        yield
        torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def few_shapes() -> Iterator[None]:
    """Shape statistics of 300 shapes, not 20,000: they are tested with the data."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lit_landmarks.data.module._SHAPES", 300)
        yield


@pytest.fixture
def wandb_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[WandbServer]:
    """A W&B server to which this process sends."""
    from lit_landmarks.training import wandb_logging, wandb_tracker

    with serve_wandb() as server:
        for key, value in server.environment.items():
            monkeypatch.setenv(key, value)
        monkeypatch.setattr(wandb_logging._Server, "ask_at", 0.0)
        wandb_tracker.restart_service()  # it keeps the address with which it was started
        yield server
        wandb_tracker.restart_service()


@pytest.fixture(scope="session")
def repo_root() -> Path:
    """The folder that holds pyproject.toml."""
    return REPO


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real faces: `$LIT_LANDMARKS_DATA`, else ../shared/data beside the repository."""
    root = Path(os.environ["LIT_LANDMARKS_DATA"])
    if not root.is_dir():
        pytest.skip(f"no real faces at {root}; set LIT_LANDMARKS_DATA to their folder")
    return root
