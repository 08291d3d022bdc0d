"""Files that are sealed piece by piece, so that none is ever in memory whole (9.2-e-1, 9.2-e-2).

Guarantees: every file has a key of its own, derived from a data key of the vault; pieces are numbered and the last one
is marked, so that a file that was changed, cut, extended or put together anew raises StoreTampered; a piece that was
read is one that was checked, but only who has read to the end knows that the file is whole. A sealed file appears under
its name when it is complete, and is bound to the name that it was given.

    head    "HTF1", id of the data key (8 bytes), salt (16)
    pieces  64 KiB of text each, the last one shorter or empty, sealed with a tag of 16 bytes; nonce = number
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag

from reference_node.security.vault import ID_BYTES, NONCE_BYTES, TAG_BYTES, Vault, decrypt, encrypt

PIECE: Final = 64 * 1024
_MAGIC: Final = b"HTF1"
_SALT_BYTES: Final = 16
HEAD_BYTES: Final = len(_MAGIC) + ID_BYTES + _SALT_BYTES


def write(vault: Vault, path: Path, content: Iterable[bytes], name: str) -> None:
    """Seal a stream of bytes into a file of mode 0600, in the place of one that may be there."""
    key_id, salt = vault.current(), secrets.token_bytes(_SALT_BYTES)
    head = _MAGIC + bytes.fromhex(key_id) + salt
    cipher, key = vault.subkey(key_id, salt, name.encode())
    fresh = path.with_name(path.name + ".new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(head)
        for number, (piece, last) in enumerate(_pieces(content)):
            file.write(encrypt(cipher, key, _nonce(number), piece, _bound(head, name, last=last)))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def read(vault: Vault, path: Path, name: str, *, careful: bool = True) -> Iterator[bytes]:
    """Yield what was sealed, in order; StoreTampered where it is not what was written, unless a defect is careless."""
    context = name.encode()
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        if len(head) != HEAD_BYTES or not head.startswith(_MAGIC):
            raise vault.report(context, "is not a sealed file")
        key_id, salt = head[len(_MAGIC) : len(_MAGIC) + ID_BYTES].hex(), head[-_SALT_BYTES:]
        cipher, key = vault.subkey(key_id, salt, context)
        number, sealed = 0, file.read(PIECE + TAG_BYTES)
        while True:
            following = file.read(PIECE + TAG_BYTES)
            try:
                bound = _bound(head, name, last=not following)
                yield decrypt(cipher, key, _nonce(number), sealed, bound, careful=careful)
            except (InvalidTag, ValueError):
                raise vault.report(context, f"was changed or cut at piece {number}") from None
            if not following:
                return
            number, sealed = number + 1, following


def seal_in_place(vault: Vault, path: Path, name: str) -> None:
    """Put a sealed file in the place of a clear one."""
    with path.open("rb") as file:
        write(vault, path, iter(lambda: file.read(PIECE), b""), name)


def is_sealed(path: Path) -> bool:
    """Tell whether a file begins as sealed ones do."""
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def _pieces(content: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    held = bytearray()
    for part in content:
        held += part
        while len(held) > PIECE:
            yield bytes(held[:PIECE]), False
            del held[:PIECE]
    yield bytes(held), True


def _nonce(number: int) -> bytes:
    return number.to_bytes(NONCE_BYTES, "big")


def _bound(head: bytes, name: str, *, last: bool) -> bytes:
    return head + bytes([last]) + name.encode()
