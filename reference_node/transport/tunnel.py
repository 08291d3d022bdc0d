"""Tunnels: connections of the secure channel, carried to sockets of this machine and from them (9.1-b, 9.2-g).

Guarantees: one thread a connection, and at most a fixed number of them, where those go first that do not get to the
end of their handshake; what one side does not take is not read from
the other, so a connection holds two pieces of memory and no more; what either side has sent when it ends still arrives,
unless the other takes nothing for a while; `close` returns once every thread has ended and every socket is closed.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final

import structlog
from OpenSSL import SSL

from reference_node.errors import ConfigError
from reference_node.security.errors import SecurityFailure

log = structlog.get_logger("reference_node")
FAILURES: Final = (OSError, SSL.Error, SecurityFailure, ConfigError)
_PIECE: Final = 64 * 1024
_LINGER_SECONDS: Final = 5.0
_PAUSE_SECONDS: Final = 0.1
_SHARE: Final = 3 / 4  # of all connections one address may have


class Sockets:
    """The sockets of one connection, which another thread may end."""

    def __init__(self, remote: str = "") -> None:
        self.remote = remote
        self.joined = False
        self.ended = False
        self._lock = threading.Lock()
        self._held: list[socket.socket] = []

    def hold(self, sock: socket.socket) -> socket.socket:
        """Take care of one more socket."""
        with self._lock:
            self._held.append(sock)
            if self.ended:
                raise ConnectionAbortedError("the tunnel is being closed")
        return sock

    def end(self) -> None:
        """Wake the thread that waits for any of them: there is nothing more to come."""
        with self._lock:
            self.ended = True
            for sock in self._held:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close them all."""
        with self._lock:
            for sock in self._held:
                sock.close()


@dataclass(frozen=True, slots=True)
class Ends:
    """The two ends of a connection: the secured one with its socket, and the one of this machine."""

    secured: SSL.Connection
    line: socket.socket
    plain: socket.socket


Join = Callable[[socket.socket, Sockets], AbstractContextManager[Ends]]


class Tunnel:
    """Takes what connects to a listening socket, and carries it on as `join` says."""

    def __init__(self, listener: socket.socket, join: Join, *, name: str, most: int) -> None:
        self.failure = ""
        self._join = join
        self._name = name
        self._most = most
        self._listener = listener
        self._bell, self._ringer = socket.socketpair()
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._open: dict[threading.Thread, Sockets] = {}
        self._accepting = threading.Thread(target=self._accept, name=name, daemon=True)
        self._accepting.start()

    def refuse(self) -> None:
        """Take no further connections."""
        self._stopping.set()
        with contextlib.suppress(OSError):
            self._ringer.send(b"\0")
        self._accepting.join()
        for sock in (self._listener, self._bell, self._ringer):
            sock.close()

    def close(self) -> None:
        """End every connection."""
        self.refuse()
        with self._lock:
            running = dict(self._open)
        for thread, sockets in running.items():
            sockets.end()
            thread.join()

    def _accept(self) -> None:
        self._listener.setblocking(False)
        with selectors.DefaultSelector() as selector:
            for sock in (self._listener, self._bell):
                selector.register(sock, selectors.EVENT_READ)
            while not self._stopping.is_set():
                selector.select()
                try:
                    self._begin(*self._listener.accept())
                except BlockingIOError:
                    continue
                except OSError as failure:  # such as no more file descriptors
                    log.warning("no connection could be taken", reason=str(failure))
                    self._stopping.wait(_PAUSE_SECONDS)

    def _begin(self, sock: socket.socket, address: Any) -> None:
        sockets = Sockets(str(address[0]) if address and isinstance(address, tuple) else "")
        sockets.hold(sock)
        thread = threading.Thread(target=self._serve, args=(sock, sockets), name=f"{self._name}-line", daemon=True)
        with self._lock:
            if not self._room(sockets.remote):
                sockets.close()
                return
            self._open[thread] = sockets
        thread.start()

    def _room(self, remote: str) -> bool:
        """Make room for one more: whoever has not joined goes, the oldest of the address that has most of these."""
        standing = [each for each in self._open.values() if not each.ended]
        waiting = [each for each in standing if not each.joined]
        own = [each for each in standing if each.remote == remote]
        if remote and len(own) >= max(1, int(self._most * _SHARE)):
            waiting = [each for each in own if not each.joined]
        elif len(standing) < self._most:
            return True
        if waiting:
            counts = Counter(each.remote for each in waiting)
            most = max(counts.values())
            next(each for each in waiting if counts[each.remote] == most).end()
        return bool(waiting)

    def _serve(self, sock: socket.socket, sockets: Sockets) -> None:
        try:
            with self._join(sock, sockets) as ends:
                self.failure = ""
                sockets.joined = True
                Carriage(ends).run()
        except FAILURES as failure:
            self.failure = f"{type(failure).__name__}: {failure}"
            log.info("a connection of the secure channel has ended", at=self._name, reason=self.failure)
        finally:
            sockets.close()
            with self._lock:
                del self._open[threading.current_thread()]


