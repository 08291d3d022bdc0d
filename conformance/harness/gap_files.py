"""Files that cross an isolation gap, as the harness writes and takes them apart (9.2-h).

Built by `specs/protocols/isolation-gap.md` alone. Guarantees: `written` makes a right file, or one with exactly what
`Bent` says wrong with it; `apart` takes any bytes and never fails.

>>> key = signing.Key.generate("SM3_SM2")
>>> head = described({"kind": "request", "sequence": 1}, b"body")
>>> apart(written(head, b"body", key)).body
b'body'
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from conformance.harness import signing
from conformance.harness.sm2 import sm3

_MAGIC: Final = b"HTGAP001"
_TAIL: Final = struct.Struct(">II8s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bent:
    """What is wrong with a file of ours on purpose; by default nothing.

    `head` takes the place of fields before the head is signed, `forged` afterwards; `body` makes another body of the
    one that the head describes; `key` signs, or nobody does where it is `unsigned`; `whole` is written instead of
    everything; `draft` leaves the file under a name that begins with a dot.
    """

    head: Mapping[str, Any] = field(default_factory=dict)
    forged: Mapping[str, Any] = field(default_factory=dict)
    body: Callable[[bytes], bytes] = bytes
    key: signing.Key | None = None
    unsigned: bool = False
    whole: bytes | None = None
    draft: bool = False


@dataclass(frozen=True, slots=True)
class Parts:
    """A file taken apart: its head as it is spelled and as it reads, its body, the signature."""

    spelled: bytes
    head: Mapping[str, Any]
    body: bytes
    signature: bytes


def described(fields: Mapping[str, Any], body: bytes) -> dict[str, Any]:
    """Return a head with size and digest of its body."""
    return {"version": 1, "size": len(body), "digest": sm3(body).hex(), **fields}


def name_of(head: Mapping[str, Any]) -> str:
    """Return the name of a file with this head."""
    number = head.get("sequence")
    return f"{number if isinstance(number, int) else 0:016d}.{head.get('kind')}.gap"


def written(head: Mapping[str, Any], body: bytes, key: signing.Key, bent: Bent | None = None) -> bytes:
    """Return the bytes of a file."""
    bend = bent or Bent()
    if bend.whole is not None:
        return bend.whole
    signature = b"" if bend.unsigned else (bend.key or key).sign(_spelled({**head, **bend.head}))
    content = _spelled({**head, **bend.head, **bend.forged})
    return bend.body(body) + content + signature + _TAIL.pack(len(content), len(signature), _MAGIC)


def apart(content: bytes) -> Parts | None:
    """Take a file apart; None where it does not end as one does, or its head is no JSON object."""
    try:
        length, signed, magic = _TAIL.unpack(content[-_TAIL.size :])
        rest, at = content[: -_TAIL.size], len(content) - _TAIL.size - signed
        spelled = rest[at - length : at]
        head = json.loads(spelled)
    except (struct.error, ValueError, RecursionError):
        return None
    if magic != _MAGIC or at < length or not isinstance(head, dict):
        return None
    return Parts(spelled, head, rest[: at - length], rest[at:])


def _spelled(head: Mapping[str, Any]) -> bytes:
    return json.dumps(head, separators=(",", ":")).encode("ascii")
