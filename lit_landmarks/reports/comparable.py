"""Groups of rows whose figures can be compared: one scheme, one primary norm, the same faces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lit_landmarks.errors import UserError
from lit_landmarks.training.data_record import read_record
from lit_landmarks.training.run_directory import RunDirectory

#: Digits of a hash in headings.
_DIGITS = 8


@dataclass(frozen=True)
class MeasuredOn:
    """What the figures of a run were measured on.

    Attributes:
        scheme: of the landmarks; None where it is not known, or differs by data set.
        norms: role -> primary norms of its data sets; empty for runs of earlier versions.
        names: role -> names of its data sets.
        manifests: role -> hash of its faces and labels; empty for runs of earlier versions.
        manifest: hash of all data sets; None where it is not known.
        parts: role -> data sets of which a part was measured (`trainer.limit_val_batches`), as
            `name (16 of 64 faces)`.
        left_out: test sets that are not in the mean `test/nme`: their faces chose the checkpoint.
    """

    scheme: str | None = None
    norms: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    manifests: Mapping[str, str] = field(default_factory=dict)
    manifest: str | None = None
    parts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()

    def key(self, role: str) -> tuple[Any, ...]:
        """The data, and what else has to be equal for figures of a role to be comparable."""
        data = self.manifests.get(role) or self.manifest
        left_out = self.left_out if role == "test" else ()
        return data, self.scheme, self.norms.get(role, ()), self.parts.get(role, ()), left_out

    def describe(self, role: str) -> str:
        """Scheme, norm and data sets in a few words."""
        data = self.manifests.get(role) or self.manifest
        names = ", ".join(f"{role}/{name}" for name in self.names.get(role, ()))
        norms = ", ".join(dict.fromkeys(self.norms.get(role, ())))
        parts = [self.scheme or "", f"{norms} NME" if norms else ""]
        parts.append(f"{names or 'data'} {data[:_DIGITS]}" if data else "unknown data")
        parts += [f"only {part}" for part in self.parts.get(role, ())]
        if role == "test" and self.left_out:
            parts.append(f"mean without {', '.join(self.left_out)}")
        return ", ".join(part for part in parts if part)


def read_measured_on(run: RunDirectory, result: Mapping[str, Any] | None = None) -> MeasuredOn:
    """What a run was measured on, from result.json or, before its end, from data.json.

    Args:
        run: the run.
        result: the content of its result.json, if it has one.
    """
    if result is not None:
        data = result.get("data")
        data = data if isinstance(data, Mapping) else {}
        sets = [s for s in data.get("sets") or [] if isinstance(s, Mapping)]
        pairs = [(str(s.get("role")), str(s.get("name")), s.get("norm")) for s in sets]
        metrics = result.get("metrics")
        return replace(
            _collect(result.get("scheme"), pairs, data),
            parts=_list_parts(sets, metrics if isinstance(metrics, Mapping) else {}),
            left_out=tuple(str(s.get("name")) for s in sets if s.get("chosen_on")),
        )
    try:
        record = read_record(run)
    except UserError:
        record = None
    if record is None:
        return MeasuredOn()
    schemes = {s.get("target") for s in record["sets"].values()}
    pairs = [(*name.split("/", 1), s.get("norm")) for name, s in record["sets"].items()]
    return _collect(schemes.pop() if len(schemes) == 1 else None, pairs, record)


def _list_parts(
    sets: Sequence[Mapping[str, Any]], metrics: Mapping[str, Any]
) -> dict[str, tuple[str, ...]]:
    parts: dict[str, tuple[str, ...]] = {}
    for described in sets:
        role, name, whole = (described.get(key) for key in ("role", "name", "faces"))
        measured = metrics.get(f"{role}/{name}/faces")
        if not isinstance(whole, int | float) or not isinstance(measured, int | float):
            continue
        if 0 < measured < whole:
            part = f"{name} ({measured:.0f} of {whole} faces)"
            parts[str(role)] = (*parts.get(str(role), ()), part)
    return parts


def _collect(
    scheme: Any, sets: Sequence[tuple[str, str, Any]], data: Mapping[str, Any]
) -> MeasuredOn:
    roles = dict.fromkeys(role for role, _, _ in sets)
    manifests = data.get("roles")
    return MeasuredOn(
        scheme=None if scheme is None else str(scheme),
        norms={
            role: tuple(str(norm) for r, _, norm in sets if r == role and norm is not None)
            for role in roles
        },
        names={role: tuple(name for r, name, _ in sets if r == role) for role in roles},
        manifests=(
            {str(k): str(v) for k, v in manifests.items()} if isinstance(manifests, Mapping) else {}
        ),
        manifest=None if data.get("manifest") is None else str(data["manifest"]),
    )
