"""Registry of trained weights: which there are, what is known of them, and their files.

The package's own weights lie in this folder, described by `weights.yaml`; folders of one's own that
`$LIT_LANDMARKS_WEIGHTS` names have the same form. `lit_landmarks.load`, `init_from` and `list
weights` know them by name. `weights add` (`training.publishing`) makes an entry from a run.
"""

from lit_landmarks.weights.registry import (
    TABLE,
    VARIABLE,
    MeasuredNme,
    Weights,
    describe_unknown_weights,
    find_weights,
    list_weights,
    locate_weights,
    read_table,
    shipped_folder,
    write_table,
)

__all__ = [
    "TABLE",
    "VARIABLE",
    "MeasuredNme",
    "Weights",
    "describe_unknown_weights",
    "find_weights",
    "list_weights",
    "locate_weights",
    "read_table",
    "shipped_folder",
    "write_table",
]
