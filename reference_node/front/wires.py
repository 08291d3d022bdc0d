"""Sockets that never wait, plain and secured, and what a worker reads and writes through them with patience.

Guarantees: a call on a wire returns at once: bytes, b"" at the end, None where nothing moves just now; whatever breaks
is an OSError. `Intake` and `Outlet` wait for a worker, and no longer than `Pace` lets them: a body or an answer that
moves slower than the least rate ends, so nobody holds a worker by dripping.
"""

from __future__ import annotations

import contextlib
import errno
import io
import math
import select
import socket
import time
from collections.abc import Callable
from typing import Any, Final, Protocol, TypeVar

from OpenSSL import SSL

from reference_node.errors import Refusal

_RECORD: Final = 16 * 1024
_BUFFER: Final = 64 * 1024
Moved = TypeVar("Moved")


class Wire(Protocol):
    """One connection, read and written without waiting."""

    sock: socket.socket
    wants_write: bool

    def receive(self, size: int) -> bytes | None:
        """Return at most so many bytes."""

    def receive_into(self, room: Any) -> int | None:
        """Put bytes into a room; return how many."""

    def send(self, data: memoryview) -> int | None:
        """Send some of the data; return how much."""

    def bye(self) -> None:
        """Say that nothing more will be sent."""

    def close(self) -> None:
        """Let go of the socket."""


class Plain:
    """TCP as it is."""

    __slots__ = ("sock", "wants_write")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.wants_write = False

    def receive(self, size: int) -> bytes | None:
        """Return at most so many bytes."""
        try:
            return self.sock.recv(size)
        except BlockingIOError:
            return None

    def receive_into(self, room: Any) -> int | None:
        """Put bytes into a room; return how many."""
        try:
            return self.sock.recv_into(room)
        except BlockingIOError:
            return None

    def send(self, data: memoryview) -> int | None:
        """Send some of the data; return how much."""
        try:
            return self.sock.send(data)
        except BlockingIOError:
            self.wants_write = True
            return None

    def bye(self) -> None:
        """Say that nothing more will be sent."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Let go of the socket."""
        self.sock.close()


