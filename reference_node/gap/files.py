"""Files that cross the gap: a body, a head that says what it is, a signature of the sending node (9.2-h).

    body | head (JSON) | signature of the head | length of head, length of signature (u32 big endian) | HTGAP001

The head stands behind the body because it holds the body's size and digest, which are known once it is written.
Guarantees: a file shows under its name only when it is whole; bodies are written and read in pieces; what is no such
file, or has a head other than `specs/schemas/gap-1.schema.json` allows, is GapFileBad and never any other failure; a
link, a pipe or a folder in the place of a file is not opened.
"""

from __future__ import annotations

import hmac
import io
import json
import os
import re
import secrets
import stat
import struct
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, Final, Self

import jsonschema_rs
from cryptography.hazmat.primitives import hashes

import specs
from reference_node.security.errors import SecurityFailure
from reference_node.security.keys import PrivateKey, PublicKey

SUITE: Final = "SM3_SM2"
OUT: Final = "out"
IN: Final = "in"
NAME: Final = re.compile(r"(?P<sequence>[0-9]{16})\.(?P<kind>request|answer)\.gap")
FILE_MODE: Final = 0o640  # node and relay share a group where they are not one user
PIECE: Final = 1024 * 1024
HEAD_LIMIT: Final = 64 * 1024
_SIGNATURE_LIMIT: Final = 1024
_MAGIC: Final = b"HTGAP001"
_TAIL: Final = struct.Struct(">II8s")


class Leniency(StrEnum):
    """What is not looked at when a file is opened: for deliberate defects alone."""

    NAME = "NAME"
    LINK = "LINK"
    HEAD = "HEAD"
    BODY = "BODY"


class GapFileBad(Exception):
    """A file that is not what it should be; the words say in which way."""


@dataclass(frozen=True, slots=True)
class Head:
    """What a file says of itself; a request has method, path and query, an answer has status and what it answers."""

    kind: str
    sequence: int
    id: str
    sender: str
    receiver: str
    size: int
    digest: str
    time: int
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str | None = None
    path: str | None = None
    query: str | None = None
    answers: str | None = None
    status: int | None = None
    version: int = 1

    @property
    def name(self) -> str:
        """The name that its file has."""
        return f"{self.sequence:016d}.{self.kind}.gap"

    def content(self) -> bytes:
        """Return the head as it stands in the file."""
        return json.dumps(
            {name: value for name, value in asdict(self).items() if value is not None}, separators=(",", ":")
        ).encode("ascii")

    @classmethod
    def parsed(cls, content: bytes, *, lenient: bool = False) -> Self:
        """Read a head; raise GapFileBad."""
        try:
            fields: Any = json.loads(content)
        except (ValueError, RecursionError):
            raise GapFileBad("the head is no JSON") from None
        wrong = next(iter(_schema().iter_errors(fields)), None)
        if wrong is not None and not lenient:
            place = "/".join(str(step) for step in wrong.instance_path)
            raise GapFileBad(f"the head is not as its schema says, at /{place}")
        return cls(**fields)


