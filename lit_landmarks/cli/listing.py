"""`list`: methods, schemes, data sets, trained weights, argument and sweep files that there are."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path

from lit_landmarks.cli.parsing import verb_parser
from lit_landmarks.errors import UserError
from lit_landmarks.schemes import CONVENTIONS, SCHEMES
from lit_landmarks.settings.catalog import list_datasets, list_layouts, list_methods
from lit_landmarks.settings.shipped import Kind, find_file, shipped_names
from lit_landmarks.settings.values import describe_unknown_name
from lit_landmarks.weights import describe_unknown_weights, list_weights

Rows = list[tuple[str, str]]

_DESCRIPTION = """Lists what the package has, a line each. Without a name: everything.

  methods      what `fit` trains; --model NAME, and their settings: fit --model.help NAME
  schemes      landmark schemes; --data.scheme NAME
  conventions  how annotators place the points of a scheme
  datasets     readers of published data sets, of your own faces, and renderers
  weights      trained weights; lit_landmarks.load("NAME"), --model.init_args.init_from NAME
  layouts      files that `data convert` and `data synthesize` write
  configs      argument files; --config NAME
  sweeps       sweep files; sweep run NAME

  python -m lit_landmarks list configs"""
_WIDTH = 100


def run(arguments: list[str]) -> int:
    """Runs `list`."""
    parser = verb_parser("list", _DESCRIPTION)
    parser.add_argument("what", nargs="*", metavar="WHAT", help=", ".join(LISTS))
    chosen: list[str] = parser.parse_args(arguments).what
    for name in chosen:
        if name not in LISTS:
            raise UserError(describe_unknown_name("list", name, [*LISTS], None))
    for number, name in enumerate(chosen or LISTS):
        if len(chosen) != 1:
            print(f"{'' if number == 0 else chr(10)}{name}:")
        print("\n".join(format_rows(LISTS[name]())))
    return 0


def format_rows(rows: Rows) -> Iterable[str]:
    """Lines with the names in one column and what they are beside them."""
    width = max((len(name) for name, _ in rows), default=0) + 2
    for name, text in rows:
        wrapped = textwrap.wrap(text, _WIDTH - width) or [""]
        yield f"{name:<{width}}{wrapped[0]}".rstrip()
        yield from (" " * width + line for line in wrapped[1:])


def _describe_schemes() -> Rows:
    return [
        (name, f"{scheme.n_points} points{', left and right paired' if scheme.flip else ''}")
        for name, scheme in SCHEMES.items()
    ]


def describe_weights() -> Rows:
    """Registered weights; one row that says so if there are none."""
    rows = [(name, entry.describe()) for name, entry in list_weights().items()]
    return rows or [("-", describe_unknown_weights(""))]


def _describe_files(kind: Kind) -> Rows:
    """Shipped files with the first sentence of their comment."""
    return [(name, _read_comment(find_file(Path(name), kind))) for name in shipped_names(kind)]


def _read_comment(file: Path) -> str:
    lines = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#") or line.startswith("#   "):  # a command
            break
        lines.append(line.strip("# "))
    return re.split(r"(?<=[.?]) ", " ".join(lines))[0].rstrip(".")


LISTS: dict[str, Callable[[], Rows]] = {
    "methods": lambda: [(name, cls.summary) for name, cls in list_methods().items()],
    "schemes": _describe_schemes,
    "conventions": lambda: [(name, "") for name in CONVENTIONS],
    "datasets": lambda: [(name, cls.summary) for name, cls in list_datasets().items()],
    "weights": describe_weights,
    "layouts": lambda: [(name, cls.summary) for name, cls in list_layouts().items()],
    "configs": lambda: _describe_files("configs"),
    "sweeps": lambda: _describe_files("sweeps"),
}
