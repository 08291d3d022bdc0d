"""A bundle of evidence as the harness judges it (9.2-d-2), after specs/protocols/evidence.md; no code of any node.

Guarantees: every fault that can be told apart is named, each once; nothing is raised for what a target exports.

>>> problems("")
[(<Fault.SPELLING: 'SPELLING'>, 'the file is cut')]
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

from conformance.harness.keys import CredentialError, PublicKey
from conformance.harness.sm2 import sm3

HEADER = ("node", "seq", "at", "act", "segment", "subject", "part_of", "commitment", "previous")
CHECKPOINT = ("node", "seq", "since", "at", "hash", "auth_type", "credential")
GENESIS = "0" * 64


class Fault(StrEnum):
    """What can be wrong with a bundle."""

    SPELLING = "SPELLING"
    CHAIN = "CHAIN"
    CONTENT = "CONTENT"
    SIGNATURE = "SIGNATURE"


def canonical(value: Any) -> bytes:
    """Return the one spelling of a JSON value."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode("utf-8", "surrogatepass")


def problems(text: str) -> list[tuple[Fault, str]]:
    """Return what is wrong with a bundle."""
    try:
        return list(_problems(text))
    except (KeyError, TypeError, ValueError, RecursionError) as wrong:
        return [(Fault.SPELLING, f"{type(wrong).__name__}: {wrong}")]


def records(text: str) -> list[dict[str, Any]]:
    """Return the records of a bundle that has no fault of spelling."""
    rows = [json.loads(line) for line in text.splitlines()]
    return [row for row in rows if row["kind"] == "record"]


def last_checkpoint(text: str) -> int:
    """Return up to which record a bundle is signed by checkpoints."""
    rows = [json.loads(line) for line in text.splitlines()]
    return max((row["seq"] for row in rows if row["kind"] == "checkpoint"), default=0)


def keys(text: str) -> set[str]:
    """Return the keys that signed a bundle."""
    rows = [json.loads(line) for line in text.splitlines()]
    return {row["credential"] for row in rows if "credential" in row}


def _problems(text: str) -> Iterator[tuple[Fault, str]]:
    lines = text.encode().split(b"\n")
    if len(lines) < 3 or lines.pop():
        yield Fault.SPELLING, "the file is cut"
        return
    rows = [json.loads(line) for line in lines]
    if any(canonical(row) != line for row, line in zip(rows, lines, strict=True)):
        yield Fault.SPELLING, "a line is not in its canonical spelling"
    head, *middle, end = rows
    if (head["kind"], end["kind"]) != ("evidence", "end"):
        yield Fault.SPELLING, "the first or the last line is of another kind"
    yield from _end(b"".join(line + b"\n" for line in lines[:-1]), end)
    hashes: dict[Any, str] = {}
    yield from _chain(head, [row for row in middle if row["kind"] == "record"], hashes)
    for row in (row for row in middle if row["kind"] == "checkpoint"):
        if hashes.get(row["seq"]) != row["hash"]:
            yield Fault.CHAIN, f"checkpoint {row['seq']} is of another chain"
        if not _signed(row, {name: row[name] for name in CHECKPOINT}):
            yield Fault.SIGNATURE, f"checkpoint {row['seq']} is not signed"


def _end(before: bytes, end: Mapping[str, Any]) -> Iterator[tuple[Fault, str]]:
    if end["digest"] != sm3(before).hex():
        yield Fault.SIGNATURE, "the digest is not that of the lines before"
    if not _signed(end, {name: value for name, value in end.items() if name != "signature"}):
        yield Fault.SIGNATURE, "the last line is not signed"


def _chain(head: Mapping[str, Any], rows: list[dict[str, Any]], hashes: dict[Any, str]) -> Iterator[tuple[Fault, str]]:
    previous, expected = head["previous"], head["first"]
    for row in rows:
        hashed = sm3(canonical({name: row[name] for name in HEADER})).hex()
        if row["hash"] != hashed:
            yield Fault.CHAIN, f"the hash of record {row['seq']} is wrong"
        if row["seq"] != expected or row["previous"] != previous:
            yield Fault.CHAIN, f"record {row['seq']} does not continue the one before it"
        if "content" in row and sm3(canonical(row["content"])).hex() != row["commitment"]:
            yield Fault.CONTENT, f"the content of record {row['seq']} is not the one that was committed to"
        hashes[row["seq"]] = previous = row["hash"]
        expected += 1
    if expected != head["last"] + 1:
        yield Fault.CHAIN, "records are missing"


def _signed(row: Mapping[str, Any], signed: Mapping[str, Any]) -> bool:
    try:
        key = PublicKey.from_credential(row["auth_type"], row["credential"])
        key.verify(canonical(dict(signed)), bytes.fromhex(row["signature"]))
    except (CredentialError, ValueError):
        return False
    return bool(bytes.fromhex(row["signature"]).hex() == row["signature"])
