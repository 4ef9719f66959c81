"""Help texts of the training verbs and their flags."""

from __future__ import annotations

DESCRIPTIONS = {
    "fit": "Train a method and evaluate its best checkpoint. "
    "Settings come from --config files (later ones win), then from --key value pairs. "
    "A config that comes with the package has a name: --config asmnet. "
    "Ctrl-C keeps the last finished epoch; continue with --resume RUN.",
    "validate": "Measure a run's best checkpoint on its validation sets (--run RUN), or on the "
    "sets of further --config files.",
    "test": "Measure a run's best checkpoint on its test sets (--run RUN), or on the sets of "
    "further --config files.",
    "predict": "Write a run's landmarks, in pixels of the image files, to an .npz file.",
}
RUN_HELP = {
    "fit": "Run directory to make; default runs/<method>-<data>-<counter>.",
    "other": "Run directory whose config.yaml and best checkpoint are used.",
}
RESUME_HELP = "Run to continue in place, from last.ckpt."
ACCEPT_HELP = "With --resume: go on though faces or labels have changed."
CHECKPOINT_HELP = "Checkpoint; default the run's best."
OUTPUT_HELP = "File for the figures (.json) or points (.npz)."
FOLDS_HELP = "Train K folds into RUN/fold-k; their mean and spread at the end."
MAX_MMA_HELP = "Train nothing if the method costs more multiply-adds, in millions."
FLIP_HELP = "Average each face with its mirror image, at twice the cost."
CURVES_HELP = "Write the run's error curves for `compare`."


def describe_usage(verb: str) -> str:
    """The usage line of a training verb."""
    flags = "--config FILE... | --resume RUN" if verb == "fit" else "--run RUN | --ckpt_path FILE"
    return f"python -m lit_landmarks {verb} {flags} [--key value ...]"


def list_flags(verb: str) -> list[tuple[str, str]]:
    """Flags of a verb itself and their help."""
    flags = [
        (
            "-c, --config FILE",
            "Argument file (YAML) or the name of a shipped one; more add up.",
        ),
        ("--run RUN", RUN_HELP.get(verb, RUN_HELP["other"])),
    ]
    if verb == "fit":
        flags += [("--folds K", FOLDS_HELP), ("--resume RUN", RESUME_HELP)]
        flags += [("--max_mma MMA", MAX_MMA_HELP)]
        return [*flags, ("--accept_changed_data", ACCEPT_HELP)]
    flags += [("--ckpt_path FILE", CHECKPOINT_HELP), ("--output FILE", OUTPUT_HELP)]
    flags += [("--flip_average", FLIP_HELP)]
    return flags if verb == "predict" else [*flags, ("--ced", CURVES_HELP)]
