"""`recommend`: which shipped config to start from, by the data, a budget and measured figures."""

from __future__ import annotations

import math
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lit_landmarks.cli.parsing import verb_parser
from lit_landmarks.console import plain_console, print_table
from lit_landmarks.errors import UserError
from lit_landmarks.reports.evidence import (
    OWN_DATA,
    Evidence,
    choose_key,
    collect_evidence,
    find_results,
    group_by_faces,
    refuse_no_evidence,
    without_data,
)
from lit_landmarks.settings.composition import compose
from lit_landmarks.settings.shipped import find_file, shipped_names

if TYPE_CHECKING:
    from lit_landmarks.settings import Task

#: The config whose data settings stand in for those that a data config leaves open.
_BASE = "own_photos"
#: Recipes that are shown, at least those up to the chosen one.
_SHOWN = 10
#: Steps of training that are timed, after one that is not.
_TIMED = 2

_DESCRIPTION = """Says which shipped config to start from on your data, and why: the one that was
measured to be the most accurate on a similar number of training faces, among those that your data
and your budget allow. The figures are those of the package's results files; where none was
measured, it says so. Data is a config that names data sets, such as that of a page for own photos.

  python -m lit_landmarks recommend mine.yaml
  python -m lit_landmarks recommend mine.yaml --mma 50 --minutes 30"""


@dataclass(frozen=True)
class Facts:
    """What the data is, as far as it matters for the choice.

    Attributes:
        faces, val_faces: numbers of training and validation faces.
        scheme: of the points, and their number.
        points: number of points.
        boxes: kinds of face boxes of the training sets.
    """

    faces: int
    val_faces: int
    scheme: str
    points: int
    boxes: tuple[str, ...]

    def describe(self) -> str:
        """One line."""
        boxes = ", ".join(kind.replace("_", "-") for kind in self.boxes)
        return (
            f"data: {self.faces:,} training and {self.val_faces:,} validation faces, {self.scheme}"
            f" ({self.points} points), {boxes} boxes"
        )


@dataclass
class Candidate:
    """A recipe on the user's data.

    Attributes:
        evidence: what was measured of it.
        arguments: of `fit`.
        nme: percent, the figure by which the group is ranked.
        method: name of its class; empty if it cannot be built.
        mma: multiply-adds of a face in millions, on the user's scheme and frame; NaN likewise.
        refusal: why it is out; empty if it is not.
        note: how long it takes, where that was asked.
    """

    evidence: Evidence
    arguments: list[str]
    nme: float
    method: str = ""
    mma: float = math.nan
    refusal: str = ""
    note: str = ""


def run(arguments: list[str]) -> int:
    """Runs `recommend`."""
    parser = verb_parser("recommend", _DESCRIPTION)
    parser.add_argument("data", nargs="+", type=Path, metavar="DATA", help="config of data sets")
    parser.add_argument("--mma", type=float, help="most multiply-adds of a face, millions")
    parser.add_argument("--minutes", type=float, help="most minutes of training on this machine")
    options = parser.parse_args(arguments)
    for name in ("mma", "minutes"):
        value = getattr(options, name)
        if value is not None and not 0 < value < math.inf:
            raise UserError(f"--{name} is {value}; give a number above 0")
    if "model" in compose(options.data).tree:
        raise UserError("a method is named in the data's config; leave `model` out of it")
    from lit_landmarks.settings import Task

    data = [str(path) for path in options.data]
    facts = read_facts(Task.from_files([_BASE, *data]))
    evidence = read_evidence()
    refuse_no_evidence(evidence)
    plain_console().print(facts.describe())
    for group in group_by_faces(evidence, facts.faces):
        key = choose_key(group, "detector" in facts.boxes)
        ranked = rank_candidates(group, key, data)
        chosen = choose(ranked, options.mma, options.minutes)
        _print_group(key, ranked, chosen)
        if chosen is not None:
            break
    _print_end(facts, chosen, evidence)
    return 0


