"""The framing of bodies: how long a body is, and its chunks (RFC 9112, 6 and 7.1), strictly.

Guarantees: a chunk's size is hexadecimal digits alone, its extensions follow the grammar, its end is CRLF; fields after
the last chunk are refused, because nothing here has a use for them and another reader could take them for headers.
`Chunks` takes bytes as they come; `Streamed` is the body of a request that a worker reads while it arrives.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final, Protocol

from cheroot.errors import MaxSizeExceeded

from reference_node.errors import Refusal
from reference_node.front.head import Lax, Malformed, strict

_MOST_LINE: Final = 1024
_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_QUOTED: Final = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'
_SIZE: Final = re.compile(
    rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[ \t]*%b(?:[ \t]*=[ \t]*(?:%b|%b))?)*\r\n" % (_TOKEN, _TOKEN, _QUOTED)
)
_END: Final = b"\r\n"


def chunk_size(line: bytes, lax: Lax = strict) -> int:
    """Return the size that the line before a chunk states; raise Malformed."""
    found = _SIZE.fullmatch(line)
    if found:
        return int(found[1], 16)
    if line.endswith(_END) and lax("loose-chunk-size-accepted"):
        try:
            return max(0, int(line.strip().partition(b";")[0], 16))
        except ValueError:
            pass
    raise Malformed("chunk")


class Chunks:
    """A body in chunks that is put together as its bytes come; `done` once the last chunk has come."""

    def __init__(self, most: int, lax: Lax = strict) -> None:
        self.data = bytearray()
        self.done = False
        self._most = most
        self._lax = lax
        self._left = 0  # of the chunk at hand
        self._ending = False  # the chunk is there, its CRLF is not

    def feed(self, buffer: bytearray) -> None:
        """Take from the buffer what belongs to the body; raise Malformed."""
        while not self.done and buffer and self._step(buffer):
            if len(self.data) > self._most:
                raise Malformed("body", "BODY_TOO_LARGE")

    def _step(self, buffer: bytearray) -> bool:
        """Take one part; tell whether there was enough of it."""
        if self._left:
            piece = buffer[: self._left]
            self.data += piece
            self._left -= len(piece)
            del buffer[: len(piece)]
            self._ending = not self._left
            return True
        if self._ending:
            if not _END.startswith(buffer[:2]):
                raise Malformed("chunk", "INTERNAL" if self._lax("chunk-end-crashes") else "MESSAGE_MALFORMED")
            if len(buffer) < len(_END):
                return False
            del buffer[: len(_END)]
            self._ending = False
            return True
        return self._begin(buffer)

    def _begin(self, buffer: bytearray) -> bool:
        """Read a size; after that of the last chunk nothing but the empty line may come."""
        end = buffer.find(b"\n", 0, _MOST_LINE)
        if end < 0:
            if len(buffer) >= _MOST_LINE:
                raise Malformed("chunk")
            return False
        size = chunk_size(bytes(buffer[: end + 1]), self._lax)
        if size:
            del buffer[: end + 1]
            self._left = size
            return True
        rest = buffer[end + 1 : end + 3]
        if not _END.startswith(rest):
            raise Malformed("trailer")
        if len(rest) < len(_END):
            return False
        del buffer[: end + 3]
        self.done = True
        return True


class Source(Protocol):
    """Where a worker reads a body from."""

    def read(self, size: int, /) -> bytes:
        """Return so many bytes, less only at the end."""

    def readline(self, size: int, /) -> bytes:
        """Return a line, cut off at `size`."""


class Streamed:
    """The body of a request that is read while it arrives, as WSGI wants it.

    `over` once all of it was read; `maxlen` bounds chunks, 0 lifts the bound. What is malformed is a Refusal, so that
    the application answers it; a body that ends early is short.
    """

    def __init__(
        self, source: Source, length: int | None, most: int, trusted: Callable[[], None], lax: Lax = strict
    ) -> None:
        self.maxlen = most
        self.over = length == 0
        self.trust = trusted
        self._source = source
        self._chunked = length is None
        self._left = length or 0
        self._came = 0
        self._lax = lax

    def read(self, size: int | None = -1) -> bytes:
        """Return so many bytes, less only at the end of the body."""
        wanted = size if size is not None and size >= 0 else None
        if not self._chunked:
            return self._known(self._left if wanted is None else min(wanted, self._left))
        pieces: list[bytes] = []
        while (wanted is None or wanted > 0) and (piece := self._piece(wanted)):
            pieces.append(piece)
            wanted = None if wanted is None else wanted - len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def readline(self, size: int | None = -1) -> bytes:
        """Return a line, byte by byte: nothing here reads bodies by lines."""
        line = bytearray()
        while not line.endswith(b"\n") and (size is None or size < 0 or len(line) < size) and (byte := self.read(1)):
            line += byte
        return bytes(line)

    def readlines(self, _hint: int = -1) -> list[bytes]:
        """Return all lines."""
        return list(self)

    def __iter__(self) -> Iterator[bytes]:
        """Yield lines."""
        return iter(self.readline, b"")

    def close(self) -> None:
        """The connection goes on without it."""

    def _known(self, size: int) -> bytes:
        found = self._source.read(size) if size else b""
        self._left -= len(found)
        self.over = not self._left
        return found

    def _piece(self, wanted: int | None) -> bytes:
        """Return what there is of the chunk at hand, of the next one where it is at its end."""
        if not self._left and not self.over:
            self._begin()
        if self.over:
            return b""
        found = self._source.read(self._left if wanted is None else min(self._left, wanted))
        self._left -= len(found)
        if not self._left and self._source.read(2) != _END:
            raise Refusal("MESSAGE_MALFORMED", pointer="chunk")
        return found

    def _begin(self) -> None:
        line = self._source.readline(_MOST_LINE)
        try:
            size = chunk_size(line, self._lax)
        except Malformed as wrong:
            raise Refusal(wrong.name, pointer=wrong.pointer) from None
        self._came += size
        if self.maxlen and self._came > self.maxlen:
            raise MaxSizeExceeded
        if size:
            self._left = size
        elif self._source.readline(_MOST_LINE) == _END:
            self.over = True
        else:
            raise Refusal("MESSAGE_MALFORMED", pointer="trailer")