class Carriage:
    """Carries bytes between two ends, without ever waiting for one of them alone."""

    def __init__(self, ends: Ends) -> None:
        self._secured, self._line, self._plain = ends.secured, ends.line, ends.plain
        for sock in (self._line, self._plain):
            sock.setblocking(False)
        self._inward, self._outward = _Piece(), _Piece()
        self._done = False
        self._wanted: dict[socket.socket, int] = {}

    def run(self) -> None:
        """Return once either end is through and the other has what it sent."""
        with selectors.DefaultSelector() as selector:
            while True:
                self._wanted = {self._line: 0, self._plain: 0}
                moved = self._carry_in() | self._carry_out()
                if self._done and not self._inward.left and not self._outward.left:
                    break
                if not moved and not self._wait(selector):
                    break
        with contextlib.suppress(SSL.Error):
            self._secured.shutdown()

    def _wait(self, selector: selectors.BaseSelector) -> bool:
        """Wait until something can move; false where an end is through and the other one takes nothing."""
        known = selector.get_map()
        for sock, events in self._wanted.items():
            if sock in known and events:
                if selector.get_key(sock).events != events:
                    selector.modify(sock, events)
            elif events:
                selector.register(sock, events)
            elif sock in known:
                selector.unregister(sock)
        return bool(selector.select(_LINGER_SECONDS if self._done else None))

    def _carry_in(self) -> bool:
        """Read records until the piece is full, and hand on what there is of it."""
        moved = False
        while not self._done and self._inward.room and self._attend(self._read):
            moved = True
        if self._inward.left:
            try:
                self._inward.took(self._plain.send(self._inward.waiting))
            except BlockingIOError:
                self._wanted[self._plain] |= selectors.EVENT_WRITE
            else:
                moved = True
        return moved

    def _carry_out(self) -> bool:
        """Read a piece, and write it record by record."""
        moved = False
        if not self._done and not self._outward.left:
            try:
                count = self._plain.recv_into(self._outward.free)
            except BlockingIOError:
                self._wanted[self._plain] |= selectors.EVENT_READ
            else:
                moved = True
                self._outward.came(count)
                if not count:
                    self._end(self._inward)
        while self._outward.left and self._attend(self._write):
            moved = True
        return moved

    def _read(self) -> None:
        try:
            self._inward.came(self._secured.recv_into(self._inward.free))
        except (SSL.ZeroReturnError, SSL.SysCallError):
            self._end(self._outward)

    def _write(self) -> None:
        self._outward.took(self._secured.send(self._outward.waiting))

    def _end(self, answers: _Piece) -> None:
        """Note that one end is through: what would still go there is not wanted."""
        self._done = True
        answers.took(answers.left)

    def _attend(self, move: Callable[[], None]) -> bool:
        """Make one move at the secured end; tell whether it was made, else note what it waits for."""
        try:
            move()
        except SSL.WantReadError:
            self._wanted[self._line] |= selectors.EVENT_READ
        except SSL.WantWriteError:
            self._wanted[self._line] |= selectors.EVENT_WRITE
        else:
            return True
        return False


class _Piece:
    """Room for what one end has sent and the other has not taken yet."""

    def __init__(self) -> None:
        self._room = memoryview(bytearray(_PIECE))
        self._from = self._to = 0

    @property
    def left(self) -> int:
        """How many bytes wait."""
        return self._to - self._from

    @property
    def room(self) -> int:
        """How many bytes more it can hold."""
        return len(self._room) - self._to

    @property
    def waiting(self) -> memoryview:
        """What waits to be taken."""
        return self._room[self._from : self._to]

    @property
    def free(self) -> memoryview:
        """Where the next bytes go."""
        return self._room[self._to :]

    def came(self, count: int) -> None:
        """Note bytes that were put into the free room."""
        self._to += count

    def took(self, count: int) -> None:
        """Note bytes that were taken."""
        self._from += count
        if self._from == self._to:
            self._from = self._to = 0