def read_facts(task: Task) -> Facts:
    """What the data of a task is; labels are read, pixels are not."""
    from lit_landmarks.schemes import get_scheme

    module = task.data()
    spec = module.spec
    if not spec.in_role("train"):
        raise UserError("the data has no training set; name one in data.init_args.train")
    kinds = [getattr(s, "boxes", "ground_truth") for s in module.sets["train"].values()]
    scheme = spec.scheme or spec.in_role("train")[0].scheme
    return Facts(
        faces=sum(s.size for s in spec.in_role("train")),
        val_faces=sum(s.size for s in spec.in_role("val")),
        scheme=scheme,
        points=get_scheme(scheme).n_points,
        boxes=tuple(dict.fromkeys(map(str, kinds))),
    )


def read_evidence() -> list[Evidence]:
    """Figures of shipped recipes, which keep only configs that bring no data of their own."""
    brings = {OWN_DATA: True}
    methods = []
    for name in shipped_names("configs"):
        tree = compose([find_file(Path(name), "configs")]).tree
        brings[name] = bool(((tree.get("data") or {}).get("init_args") or {}).get("train"))
        if "model" in tree:
            methods.append(name)
    entries = []
    for entry in collect_evidence(find_results(), methods):
        recipe = without_data(entry.recipe, brings)
        if recipe is not None:
            entry.recipe = recipe
            entries.append(entry)
    return entries


def rank_candidates(group: Sequence[Evidence], key: str, data: Sequence[str]) -> list[Candidate]:
    """Recipes of a group by a figure, the most accurate first; those without it are left out.

    A recipe that was measured from random and from other weights stands with the former: the
    latter says what starting from weights brings.
    """
    candidates = [
        Candidate(entry, entry.recipe.arguments(data), entry.mean(key))
        for entry in group
        if not math.isnan(entry.mean(key)) and not entry.pretrained
    ]
    return sorted(candidates, key=lambda candidate: candidate.nme)


def choose(
    ranked: Sequence[Candidate], mma: float | None, minutes: float | None
) -> Candidate | None:
    """The most accurate recipe that the data and the budget allow; None if there is none.

    Recipes before it learn why they are out; those after it are not looked at.
    """
    for candidate in ranked:
        examine(candidate, mma, minutes)
        if not candidate.refusal:
            return candidate
    return None


def examine(candidate: Candidate, mma: float | None, minutes: float | None) -> None:
    """Build a recipe on the user's data, count its cost and, if asked, time it."""
    from lit_landmarks.settings import Task
    from lit_landmarks.training.build import check_needs

    try:
        task = Task.from_arguments("fit", candidate.arguments)
        method, spec = task.method(), task.data().spec
        check_needs(type(method).__name__, method.needs, spec)
        candidate.method = type(method).__name__
        candidate.mma = task.costs()["compute/mma"]
    except UserError as error:
        candidate.refusal = str(error)
        return
    if mma is not None and candidate.mma > mma:
        candidate.refusal = f"{candidate.mma:.1f} MMA are over {mma:g}"
    elif minutes is not None:
        _fit_into(candidate, task, minutes)


