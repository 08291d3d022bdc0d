"""Who decides each value that reaches a node, and who has agreed to it: the table `authority.toml`, read and walked.

Guarantees: the fields of an operation are taken from the interface documents (query, headers, every member of the body
down to what is not described further) and from the headers that its kind of authentication brings; to each of them
exactly one rule applies, the most particular one: an operation named before a pattern of names, before a kind of
authentication, before all; and among those a field named before a pattern. Two that are equally particular, or none,
is a SpecsError.

    python -m specs.authority docs/authority.md    writes the table for people
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from specs.load import Operation, folder, operations, read_toml
from specs.rows import SpecsError

MISSING: Final = "missing"
_BY_AUTH: Final = "auth:"
_ALL: Final = "*"
_UNIONS: Final = ("allOf", "oneOf", "anyOf")


@dataclass(frozen=True, slots=True)
class Rule:
    """One row: the operations and fields that it is for, who decides them, who has agreed, what enforces it.

    `enforced` names functions of the node (`services.permits:admit`, below `reference_node`) and codes of refusals.
    """

    operations: tuple[str, ...]
    fields: tuple[str, ...]
    decides: str
    agreed: str
    why: str
    enforced: tuple[str, ...]

    def rank(self, operation: Operation, field: str) -> tuple[int, int] | None:
        """Return how particularly this rule is for a field, None where it is not for it."""
        of_operation = max((_rank_of_operation(pattern, operation) for pattern in self.operations), default=0)
        of_field = max((_rank(pattern, field) for pattern in self.fields), default=0)
        return (of_operation, of_field) if of_operation and of_field else None


@dataclass(frozen=True, slots=True)
class Table:
    """The whole of it; `authorities` and `consents` are the words that rules may use, with their meaning."""

    authorities: Mapping[str, str]
    consents: Mapping[str, str]
    headers: Mapping[str, tuple[str, ...]]
    rules: tuple[Rule, ...]

    def fields(self, operation: Operation) -> list[str]:
        """Return every field of an operation: `query:page_num`, `header:x-nonce`, `/dag/components/*/name`."""
        found = [f"header:{name}" for name in self.headers[operation.auth]]
        found += [f"{item.location}:{item.name}" for item in operation.parameters]
        if operation.body_schema is not None:
            found += members(operation.body_schema)
        return list(dict.fromkeys(found))

    def rule(self, operation: Operation, field: str) -> Rule:
        """Return the one rule for a field; raise SpecsError."""
        ranked = [(rank, rule) for rule in self.rules if (rank := rule.rank(operation, field)) is not None]
        best = [rule for rank, rule in ranked if rank == max(rank for rank, _ in ranked)]
        if len(best) != 1:
            raise SpecsError(f"authority.toml: {len(best)} rules for {field} of {operation.id}")
        return best[0]

    def rows(self) -> Iterator[tuple[Operation, str, Rule]]:
        """Yield each field of each operation with its rule."""
        for operation in operations().values():
            for field in self.fields(operation):
                yield operation, field, self.rule(operation, field)


@cache
def load(path: Path | None = None) -> Table:
    """Return the table; raise SpecsError where a rule uses a word that is not explained."""
    content = read_toml(path or folder() / "authority.toml")
    rules = tuple(_rule(row) for row in content["rule"])
    for rule in rules:
        if rule.decides not in content["authorities"] or rule.agreed not in content["consents"]:
            raise SpecsError(f"authority.toml: {rule.decides} or {rule.agreed} is not explained")
    headers = {auth: tuple(names) for auth, names in content["headers"].items()}
    return Table(content["authorities"], content["consents"], headers, rules)


def members(schema: Mapping[str, Any]) -> list[str]:
    """Return pointers to all members of a schema that are not described further; `*` is any element or name."""
    defs = schema.get("$defs", {})
    return list(dict.fromkeys(_members(schema, defs, "", frozenset())))


def _members(schema: Mapping[str, Any], defs: Mapping[str, Any], at: str, seen: frozenset[str]) -> Iterator[str]:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        if name in seen:
            raise SpecsError(f"{at}: a schema that holds itself has no end of members")
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        yield from _members({**defs[name], **rest}, defs, at, seen | {name})
        return
    below = [(f"{at}/{name}", part) for name, part in schema.get("properties", {}).items()]
    below += [
        (f"{at}/*", schema[key]) for key in ("items", "additionalProperties") if isinstance(schema.get(key), dict)
    ]
    unions = [part for key in _UNIONS for part in schema.get(key, ())]
    for place, part in [*below, *((at, part) for part in unions)]:
        yield from _members(part, defs, place, seen)
    if not below and not unions and at:
        yield at


def _rule(row: Mapping[str, Any]) -> Rule:
    return Rule(
        tuple(row["operations"]),
        tuple(row["fields"]),
        row["decides"],
        row["agreed"],
        row["why"],
        tuple(row["enforced"]),
    )


def _rank_of_operation(pattern: str, operation: Operation) -> int:
    """Return 4 for a name, 3 for a pattern of names, 2 for a kind of authentication, 1 for all, else 0."""
    if pattern == _ALL:
        return 1
    if pattern.startswith(_BY_AUTH):
        return 2 * (pattern.removeprefix(_BY_AUTH) == operation.auth)
    found = _rank(pattern, operation.id)
    return found and found + 2


def _rank(pattern: str, name: str) -> int:
    """Return 2 for a name that is given in full, 1 for one that fits a pattern, else 0."""
    return 2 if pattern == name else int(fnmatchcase(name, pattern))


def rendered(table: Table) -> str:
    """Return the table for people, in Markdown."""
    lines = [_HEAD, *_words("Who decides", table.authorities), *_words("Who has agreed", table.consents)]
    rows = list(table.rows())
    lines += ["## Open", "", _OPEN, ""]
    lines += [f"- `{operation.id}` `{field}`: {rule.why}" for operation, field, rule in rows if rule.agreed == MISSING]
    lines += ["", "## Headers", "", _HEADERS]
    brought = {auth: [f"header:{name}" for name in names] for auth, names in table.headers.items()}
    for auth, names in brought.items():
        of_auth = [row for row in rows if row[0].auth == auth and row[1] in names]
        lines += ["", f"### Authentication: {auth}", "", *_grid(of_auth)] if of_auth else []
    for protocol, of_protocol in groupby(rows, key=lambda row: row[0].protocol):
        lines += ["", f"## {protocol.capitalize()}"]
        for operation, group in groupby(of_protocol, key=lambda row: row[0]):
            own = [row for row in group if row[1] not in brought[operation.auth]]
            lines += ["", f"### {operation.id}", "", f"{operation.summary}. Authentication: {operation.auth}."]
            lines += ["", *_grid(own)] if own else []
    return "\n".join(lines) + "\n"


def _grid(rows: Sequence[tuple[Operation, str, Rule]]) -> list[str]:
    """Return rows as a grid, a line for each rule."""
    by_rule: dict[Rule, dict[str, None]] = {}
    for _, field, rule in rows:
        by_rule.setdefault(rule, {})[f"`{field}`"] = None
    lines = ["| field | decides | agreed | why | enforced |", "|---|---|---|---|---|"]
    for rule, found in by_rule.items():
        cells = (" ".join(found), rule.decides, rule.agreed, rule.why, " ".join(f"`{name}`" for name in rule.enforced))
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return lines


def _words(title: str, words: Mapping[str, str]) -> Iterable[str]:
    return [f"## {title}", "", *(f"- **{word}**: {meaning}" for word, meaning in words.items()), ""]


_HEAD: Final = """# Authority: who decides this value, and who has agreed to it?

Made from `specs/authority.toml` by `python -m specs.authority docs/authority.md`; do not edit. Every field that reaches
the reference node over its interface is here: query, headers, and each member of a body (`*` is any element or name).
"""
_HEADERS: Final = (
    "What each kind of authentication brings with every request; further headers stand with their operations."
)
_OPEN: Final = "Nobody has agreed to these, though somebody should:"


def main() -> int:
    """Write the table for people into the file that is named."""
    Path(sys.argv[1]).write_text(rendered(load()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
