"""Measured accuracy of shipped configs, read from results files: what `recommend` goes by.

A run in a results file names its command. Where that is a fit of a shipped method's config, its
figures are evidence for the *recipe*: the config, the settings of the method, and the configs that
change the data without bringing any (augmentation).
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lit_landmarks.errors import UserError
from lit_landmarks.reports.results import Measurement, find_result_files, load_file

#: Settings of a command that belong to a recipe, for any data.
_OF_RECIPE = (
    *("model.", "trainer.max_epochs"),
    *(
        f"data.init_args.{k}"
        for k in ("augmentation", "batch_size", "epoch_faces", "frame", "source_")
    ),
)
#: Settings of data that change nothing of what is learned. All others say what is learned from, so
#: that figures of different ones are not seeds of one recipe.
_OF_NO_DATA = tuple(
    f"data.init_args.{k}" for k in ("root", "cache_dir", "num_workers", "test", "val")
)
#: Config by which commands stand for data of one's own, as on the pages.
OWN_DATA = "mine"
_START = "model.init_args.init_from"
#: Of test sets alone: validation faces chose the checkpoint, and may be those it learned from.
_NME = re.compile(r"test/[^/]+/nme_(interocular|interpupil|box|height|diagonal)")
_TRAINED_ON = re.compile(r"train ([\w.-]+) (?:\(([\d,]+) faces\)|first (\d+) by name)")


@dataclass(frozen=True)
class Recipe:
    """A shipped config with the settings that a command gave.

    Attributes:
        configs: names of shipped argument files, in their order.
        settings: `--key=value`.
    """

    configs: tuple[str, ...]
    settings: tuple[str, ...] = ()

    def arguments(self, data: Sequence[str]) -> list[str]:
        """Arguments of `fit` with data configs of one's own after the method's.

        Example:
            >>> Recipe(("musica", "data/upright"), ("--model.rank=32",)).arguments(["mine.yaml"])
            ['--config=musica', '--config=mine.yaml', '--config=data/upright', '--model.rank=32']
        """
        files = [self.configs[0], *data, *self.configs[1:]]
        return [*(f"--config={file}" for file in files), *self.settings]


@dataclass
class Evidence:
    """Figures of one recipe on one number of training faces.

    Attributes:
        recipe: what was trained.
        label: its row in the results file.
        faces: number of training faces.
        trained_on: names of the training sets.
        pretrained: it started from other weights.
        figures: key of an NME on a test set -> seed -> value.
    """

    recipe: Recipe
    label: str
    faces: int
    trained_on: tuple[str, ...]
    pretrained: bool
    figures: dict[str, dict[int | None, float]] = field(default_factory=dict)

    def mean(self, key: str) -> float:
        """Mean of a figure over seeds; NaN where it was not measured."""
        values = self.figures.get(key, {}).values()
        return math.fsum(values) / len(values) if values else math.nan


#: What makes figures those of seeds of one training: recipe, faces, start, settings of the data.
_Trained = tuple[Recipe, int, bool, tuple[str, ...]]


def collect_evidence(files: Iterable[Path], methods: Iterable[str]) -> list[Evidence]:
    """NME of shipped recipes in results files.

    Args:
        files: results files.
        methods: names of shipped configs that name a method, such as "musica_helen".
    """
    shipped = set(methods)
    entries: dict[_Trained, Evidence] = {}
    for path in files:
        for table in load_file(path).values():
            for row in table.rows:
                for run in row.runs:
                    _add(entries, run, row.label, shipped)
    return list(entries.values())


def find_results() -> list[Path]:
    """The results files of the package that runs."""
    return find_result_files(Path(__file__).resolve().parents[2])


def group_by_faces(evidence: Sequence[Evidence], faces: int) -> list[list[Evidence]]:
    """Evidence by its number of training faces, the nearest number, as a ratio, first.

    Args:
        evidence: of any numbers.
        faces: of the data that is asked about.
    """
    counts = sorted(
        {entry.faces for entry in evidence},
        key=lambda count: abs(math.log(count / max(faces, 1))),
    )
    return [[entry for entry in evidence if entry.faces == count] for count in counts]


def choose_key(group: Sequence[Evidence], detector: bool) -> str:
    """The figure by which a group is ranked: the one that most of it has.

    Sets with a detector's boxes come first where the faces that are asked about have such.

    Args:
        group: evidence on one number of faces.
        detector: rank by figures on a detector's boxes.
    """
    counts: dict[str, int] = {}
    for entry in group:
        for key in entry.figures:
            counts[key] = counts.get(key, 0) + 1

    def rank(key: str) -> tuple[bool, int, str]:
        return ("_detector" in key) != detector, -counts[key], key

    return min(counts, key=rank)


def read_recipe(command: str, methods: set[str]) -> tuple[Recipe, bool, tuple[str, ...]] | None:
    """The recipe of a fit, whether it starts from other weights, and its settings of the data.

    None for other commands.

    Example:
        >>> command = "python -m lit_landmarks fit --config configs/musica.yaml --run runs/x"
        >>> read_recipe(f"{command} --model.rank 32", {"musica"})[0]
        Recipe(configs=('musica',), settings=('--model.rank=32',))
    """
    arguments = shlex.split(command)
    if arguments[:4] != ["python", "-m", "lit_landmarks", "fit"] or "&&" in arguments:
        return None
    values: list[tuple[str, str]] = []
    for word in arguments[4:]:
        if word.startswith("--"):
            key, _, text = word[2:].partition("=")
            values.append((key, text))
        elif values:
            values[-1] = (values[-1][0], word)
    configs = tuple(
        text.removeprefix("configs/").removesuffix(".yaml") for k, text in values if k == "config"
    )
    if not configs or configs[0] not in methods:
        return None
    settings = tuple(
        f"--{key}={text}" for key, text in values if key.startswith(_OF_RECIPE) and key != _START
    )
    data = tuple(
        f"--{key}={text}"
        for key, text in values
        if key.startswith("data.") and not key.startswith((*_OF_RECIPE, *_OF_NO_DATA))
    )
    return Recipe(configs, settings), any(key == _START for key, _ in values), data


def _add(
    entries: dict[_Trained, Evidence],
    run: Measurement,
    label: str,
    methods: set[str],
) -> None:
    reading = read_recipe(run.command, methods)
    figures = {key: value for key, value in run.values.items() if _NME.fullmatch(key)}
    sets = _TRAINED_ON.findall(run.data)
    if reading is None or not figures or not sets:
        return
    recipe, pretrained, data = reading
    faces = sum(int((count or first).replace(",", "")) for _, count, first in sets)
    key = recipe, faces, pretrained, data
    names = tuple(name.lower() for name, _, _ in sets)
    entry = entries.setdefault(key, Evidence(recipe, label, faces, names, pretrained))
    for name, value in figures.items():
        # The same run may stand in several tables, and rounded in one of them.
        entry.figures.setdefault(name, {}).setdefault(run.seed, value)


def without_data(recipe: Recipe, brings_data: Mapping[str, bool]) -> Recipe | None:
    """The recipe without the configs that bring data sets; None if a config is not shipped.

    Args:
        recipe: of a command.
        brings_data: name of each shipped config -> whether it names training sets.
    """
    method, *others = recipe.configs
    if any(name not in brings_data for name in recipe.configs):
        return None
    remaining = tuple(name for name in others if not brings_data[name])
    return Recipe((method, *remaining), recipe.settings)


def refuse_no_evidence(evidence: Sequence[Evidence]) -> None:
    """Refuses to recommend anything where nothing was measured.

    Raises:
        UserError: there is no evidence.
    """
    if not evidence:
        raise UserError(
            "no results file has a figure of a shipped config, so that nothing can be recommended;"
            " measure one: fit, then results record"
        )
