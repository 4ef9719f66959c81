"""`--help` of the training verbs: what people set, with defaults read from the source."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from lit_landmarks.settings.catalog import DeclaredClass, find_class, list_methods
from lit_landmarks.settings.preflight import DATA_MODULE, GROUPS
from lit_landmarks.settings.request import TrainingVerb
from lit_landmarks.settings.verb_texts import DESCRIPTIONS, describe_usage, list_flags

#: Ends of flags that ask for the help of one class, such as `--model.help`.
HELP_OF_CLASS = ".help"
_WIDTH = 100
_INDENT = 34

_TRAINER = {
    "max_epochs": "epochs to train; -1 with a max_time has no end of its own",
    "max_time": "stop after DD:HH:MM:SS",
    "limit_train_batches": "batches of an epoch, a count, or a share such as 0.1",
    "accumulate_grad_batches": "batches of one step of the optimizer",
    "gradient_clip_val": "largest norm of the gradient",
    "enable_progress_bar": "a bar on a terminal, or a line for each epoch",
}
_MACHINE = {
    "accelerator": "auto, cpu, gpu or mps",
    "devices": "how many, or a list of numbers",
    "precision": "32-true, or 16-mixed and bf16-mixed on a GPU, bf16-mixed on a CPU with AMX",
}
_STAGES = {"validate": "val", "test": "test", "predict": "predict"}
_DATA = {
    "root": "folder from which relative paths of the data sets start",
    "batch_size": "faces of a batch",
    "frame_size": "side of the cropped face that a method sees, pixels",
    "scheme": "landmarks to predict; see: list schemes",
    "num_workers": "loader processes",
    "cache_dir": "folder of cached source crops",
}
_WANDB = {
    "mode": "offline writes into the run; online sends; disabled",
    "project": "W&B project",
    "name": "of the W&B run; default that of the run directory",
}
_LOGGERS = {"tensorboard": "write RUN/tensorboard too; likewise --loggers.mlflow"}


def wants_everything(arguments: Sequence[str]) -> bool:
    """Whether the arguments ask for all settings: `--help all`."""
    text = " ".join(arguments)
    return any(f"{flag}{mark}all" in text for flag in ("--help", "-h") for mark in " =")


def format_help(verb: TrainingVerb) -> str:
    """Formats the settings that people change, by what they are about."""
    trainer = find_class(*GROUPS["trainer"])
    parts = [
        f"usage: {describe_usage(verb)}",
        textwrap.fill(DESCRIPTIONS[verb], _WIDTH),
        _format("What to run", [*list_flags(verb)]),
        _format("Seed", [("--seed_everything N", "seed of weights and training (0)")]),
    ]
    if verb == "fit":
        parts.append(_group("Training", "trainer", trainer, _TRAINER))
    else:
        limit = {f"limit_{_STAGES[verb]}_batches": "batches, a count, or a share such as 0.1"}
        parts.append(_group("Faces", "trainer", trainer, limit))
    parts += [
        _group("Machine", "trainer", trainer, _MACHINE),
        _group("Data", "data", find_class(*DATA_MODULE), _DATA),
        _format_methods(verb),
    ]
    if verb == "fit":
        wandb = find_class(*GROUPS["wandb"])
        loggers = find_class(*GROUPS["loggers"])
        rows = [*_rows("wandb", wandb, _WANDB), *_rows("loggers", loggers, _LOGGERS)]
        parts.append(_format("Tracking", rows))
    parts.append(_format_more(verb))
    return "\n\n".join(parts)


def _group(title: str, prefix: str, cls: DeclaredClass, texts: Mapping[str, str]) -> str:
    return _format(title, _rows(prefix, cls, texts))


def _rows(prefix: str, cls: DeclaredClass, texts: Mapping[str, str]) -> list[tuple[str, str]]:
    """The settings of one class with their defaults; those that it lost are left out."""
    return [
        (f"--{prefix}.{name} X", f"{text} ({_default(cls, name)})")
        for name, text in texts.items()
        if name in cls.arguments
    ]


def _default(cls: DeclaredClass, name: str) -> str:
    text = (cls.arguments[name].default or "").strip("'\"")
    return {"None": "not set", "True": "true", "False": "false"}.get(text, text)


def _format_methods(verb: TrainingVerb) -> str:
    rows = [(name, cls.summary) for name, cls in list_methods().items()]
    rows.append(("--model.KEY X", "a setting of the configured method, such as --model.rank 32"))
    rows.append(("--model.help NAME", f"settings of a method: {verb} --model.help MuSiCa"))
    return _format("Methods (--model NAME, or model: of a config)", rows)


def _format_more(verb: TrainingVerb) -> str:
    rows = [
        (
            "list configs",
            "argument files that come with the package; also methods, schemes, datasets",
        ),
        (f"{verb} --help all", "every setting, those of Lightning's trainer among them"),
    ]
    return _format("More", rows)


def _format(title: str, rows: Sequence[tuple[str, str]]) -> str:
    lines = [f"{title}:"]
    for name, text in rows:
        wrapped = textwrap.wrap(text, _WIDTH - _INDENT)
        head = f"  {name}"
        if len(head) >= _INDENT - 1:
            lines.append(head)
            head = ""
        lines.append(f"{head:<{_INDENT}}{wrapped[0]}")
        lines += [" " * _INDENT + row for row in wrapped[1:]]
    return "\n".join(lines)
