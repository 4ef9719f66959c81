"""A worker process whose fits are made up: `python made_up_worker.py STUDY [EPOCH_SECONDS]`.

An epoch is a few pauses and a validation; its end is written to last.ckpt, from which a fit goes
on. `log.txt` of a run tells which process ended which epoch.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from lightning.pytorch import Callback

from lit_landmarks.search import StudyFolder, run_trials

EPOCHS, BATCHES = 4, 5


def nme(width: float, epoch: int) -> float:
    """What the fit of a width has after an epoch."""
    return 20.0 - width / 10.0 - epoch


class MadeUp:
    """Costs and fits; an epoch takes `seconds`."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def costs(self, base: list[Path], words: list[str], timed: bool = False) -> dict[str, float]:
        return {"compute/mma": _width(words)}

    def fit(self, words: list[str], callbacks: Sequence[Callback]) -> dict[str, Any]:
        resumes = words[0] == "--resume"
        run = Path(words[1] if resumes else words[words.index("--run") + 1])
        last = run / "checkpoints" / "last.ckpt"
        last.parent.mkdir(parents=True, exist_ok=True)
        state = json.loads(last.read_text()) if resumes else {"width": _width(words), "epoch": 0}
        for epoch in range(state["epoch"], EPOCHS):
            figures = {"val/nme": nme(state["width"], epoch)}
            trainer: Any = SimpleNamespace(
                sanity_checking=False,
                callback_metrics=figures,
                current_epoch=epoch,
                world_size=1,
                state=SimpleNamespace(fn="fit"),
            )
            for batch in range(BATCHES):
                for callback in callbacks:
                    callback.on_train_batch_start(trainer, None, None, batch)  # type: ignore[arg-type]
                time.sleep(self.seconds / BATCHES)
            for callback in callbacks:
                callback.on_validation_end(trainer, None)  # type: ignore[arg-type]
                callback.on_train_epoch_end(trainer, None)  # type: ignore[arg-type]
            state["epoch"] = epoch + 1
            temporary = last.with_name("new")
            temporary.write_text(json.dumps(state))
            temporary.replace(last)
            with (run / "log.txt").open("a") as log:
                log.write(f"{os.getpid()} {epoch}\n")
        result = {"metrics": figures | {"compute/mma": state["width"]}, "epochs": EPOCHS}
        (run / "result.json").write_text(json.dumps(result))
        return result


def _width(words: list[str]) -> float:
    return float(next(w for w in words if w.startswith("--model.width=")).split("=")[1])


def main(root: str, seconds: str = "0.3") -> None:
    folder = StudyFolder(Path(root))
    sweep = folder.sweep()
    made_up = MadeUp(float(seconds))
    run_trials(
        sweep,
        folder,
        folder.open(sweep),
        lambda trial: print(trial.number, trial.state.name, flush=True),
        fit=made_up.fit,
        costs=made_up.costs,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
