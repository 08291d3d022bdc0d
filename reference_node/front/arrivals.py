"""How connections come in: accepted, handed on by a balancer, secured. Nothing here waits for the other end.

Guarantees: a balancer that is named says whose connection it hands on, before anything else, or is closed; nobody else
is heard on that. A handshake begins once its first message is whole, so a connection that is half open or drips costs
a socket and no more; what a handshake computes is computed in two threads beside the loop.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from typing import Final

import structlog
from OpenSSL import SSL

from reference_node.errors import NodeError
from reference_node.front import preface
from reference_node.front.bounds import whose
from reference_node.front.hall import Hall
from reference_node.front.lines import Line, Stage
from reference_node.front.rules import Rules, Security
from reference_node.front.wires import Plain, Secured

log = structlog.get_logger("reference_node")
_ACCEPTED_AT_ONCE: Final = 64
_PREFACE_BYTES: Final = 4096 + 16
_RECORD_HEAD: Final = 5
_HANDSHAKE: Final = 0x16
_HELLO_MOST: Final = _RECORD_HEAD + (1 << 14)
_LOOKS: Final = 64  # at a first message, where the kernel does not count bytes for us
_SHAKERS: Final = 2
_PAUSE_SECONDS: Final = 0.01

Begun = Callable[[Line], None]
Guard = Callable[[Callable[[Line], None], Line], None]


class Arrivals:
    """Takes connections until a request can come on them; `begun` is told of each then.

    `guard` ends one that goes wrong.
    """

    def __init__(self, hall: Hall, rules: Rules, security: Security | None, guard: Guard, begun: Begun) -> None:
        self._hall = hall
        self._proxies = rules.proxies
        self._security = security
        self._guard = guard
        self._begun = begun
        self._shakers = None if security is None else ThreadPoolExecutor(_SHAKERS, "handshake")

    def close(self) -> None:
        """Let handshakes that are being computed end."""
        if self._shakers is not None:
            self._shakers.shutdown()

    def accept(self, listener: socket.socket) -> None:
        """Take what wants to come in, some at once."""
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                sock, address = listener.accept()
            except BlockingIOError:
                return
            except OSError as failure:  # no more file descriptors, or nobody listens any more
                log.warning("no connection could be taken", reason=str(failure))
                if not self._hall.evict():
                    time.sleep(_PAUSE_SECONDS)
                return
            sock.setblocking(False)
            self._enter(sock, str(address[0]), int(address[1]))

    def _enter(self, sock: socket.socket, address: str, port: int) -> None:
        proxied = self._is_proxy(address)
        line = Line(sock, address, port, whose(address), time.monotonic(), exempt=proxied)
        if not self._hall.enter(line):
            return
        if proxied:
            self._hall.wait(line, Stage.PREFACE)
        else:
            self._begin(line)

    def _begin(self, line: Line) -> None:
        """Wait for a handshake, or for a request."""
        if self._security is None:
            line.wire = Plain(line.sock)
            self._begun(line)
        else:
            _wake_at(line.sock, _RECORD_HEAD)
            self._hall.wait(line, Stage.SHAKE)

    def _is_proxy(self, address: str) -> bool:
        if not self._proxies:
            return False
        found = ip_address(address.partition("%")[0])
        found = getattr(found, "ipv4_mapped", None) or found
        return any(found in network for network in self._proxies)

    def preface(self, line: Line) -> None:
        """Read whose connection a balancer hands on, and not a byte more; raise Malformed."""
        found = preface.read(line.sock.recv(_PREFACE_BYTES, socket.MSG_PEEK))
        if found is None:
            return
        left = found.size
        while left:
            left -= len(line.sock.recv(left))
        if found.address is not None:
            line.address, line.port = found.address, found.port or 0
            if not self._hall.move(line, whose(found.address)):
                return
        self._begin(line)

    def hello(self, line: Line) -> None:
        """Carry a handshake on, once its first message is whole."""
        if self._security is None or (line.wire is None and not self._begins(line, self._security)):
            return
        if self._shakers is not None and self._hall.work(line):
            self._shakers.submit(self._guard, self._shake, line)

    def _begins(self, line: Line, security: Security) -> bool:
        """Tell whether the first message is whole, without taking it."""
        seen = line.sock.recv(_HELLO_MOST, socket.MSG_PEEK)
        if not seen:
            self._hall.drop(line)
            return False
        taken = security.plain(seen[0])
        if taken is not None:
            line.wire, line.environ = Plain(line.sock), taken
            _wake_at(line.sock, 1)
            self._hall.wait(line, Stage.HEAD)
            return False
        wanted = _RECORD_HEAD
        if len(seen) >= _RECORD_HEAD:
            wanted = min(_HELLO_MOST, _RECORD_HEAD + int.from_bytes(seen[3:5]))
        line.looks += 1
        if seen[0] == _HANDSHAKE and len(seen) < wanted and line.looks < _LOOKS:
            _wake_at(line.sock, wanted)
            return False
        _wake_at(line.sock, 1)
        return True

    def _shake(self, line: Line) -> None:
        """Carry a handshake on by what has come, in a thread that computes."""
        security = self._security
        if security is None:
            return
        try:
            wire = line.wire if isinstance(line.wire, Secured) else Secured(security.context(), line.sock)
            line.wire = wire
            done = wire.shake()
            if done:
                line.environ = security.environ(wire.connection)
        except (SSL.Error, NodeError, ValueError) as failure:
            log.debug("a handshake has failed", reason=str(failure))
            self._hall.drop(line)
            return
        if done:
            self._begun(line)
            self._hall.look_soon(line)
        else:
            self._hall.wait(line, Stage.SHAKE)


def _wake_at(sock: socket.socket, count: int) -> None:
    """Have the kernel wake us once so many bytes have come, so that bytes which drip cost nothing."""
    with contextlib.suppress(OSError, AttributeError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count)
