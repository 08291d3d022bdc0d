"""Parameters of a component held against its self-description (8.6.3-a).

A parameter declares a type, whether it is optional, a validator and what it depends on. Validators have three forms:

    ^...$      a regular expression that matches a whole string
    [lo,hi]    bounds of a number, both included, either may be left out
    in:a|b|c   one of these, compared as text

>>> declared = [{"name": "batch", "type": "integer", "optional": True, "validator": "[1,64]"}]
>>> problems(declared, {"batch": 0})
[Problem(pointer='/params/batch', reason='not in [1,64]')]
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Declared = Mapping[str, Any]
_BOUNDS = re.compile(r"\[\s*(-?\d+(?:\.\d+)?)?\s*,\s*(-?\d+(?:\.\d+)?)?\s*\]")


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, and where in the request."""

    pointer: str
    reason: str


class ValidatorError(ValueError):
    """A self-description carries a validator of none of the three forms."""


def problems(declared: Sequence[Declared], given: Mapping[str, Any]) -> list[Problem]:
    """Return everything that is wrong with the parameters given; an empty list means that they are valid."""
    known = {param["name"]: param for param in declared}
    found = [_at(name, "the component has no such parameter") for name in given if name not in known]
    for name, param in known.items():
        found += [_at(name, reason) for reason in _reasons(param, given)]
    return found


def _reasons(param: Declared, given: Mapping[str, Any]) -> Iterator[str]:
    if param["name"] not in given:
        if not param["optional"] and "defaultValue" not in param:
            yield "required, but missing"
        return
    value = given[param["name"]]
    is_of_type = _TYPES.get(param["type"])
    if is_of_type is not None and not is_of_type(value):
        yield f"not of type {param['type']}"
        return
    if "validator" in param and not validator(param["validator"])(value):
        yield f"not in {param['validator']}" if param["validator"][0] == "[" else f"does not meet {param['validator']}"
    for other in param.get("dependsOn", ()):
        if other not in given:
            yield f"needs {other}, which is missing"


def validator(text: str) -> Callable[[Any], bool]:
    """Read a validator; raise ValidatorError."""
    if text.startswith("in:"):
        allowed = frozenset(text[3:].split("|"))
        return lambda value: _as_text(value) in allowed
    if text.startswith("^") and text.endswith("$"):
        try:
            pattern = re.compile(text)
        except re.error as wrong:
            raise ValidatorError(str(wrong)) from wrong
        return lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None
    bounds = _BOUNDS.fullmatch(text)
    if bounds is None:
        raise ValidatorError("neither ^...$, [lo,hi] nor in:a|b|c")
    low, high = (-math.inf if not bounds[1] else float(bounds[1])), (math.inf if not bounds[2] else float(bounds[2]))
    return lambda value: _is_number(value) and low <= value <= high


def _at(name: str, reason: str) -> Problem:
    escaped = name.replace("~", "~0").replace("/", "~1")
    return Problem(f"/params/{escaped}", reason)


def _as_text(value: Any) -> str:
    """JSON's spelling of the simple values."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_TYPES: Mapping[str, Callable[[Any], bool]] = {
    "integer": _is_integer,
    "float": _is_number,
    "boolean": lambda value: isinstance(value, bool),
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}
