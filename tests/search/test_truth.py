"""A made-up study of 60 trials whose truth is known: status, best and the page say that truth."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass

import numpy as np
import optuna
import pytest
import yaml
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from lit_landmarks.cli import main
from lit_landmarks.search import METRICS, RUN, StudyFolder

from .conftest import Make

KINDS = CategoricalDistribution(["fine", "other", "third"])
SPACE = {
    "model.kind": {"choice": list(KINDS.choices)},
    "model.width": {"int": [1, 40]},
    "data.rotation": {"float": [0.0, 45.0]},
}


@dataclass
class Truth:
    """What the trials of the study are worth: NME by number, MMA by number, of those trained."""

    nme: dict[int, float]
    mma: dict[int, float]

    def best(self, limit: float) -> int:
        return min((n for n in self.nme if self.mma[n] <= limit), key=lambda n: self.nme[n])

    def front(self) -> list[int]:
        """Trials that no other one beats in both, cheapest first."""
        beaten = {
            n for n in self.nme for o in self.nme
            if o != n and self.nme[o] <= self.nme[n] and self.mma[o] <= self.mma[n]
        }  # fmt: skip
        return sorted(self.nme.keys() - beaten, key=lambda n: self.mma[n])


@pytest.fixture
def study(make_study: Make) -> tuple[StudyFolder, Truth]:
    """The kind is worth 2, the width 1.2 and rotation 0.3; above 20 MMA nothing is trained."""
    folder = make_study(space=SPACE, trials=60)
    storage = folder.open(folder.sweep())._storage
    random, truth = np.random.default_rng(7), Truth({}, {})
    opened = optuna.load_study(study_name="made-up", storage=storage)
    for number in range(60):
        kind = str(random.choice(KINDS.choices))
        width, rotation = int(random.integers(1, 25)), float(random.uniform(0, 45))
        nme = 4.0 + 2.0 * (kind != "fine") + 1.2 * (1 - width / 20) + 0.3 * rotation / 45
        mma = width + number / 1000
        trained, pruned = mma <= 20, number % 7 == 3
        metrics = {"compute/mma": mma, "compute/parameters": 1000.0 * width}
        if trained and not pruned:
            truth.nme[number], truth.mma[number] = nme, mma
            metrics["val/nme"] = nme
        state = TrialState.PRUNED if trained and pruned else TrialState.COMPLETE
        value = (None if pruned else nme) if trained else math.inf
        opened.add_trial(create_trial(
            state=state, value=value,
            params={"model.kind": kind, "model.width": width, "data.rotation": rotation},
            distributions={"model.kind": KINDS, "model.width": IntDistribution(1, 40),
                           "data.rotation": FloatDistribution(0, 45)},
            user_attrs={METRICS: metrics, **({RUN: f"trials/{number:04d}"} if trained else {})},
            intermediate_values={0: nme + 3.0} if trained else {},
            system_attrs={"constraints:compute/mma <= 20": mma - 20},
        ))  # fmt: skip
        if trained:
            run = folder.trials / f"{number:04d}"
            run.mkdir(parents=True)
            (run / "config.yaml").write_text(yaml.safe_dump({"number": number, "wandb": {}}))
    return folder, truth


@pytest.mark.parametrize("limit", [20, 9])
def test_status_best_and_page_say_the_truth(
    study: tuple[StudyFolder, Truth], capsys: pytest.CaptureFixture[str], limit: int
) -> None:
    folder, truth = study
    root, best, front = str(folder.root), truth.best(limit), truth.front()
    within = [] if limit == 20 else ["--limit", f"compute/mma <= {limit}"]
    assert main(["sweep", "status", root, "--json", *within]) == 0
    status = json.loads(capsys.readouterr().out)
    assert (status["best"]["number"], status["trials"]) == (best, 60)
    assert [point["number"] for point in status["pareto"]] == front
    assert main(["sweep", "best", root, *within]) == 0
    assert yaml.safe_load((folder.root / "best.yaml").read_text())["number"] == best
    for name in ("page.json", "page.html"):
        assert main(["compare", root, "--output", str(folder.root / name), *within]) == 0
    page = json.loads((folder.root / "page.json").read_text())
    assert page["best"] == f"made-up-{best:04d}"
    assert {row["name"] for row in page["rows"] if row["pareto"]} == {
        f"made-up-{number:04d}" for number in front
    }
    shares = page["studies"][0]["importance"]
    # Variances over the ranges: 0.889, 0.456 and 0.0075, which are 0.66, 0.34 and 0.006 of all; no
    # width above 20 was trained, so that its share comes out lower.
    assert list(shares) == ["model.kind", "model.width", "data.rotation"]
    assert shares["model.kind"] == pytest.approx(0.66, abs=0.15)
    assert shares["data.rotation"] < 0.03
    text = (folder.root / "page.html").read_text()
    assert f'<span class="soft">#{best}</span></h2>' in text
    headline = re.search(r"most important setting</dt><dd>(\d+) %<small>(.*?)<", text)
    assert headline is not None
    assert headline[2].startswith("kind; rests on ")
    assert f"{round(100 * shares['model.kind'])}" == headline[1]
    assert f"within compute/mma &lt;= {limit}" in text
