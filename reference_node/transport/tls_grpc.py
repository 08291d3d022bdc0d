"""gRPC over the secure channel (9.1-b, 9.1-c, 9.2-g): its own TLS has neither RFC 8998 nor revocation lists.

Guarantees: gRPC itself speaks through sockets in a folder that is for this node's user only, so nothing of it is ever
plain on a network; what is on the network is TLS of the node's own contexts, judged as HTTP's is: callers show a
certificate, servers one of the node and the address that are called, both within the time for handshakes. A server
knows the caller of a connection by the path that the connection is from, which no caller chooses.
"""

from __future__ import annotations

import contextlib
import secrets
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from OpenSSL import SSL

from reference_node.errors import ConfigError
from reference_node.security.tls import Presented, SecureChannel
from reference_node.transport.tls import Called, secured, shake
from reference_node.transport.tunnel import Ends, Sockets, Tunnel

PROTOCOL: Final = b"h2"
MOST: Final = 256
_BACKLOG: Final = 128
_NAME_BYTES: Final = 16
_PATH_LIMIT: Final = 100  # where the path of a socket may be longest, it is 104 bytes


class Folder:
    """Where sockets of this machine are, for the node's user only."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="hutong-")
        if len(self._folder.name) + 2 * _NAME_BYTES + 1 > _PATH_LIMIT:
            self.close()
            raise ConfigError("the path of the folder for temporary files is too long for sockets", hint="set TMPDIR")

    def fresh(self) -> str:
        """Return a path that nobody can guess and nothing has."""
        return str(Path(self._folder.name) / secrets.token_hex(_NAME_BYTES))

    def close(self) -> None:
        """Remove it."""
        self._folder.cleanup()


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is at the far end of a connection; on a plain one, somebody who has shown nothing."""

    presented: Presented | None
    remote: str


class Door:
    """The port of a node's gRPC server, which itself listens at `inner`."""

    def __init__(self, channel: SecureChannel, host: str, port: int, handshake_seconds: float) -> None:
        self._channel = channel
        self._seconds = handshake_seconds
        self._folder = Folder()
        self._inner = self._folder.fresh()
        self._callers: dict[str, Caller] = {}
        self._tunnel: Tunnel | None = None
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
        except OSError:
            self._folder.close()
            raise
        self.inner = f"unix:{self._inner}"
        self.port: int = self._listener.getsockname()[1]

    def open(self) -> None:
        """Let callers in."""
        self._tunnel = Tunnel(self._listener, self._join, name="grpc-door", most=MOST)

    def refuse(self) -> None:
        """Let nobody in any more."""
        if self._tunnel is not None:
            self._tunnel.refuse()

    def close(self) -> None:
        """End every connection."""
        if self._tunnel is not None:
            self._tunnel.close()
        self._listener.close()
        self._folder.close()

    def caller(self, peer: str) -> Caller | None:
        """Return who calls, by what gRPC says of the connection; None for whoever did not come through the door."""
        return self._callers.get(peer.rpartition("/")[2]) if peer.startswith("unix:") else None

    @contextlib.contextmanager
    def _join(self, sock: socket.socket, sockets: Sockets) -> Iterator[Ends]:
        remote = str(sock.getpeername()[0])
        _prepare(sock, self._seconds)
        connection = SSL.Connection(self._channel.context(server=True, protocol=PROTOCOL), sock)
        connection.set_accept_state()
        shake(connection, sock, self._seconds)
        _agreed(connection)
        presented = self._channel.presented(connection)
        plain = sockets.hold(socket.socket(socket.AF_UNIX))
        path = Path(self._folder.fresh())
        self._callers[path.name] = Caller(presented, remote)
        try:
            plain.bind(str(path))
            plain.connect(self._inner)
            path.unlink()  # the connection goes on to be named by it
            yield Ends(connection, sock, plain)
        finally:
            del self._callers[path.name]


class Way:
    """A socket of this machine that leads to one server of another node."""

    def __init__(self, channel: SecureChannel, folder: Folder, called: Called, handshake_seconds: float) -> None:
        self._channel = channel
        self._called = called
        self._seconds = handshake_seconds
        path = folder.fresh()
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(_BACKLOG)
        self.target = f"unix:{path}"
        self._tunnel = Tunnel(listener, self._join, name="grpc-way", most=MOST)

    @property
    def failure(self) -> str:
        """Why the last connection was not made or broke, "" where nothing is known."""
        return self._tunnel.failure

    def close(self) -> None:
        """End every connection."""
        self._tunnel.close()

    @contextlib.contextmanager
    def _join(self, sock: socket.socket, sockets: Sockets) -> Iterator[Ends]:
        line = sockets.hold(_connected(self._called, self._seconds))
        _prepare(line, self._seconds)
        connection = secured(self._channel, line, self._called, self._seconds, PROTOCOL)
        _agreed(connection)
        yield Ends(connection, line, sock)


def _connected(called: Called, seconds: float) -> socket.socket:
    """Connect to the first of the addresses that takes a connection."""
    failure = OSError("the name has no address")
    for place in called.places:
        try:
            return socket.create_connection((place, called.port), seconds)
        except OSError as refused:
            failure = refused
    raise failure


def _prepare(sock: socket.socket, seconds: float) -> None:
    sock.settimeout(seconds)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def _agreed(connection: SSL.Connection) -> None:
    if connection.get_alpn_proto_negotiated() != PROTOCOL:
        raise ConnectionError("the other side does not agree on HTTP/2 (ALPN h2)")
