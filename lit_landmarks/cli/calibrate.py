"""`calibrate`: thresholds of the early stop and of failure detection, put into a checkpoint."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from lit_landmarks.cli.parsing import verb_parser
from lit_landmarks.draw.plots import save_figure
from lit_landmarks.errors import UserError
from lit_landmarks.methods.adaptive import AdaptiveModule
from lit_landmarks.reports.calibration import calibration_plot, describe_set, print_calibration
from lit_landmarks.settings import Task
from lit_landmarks.training.calibration import (
    Detection,
    Operation,
    detect_failures,
    for_cost,
    for_error,
)
from lit_landmarks.training.operating_point import store_thresholds
from lit_landmarks.training.records import FaceRecords, record_faces
from lit_landmarks.training.run_directory import RunDirectory, write_json

_DESCRIPTION = """Finds the predicted error below which a face leaves the cascade, and the one above
which it counts as failed, on the validation sets of a run (or of another data config), and stores
both in the checkpoint. Without --mma, --nme and --slack the NME may rise by 3 percent of itself.
A method without stages (such as ASMNet with error_weight above 0) gets the report only.
Writes calibration.json and calibration.png into the run, or beside a checkpoint outside of one.

  python -m lit_landmarks calibrate --run runs/musica-synthetic-001
  python -m lit_landmarks calibrate --run runs/musica-synthetic-001 --mma 60
  python -m lit_landmarks calibrate --run RUN --config configs/data/helen_afw.yaml --nme 5.5"""


def run(arguments: list[str]) -> int:
    """Runs the verb."""
    parser = verb_parser("calibrate", _DESCRIPTION)
    goal = parser.add_mutually_exclusive_group()
    goal.add_argument("--mma", type=float, help="wanted mean cost of a face, million multiply-adds")
    goal.add_argument("--nme", type=float, help="wanted mean NME, percent of the eye distance")
    goal.add_argument("--slack", type=float, help="allowed rise of the NME, percent of itself")
    parser.add_argument("--shared", action="store_true",
                        help="one threshold for all stages, as the paper draws it")  # fmt: skip
    parser.add_argument("--failure", type=float, default=10.0,
                        help="true NME in percent from which a face has failed")  # fmt: skip
    parser.add_argument("--recall", type=float,
                        help="share of failures to find; default: the best F1")  # fmt: skip
    parser.add_argument("--dry", action="store_true", help="report only; write nothing")
    parser.add_argument("--run", type=Path, help="run directory")
    parser.add_argument("--ckpt_path", type=Path, help="checkpoint; default the run's best")
    parser.add_argument("--config", "-c", action="append", default=[], type=Path,
                        help="further argument files, such as other data")  # fmt: skip
    known, rest = parser.parse_known_args(arguments)
    _check(known)
    words = [f"--{k}={v}" for k, v in (("run", known.run), ("ckpt_path", known.ckpt_path)) if v]
    words += [*(f"--config={c}" for c in known.config), *rest]
    task = Task.from_arguments("validate", words)
    checkpoint = task.request.checkpoint
    assert checkpoint is not None
    method, data = task.load_trained()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    records = {role: record_faces(method, data, role, device) for role in ("val", "test")
               if data.sets[role]}  # fmt: skip
    found = _operation(known, records["val"], method)
    detection = detect_failures(records["val"], known.failure, known.recall)
    stop = found.stop_below if found else ()
    sets = by_set(records)
    told = {name: describe_set(part, stop, detection.fail_above, known.failure, method.scheme)
            for name, part in sets.items()}  # fmt: skip
    print_calibration(told, stop, detection)
    if known.dry:
        return 0
    folder = _folder(checkpoint)
    content = _content(checkpoint, found, detection, told, known.shared)
    write_json(folder / "calibration.json", content)
    save_figure(
        calibration_plot(sets, detection.fail_above, known.failure), folder / "calibration.png"
    )
    # Last: a report that cannot be written leaves the checkpoint as it was.
    console = Console(highlight=False, soft_wrap=True)
    if found and isinstance(method, AdaptiveModule):
        method.set_thresholds(list(stop), detection.fail_above)
        store_thresholds(checkpoint, method)
        console.print(f"thresholds stored in {checkpoint}")
    console.print(f"report: {folder / 'calibration.json'}, {folder / 'calibration.png'}")
    return 0


def _folder(checkpoint: Path) -> Path:
    """Of the reports: the run of a checkpoint, or, outside of one, its own folder."""
    own = checkpoint.resolve().parent
    run = RunDirectory(own.parent)
    return run.root if own == run.checkpoints and run.config.is_file() else own


def _check(known: Any) -> None:
    for name in ("mma", "nme", "failure"):
        value = getattr(known, name)
        if value is not None and not (np.isfinite(value) and value > 0):
            raise UserError(f"--{name} is {value}; give a number above 0")
    if known.slack is not None and not (np.isfinite(known.slack) and known.slack >= 0):
        raise UserError(f"--slack is {known.slack}; give 0 percent or more")
    if known.recall is not None and not 0 < known.recall <= 1:
        raise UserError(f"--recall is {known.recall}; give a share above 0 and at most 1")


def _operation(known: Any, records: FaceRecords, method: Any) -> Operation | None:
    """The thresholds that reach the goal; None for a method that does not stop."""
    stages = len(records.costs)
    if not isinstance(method, AdaptiveModule) or stages < 2:
        if known.mma is not None or known.nme is not None or known.slack is not None:
            raise UserError(
                f"{type(method).__name__} has one stage, so no face can leave early; "
                "leave --mma, --nme and --slack away"
            )
        return None
    if known.mma is not None:
        return for_cost(records, known.mma, known.shared)
    if known.nme is not None:
        return for_error(records, known.nme, known.shared)
    slack = 3.0 if known.slack is None else known.slack
    full = float(records.error[-1].mean())
    return for_error(records, full * (1 + slack / 100), known.shared)


def by_set(records: dict[str, FaceRecords]) -> dict[str, FaceRecords]:
    """The data sets of each role by name, as metrics call them."""
    return {
        f"{role}/{name}": part.of(part.dataset == number)
        for role, part in records.items()
        for number, name in enumerate(part.sets)
        if (part.dataset == number).any()
    }


def _content(
    checkpoint: Path, found: Operation | None, detection: Detection,
    told: dict[str, Any], shared: bool,
) -> dict[str, Any]:  # fmt: skip
    return {
        "checkpoint": str(checkpoint),
        "shared": shared,
        "stop_below": list(found.stop_below) if found else [],
        "chosen_on_val": asdict(found) if found else None,
        "failure_detection_on_val": asdict(detection),
        "sets": told,
    }
