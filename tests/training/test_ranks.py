"""Which process of a training is the first one, whoever has launched it."""

from __future__ import annotations

import pytest

from lit_landmarks.training.ranks import is_follower


@pytest.mark.parametrize(
    ("variables", "follower"),
    [
        ({}, False),
        ({"LOCAL_RANK": "1"}, True),
        ({"RANK": "0", "LOCAL_RANK": "0"}, False),
        ({"RANK": "4", "LOCAL_RANK": "0"}, True),  # torchrun, the first process of another machine
        ({"SLURM_PROCID": "3"}, True),  # srun
        ({"SLURM_PROCID": "3", "LOCAL_RANK": "0"}, False),  # torchrun within a job of SLURM
        ({"JSM_NAMESPACE_RANK": "1"}, True),
    ],
)
def test_the_first_process_of_each_launcher(
    variables: dict[str, str], follower: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert is_follower() == follower
