r"""The relay's evidence: chained, signed by a key of the relay's own, verifiable from an export alone (9.2-h, 9.2-d).

Guarantees: a record has one spelling; its digest covers that of the one before; the relay's key signs each digest. An
export is one JSON object a line, and its last line says how many records there are and is signed too: a byte that is
changed, a line that is left out, put in or moved, and an end that was cut off all show in `verified`.

>>> key = PrivateKey.generate(SUITE)
>>> row = sealed(key, 1, spelled({"act": "STARTED"}), FIRST)
>>> lines = [spelled(shown(row)), spelled(ended(key, 1, row.digest, 0))]
>>> verified("".join(map("{}\n".format, lines)).encode(), key.public).wrong
()
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from reference_node.errors import ConfigError
from reference_node.gap.files import SUITE
from reference_node.security.errors import SecurityFailure
from reference_node.security.keys import PrivateKey, PublicKey
from reference_node.security.sm2 import sm3

FIRST: Final = "0" * 64
PUBLIC_KEY: Final = "relay.pem"
_PRIVATE_KEY: Final = "relay-key.pem"
_OF_CHAIN: Final = ("number", "chain", "signature")


@dataclass(frozen=True, slots=True)
class Row:
    """A record as it is kept: its text, the digest that chains it, the relay's signature of this digest."""

    number: int
    text: str
    digest: str
    signature: str


@dataclass(frozen=True, slots=True)
class Verified:
    """How many records an export has, and what is wrong with it: the line, from 1, and words."""

    records: int
    wrong: tuple[tuple[int, str], ...]


def relay_key(state: Path) -> PrivateKey:
    """Return the key of the relay that keeps this state; it is drawn at the first start."""
    path = state / _PRIVATE_KEY
    try:
        if not path.exists():
            PrivateKey.generate(SUITE).save(path)
        key = PrivateKey.load(path)
    except (OSError, SecurityFailure) as wrong:
        raise ConfigError(f"{path}: {wrong}", hint="it signs the relay's evidence; put it back as it was") from wrong
    (state / PUBLIC_KEY).write_text(key.public.pem, encoding="ascii")
    return key


def spelled(value: Mapping[str, Any]) -> str:
    """Return the one spelling of a record or a line."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def chained(previous: str, text: str) -> str:
    """Return the digest of a record behind another."""
    return sm3(f"{previous}\n{text}".encode()).hex()


def sealed(key: PrivateKey, number: int, text: str, previous: str) -> Row:
    """Return a record as it is kept."""
    digest = chained(previous, text)
    return Row(number, text, digest, key.sign(digest.encode()).hex())


def broken_at(rows: Iterable[Row], key: PublicKey) -> int | None:
    """Return the number of the first record that is not as the relay has left it, None where all are."""
    previous = FIRST
    for number, row in enumerate(rows, start=1):
        if row.number != number or row.digest != chained(previous, row.text) or not _signed(key, row):
            return number
        previous = row.digest
    return None


def shown(row: Row) -> dict[str, Any]:
    """Return a record as a line of an export has it."""
    return {**json.loads(row.text), "number": row.number, "chain": row.digest, "signature": row.signature}


def ended(key: PrivateKey, records: int, head: str, at: int) -> dict[str, Any]:
    """Return the last line of an export."""
    said = {"records": records, "head": head, "exported_at": at, "relay": key.public.pem}
    return {**said, "signature": key.sign(spelled(said).encode()).hex()}


def verified(content: bytes, key: PublicKey) -> Verified:
    """Verify an export by the relay's key."""
    wrong: list[tuple[int, str]] = []
    previous, lines = FIRST, content.split(b"\n")
    if lines[-1:] != [b""]:
        wrong.append((len(lines), "the last line is not ended"))
    found = [_line(line) for line in (lines[:-1] if len(lines) > 1 else lines)]
    for number, line in enumerate(found[:-1], start=1):
        text = spelled({name: value for name, value in line.items() if name not in _OF_CHAIN})
        row = Row(number, text, chained(previous, text), str(line.get("signature")))
        if (line.get("number"), line.get("chain")) != (number, row.digest) or type(line["number"]) is not int:
            wrong.append((number, "it does not belong to the record before"))
        elif not _signed(key, row):
            wrong.append((number, "the relay has not signed it"))
        previous = str(line.get("chain"))
    if not _ends(found[-1], len(found) - 1, previous, key):
        wrong.append((len(found), "it does not end the records before it, or the relay has not signed it"))
    return Verified(len(found) - 1, tuple(wrong))


def relay_of(content: bytes) -> PublicKey:
    """Return the key that an export says is its relay's; raise ConfigError."""
    try:
        *_, last = content.rstrip(b"\n").split(b"\n")
        return PublicKey.from_credential(SUITE, str(_line(last).get("relay")))
    except SecurityFailure as wrong:
        raise ConfigError(f"the last line names no key of a relay: {wrong}") from wrong


def _line(line: bytes) -> dict[str, Any]:
    """Read a line; one that has another spelling than its own is none."""
    try:
        found = json.loads(line)
        return found if isinstance(found, dict) and spelled(found).encode() == line else {}
    except (ValueError, RecursionError):
        return {}


def _ends(line: Mapping[str, Any], records: int, head: str, key: PublicKey) -> bool:
    said = {name: value for name, value in line.items() if name != "signature"}
    row = Row(records, "", spelled(said), str(line.get("signature")))
    whole = (said.get("records"), said.get("head"), said.get("relay")) == (records, head, key.pem)
    return whole and type(said["records"]) is int and _signed(key, row)


def _signed(key: PublicKey, row: Row) -> bool:
    """Tell whether the relay has signed the digest of a record; a signature has one spelling."""
    try:
        signature = bytes.fromhex(row.signature)
        key.verify(row.digest.encode(), signature)
    except (ValueError, SecurityFailure):
        return False
    return signature.hex() == row.signature
