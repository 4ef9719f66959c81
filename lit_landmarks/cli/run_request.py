"""Requests of verbs that measure a trained run, on its own data or on that of further files."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from lit_landmarks.settings.preflight import check_settings
from lit_landmarks.settings.request import Request, read_request


def add_config(parser: argparse.ArgumentParser) -> None:
    """Adds `--config`, once for each further argument file."""
    parser.add_argument(
        "--config",
        "-c",
        action="append",
        default=[],
        type=Path,
        help="further argument files, such as other data",
    )


def read_evaluation(arguments: Sequence[str]) -> Request:
    """What is evaluated; plain mistakes are reported before torch is imported.

    Raises:
        UserError: no such run, or settings that cannot be read.
    """
    request = read_request("validate", [*arguments])
    check_settings("validate", request.configs, request.overrides)
    return request


def read_run_request(run: Path, options: argparse.Namespace) -> Request:
    """A run, with the further files and settings of the command line.

    Args:
        run: its directory.
        options: with `config` and `settings`.

    Raises:
        UserError: as `read_evaluation`.
    """
    configs = [f"--config={config}" for config in options.config]
    return read_evaluation([f"--run={run}", *configs, *options.settings])
