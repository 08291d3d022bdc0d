"""One record of evidence, and what makes records a chain (9.2-d-2).

Guarantees: a record has one canonical spelling, so that one changed byte is another record; its hash (SM3) covers who
keeps it, its number, time, act, segment and subject, the hash of the record before it, and a commitment to its content.
The commitment is salted: without the content it tells nothing, so that it may outlive a content that was destroyed.

>>> content = {"actor": {"role": "OPERATOR"}, "salt": "00" * 16}
>>> record = Record("node-a", 1, 0, "contract.signed", "key", "", "", commitment(content), GENESIS)
>>> record.hash == replace(record, at=1).hash
False
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from reference_node.security.keys import PrivateKey, PublicKey
from reference_node.security.sm2 import sm3

__all__ = ["GENESIS", "Checkpoint", "Record", "canonical", "commitment", "digest", "replace", "sign", "signed_by"]

GENESIS: Final = "0" * 64


def canonical(value: Any) -> bytes:
    """Return the one spelling of a JSON value: sorted names, no white space, UTF-8."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def digest(data: bytes) -> str:
    """Return the SM3 digest in hex."""
    return sm3(data).hex()


def commitment(content: Mapping[str, Any]) -> str:
    """Return what a record says of its content without telling it; the content has a `salt`."""
    return digest(canonical(content))


@dataclass(frozen=True, slots=True)
class Record:
    """One link of the chain; `subject` is a keyed digest of what was acted on, `part_of` of what that belongs to."""

    node: str
    seq: int
    at: int
    act: str
    segment: str
    subject: str
    part_of: str
    commitment: str
    previous: str

    def header(self) -> dict[str, Any]:
        """Return what the hash covers."""
        return {name: getattr(self, name) for name in self.__slots__}

    @property
    def hash(self) -> str:
        """The record's hash, by which the next one names it."""
        return digest(canonical(self.header()))

    @property
    def context(self) -> bytes:
        """What the sealed content is bound to: this record and no other."""
        return f"evidence {self.hash}".encode()


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The node's signature over the chain up to a record; `since` is where the checkpoint before it stands, or 0."""

    node: str
    seq: int
    since: int
    at: int
    hash: str
    auth_type: str
    credential: str
    signature: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {name: getattr(self, name) for name in self.__slots__}

    @property
    def message(self) -> bytes:
        """What is signed: everything but the signature, the key included."""
        return canonical({name: value for name, value in self.to_json().items() if name != "signature"})


def sign(key: PrivateKey, checkpoint: Checkpoint) -> Checkpoint:
    """Return the checkpoint signed."""
    return replace(checkpoint, signature=key.sign(checkpoint.message).hex())


def signed_by(checkpoint: Checkpoint) -> PublicKey:
    """Return the key that signed a checkpoint; raise SecurityFailure or ValueError when it was not the named one."""
    key = PublicKey.from_credential(checkpoint.auth_type, checkpoint.credential)
    signature = bytes.fromhex(checkpoint.signature)
    if signature.hex() != checkpoint.signature:
        raise ValueError("the signature has more than one spelling")
    key.verify(checkpoint.message, signature)
    return key
