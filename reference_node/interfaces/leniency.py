"""What careless readers make of ids and bodies: the places of the faults that do so (9.2-e-5).

Guarantees: asked only about what is about to be refused, and each fault only where the request has its particular flaw.
"""

from __future__ import annotations

import gzip
import json
import posixpath
import unicodedata
import zlib
from typing import Any, Final
from urllib.parse import unquote

from reference_node.faults import Faults

_MOST: Final = 2**53 - 1
_ID_LIMIT: Final = 128
_WEAK: Final = ("SHA1_", "MD5_")


def meant(faults: Faults, text: str) -> str:
    """Return the id that a fault reads into a text that is none."""
    plain = unquote(text)
    if ".." in plain:
        return posixpath.basename(plain.replace("\\", "/")) if faults.on("id-read-as-path") else text
    if "\0" in text:
        return text.partition("\0")[0] if faults.on("id-cut-at-nul") else text
    if len(text) > _ID_LIMIT:
        return text.strip() if faults.on("id-trimmed") else text
    if not text.isascii():
        return unicodedata.normalize("NFKC", text) if faults.on("id-normalised") else text
    return text


def body(faults: Faults, content: bytes, kind: str, encoding: str) -> bytes | None:
    """Return the JSON that a fault finds in a body of another kind, charset or encoding; None where it is refused."""
    if encoding == "gzip":
        return _unpacked(content) if faults.on("packed-body-unpacked") else None
    if kind.endswith("charset=utf-16"):
        return content.decode("utf-16").encode() if faults.on("declared-charset-believed") else None
    return content if faults.on("media-type-not-checked") else None


def _unpacked(content: bytes) -> bytes | None:
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error):
        return None


def bounded(content: bytes) -> Any:
    """Read JSON as a fault does that takes the greatest number it knows for one that is greater."""

    def clamped(text: str) -> int:
        return int(min(float(text), float(_MOST)))

    return json.loads(content, parse_float=clamped, parse_int=clamped)


def shallow(content: bytes) -> Any:
    """Read JSON as a fault does that gives up below the first level and keeps what stands there."""
    return json.loads(content.partition(b', "more"')[0] + b"}")


def strengthened(faults: Faults, auth_type: object) -> object:
    """Return the suite that a fault takes a weak one for."""
    if isinstance(auth_type, str) and auth_type.startswith(_WEAK) and faults.on("weak-suite-taken-for-strong"):
        return "SHA256_" + auth_type.partition("_")[2]
    return auth_type
