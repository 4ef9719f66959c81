"""Settings that a study tries before its sampler chooses any: the entries of `enqueue`.

Each is tried once over all workers and resumes. An entry is known by the digest of its parameters,
which the trial that tries it carries, so an edited file adds only what is new. Two workers may
queue one entry at the same moment; the later trial is void when it is asked for.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.trial import FrozenTrial, Trial

from lit_landmarks.errors import UserError
from lit_landmarks.search.attributes import ENTRY
from lit_landmarks.search.budget import DIED, VOID, is_void, list_stopped_numbers
from lit_landmarks.search.judged import describe_distribution
from lit_landmarks.search.space import METHOD, Parameter, Sweep

Entry = Mapping[str, Any]


def read_entries(value: Any, sweep: Sweep) -> tuple[Entry, ...]:
    """Reads the entries of `enqueue` as parameters by their names in the study.

    Args:
        value: list of mappings, dotted setting to value, with `method` where there are methods.
        sweep: the sweep, for its space.

    Raises:
        UserError: an unknown setting, a value outside of its range, or an entry given twice.
    """
    if value is None:
        return ()
    if not isinstance(value, list):
        raise UserError(f"{sweep.file}: enqueue is no list; write `- {{setting: value}}` rows")
    entries = tuple(
        _read_entry(item, sweep, f"{sweep.file}: entry {number} of enqueue")
        for number, item in enumerate(value, 1)
    )
    digests = [digest_entry(entry) for entry in entries]
    for number, digest in enumerate(digests, 1):
        first = digests.index(digest) + 1
        if first < number:
            raise UserError(
                f"{sweep.file}: entries {first} and {number} of enqueue are the same; remove one"
            )
    if len(entries) > sweep.trials:
        raise UserError(
            f"{sweep.file}: enqueue lists {len(entries)} trials, but trials is {sweep.trials}; "
            "raise trials, or remove entries"
        )
    return entries


def _read_entry(item: Any, sweep: Sweep, where: str) -> dict[str, Any]:
    if not isinstance(item, dict) or not item:
        raise UserError(f"{where} sets nothing; write `setting: value` rows")
    method = item.get(METHOD)
    if METHOD in item and not (isinstance(method, str) and method in sweep.methods):
        names = ", ".join(sweep.methods)
        cure = f"known: {names}" if names else "the study has no methods; remove it"
        raise UserError(f"{where}: method {method!r} is unknown; {cure}")
    own = sweep.methods[method].space if method is not None else ()
    parameters = {p.key: (p, "") for p in sweep.space} | {p.key: (p, f"{method}:") for p in own}
    entry: dict[str, Any] = {} if method is None else {METHOD: method}
    for key, value in item.items():
        if key == METHOD:
            continue
        if key not in parameters:
            cure = _describe_cure(str(key), method, sweep, list(parameters))
            raise UserError(f"{where}: {key} is not searched; {cure}")
        parameter, prefix = parameters[key]
        entry[prefix + key] = _store(parameter, value, where)
    missing = [p for p in list_parameters(sweep, method) if p not in entry]
    if missing and sweep.sampler[0] == "GridSampler":
        raise UserError(f"{where} has no {missing[0]}; GridSampler needs every parameter, add it")
    return entry


def _store(parameter: Parameter, value: Any, where: str) -> Any:
    stored = parameter.store(value)
    if not parameter.holds(stored):
        space = describe_distribution(parameter.distribution())
        raise UserError(
            f"{where}: {parameter.key} is {value!r}, which is outside of {space}; give a value "
            "within, or widen the space"
        )
    return float(stored) if parameter.kind == "float" else stored


def _describe_cure(key: str, method: str | None, sweep: Sweep, names: list[str]) -> str:
    """What to do about a setting that an entry cannot have."""
    if key in sweep.settings:
        return "it is fixed under 'settings'; remove it, or search it"
    owners = [n for n, branch in sweep.methods.items() if key in [p.key for p in branch.space]]
    if owners and method is None:
        return f"it is a setting of {' and '.join(owners)}; add method: {owners[0]}"
    if owners:
        return f"it is a setting of {' and '.join(owners)}, not of {method}; remove it"
    close = difflib.get_close_matches(key, names, 1)
    return f"did you mean {close[0]}?" if close else f"searched are {', '.join(names)}"


def list_parameters(sweep: Sweep, method: str | None) -> list[str]:
    """Lists the parameters that a trial of a method has, by their names in the study."""
    own = sweep.methods[method].space if method is not None and method in sweep.methods else ()
    names = [METHOD] if sweep.methods else []
    return [*names, *(f"{method}:{p.key}" for p in own), *(p.key for p in sweep.space)]


def is_within_space(sweep: Sweep, params: Entry) -> bool:
    """Whether a trial has all parameters of the space and no others, each within its range."""
    method: str | None = params.get(METHOD)
    if set(params) != set(list_parameters(sweep, method)):
        return False
    own = sweep.methods[method].space if method is not None and method in sweep.methods else ()
    parameters = [(f"{method}:{p.key}", p) for p in own] + [(p.key, p) for p in sweep.space]
    return all(p.holds(params[name]) for name, p in parameters)


def digest_entry(entry: Entry) -> str:
    """Digest of the parameters of an entry, whatever their order."""
    text = json.dumps(dict(entry), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def enqueue_entries(study: optuna.Study, entries: Sequence[Entry]) -> int:
    """Queues the entries that no trial tries yet.

    Returns:
        Number of queued trials.
    """
    if not entries:
        return 0
    stopped = list_stopped_numbers(study)
    tried = {
        t.user_attrs.get(ENTRY) for t in study.get_trials(deepcopy=False) if _tries(t, stopped)
    }
    missing = {digest_entry(entry): entry for entry in entries}
    missing = {digest: entry for digest, entry in missing.items() if digest not in tried}
    for digest, entry in missing.items():
        study.enqueue_trial(dict(entry), user_attrs={ENTRY: digest})
    return len(missing)


def is_repeated_entry(study: optuna.Study, trial: Trial) -> bool:
    """Whether an earlier trial already tries the entry of this one."""
    digest = trial.user_attrs.get(ENTRY)
    if digest is None:
        return False
    stopped = list_stopped_numbers(study)
    return any(
        t.user_attrs.get(ENTRY) == digest and t.number < trial.number and _tries(t, stopped)
        for t in study.get_trials(deepcopy=False)
    )


def _tries(trial: FrozenTrial, stopped: set[int]) -> bool:
    """Whether a trial tries its entry, or has; not if it was one too many or stopped its worker.

    The trial of a dead worker goes on as another one, which has no entry of its own.
    """
    void = is_void(trial) and trial.user_attrs[VOID] != DIED
    return not void and trial.number not in stopped
