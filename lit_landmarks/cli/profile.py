"""`profile`: multiply-adds, parameters and latency of a configured method, without data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lit_landmarks.cli.parsing import verb_parser
from lit_landmarks.console import plain_console, print_table
from lit_landmarks.errors import UserError
from lit_landmarks.settings.preflight import check_settings
from lit_landmarks.training.run_directory import open_run

if TYPE_CHECKING:
    from lit_landmarks.compute import Profile
    from lit_landmarks.methods import LandmarkModule

_DESCRIPTION = """Multiply-adds (MMA, millions per face), parameters and latency of a configured
method.
Needs no data and no training. A config is an argument file, the name of one that comes with the
package, a run's config.yaml or a run's folder; further --key value pairs override it.

  python -m lit_landmarks profile configs/asmnet.yaml
  python -m lit_landmarks profile asmnet --data.frame_size 224
  python -m lit_landmarks profile runs/asmnet-synthetic-001 --json"""


def run(arguments: list[str]) -> int:
    """Runs `profile`."""
    parser = verb_parser("profile", _DESCRIPTION)
    parser.add_argument(
        "paths", nargs="*", type=Path, metavar="CONFIG", help="argument file or run"
    )
    parser.add_argument("-c", "--config", action="append", default=[], type=Path, help="the same")
    parser.add_argument("--run", action="append", default=[], type=Path, help="the same, a run")
    parser.add_argument("--repeats", type=int, default=50, help="timed calls; 0: no latency")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads for the latency")
    parser.add_argument("--onnx", action="store_true", help="latency in ONNX Runtime too")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options, overrides = parser.parse_with_settings(arguments)
    if options.threads < 1:
        raise UserError(f"--threads {options.threads}: give 1 or more")
    if options.repeats < 0:
        raise UserError(f"--repeats {options.repeats}: give 0 for no latency, or more")
    configs = [*options.paths, *options.config, *options.run]
    if not configs:
        raise UserError("profile needs a config or a run, such as configs/asmnet.yaml; see --help")

    files = [open_run(path).config if path.is_dir() else path for path in configs]
    check_settings("fit", files, overrides, data_sets=False)
    # Imported here, so that help and plain mistakes do not wait for torch.
    from lit_landmarks.compute import profile_module
    from lit_landmarks.settings import Task

    method = Task.from_files(files, overrides, data_sets=False).method()
    profile = profile_module(
        method, method.example(), threads=options.threads, repeats=options.repeats
    )
    figures = describe(method, profile)
    if options.onnx and options.repeats:
        from lit_landmarks.export.latency import onnx_latency

        time = onnx_latency(method, options.threads, options.repeats)
        figures["compute/onnx_latency_median_ms"] = time.median_ms
        figures["compute/onnx_latency_p90_ms"] = time.p90_ms
    if options.json:
        print(json.dumps(figures, indent=2))
    else:
        _print(figures, profile)
    return 0


def describe(method: LandmarkModule, profile: Profile) -> dict[str, Any]:
    """Figures of a profile with method, scheme and frame size, for JSON."""
    return {
        "method": type(method).__name__,
        "scheme": method.scheme,
        "frame_size": method.frame_size,
        **profile.record(),
    }


def _print(figures: dict[str, Any], profile: Profile) -> None:
    from rich.table import Table

    title = f"{figures['method']}, {figures['scheme']}, {figures['frame_size']} px, one face"
    table = Table(title=title, title_justify="left", show_header=False)
    for key in (key for key in figures if key.startswith("compute/")):
        value = figures[key]
        table.add_row(key, f"{value:,}" if isinstance(value, int) else f"{value:,.2f}")
    print_table(table)
    if (notice := profile.cost.notice()) is not None:
        plain_console().print(f"note: {notice}")
