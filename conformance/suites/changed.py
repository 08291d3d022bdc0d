"""Documents changed in one place each, generated from their schema: what could be altered after an approval.

Every member that the schema knows, or that the document has, is changed once: another value where there is one, a value
where there is none, and one element fewer and one more in every list.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from specs import operations

ADDED = "interop-added"


def of_request(operation: str, document: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (JSON pointer, document changed there alone) for every place of an operation's request."""
    schema = operations()[operation].body_schema or {}
    yield from _walk(schema.get("$defs", {}), schema, document, "")


def top(pointer: str) -> str:
    """Return the first member of a pointer."""
    return pointer.split("/")[1]


def _walk(defs: Mapping[str, Any], node: Mapping[str, Any], value: Any, place: str) -> Iterator[tuple[str, Any]]:
    whole = _whole(defs, node)
    if isinstance(value, Mapping):
        yield from _members(defs, whole, value, place)
    elif isinstance(value, list):
        for at, item in enumerate(value):
            for where, new in _walk(defs, whole.get("items", {}), item, f"{place}/{at}"):
                yield where, [*value[:at], new, *value[at + 1 :]]
        if value:
            yield f"{place}/-", value[:-1]
        yield f"{place}/+", [*value, _sample(defs, whole.get("items", {}))]
    else:
        yield place, _other(whole, value)


def _members(
    defs: Mapping[str, Any], whole: Mapping[str, Any], value: Mapping[str, Any], place: str
) -> Iterator[tuple[str, Any]]:
    known, further = whole.get("properties", {}), whole.get("additionalProperties", {})
    of_others = further if isinstance(further, Mapping) else {}
    for name in {**known, **value}:
        if name in value:
            for where, new in _walk(defs, known.get(name, of_others), value[name], f"{place}/{name}"):
                yield where, {**value, name: new}
        else:
            yield f"{place}/{name}", {**value, name: _sample(defs, known[name])}
    if not known and further is not False:
        yield f"{place}/{ADDED}", {**value, ADDED: _sample(defs, of_others)}


def _whole(defs: Mapping[str, Any], node: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema with what it refers to and the parts of `allOf` in one."""
    found = {name: value for name, value in node.items() if name not in ("$ref", "allOf", "$defs")}
    parts = [*([defs[node["$ref"].removeprefix("#/$defs/")]] if "$ref" in node else []), *node.get("allOf", [])]
    for part in (_whole(defs, part) for part in parts):
        properties = dict(part.get("properties", {}))
        for name, own in found.get("properties", {}).items():
            properties[name] = {"allOf": [properties[name], own]} if name in properties else own
        found = {**part, **found, **({"properties": properties} if properties else {})}
    return found


def _sample(defs: Mapping[str, Any], node: Mapping[str, Any]) -> Any:
    """Return a value of a schema."""
    whole = _whole(defs, node)
    match whole.get("type"):
        case _ if "enum" in whole:
            return whole["enum"][0]
        case "array":
            return [_sample(defs, whole.get("items", {}))]
        case "object":
            known = whole.get("properties", {})
            return {name: _sample(defs, known[name]) for name in whole.get("required", known)} or {ADDED: 1}
        case "integer" | "number":
            return max(1, int(whole.get("minimum", 1)))
        case "boolean":
            return True
        case _:
            pattern = whole.get("pattern", "")
            return next((each for each in (ADDED, "0" * 64, "1.0") if re.search(pattern, each)), ADDED)


def _other(whole: Mapping[str, Any], value: Any) -> Any:
    """Return another value of the same schema."""
    if "enum" in whole:
        return next((each for each in whole["enum"] if each != value), ADDED)
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value - 1 if value >= whole.get("maximum", value + 1) else value + 1
    if not isinstance(value, str):
        return ADDED
    spelled = (f"{value}x", f"{value[:-1]}0", f"{value[:-1]}1")
    pattern, most = whole.get("pattern", ""), whole.get("maxLength", len(value) + 1)
    return next(each for each in spelled if each != value and re.search(pattern, each) and len(each) <= most)
