"""The note that `fit` prints where labels lie to one side of a trained method's answers."""

from __future__ import annotations

from collections.abc import Mapping

from lit_landmarks.nets.label_shift import LabelShift
from lit_landmarks.types import DataSpec

#: Percent of the face's box below which it is not worth a word, and faces that can show it.
_LEAST, _FEWEST = 0.2, 50
#: NME in percent of the box above which answers are too far off to tell on which side labels lie.
_LARGEST_NME = 5.0


def describe_label_shift(
    metrics: Mapping[str, float | None], spec: DataSpec, learned: LabelShift | None
) -> str | None:
    """One line naming the data sets whose labels lie to one side, and the cure.

    Args:
        metrics: final metrics.
        spec: of the data, for the names and conventions of the sets.
        learned: the method's own part that shifts its answers, if it has one.

    Returns:
        The line; None where no set of 50 faces or more has a convention without a shift and lies
        0.2 % of the face's box away from answers whose NME is at most 5 % of the box.
    """
    own = () if learned is None else tuple(learned.options.conventions)
    places: dict[str, str] = {}
    for dataset in spec.datasets:
        place = f"{dataset.role}/{dataset.name}"
        shift, faces, nme = (
            metrics.get(f"{place}/{key}") for key in ("label_shift", "faces", "nme_box")
        )
        if shift is None or faces is None or nme is None or dataset.convention in own:
            continue
        if faces >= _FEWEST and abs(shift) >= _LEAST and nme <= _LARGEST_NME:
            places[place] = f"{place} ({shift:+.2f} % of the box, {dataset.convention})"
    if not places:
        return None
    return (
        "note: labels lie to the right (+) or left (-) of the answers on"
        f" {', '.join(places.values())}, which mirrored training cannot learn; add their"
        " conventions to model.init_args.label_shift.conventions"
    )
