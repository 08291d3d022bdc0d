"""Plaintext canaries: unique texts that are planted and then searched for wherever they must not show (9.2-e-2, 9.2-g).

Guarantees: pure; `forms` spells a text in every way in which a careless program lets it out: raw, hexadecimal, base64
at all three alignments, UTF-16, percent-encoded, and digests without a salt (SM3, SHA-256, MD5) as bytes, hexadecimal
and base64. `search` names the forms that occur in some bytes. Canaries are long and random, so nothing is found by
chance.

>>> [hit.form for hit in search(b"... 6361 ...".replace(b"6361", b"canary-one".hex().encode()), {"one": "canary-one"})]
['hex']
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import quote

from cryptography.hazmat.primitives.hashes import SM3, Hash

if TYPE_CHECKING:
    from conformance.harness.profile_model import Profile

SHOWN = "SECRET_SHOWN"
LEAST = 8  # shorter texts are found by chance
_DIGESTS = ("sm3", "sha256", "md5")


@dataclass(frozen=True, slots=True)
class Hit:
    """A canary that was found, and in which form."""

    canary: str
    form: str

    @property
    def digested(self) -> bool:
        """Whether it was found as a digest and not as a text."""
        return self.form.partition("-")[0] in _DIGESTS


@cache
def forms(text: str) -> Mapping[str, bytes]:
    """Return every form of a text by name; raises ValueError for one that would be found by chance."""
    if len(text) < LEAST:
        raise ValueError(f"a canary has at least {LEAST} characters")
    raw = text.encode()
    found = {"raw": raw, "hex": raw.hex().encode(), "HEX": raw.hex().upper().encode()}
    found |= {f"base64-{offset}": _base64(raw, offset) for offset in range(3)}
    found |= {"utf-16-le": text.encode("utf-16-le"), "utf-16-be": text.encode("utf-16-be")}
    found["percent"] = b"".join(b"%%%02X" % byte for byte in raw)
    found |= {"percent-lower": found["percent"].lower(), "percent-url": quote(text).encode()}
    if found["percent-url"] == raw:
        del found["percent-url"]
    for name in _DIGESTS:
        digest = _digest(name, raw)
        found |= {name: digest, f"{name}-hex": digest.hex().encode(), f"{name}-HEX": digest.hex().upper().encode()}
        found[f"{name}-base64"] = base64.b64encode(digest).rstrip(b"=")
    return found


def search(data: bytes, canaries: Mapping[str, str]) -> Iterator[Hit]:
    """Yield what is found of the canaries, each form once; base64 of the URL alphabet counts as base64."""
    plain = data.translate(_URL) if b"-" in data or b"_" in data else data
    for name, text in canaries.items():
        for form, wanted in forms(text).items():
            if wanted in data or ("base64" in form and wanted in plain):
                yield Hit(name, form)


def secrets_of(profile: Profile) -> dict[str, str]:
    """Return the secrets of the target's that the harness itself was given, by name; they belong on no wire."""
    held = {"operator": profile.operator}
    return {name: row.reveal() for name, row in held.items() if row is not None and len(row.reveal()) >= LEAST}


def shown(secrets: Mapping[str, str], headers: Mapping[str, str], *parts: bytes) -> tuple[str, ...]:
    """Return a problem for each form of a secret in headers or bodies: recordings are masked, so it is noted first."""
    if not secrets:
        return ()
    return tuple(f"{SHOWN}:{hit.canary}:{hit.form}" for hit in search(text_of(headers, *parts), secrets))


def text_of(headers: Mapping[str, str], *parts: bytes) -> bytes:
    """Return headers and bodies as one text to search."""
    return b"\n".join(("\n".join(headers.values()).encode("utf-8", "surrogateescape"), *parts))


_URL = bytes.maketrans(b"-_", b"+/")


def _base64(raw: bytes, offset: int) -> bytes:
    """Return the part of a base64 text that depends on `raw` alone where `offset` bytes (mod 3) stand before it."""
    whole = base64.b64encode(bytes(offset) + raw)
    spoilt = (0, 2, 3)[offset]  # characters in front that the bytes before have a part in
    surplus = (len(raw) + offset) % 3
    return whole[spoilt : len(whole) - (4 if surplus else 0)] if surplus else whole[spoilt:]


def _digest(name: str, raw: bytes) -> bytes:
    if name == "sm3":
        state = Hash(SM3())
        state.update(raw)
        return state.finalize()
    return hashlib.new(name, raw, usedforsecurity=False).digest()
