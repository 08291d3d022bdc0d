"""One connection: its wire, whom it is from, what it is at, and what has come of the request that is not whole yet.

Guarantees: no I/O but on the wire, which never waits; a request is whole when `advance` says so, and then `head` and
`body` hold it; what has come of the next request stays in `buffer`.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from reference_node.front import head as heads
from reference_node.front.bodies import Chunks
from reference_node.front.head import Head, Lax, Malformed
from reference_node.front.wires import Wire

END_OF_HEAD: Final = b"\r\n\r\n"
EMPTY_LINE: Final = b"\r\n"
_PIECE: Final = 64 * 1024


class Stage(Enum):
    """What a connection is at; all but WORK and CLOSED wait for the other end, and have a deadline."""

    PREFACE = "a balancer says whose connection it is"
    SHAKE = "the handshake"
    HEAD = "the head of a request"
    IDLE = "between requests"
    BODY = "a body that is read before a worker is taken"
    QUEUE = "a body that a worker will read, once one may"
    LINGER = "the other end takes its last answer"
    WORK = "a worker has it"
    CLOSED = "over"


@dataclass(frozen=True, slots=True)
class Limits:
    """What is held of a body before a worker is taken, of one that may be streamed, and the longest body (bytes)."""

    whole: int = 1024 * 1024
    begun: int = 64 * 1024
    body: int = 72 * 1024 * 1024


@dataclass(slots=True, eq=False)
class Line:
    """A connection; `proven` once a request on it was answered, `party` for whom it counts."""

    sock: socket.socket
    address: str
    port: int
    party: str
    since: float
    stage: Stage = Stage.HEAD
    wire: Wire | None = None
    environ: dict[str, Any] = field(default_factory=dict)
    proven: bool = False
    exempt: bool = False
    registered: int = 0
    looks: int = 0
    scanned: int = 0
    buffer: bytearray = field(default_factory=bytearray)
    head: Head | None = None
    chunks: Chunks | None = None
    body: bytes | None = None
    held: int = 0
    connection: Any = None
    hall: Any = None

    @property
    def size(self) -> int:
        """How many bytes are held of what is not whole yet."""
        return len(self.buffer) + (len(self.chunks.data) if self.chunks is not None else 0)

    def fill(self) -> bool:
        """Read what there is, a piece at most; false where the other end has nothing more to say."""
        if self.wire is None:
            return False
        piece = self.wire.receive(_PIECE)
        if piece:
            self.buffer += piece
        return piece is None or bool(piece)

    def advance(self, limits: Limits, lax: Lax, streams: Callable[[bytes], bool]) -> bool:
        """Understand what has come; true once a worker can do something with it. Raises Malformed."""
        if self.head is None and not self._understand(lax):
            return False
        head = self.head
        if head is None:
            return False
        if head.empty:
            self.body = b""
            return True
        if (head.length or 0) > limits.body:
            raise Malformed("content-length", "BODY_TOO_LARGE")
        streamed = streams(head.path)
        if head.length is not None:
            return self._known(head.length, limits.begun if streamed else limits.whole)
        if streamed:
            return True
        if self.chunks is None:
            self.chunks = Chunks(limits.whole, lax)
        self.chunks.feed(self.buffer)
        if self.chunks.done:
            self.body = bytes(self.chunks.data)
            self.chunks = None
        return self.body is not None

    def begin_next(self) -> None:
        """Forget the request that was answered."""
        self.head = self.body = self.chunks = None
        self.scanned = 0

    def forget(self) -> None:
        """Forget everything that came."""
        self.begin_next()
        self.buffer.clear()

    def close(self) -> None:
        """Let go of the socket."""
        if self.wire is None:
            self.sock.close()
        else:
            self.wire.close()

    def _known(self, length: int, most: int) -> bool:
        if len(self.buffer) >= length:
            self.body = bytes(memoryview(self.buffer)[:length])
            del self.buffer[:length]
            return True
        return length > most

    def _understand(self, lax: Lax) -> bool:
        """Read the head where it is whole."""
        buffer = self.buffer
        if not self.scanned and EMPTY_LINE.startswith(buffer):
            return False
        if not self.scanned and buffer.startswith(EMPTY_LINE):
            del buffer[: len(EMPTY_LINE)]  # one before a request is passed over (RFC 9112, 2.2)
        end = buffer.find(END_OF_HEAD, max(0, self.scanned - 3))
        heads.begins(buffer if end < 0 else buffer[: end + len(END_OF_HEAD)], self.scanned, lax)
        self.scanned = len(buffer)
        if end < 0:
            return False
        self.head = heads.parse(bytes(buffer[:end]), lax)
        del buffer[: end + len(END_OF_HEAD)]
        return True