class Draft:
    """A file that is being written, under a name that nobody looks at."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / f".{secrets.token_hex(8)}.part"
        self._file = os.fdopen(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE), "wb")
        self._digest = hashes.Hash(hashes.SM3())
        self._size = 0

    def write(self, piece: bytes) -> None:
        """Add to the body."""
        self._file.write(piece)
        self._digest.update(piece)
        self._size += len(piece)

    def publish(self, head: Callable[[int, str], Head], key: PrivateKey) -> Path:
        """Let the file be seen; `head` is called with size and digest of the body."""
        made = head(self._size, self._digest.finalize().hex())
        content = made.content()
        self._file.write(tail(content, key.sign(content)))
        self._file.close()
        return self._path.rename(self._path.parent / made.name)

    def abandon(self) -> None:
        """Leave nothing behind."""
        self._file.close()
        self._path.unlink(missing_ok=True)


class GapFile:
    """A file that is read: `head` is believed only after `check_signature`, the body only at the end of `pieces`."""

    def __init__(
        self, file: BinaryIO, content: bytes, signature: bytes, lenient: Container[Leniency] = frozenset()
    ) -> None:
        self._file = file
        self._lenient = lenient
        self.head = Head.parsed(content, lenient=Leniency.HEAD in lenient)
        self._content = content
        self.signature = signature

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    @classmethod
    def open(cls, path: Path, *, lenient: Container[Leniency] = frozenset()) -> Self:
        """Open a file; raise GapFileBad, or OSError where it cannot be read."""
        file = _regular(path, 0 if Leniency.LINK in lenient else os.O_NOFOLLOW)
        try:
            end = file.seek(0, os.SEEK_END)
            if end < _TAIL.size:
                raise GapFileBad("the file is too short")
            file.seek(end - _TAIL.size)
            length, signed, magic = _TAIL.unpack(_exactly(file, _TAIL.size))
            size = end - _TAIL.size - signed - length
            if magic != _MAGIC or length > HEAD_LIMIT or signed > _SIGNATURE_LIMIT or size < 0:
                raise GapFileBad("the file does not end as a file of the gap does")
            file.seek(size)
            found = cls(file, _exactly(file, length), _exactly(file, signed), lenient)
            if found.head.size != size:
                raise GapFileBad("the head states another size")
            if found.head.name != path.name and Leniency.NAME not in lenient:
                raise GapFileBad("the file has another name than its head says")
        except BaseException:
            file.close()
            raise
        return found

    def check_signature(self, key: PublicKey) -> None:
        """Return when the sender of this key has signed the head; raise GapFileBad."""
        try:
            key.verify(self._content, self.signature)
        except SecurityFailure:
            raise GapFileBad("the signature does not belong to the head and the sender's key") from None

    def pieces(self) -> Iterator[bytes]:
        """Yield the body; raise GapFileBad at its end where it is another than the head says."""
        digest = hashes.Hash(hashes.SM3())
        left = self.head.size
        self._file.seek(0)
        while left:
            piece = _exactly(self._file, min(PIECE, left))
            left -= len(piece)
            digest.update(piece)
            yield piece
        if Leniency.BODY not in self._lenient and not hmac.compare_digest(digest.finalize().hex(), self.head.digest):
            raise GapFileBad("the body is another than the head says")

    def tail(self) -> bytes:
        """Return what stands behind the body."""
        return tail(self._content, self.signature)

    def body(self) -> BinaryIO:
        """Return a file of the body alone, which closes this one."""
        self._file.seek(0)
        return io.BufferedReader(_Body(self._file, self.head.size))


class _Body(io.RawIOBase):
    def __init__(self, file: BinaryIO, size: int) -> None:
        self._source = file
        self._left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._source.read(min(len(buffer), self._left))
        self._left -= len(piece)
        buffer[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        self._source.close()
        super().close()


def tail(content: bytes, signature: bytes) -> bytes:
    """Return what stands behind a body."""
    return content + signature + _TAIL.pack(len(content), len(signature), _MAGIC)


def waiting(folder: Path) -> list[str]:
    """Return the names in a folder in their order, those of drafts left out."""
    with os.scandir(folder) as found:
        return sorted(entry.name for entry in found if not entry.name.startswith("."))


def _regular(path: Path, links: int) -> BinaryIO:
    """Open a plain file, whatever else may stand there."""
    try:
        number = os.open(path, os.O_RDONLY | links | os.O_NONBLOCK)
    except FileNotFoundError:
        raise
    except OSError as failure:
        raise GapFileBad(f"the file cannot be opened: {failure.strerror}") from None
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise GapFileBad("it is not a plain file")
    return os.fdopen(number, "rb", buffering=0)


def _exactly(file: BinaryIO, size: int) -> bytes:
    found = file.read(size)
    if len(found) != size:
        raise GapFileBad("the file became shorter while it was read")
    return found


@cache
def _schema() -> jsonschema_rs.Validator:
    path = specs.folder() / "schemas" / "gap-1.schema.json"
    return jsonschema_rs.validator_for(json.loads(path.read_text(encoding="utf-8")))
