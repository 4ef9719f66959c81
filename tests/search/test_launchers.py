"""A worker that SLURM or torchrun started is no rank of a training."""

from __future__ import annotations

import os

import pytest
import torch
from lightning.fabric.plugins.environments import SLURMEnvironment, TorchElasticEnvironment

from lit_landmarks.search.launchers import hide_launcher

TORCHRUN = {"TORCHELASTIC_RUN_ID": "a", "RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "4",
            "GROUP_RANK": "0", "MASTER_ADDR": "x", "MASTER_PORT": "1"}  # fmt: skip


def test_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7")
    assert TorchElasticEnvironment.detect()
    with hide_launcher():
        assert not TorchElasticEnvironment.detect()
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "5"
        assert not set(TORCHRUN) & set(os.environ)
    assert all(os.environ[name] == value for name, value in TORCHRUN.items())
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "4,5,6,7"


def test_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_NTASKS", "8")
    monkeypatch.setenv("SLURM_JOB_NAME", "sweep")
    monkeypatch.setenv("SLURM_LOCALID", "2")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert SLURMEnvironment.detect()
    before = os.environ.get("CUDA_VISIBLE_DEVICES")
    with hide_launcher():
        assert not SLURMEnvironment.detect()
        assert os.environ.get("CUDA_VISIBLE_DEVICES") == before, "it has one device anyway"
