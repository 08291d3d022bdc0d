"""What somebody has agreed to, held against what is asked for now (5.2-f, 9.2-b).

A configuration is agreed to as a whole: parties, scheduler and every parameter, for they decide whose data are computed
with and who receives the result. Two things are left to others. When a job runs and what it may consume
(`OPERATIONAL`) binds nobody. A parameter that the job itself declares open may be given anew for a run:

    {"job_params": {"common": {"open_params": {"psi_0": ["chunk"]}}}, ...}

The declaration is part of the configuration and so of what is agreed to. Inputs are never open: which data a party
computes with is always its own to say.

>>> agreed = {"role": {"guest": ["a"], "host": ["b"]}, "job_params": {"common": {}}, "task_params": {"common": {}}}
>>> difference(agreed, {**agreed, "role": {"guest": ["a"], "host": ["c"]}})
'/role/host/0'
>>> difference(agreed, {**agreed, "job_params": {"common": {"priority": 9}}}) is None
True
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from reference_node.domain import RuleBroken, plan

OPERATIONAL = frozenset({"priority", "timeout", "memory_mib", "transport", "approval"})
OPEN = "open_params"
NEVER_OPEN = frozenset({"input"})
_ABSENT = object()


def open_params(config: Mapping[str, Any]) -> dict[str, frozenset[str]]:
    """Return which parameters of which components a configuration leaves open; raise RuleBroken where it may not."""
    found = {}
    for name, params in config["job_params"].get(plan.COMMON, {}).get(OPEN, {}).items():
        for at, param in enumerate(params):
            if param in NEVER_OPEN:
                raise RuleBroken("PARAMS_INVALID", f"/config/job_params/common/{OPEN}/{name}/{at}")
        found[name] = frozenset(params)
    return found


def difference(agreed: Mapping[str, Any], asked: Mapping[str, Any]) -> str | None:
    """Return where a configuration first goes beyond the one that was agreed to, as a JSON pointer into it, or None."""
    allowed = open_params(agreed)
    for place in _unlike(_parties(agreed), _parties(asked), ""):
        return place
    for place in _unlike(_binding(agreed), _binding(asked), "/job_params"):
        return place
    for place in _unlike(closed(agreed["task_params"], allowed), closed(asked["task_params"], allowed), "/task_params"):
        return place
    return None


def excess(config: Mapping[str, Any], party: plan.Party, name: str, further: Mapping[str, Any] | None) -> str | None:
    """Return the first parameter of a component at a party that a further run changes though the job leaves it closed.

    Compared are effective values: what repeats the configuration is no change.
    """
    before = plan.task_params(config, [], party, name)
    after = plan.task_params(config, [further], party, name)
    for param in sorted(set(after) | set(before)):
        changed = not same(before.get(param, _ABSENT), after.get(param, _ABSENT))
        if changed and param not in open_params(config).get(name, ()):
            return str(param)
    return None


def closed(params: Mapping[str, Any], allowed: Mapping[str, frozenset[str]]) -> dict[str, Any]:
    """Return layered parameters without those that are open, and without layers that say nothing."""
    found: dict[str, Any] = {}
    for layer, of_layer in params.items():
        kept: dict[str, Any] = {}
        for key, value in of_layer.items() if isinstance(of_layer, Mapping) else ():
            if layer != plan.COMMON and key.isdecimal() and isinstance(value, Mapping):
                own = {name: _closed(name, given, allowed) for name, given in value.items()}
                kept |= {key: {name: given for name, given in own.items() if given != {}}} if any(own.values()) else {}
            elif (given := _closed(key, value, allowed)) != {}:
                kept[key] = given
        if kept:
            found[layer] = kept
    return found


def same(one: object, other: object) -> bool:
    """Tell whether two JSON values are the same: true is not 1, and 1 is not 1.0."""
    return next(_unlike(one, other, ""), None) is None


def _closed(name: str, given: Any, allowed: Mapping[str, frozenset[str]]) -> Any:
    if not isinstance(given, Mapping):
        return given
    return {param: value for param, value in given.items() if param not in allowed.get(name, ())}


def _parties(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return all but the parameters; a role that nobody has may be left out or empty."""
    found = {name: value for name, value in config.items() if name not in ("job_params", "task_params")}
    return {**found, "role": {role: nodes for role, nodes in config["role"].items() if nodes != []}}


def _binding(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of `job_params` that binds: without what is operational, and without layers that say nothing."""
    found = {}
    for layer, values in config["job_params"].items():
        kept = _without_operational(values)
        if kept:
            found[layer] = kept
    return found


def _without_operational(values: Any) -> Any:
    if not isinstance(values, Mapping):
        return values
    kept = {}
    for key, value in values.items():
        inner = _without_operational(value) if key.isdecimal() else value
        if key not in OPERATIONAL and not (key.isdecimal() and inner == {}):
            kept[key] = inner
    return kept


def _unlike(one: Any, other: Any, place: str) -> Iterator[str]:
    """Yield where two JSON values differ."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in sorted({*one, *other}):
            step = str(key).replace("~", "~0").replace("/", "~1")
            yield from _unlike(one.get(key, _ABSENT), other.get(key, _ABSENT), f"{place}/{step}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for at, (mine, theirs) in enumerate(zip(one, other, strict=True)):
            yield from _unlike(mine, theirs, f"{place}/{at}")
    elif type(one) is not type(other) or one != other:
        yield place