def _fit_into(candidate: Candidate, task: Task, minutes: float) -> None:
    """Fewer epochs where a training would take longer; refused where too few steps remain."""
    from lit_landmarks.training.outline import FEW_STEPS

    data = task.data()
    steps, seconds = max(1, data.drawn_faces // data.train_batch), time_step(task)
    epochs = int(task.settings["trainer"]["max_epochs"])
    whole = epochs * steps * seconds / 60
    candidate.note = f"{whole:.0f} min for {epochs} epochs here ({1000 * seconds:.0f} ms a step)"
    if whole <= minutes:
        return
    fewer = int(minutes * 60 / (steps * seconds))
    if fewer * steps < FEW_STEPS:
        candidate.refusal = f"{candidate.note}; {minutes:g} min are fewer than {FEW_STEPS} steps"
        return
    key = "--trainer.max_epochs="
    candidate.arguments = [a for a in candidate.arguments if not a.startswith(key)]
    candidate.arguments.append(f"{key}{fewer}")
    candidate.note += f", {fewer} epochs in {minutes:g} min: its figure is of more"


def time_step(task: Task) -> float:
    """Seconds of one training step on this machine, the least of two; nothing is learned."""
    import torch

    method, data = task.build_method(), task.data()
    method.bind(data.spec)
    batch = next(iter(data.batches("train", random=True)))
    method.train()
    times = []
    for _ in range(_TIMED + 1):
        start = time.perf_counter()
        losses = method.all_losses(method(batch.inputs), batch)
        torch.autograd.backward([torch.stack([*losses.values()]).nan_to_num().sum()])
        times.append(time.perf_counter() - start)
    return min(times[1:])


def _print_group(key: str, ranked: Sequence[Candidate], chosen: Candidate | None) -> None:
    from rich.table import Table

    if not ranked:
        return
    sets, faces = ", ".join(ranked[0].evidence.trained_on), ranked[0].evidence.faces
    plain_console().print(f"measured after training on {faces:,} faces ({sets}), {key} in percent:")
    table = Table()
    for heading in ("config", "settings", "NME", "MMA on your data", ""):
        table.add_column(heading, justify="right" if heading in ("NME",) else "left")
    shown = max(_SHOWN, ranked.index(chosen) + 1 if chosen is not None else len(ranked))
    for candidate in ranked[:shown]:
        recipe = candidate.evidence.recipe
        mark = "<- start here" if candidate is chosen else "out" if candidate.refusal else ""
        cost = "" if math.isnan(candidate.mma) else f"{candidate.mma:.1f}"
        settings = " ".join(recipe.settings)
        table.add_row(recipe.configs[0], settings, f"{candidate.nme:.2f}", cost, mark)
    print_table(table)
    for candidate in ranked:
        if candidate.refusal:
            plain_console().print(f"out: {candidate.evidence.label}: {candidate.refusal}")
    if len(ranked) > shown:
        plain_console().print(f"and {len(ranked) - shown} less accurate ones")


def _print_end(facts: Facts, chosen: Candidate | None, evidence: Sequence[Evidence]) -> None:
    console = plain_console()
    measured = {entry.recipe.configs[0] for entry in evidence}
    unmeasured = [name for name in _method_configs() if name not in measured]
    console.print(f"no test figure of: {', '.join(unmeasured)}")
    if chosen is None:
        console.print(
            "none of the measured configs fits your data and budget; raise --mma or --minutes, or"
            " look for one under your limits: sweep (sweeps/nme_under_100mma.yaml)"
        )
        return
    for line in explain(facts, chosen, evidence):
        console.print(line)


def explain(facts: Facts, chosen: Candidate, evidence: Sequence[Evidence]) -> list[str]:
    """Why this recipe, how far its figure goes, and the command."""
    from lit_landmarks.weights import list_weights

    lines = [
        f"start from {chosen.evidence.recipe.configs[0]}: the lowest NME that was measured on"
        f" {chosen.evidence.faces:,} training faces, of what your data and budget allow"
    ]
    ratio = facts.faces / chosen.evidence.faces
    if not 0.5 <= ratio <= 2:
        many = "more" if ratio > 1 else "fewer"
        lines.append(f"note: you have many {many} faces than that; the order may be another")
    if chosen.note:
        lines.append(f"time: {chosen.note}")
    started = [
        e
        for e in evidence
        if e.pretrained and e.recipe.configs[0] == chosen.evidence.recipe.configs[0]
    ]
    for entry in started:
        both = [k for k in entry.figures if k in chosen.evidence.figures]
        if both and entry.faces == chosen.evidence.faces:
            key = both[-1]
            started_nme, fresh_nme = entry.mean(key), chosen.evidence.mean(key)
            lines.append(
                f"started from rendered faces it had {started_nme:.2f} instead of"
                f" {fresh_nme:.2f} % on {key}"
            )
    figures = chosen.evidence.figures
    for key in figures:
        name = key.split("/")[1]
        other = key.replace(f"/{name}/", f"/{name}_detector/")
        if other in figures and "detector" not in facts.boxes:
            lines.append(
                f"in boxes of a face detector it had {chosen.evidence.mean(other):.2f} instead of"
                f" {chosen.evidence.mean(key):.2f} % on {name}; yours are about the labels"
            )
    arguments = list(chosen.arguments)
    names = [entry.name for entry in list_weights().values() if entry.method == chosen.method]
    if names:
        arguments.append(f"--model.init_args.init_from={names[0]}")
        lines.append(f"weights to start from: {', '.join(names)}")
    lines.append("command:")
    lines.append("  " + shlex.join(["python", "-m", "lit_landmarks", "fit", *arguments]))
    return lines


def _method_configs() -> list[str]:
    names = shipped_names("configs")
    return [n for n in names if "model" in compose([find_file(Path(n), "configs")]).tree]
