"""What several processes bring together, with their exchange played by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor

from lit_landmarks.metrics import FaceMetrics
from lit_landmarks.metrics import suite as suite_module
from lit_landmarks.training import processes
from lit_landmarks.types import DatasetSpec, DataSpec, FaceBatch, Prediction


def test_faces_are_joined_in_file_order_without_repeats(monkeypatch: pytest.MonkeyPatch) -> None:
    own = {
        "points": [np.array([[3.0], [4.0]]), np.array([[9.0]])],
        "dataset_id": [np.array([1, 1]), np.array([0])],
        "index": [np.array([0, 1]), np.array([-1])],
    }
    other = {
        "points": np.array([[1.0], [2.0], [5.0]]),
        "dataset_id": np.array([0, 0, 1]),
        "index": np.array([0, 1, 2]),
    }
    monkeypatch.setattr(processes, "gather", lambda value: [value, {}, other])
    joined = processes.gather_faces(own)
    assert joined["points"][:, 0].tolist() == [1, 2, 3, 4, 5]
    assert joined["dataset_id"].tolist() == [0, 0, 1, 1, 1]
    assert joined["index"].tolist() == [0, 1, 0, 1, 2]
    monkeypatch.setattr(processes, "gather", lambda value: [{}, {}])
    assert processes.gather_faces({"points": []}) == {}


def test_processes_that_would_be_spawned_repeat_the_command() -> None:
    names = {
        "auto": "auto", "ddp": "ddp", "ddp_spawn": "ddp", "ddp_notebook": "ddp",
        "ddp_spawn_find_unused_parameters_false": "ddp_find_unused_parameters_false",
        "ddp_find_unused_parameters_true": "ddp_find_unused_parameters_true", "fsdp": "fsdp",
    }  # fmt: skip
    assert {name: processes.start_by_command(name) for name in names} == names
    strategy = processes.start_by_command(DDPStrategy(start_method="fork"))
    assert isinstance(strategy, DDPStrategy)
    assert strategy._start_method == "popen"


@pytest.mark.parametrize("processes", [2, 3])
def test_figures_of_processes_are_those_of_one_to_the_last_bit(
    processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole batches are dealt out; sums of floats would differ by their order otherwise."""
    sets = tuple(
        DatasetSpec(name, "val", "ibug68", "300w", "interocular", 40) for name in ("a", "b")
    )
    spec = DataSpec("ibug68", 68, 64, "tight", sets)
    g = torch.Generator().manual_seed(5)

    def make(rows: list[int], dataset: int) -> tuple[Prediction, FaceBatch]:
        points = torch.rand(len(rows), 68, 2, generator=g) * 60
        norms = torch.rand(len(rows), 5, generator=g) * 30 + 3
        batch = FaceBatch.of(
            torch.zeros(len(rows), 3, 64, 64), points, norms=norms, dataset_id=dataset,
            index=torch.tensor(rows),
        )  # fmt: skip
        return Prediction(points + torch.randn(points.shape, generator=g) * 7), batch

    dealt = [make(list(range(s, s + 5)), d) for d in range(2) for s in range(0, 40, 5)]
    whole = FaceMetrics(spec, "val")
    for prediction, batch in dealt:
        whole.update(prediction, batch)
    suites = [FaceMetrics(spec, "val") for _ in range(processes)]
    monkeypatch.setattr(suite_module, "jit_distributed_available", lambda: True)
    for metric in (m for suite in suites for _, m in suite.metrics()):
        metric.distributed_available_fn = lambda: True
    _, repeat = make([-1], 0)
    for place, (prediction, batch) in enumerate(dealt):
        suites[place % processes].update(prediction, batch)
    suites[-1].update(Prediction(torch.zeros(1, 68, 2)), repeat)
    for name, metric in suites[0].metrics():
        metric.dist_sync_fn = Exchange([dict(suite.metrics())[name] for suite in suites])
    assert suites[0].compute() == whole.compute()


class Exchange:
    """The gathering of several processes, state by state in the order that a metric asks."""

    def __init__(self, metrics: list[object]) -> None:
        self.sent = [self._states(metric) for metric in metrics]
        self.place = 0

    def _states(self, metric: object) -> list[Tensor]:
        states = [getattr(metric, name) for name in metric._reductions]  # type: ignore[attr-defined]
        sent = [torch.cat(state) if isinstance(state, list) else state for state in states]
        if hasattr(metric, "_batches"):
            none = metric.total.new_zeros(0, *metric.total.shape)  # type: ignore[attr-defined]
            sums = [batch for _, batch in metric._batches]
            sent.append(torch.tensor([place for place, _ in metric._batches]).long())
            sent.append(torch.stack(sums) if sums else none)
        return sent

    def __call__(self, state: Tensor, group: object = None) -> list[Tensor]:
        gathered = [states[self.place] for states in self.sent]
        assert torch.equal(gathered[0].nan_to_num(-1), state.nan_to_num(-1))
        self.place += 1
        return gathered
