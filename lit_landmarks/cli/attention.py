"""`attention`: where a patch cascade looks, and which patches are worth their cost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from lit_landmarks.cli.parsing import verb_parser
from lit_landmarks.draw.plots import save_figure
from lit_landmarks.errors import UserError
from lit_landmarks.files import write_atomic
from lit_landmarks.methods.musica import MuSiCa
from lit_landmarks.reports.attention import (
    Attention,
    attention_figure,
    human_correlation,
    keep_patches,
    measure_attention,
    region_figure,
)
from lit_landmarks.settings import Task
from lit_landmarks.training.records import record_faces
from lit_landmarks.training.run_directory import write_json

_DESCRIPTION = """Importance of each patch of a MuSiCa over the validation faces of its run (or of
other data), by iteration, pose and expression, drawn on the mean face, and its rank correlation
with an account of human attention. --keep M writes a config with the M patches that are worth most.

  python -m lit_landmarks attention --run runs/musica-synthetic-001 --output attention
  python -m lit_landmarks attention --run runs/musica-synthetic-001 --keep 34
  python -m lit_landmarks fit --config configs/musica.yaml --config attention/patches.yaml"""


def run(arguments: list[str]) -> int:
    """Runs the verb."""
    parser = verb_parser("attention", _DESCRIPTION)
    parser.add_argument("--run", type=Path, required=True, help="run directory")
    parser.add_argument("--config", "-c", action="append", default=[], type=Path,
                        help="further argument files, such as other data")  # fmt: skip
    parser.add_argument("--output", type=Path, default=Path("attention"), help="folder")
    parser.add_argument("--keep", type=int, help="number of patches for patches.yaml")
    known, rest = parser.parse_known_args(arguments)
    words = [f"--run={known.run}", *(f"--config={c}" for c in known.config), *rest]
    method, data = Task.from_arguments("validate", words).load_trained()
    if not isinstance(method, MuSiCa) or method.scheme is None:
        raise UserError(f"{known.run} is a {type(method).__name__}; give a run of MuSiCa")
    patches = method.network.chosen.tolist()
    if known.keep is not None and not 4 <= known.keep <= len(patches):
        raise UserError(
            f"--keep is {known.keep}; the run has {len(patches)} patches, keep 4 or more"
        )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    found = measure_attention(record_faces(method, data, "val", device), method.scheme, patches)
    console = Console(highlight=False, soft_wrap=True)
    _print(found, console)
    save_figure(attention_figure(found), known.output / "attention.png")
    save_figure(region_figure(found), known.output / "regions.png")
    for name in found.groups:
        picture = known.output / f"attention_{name.replace(' ', '_')}.png"
        save_figure(attention_figure(found, name), picture)
    regions, single = human_correlation(found)
    write_json(known.output / "attention.json", {
        "scheme": found.scheme, "patches": list(found.patches),
        "weights": found.weights.tolist(), "regions": found.by_region(),
        "human_correlation": {"regions": regions, "patches": single},
        "groups": {name: {"faces": found.faces[name], "weights": w.tolist()}
                   for name, w in found.groups.items()},
    })  # fmt: skip
    if known.keep is not None:
        kept = keep_patches(found, known.keep)
        write_atomic(known.output / "patches.yaml",
                     f"# The {len(kept)} patches of {known.run} worth most, by attention.\n"
                     f"model:\n  init_args:\n    patches: {list(kept)}\n")  # fmt: skip
        console.print(f"patches: {known.output / 'patches.yaml'}")
    console.print(f"figures: {known.output}")
    return 0


def _print(found: Attention, console: Console) -> None:
    table = Table(title="importance of a patch (1: mean of all)", title_justify="left")
    table.add_column("region")
    table.add_column("importance", justify="right")
    for region, value in found.by_region().items():
        table.add_row(region, f"{value:.3f}")
    console.print(table)
    regions, single = human_correlation(found)
    console.print(
        "too few regions for a rank correlation with human attention" if np.isnan(regions) else
        f"rank correlation with human attention: {regions:.2f} over regions, "
        f"{single:.2f} over patches"
    )  # fmt: skip
