"""How one document of an operation is spelled by another family: names and enumeration values, at any depth.

A `Names` is built from a JSON Schema of ours, so that a rename of something that does not exist is told, free-form
objects inside stay as they are, and no two fields can end under one name. Paths are written with dots and pass
through lists: `records.code`.

Guarantees: `read(spell(document)) == document` for every document whose keys and values the schema knows. A key or
value of ours that the family spells differently is not taken for ours when it comes back as it is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Schema = Mapping[str, Any]
FOREIGN = "foreign:"


class SpellingFault(Exception):
    """A rename or value map that cannot be read back, or names nothing; `known` are the paths or values there are."""

    def __init__(self, problem: str, word: str = "", known: Collection[str] = ()) -> None:
        super().__init__(problem)
        self.word = word
        self.known = known


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be spelled differently: by path, and by bare name wherever the name stands."""

    names: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    without: Collection[str] = ()
    everywhere: Mapping[str, str] = field(default_factory=dict)
    values_everywhere: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Field:
    """One field: our name, theirs, their words for our values, what is inside; `left_out` when they lack it."""

    own: str
    foreign: str
    values: Mapping[str, str]
    inner: Names | None
    left_out: bool = False

    def spell(self, value: Any) -> Any:
        """Return a value in their spelling."""
        if isinstance(value, list):
            return [self.spell(item) for item in value]
        if isinstance(value, str):
            return self.values.get(value, value)
        return self.inner.spell(value) if self.inner and isinstance(value, Mapping) else value

    def read(self, value: Any) -> Any:
        """Return a value of theirs in our spelling."""
        if isinstance(value, list):
            return [self.read(item) for item in value]
        if isinstance(value, str):
            if not self.values:
                return value
            back = {theirs: ours for ours, theirs in self.values.items()}
            return back.get(value, f"{FOREIGN}{value}" if value in self.values else value)
        return self.inner.read(value) if self.inner and isinstance(value, Mapping) else value


class Names:
    """The fields of one object, both ways."""

    def __init__(self, fields: Sequence[Field]) -> None:
        self._own = {row.own: row for row in fields}
        self._foreign = {row.foreign: row for row in fields if not row.left_out}
        self.changes: bool = any(
            row.left_out or row.own != row.foreign or row.values or (row.inner and row.inner.changes) for row in fields
        )

    def spell(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Return the document in their spelling; fields that nobody defines stay as they are."""
        spelled: dict[str, Any] = {}
        for name, value in document.items():
            row = self._own.get(name)
            if row is None:
                if name not in self._foreign:
                    spelled[name] = value
            elif not row.left_out:
                spelled[row.foreign] = row.spell(value)
        return spelled

    def read(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Return a document of theirs in our spelling; a name of ours that they spell differently means nothing."""
        found: dict[str, Any] = {}
        for name, value in document.items():
            row = self._foreign.get(name)
            if row is not None:
                found[row.own] = row.read(value)
            elif name not in self._own or self._own[name].left_out:
                found[name] = value
        return found


def build(schema: Schema | None, wanted: Wanted, used: set[str]) -> Names | None:
    """Return the spelling of the documents of a schema, None where nothing is changed.

    `used` collects what of `wanted` that holds everywhere stands somewhere: names, and values as `name=value`.
    Raises SpellingFault.
    """
    root = schema or {}
    paths: set[str] = set()
    names = _names([root], root.get("$defs", {}), wanted, "", (), paths, used)
    for path in [*wanted.names, *wanted.values, *wanted.without]:
        if path not in paths:
            raise SpellingFault("unknown field", path, sorted(paths))
    return names if names.changes else None


def paths_of(schema: Schema | None) -> set[str]:
    """Return the path of every field of a schema."""
    paths: set[str] = set()
    root = schema or {}
    _names([root], root.get("$defs", {}), Wanted(), "", (), paths, set())
    return paths


def data_schema(envelope: Schema | None) -> Schema | None:
    """Return the schema of what stands under `data` in an answer."""
    if envelope is None:
        return None
    defs = envelope.get("$defs", {})
    parts = [part for name, part in _properties([envelope], defs, ()) if name == "data"]
    return {"allOf": parts, "$defs": defs}


def _names(
    nodes: Sequence[Schema],
    defs: Schema,
    wanted: Wanted,
    prefix: str,
    trail: tuple[str, ...],
    paths: set[str],
    used: set[str],
) -> Names:
    grouped: dict[str, list[Schema]] = {}
    for name, node in _properties(nodes, defs, trail):
        grouped.setdefault(name, []).append(node)
    rows = []
    for name, parts in grouped.items():
        path = prefix + name
        if path.count(".") > _DEPTH:
            continue
        paths.add(path)
        used.update({name} & {*wanted.everywhere})
        inner = _names(parts, defs, wanted, f"{path}.", trail, paths, used)
        foreign = wanted.names.get(path, wanted.everywhere.get(name, name))
        values = _values(path, parts, defs, wanted, used)
        rows.append(Field(name, foreign, values, inner if inner.changes else None, path in wanted.without))
    spoken = [row.foreign for row in rows if not row.left_out]
    for row in rows:
        if not row.left_out and spoken.count(row.foreign) > 1:
            raise SpellingFault(f'two fields would be called "{row.foreign}" beside {prefix}{row.own}')
    return Names(rows)


_DEPTH = 8  # a schema that names itself is cut here; no document of ours is half as deep


def _values(path: str, parts: Sequence[Schema], defs: Schema, wanted: Wanted, used: set[str]) -> Mapping[str, str]:
    """Return their word for each value of an enumeration, none where all are as ours.

    A map that holds everywhere touches only the values that the enumeration here has: one name may stand for several.
    """
    name = path.rpartition(".")[2]
    mine, common = wanted.values.get(path, {}), wanted.values_everywhere.get(name, {})
    if not mine and not common:
        return {}
    known = [value for node in _expanded(parts, defs, ()) for value in node.get("enum", ()) if isinstance(value, str)]
    for word in mine:
        if word not in known:
            raise SpellingFault(f"unknown value of {path}", word, known)
    used.update(f"{name}={word}" for word in common if word in known)
    full = {value: mine.get(value, common.get(value, value)) for value in known}
    if len(set(full.values())) != len(full):
        raise SpellingFault(f"two values of {path} have one spelling")
    return full if any(value != word for value, word in full.items()) else {}


def _expanded(nodes: Sequence[Schema], defs: Schema, trail: tuple[str, ...]) -> Iterator[Schema]:
    """Yield each schema that describes the same value, or the items of the same list."""
    for node in nodes:
        yield node
        inner = [part for key in ("allOf", "anyOf", "oneOf") for part in node.get(key, ())]
        inner += [node[key] for key in ("then", "else", "items") if isinstance(node.get(key), Mapping)]
        ref = node.get("$ref")
        if isinstance(ref, str) and ref not in trail:
            yield from _expanded([defs[ref.removeprefix("#/$defs/")]], defs, (*trail, ref))
        yield from _expanded(inner, defs, trail)


def _properties(nodes: Sequence[Schema], defs: Schema, trail: tuple[str, ...]) -> Iterator[tuple[str, Schema]]:
    for node in _expanded(nodes, defs, trail):
        for name, part in node.get("properties", {}).items():
            yield name, part if isinstance(part, Mapping) else {}
