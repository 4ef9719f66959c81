"""Table of the verbs with their summaries and modules, and the dispatch of one verb."""

from __future__ import annotations

import difflib
from functools import partial
from importlib import import_module
from typing import NamedTuple

from lit_landmarks.errors import UserError
from lit_landmarks.settings.process_state import preserve_process_state


class Verb(NamedTuple):
    """Module of a verb, which has `run(arguments) -> int`, and its line in the help.

    `run` of the training verbs, which share a module, takes the verb first.
    """

    module: str
    summary: str


#: Modules are imported when their verb is asked for, so that `--help` does not wait for torch.
VERBS: dict[str, Verb] = {
    "fit": Verb("train", "train a method and evaluate its best checkpoint"),
    "validate": Verb("train", "measure a run on its validation sets, or on others"),
    "test": Verb("train", "measure a run on its test sets, or on others"),
    "predict": Verb("train", "write a run's landmarks for data sets to a file"),
    "recommend": Verb("recommend", "which shipped config to start from on your data, and why"),
    "sweep": Verb("sweep", "run, resume, status, best: the best model under a budget"),
    "compare": Verb("compare", "runs, studies, W&B projects side by side: table, page, report"),
    "profile": Verb("profile", "multiply-adds, parameters and latency of a config; no training"),
    "analyse": Verb(
        "analyse", "calibrate, tradeoff, attention, stability: what a trained run does"
    ),
    "export": Verb("export", "a trained method as an ONNX or LiteRT file, checked"),
    "annotate": Verb("annotate", "landmarks of photos and videos: lists, tables, drawn pictures"),
    "data": Verb("data", "check, synthesize, convert: look at data sets, write rendered ones"),
    "list": Verb("listing", "methods, schemes, datasets, configs: what there is, a line each"),
    "weights": Verb("weights", "list, add, check: trained weights by name"),
    "bench": Verb(
        "bench", "data, cascade, sweep, samplers, detectors: speed, and what is compared"
    ),
    "results": Verb("results", "record measured figures and write the tables in READMEs"),
}

#: Verbs of older versions, and the command that does their work now.
RENAMED = {name: f"analyse {name}" for name in ("calibrate", "tradeoff", "attention")}


def run_verb(verb: str, arguments: list[str]) -> int:
    """Runs a verb and gives its exit status.

    Raises:
        UserError: no such verb, or an error of the verb itself.
    """
    if verb in ("-h", "--help", "help"):
        print(format_overview())
        return 0
    if verb == "--version":
        from lit_landmarks import __version__

        print(f"lit_landmarks {__version__}")
        return 0
    if verb in RENAMED:
        raise UserError(
            f"the verb '{verb}' has moved; give: python -m lit_landmarks {RENAMED[verb]}"
        )
    if verb not in VERBS:
        close = difflib.get_close_matches(verb, VERBS, n=1)
        cure = f"did you mean {close[0]}?" if close else "see --help"
        raise UserError(f"unknown verb '{verb}'; known: {', '.join(VERBS)}; {cure}")
    module = import_module(f"lit_landmarks.cli.{VERBS[verb].module}")
    run = partial(module.run, verb) if VERBS[verb].module == "train" else module.run
    with preserve_process_state():
        return int(run(arguments))


def format_overview() -> str:
    """Formats the text of `--help`."""
    width = max(map(len, VERBS))
    rows = "\n".join(f"  {name:<{width}}  {verb.summary}" for name, verb in VERBS.items())
    return f"""usage: python -m lit_landmarks <verb> [arguments]

Facial landmark detection under a compute budget.

{rows}

  python -m lit_landmarks fit --config asmnet
  python -m lit_landmarks fit --resume runs/asmnet-synthetic-001
  python -m lit_landmarks profile asmnet
  python -m lit_landmarks <verb> --help"""