class Secured:
    """TLS over TCP; the handshake is `shake`, called until it is true."""

    __slots__ = ("connection", "sock", "wants_write")

    def __init__(self, context: SSL.Context, sock: socket.socket) -> None:
        self.sock = sock
        self.wants_write = False
        self.connection = SSL.Connection(context, sock)
        self.connection.set_accept_state()

    def shake(self) -> bool:
        """Carry the handshake on; true once it is done. Raises SSL.Error where it has failed."""
        return bool(self._move(self._handshake))

    def _handshake(self) -> bool:
        self.connection.do_handshake()
        return True

    def receive(self, size: int) -> bytes | None:
        """Return at most so many bytes."""
        return self._read(lambda: self.connection.recv(min(size, _RECORD)), b"")

    def receive_into(self, room: Any) -> int | None:
        """Put bytes into a room; return how many."""
        return self._read(lambda: self.connection.recv_into(room), 0)

    def send(self, data: memoryview) -> int | None:
        """Send some of the data; return how much."""
        try:
            return self._move(lambda: self.connection.send(data[:_RECORD]))
        except SSL.Error as lost:
            raise _broken(lost) from lost

    def bye(self) -> None:
        """Say that nothing more will be sent."""
        with contextlib.suppress(SSL.Error):
            self.connection.shutdown()
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Let go of the socket."""
        with contextlib.suppress(SSL.Error):
            self.connection.shutdown()
        self.sock.close()

    def _read(self, move: Callable[[], Moved], end: Moved) -> Moved | None:
        try:
            return self._move(move)
        except SSL.ZeroReturnError:
            return end
        except SSL.SysCallError as lost:
            if lost.args == (-1, "Unexpected EOF"):
                return end
            raise _broken(lost) from lost
        except SSL.Error as lost:
            raise _broken(lost) from lost

    def _move(self, move: Callable[[], Moved]) -> Moved | None:
        self.wants_write = False
        try:
            return move()
        except SSL.WantReadError:
            return None
        except SSL.WantWriteError:
            self.wants_write = True
            return None


def _broken(lost: SSL.Error) -> OSError:
    """Return what became of a connection, under the number that it has with plain ones."""
    known = isinstance(lost, SSL.SysCallError) and lost.args and lost.args[0] > 0
    return OSError(lost.args[0] if known else errno.ECONNABORTED, str(lost))


class Pace:
    """How long a worker may still wait for bytes to move: a while in all, and longer the more have moved.

    `trust` leaves only the bound of one silence, once it is known who is at the other end.
    """

    def __init__(self, rate: float, grace: float, silence: float) -> None:
        self._rate = rate
        self._grace = grace
        self._silence = silence
        self._waited = 0.0
        self._moved = 0
        self._trusted = False

    def trust(self) -> None:
        """Let the other end pause between its bytes."""
        self._trusted = True

    def hurry(self, seconds: float) -> None:
        """Wait so long in all from now on, however much moves and whoever it is."""
        self._grace, self._rate, self._trusted = self._waited + seconds, math.inf, False

    def moved(self, count: int) -> None:
        """Note bytes that have moved."""
        self._moved += count

    def wait(self, wire: Wire) -> bool:
        """Wait until the wire moves again; false where that took too long."""
        left = self._silence
        if not self._trusted:
            left = min(left, self._grace + self._moved / self._rate - self._waited)
        if left <= 0:
            return False
        poll = select.poll()
        poll.register(wire.sock, select.POLLOUT if wire.wants_write else select.POLLIN)
        began = time.monotonic()
        ready = bool(poll.poll(left * 1000))
        self._waited += time.monotonic() - began
        return ready


class Intake(io.BufferedReader):
    """What a worker reads of a connection: first what was read before, then what comes."""

    def __init__(self, wire: Wire, before: bytes, pace: Pace) -> None:
        self._raw = _Coming(wire, before, pace)
        self.bytes_read = 0
        super().__init__(self._raw, _BUFFER)

    def read(self, size: int | None = -1, /) -> bytes:
        """Return so many bytes, less only at the end."""
        found = super().read(size)
        self.bytes_read += len(found)
        return found

    def readline(self, size: int | None = -1, /) -> bytes:
        """Return a line, cut off at `size`."""
        found = super().readline(size)
        self.bytes_read += len(found)
        return found

    def left(self) -> bytes:
        """Return what came and was not read: the beginning of a next request."""
        waiting = self._raw.came - self.bytes_read
        return (self.read(waiting) if waiting else b"") + self._raw.before


class _Coming(io.RawIOBase):
    """The bytes of a connection, waited for with patience."""

    def __init__(self, wire: Wire, before: bytes, pace: Pace) -> None:
        self.before = before
        self.came = 0
        self._wire = wire
        self._pace = pace

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def readinto(self, room: Any) -> int:
        """Put bytes into a room; raise a Refusal where they are too slow in coming."""
        count = self._kept(room) if self.before else self._waited(room)
        self.came += count
        return count

    def _kept(self, room: Any) -> int:
        count = min(len(room), len(self.before))
        room[:count] = self.before[:count]
        self.before = self.before[count:]
        return count

    def _waited(self, room: Any) -> int:
        while (count := self._wire.receive_into(room)) is None:
            if not self._pace.wait(self._wire):
                raise Refusal("MESSAGE_TOO_SLOW")
        self._pace.moved(count)
        return count


class Outlet:
    """What a worker writes to a connection. Between `hold` and `flush` what is written goes out in one piece."""

    def __init__(self, wire: Wire, pace: Callable[[], Pace], crowded: Callable[[], None]) -> None:
        self.bytes_written = 0
        self._wire = wire
        self._pace = pace
        self._crowded = crowded
        self._held: list[bytes] = []
        self._holding = False

    def hold(self) -> None:
        """Keep the next piece until more follows or `flush`."""
        self._holding = True

    def write(self, data: bytes) -> int:
        """Send data; raise TimeoutError where the other end does not take it in time."""
        if self._holding:
            self._held.append(data)
            self._holding = False
            return len(data)
        if self._held:
            self._held.append(data)
            self.flush()
            return len(data)
        self._send(data)
        return len(data)

    def flush(self) -> None:
        """Send what is held."""
        if self._held:
            data = b"".join(self._held)
            self._held.clear()
            self._send(data)
        self._holding = False

    def _send(self, data: bytes) -> None:
        left = memoryview(data)
        pace: Pace | None = None
        while left:
            count = self._wire.send(left)
            if count is None:
                if pace is None:
                    pace = self._pace()
                    self._crowded()
                if not pace.wait(self._wire):
                    raise TimeoutError("timed out")
                continue
            if pace is not None:
                pace.moved(count)
            left = left[count:]
            self.bytes_written += count
