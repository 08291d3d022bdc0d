"""Reads bindings from TOML: `specs/bindings/<name>.toml`, or a file of the vendor's own.

    name = "example"
    extends = "reference"                     # another binding by name, or a file beside this one
    unsigned = ["contractApply"]              # operations whose requests carry no x-auth-sign
    signature_base = 1                        # the newest version of the text that is signed; by default 2
    offers = [...] or absent = [...]          # which operations there are; by default all

    [envelope]      code, msg, data: names; success = [0]; status = "matches" | "free"
    [errors]        naming = "named" | "any"; field = "error"
    [errors.words]  NAME = ["their word or code", ...]
    [headers]       x-nonce = "x-request-nonce"
    [names]         node_id = "nodeId"        # this field wherever it stands
    [values.status] APPROVED = "PASSED"       # this enumeration wherever the field stands
    [operations.componentList]
    method, path; query, request, answer = {own = "theirs"}; without_query, without_request, without_answer = [...]
    values = {"records.status" = {...}}       # for one operation, by dotted path

Guarantees: strict as every file of the user's; a rename of a field that the interface does not have, two fields with
one name, two values with one spelling and two operations in one place are told, since they could not be read back.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from conformance.harness.binding_model import (
    Binding,
    Envelope,
    Naming,
    Part,
    Reading,
    Refusals,
    Spelling,
    StatusRule,
)
from conformance.harness.errors import UsageError
from conformance.harness.signing import NEWEST, OLDEST
from conformance.harness.spelling import Names, Schema, SpellingFault, Wanted, build, data_schema, paths_of
from conformance.harness.strict import Table, read_toml, unknown
from specs import Operation, errors, folder, operations

__all__ = ["Binding", "Naming", "Part", "Reading", "StatusRule", "load_binding", "parse_binding", "recorded_binding"]

_SECTIONS = (
    "name",
    "title",
    "extends",
    "unsigned",
    "signature_base",
    "offers",
    "absent",
    "envelope",
    "errors",
    "headers",
    "names",
    "values",
    "operations",
)
_WITHOUT = {Part.QUERY: "without_query", Part.REQUEST: "without_request", Part.ANSWER: "without_answer"}
_OPERATION = ("method", "path", "values", *Part, *_WITHOUT.values())
_UNSIGNED = ("none", "operator", "auditor", "session")  # x-auth of operations that no partner signs
_HEADERS = (
    "x-auth-sign",
    "x-csrf-protection",
    "x-source-node-id",
    "x-target-node-id",
    "x-nonce",
    "x-trace-id",
    "x-timestamp",
    "x-mprac-token-set",
    "content-digest",
)


@cache
def load_binding(name: str) -> Binding:
    """Return the binding of a name in specs/bindings, or of a path that ends in .toml."""
    path = _place(name, Path())
    return parse_binding(_merged(path, ()), str(path))


def parse_binding(data: Mapping[str, Any], where: str) -> Binding:
    """Read the content of a binding; `extends` has been followed already."""
    top = Table(where, "", data, _SECTIONS)
    every, offered = _spellings(top), _offered(top)
    offered_rows = {name: row for name, row in every.items() if name in offered}
    _no_twins(top, offered_rows)
    return Binding(
        name=top.text("name"),
        title=top.text("title", ""),
        signature_base=top.integer("signature_base", NEWEST, least=OLDEST, most=NEWEST),
        operations=MappingProxyType(offered_rows),
        envelope=_envelope(top.table("envelope", ("code", "msg", "data", "success", "status"))),
        refusals=_refusals(top.table("errors", ("naming", "field", "words"))),
        headers=MappingProxyType(_headers(top)),
        content=MappingProxyType(dict(data)),
    )


def recorded_binding(header: Mapping[str, Any], where: str) -> Binding:
    """Return the binding of a recorded run: as it was then, or by its name where the recording has the name only."""
    content = header.get("binding_content")
    return load_binding(str(header["binding"])) if content is None else parse_binding(content, where)


def _place(name: str, beside: Path) -> Path:
    if name.endswith(".toml"):
        return beside / name
    shipped = {path.stem: path for path in sorted((folder() / "bindings").glob("*.toml"))}
    if name not in shipped:
        raise unknown("binding", "name", name, tuple(shipped))
    return shipped[name]


def _merged(path: Path, trail: tuple[Path, ...]) -> dict[str, Any]:
    """Read a file on top of those that it extends."""
    resolved = path.resolve()
    if resolved in trail:
        raise UsageError(f"{path}: extends itself", hint="Take out one `extends`.")
    data = read_toml(path)
    base = Table(str(path), "", data, _SECTIONS).text("extends", "")
    if not base:
        return data
    return _over(_merged(_place(base, path.parent), (*trail, resolved)), data)


def _over(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in top.items():
        below = merged.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            merged[key] = _over(below, value)
        else:
            merged[key] = value
    return merged


def _offered(top: Table) -> set[str]:
    every = tuple(operations())
    return set(top.texts("offers", every, choices=every)) - set(top.texts("absent", (), choices=every))


def _spellings(top: Table) -> dict[str, Spelling]:
    every = operations()
    unsigned = top.texts("unsigned", (), choices=tuple(every))
    everywhere = top.words("names")
    values = _value_maps(top.table("values", None))
    rows = top.table("operations", tuple(every))
    used: set[str] = set()
    spelled: dict[str, Spelling] = {}
    for name, row in every.items():
        table = rows.table(name, _OPERATION)
        spelled[name] = _spelling(table, row, everywhere, values, used, signed=name not in unsigned)
    for word in [*everywhere, *(f"{name}={value}" for name, words in values.items() for value in words)]:
        if word not in used:
            raise UsageError(f'{top.source}: no operation has "{word}" of [names] or [values]', hint="Correct it.")
    return spelled


def _spelling(
    table: Table,
    row: Operation,
    everywhere: Mapping[str, str],
    values_everywhere: Mapping[str, Mapping[str, str]],
    used: set[str],
    *,
    signed: bool,
) -> Spelling:
    documents = {
        Part.QUERY: _query_schema(row),
        Part.REQUEST: row.body_schema,
        Part.ANSWER: data_schema(row.answer_schema),
    }
    values = _value_maps(table.table("values", None))
    renames = {part: table.words(part) for part in Part}
    lacks = {part: table.texts(key, ()) for part, key in _WITHOUT.items()}
    names: dict[Part, Names] = {}
    paths = {part: paths_of(document) if values else set() for part, document in documents.items()}
    for path in values:
        if not any(path in some for some in paths.values()):
            raise unknown(table.where, "field in values", path, sorted(set().union(*paths.values())))
    for part, document in documents.items():
        mine = {path: words for path, words in values.items() if path in paths[part]}
        if renames[part] or lacks[part] or mine or everywhere or values_everywhere:
            wanted = Wanted(renames[part], mine, lacks[part], everywhere, values_everywhere)
            built = _built(table, part, document, wanted, used)
            if built is not None:
                names[part] = built
    return Spelling(
        method=table.text("method", row.method, choices=("GET", "POST", "PUT", "PATCH", "DELETE")),
        path=_path(table, row.path),
        signed=signed and row.auth not in _UNSIGNED,
        names=names,
        lacks={part: frozenset(paths) for part, paths in lacks.items() if paths},
    )


def _built(table: Table, part: Part, document: Schema | None, wanted: Wanted, used: set[str]) -> Names | None:
    try:
        return build(document, wanted, used)
    except SpellingFault as exc:
        if exc.word:
            raise unknown(f"{table.where} {part}", str(exc).removeprefix("unknown "), exc.word, exc.known) from exc
        raise table.fault(part, str(exc)) from exc


def _path(table: Table, usual: str) -> str:
    path = table.text("path", usual)
    if not path.startswith("/") or "?" in path or "#" in path:
        raise table.fault("path", f'"{path}" is no path', "Begin it with / and leave the query out.")
    return path


def _query_schema(row: Operation) -> Schema:
    asked = [parameter for parameter in row.parameters if parameter.location == "query"]
    defs: dict[str, Any] = {}
    for parameter in asked:
        defs |= parameter.schema.get("$defs", {})
    return {"properties": {parameter.name: parameter.schema for parameter in asked}, "$defs": defs}


def _value_maps(table: Table) -> dict[str, dict[str, str]]:
    return {name: table.words(name) for name in table.keys()}  # noqa: SIM118  a Table is no mapping


def _no_twins(top: Table, spelled: Mapping[str, Spelling]) -> None:
    seen: dict[tuple[str, str], str] = {}
    for name, row in spelled.items():
        twin = seen.setdefault((row.method, row.path), name)
        if twin != name:
            problem = f"{twin} and {name} would both be {row.method} {row.path}"
            raise UsageError(f"{top.source}: [operations] {problem}", hint="Give each operation a place of its own.")


def _envelope(table: Table) -> Envelope:
    usual = Envelope()
    names = [table.text(key, getattr(usual, key)) for key in ("code", "msg", "data")]
    if len(set(names)) != len(names):
        raise table.fault("code, msg, data", "must have three different names")
    code, msg, data = names
    return Envelope(
        code,
        msg,
        data,
        success=table.integers("success", usual.success),
        status=StatusRule(table.text("status", usual.status, choices=tuple(StatusRule))),
    )


def _refusals(table: Table) -> Refusals:
    words = table.table("words", tuple(errors()))
    return Refusals(
        naming=Naming(table.text("naming", Naming.NAMED, choices=tuple(Naming))),
        holder=table.text("field", "error"),
        words={name: words.texts(name) for name in words.keys()},  # noqa: SIM118  a Table is no mapping
    )


def _headers(top: Table) -> dict[str, str]:
    table = top.table("headers", _HEADERS)
    return {name: table.text(name) for name in table.keys()}  # noqa: SIM118  a Table is no mapping
