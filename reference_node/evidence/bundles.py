"""Records as a signed file: one JSON object a line, for auditors who are elsewhere and for backups (9.2-d-4, 9.2-d-5).

    {"kind": "evidence", ...}     whose, from which record to which, the hash of the record before
    {"kind": "record", ...}       a record, with `content` (for an auditor) or `sealed` (for a backup), or neither
    {"kind": "checkpoint", ...}   the node's signature over the chain up to a record
    {"kind": "end", ...}          the digest of all lines before, signed

Guarantees: every line is in its canonical spelling and covered by the digest of the last, which is signed: one changed,
missing or further byte is found. Whether the signer is who it says is for the reader to know, by its key.

>>> read(write(head, lines, key)).records
[]
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from reference_node.evidence.records import Checkpoint, Record, canonical, commitment, digest, signed_by
from reference_node.security.errors import SecurityFailure
from reference_node.security.keys import PrivateKey, PublicKey

VERSION: Final = 1
_HEADER: Final = Record.__slots__


class BundleDamaged(Exception):
    """The file is not what was written."""


@dataclass(frozen=True, slots=True)
class Line:
    """One record of a bundle: the link, its hash, and what it carries."""

    record: Record
    content: dict[str, Any] | None = None
    sealed: bytes | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        row = {"kind": "record", **self.record.header(), "hash": self.record.hash}
        if self.content is not None:
            row["content"] = self.content
        if self.sealed is not None:
            row["sealed"] = self.sealed.hex()
        return row


@dataclass(slots=True)
class Bundle:
    """What a file holds; `signer` is the key of its last line."""

    head: dict[str, Any]
    signer: PublicKey
    records: list[Line] = field(default_factory=list)
    checkpoints: list[Checkpoint] = field(default_factory=list)


def head_of(node: str, first: int, last: int, previous: str, made_at: int) -> dict[str, Any]:
    """Return the first line."""
    return {
        "kind": "evidence",
        "version": VERSION,
        "node": node,
        "first": first,
        "last": last,
        "previous": previous,
        "made_at": made_at,
    }


def write(head: dict[str, Any], lines: Iterable[dict[str, Any]], key: PrivateKey) -> bytes:
    """Return the file."""
    text = b"".join(canonical(line) + b"\n" for line in (head, *lines))
    end = {
        "kind": "end",
        "lines": text.count(b"\n"),
        "digest": digest(text),
        "auth_type": key.public.auth_type.value,
        "credential": key.public.pem,
    }
    return text + canonical(end | {"signature": key.sign(canonical(end)).hex()}) + b"\n"


def read(text: bytes) -> Bundle:
    """Return what a file holds; raise BundleDamaged unless it is whole, chained and signed by the key it names."""
    try:
        return _read(text)
    except (SecurityFailure, ValueError, TypeError, KeyError, RecursionError) as wrong:
        raise BundleDamaged(str(wrong)) from wrong


def _read(text: bytes) -> Bundle:
    lines = text.split(b"\n")
    if len(lines) < 3 or lines.pop():
        raise ValueError("the file is cut")
    rows = [_line(line) for line in lines]
    end = rows.pop()
    signer = _signer(end)
    before = b"".join(line + b"\n" for line in lines[:-1])
    if end["kind"] != "end" or end["lines"] != len(rows) or end["digest"] != digest(before):
        raise ValueError("the last line is not that of this file")
    head = rows.pop(0)
    if head["kind"] != "evidence" or head["version"] != VERSION:
        raise ValueError("the first line is not that of a bundle")
    bundle = Bundle(head, signer)
    for row in rows:
        if row["kind"] == "record":
            bundle.records.append(_record(row))
        else:
            bundle.checkpoints.append(_checkpoint(row))
    _chained(bundle)
    return bundle


def _line(line: bytes) -> dict[str, Any]:
    row = json.loads(line)
    if not isinstance(row, dict) or canonical(row) != line:
        raise ValueError("a line is not in its canonical spelling")
    return row


def _signer(end: dict[str, Any]) -> PublicKey:
    signed = {name: value for name, value in end.items() if name != "signature"}
    key = PublicKey.from_credential(end["auth_type"], end["credential"])
    signature = bytes.fromhex(end["signature"])
    if signature.hex() != end["signature"]:
        raise ValueError("the signature has more than one spelling")
    key.verify(canonical(signed), signature)
    return key


def _record(row: dict[str, Any]) -> Line:
    record = Record(**{name: row[name] for name in _HEADER})
    content, sealed = row.get("content"), row.get("sealed")
    if record.hash != row["hash"] or (content is not None and commitment(content) != record.commitment):
        raise ValueError(f"record {record.seq} was changed")
    return Line(record, content, None if sealed is None else bytes.fromhex(sealed))


def _checkpoint(row: dict[str, Any]) -> Checkpoint:
    made = Checkpoint(**{name: value for name, value in row.items() if name != "kind"})
    signed_by(made)
    return made


def _chained(bundle: Bundle) -> None:
    previous, expected = bundle.head["previous"], bundle.head["first"]
    hashes = {}
    for line in bundle.records:
        record = line.record
        if (record.previous, record.seq, record.node) != (previous, expected, bundle.head["node"]):
            raise ValueError(f"record {record.seq} does not continue the one before it")
        hashes[record.seq] = previous = record.hash
        expected += 1
    if expected != bundle.head["last"] + 1:
        raise ValueError("records are missing")
    for made in bundle.checkpoints:
        if hashes.get(made.seq) != made.hash:
            raise ValueError(f"checkpoint {made.seq} is of another chain")
