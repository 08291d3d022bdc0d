"""Sockets of the secure channel: for cheroot on the one side, for urllib3 on the other (9.2-g).

Guarantees: the handshake of a caller is done by the thread that serves it and has a time limit (9.2-a-5), so a caller
that dawdles does not keep others from connecting; nothing is sent to a server before its certificate was found to be
that of the node and the address that are called. Nothing of this changes what other code of the process does.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from dataclasses import dataclass
from typing import Any, Final

import requests
from cheroot.errors import FatalSSLAlert
from cheroot.makefile import StreamWriter
from cheroot.ssl import Adapter
from OpenSSL import SSL
from urllib3.contrib.pyopenssl import WrappedSocket
from urllib3.util import wait_for_read, wait_for_write

from reference_node.errors import ConfigError
from reference_node.security.errors import SecurityFailure
from reference_node.security.tls import ENVIRON, Presented, SecureChannel
from reference_node.sockets import Reader
from reference_node.transport.pinned import pools
from reference_node.transport.places import Places

_RECORD: Final = 16 * 1024


def shake(connection: SSL.Connection, sock: socket.socket, seconds: float) -> None:
    """Carry the handshake through in time; raise TimeoutError or SSL.Error."""
    until = time.monotonic() + seconds
    while True:
        try:
            connection.do_handshake()
        except SSL.WantReadError:
            ready = wait_for_read(sock, max(0.0, until - time.monotonic()))
        except SSL.WantWriteError:
            ready = wait_for_write(sock, max(0.0, until - time.monotonic()))
        else:
            return
        if not ready:
            raise TimeoutError("timed out")


@dataclass(frozen=True, slots=True)
class Called:
    """Who is called: a host at a port, the node that must be there, with None whichever is, and its IP addresses."""

    host: str
    port: int
    node_id: str | None
    places: tuple[str, ...] = ()


def secured(
    channel: SecureChannel, sock: socket.socket, called: Called, seconds: float, protocol: bytes = b""
) -> SSL.Connection:
    """Shake hands with a server and make sure that it is the one that is called; raise SecurityFailure or SSL.Error."""
    connection = SSL.Connection(channel.context(server=False, protocol=protocol), sock)
    connection.set_connect_state()
    if any(character.isalpha() for character in called.host) and ":" not in called.host:
        connection.set_tlsext_host_name(called.host.encode("idna"))
    shake(connection, sock, seconds)
    shown = channel.presented(connection)
    channel.check_server(shown, called.host, called.port, called.node_id, protocol=protocol)
    return connection


class TlsAdapter(Adapter):
    """What cheroot asks for secured sockets."""

    def __init__(self, channel: SecureChannel, handshake_seconds: float) -> None:
        super().__init__(None, None)
        self._channel = channel
        self._seconds = handshake_seconds

    def bind(self, sock: socket.socket) -> socket.socket:
        """Leave the listening socket as it is."""
        return sock

    def wrap(self, sock: socket.socket) -> tuple[ServedSocket | socket.socket, dict[str, Any]]:
        """Return a socket whose handshake is still to come, and the environment that it will fill."""
        environ = self.get_environ()
        if self._channel.trust.faults.on("plain-http-on-tls-port") and sock.recv(1, socket.MSG_PEEK) != b"\x16":
            return sock, environ | {ENVIRON: Presented(self._channel.own)}
        try:
            return ServedSocket(self._channel, sock, environ, self._seconds), environ
        except (ConfigError, OSError, SSL.Error) as wrong:  # files that cannot be read just now
            sock.close()
            raise FatalSSLAlert(str(wrong)) from wrong

    def get_environ(self) -> dict[str, Any]:
        """Return what every request of a connection finds in its environment."""
        return {"wsgi.url_scheme": "https", "HTTPS": "on"}

    def makefile(self, sock: ServedSocket | socket.socket, mode: str = "r", bufsize: int = -1) -> Reader | StreamWriter:
        """Return a reader or a writer."""
        if isinstance(sock, socket.socket):
            return Reader(sock) if "r" in mode else StreamWriter(sock, mode, bufsize)
        return _Reader(sock) if "r" in mode else StreamWriter(sock, mode, bufsize)


class ServedSocket(WrappedSocket):
    """A caller's connection."""

    def __init__(self, channel: SecureChannel, sock: socket.socket, environ: dict[str, Any], seconds: float) -> None:
        connection = SSL.Connection(channel.context(server=True), sock)
        connection.set_accept_state()
        super().__init__(connection, sock)
        self._channel = channel
        self._environ = environ
        self._seconds = seconds
        self._shaken = False

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        """Read; the first time, shake hands before."""
        try:
            if not self._shaken:
                self._shake()
            return super().recv_into(*args, **kwargs)
        except (SSL.Error, ssl.SSLError) as lost:
            raise FatalSSLAlert(str(lost)) from lost

    def send(self, data: bytes) -> int:
        """Write a record."""
        try:
            return self._send_until_done(data[:_RECORD])
        except (SSL.Error, ssl.SSLError) as lost:
            raise FatalSSLAlert(str(lost)) from lost

    def shutdown(self, how: int) -> None:
        """Say goodbye and close the connection for both directions."""
        with contextlib.suppress(SSL.Error):
            self.connection.shutdown()
        self.socket.shutdown(how)

    def settimeout(self, timeout: float | None) -> None:
        """Set how long a read may take."""
        self.socket.settimeout(timeout)

    def getsockname(self) -> Any:
        """Return the own address."""
        return self.socket.getsockname()

    def _shake(self) -> None:
        shake(self.connection, self.socket, self._seconds)
        try:
            self._environ[ENVIRON] = self._channel.presented(self.connection)
        except SecurityFailure as refused:
            raise FatalSSLAlert(str(refused)) from refused
        self._shaken = True


class _Reader(Reader):
    """A reader that also knows of bytes which wait in the TLS library."""

    def __init__(self, sock: ServedSocket) -> None:
        super().__init__(sock)  # type: ignore[arg-type]
        self._connection = sock.connection

    def has_data(self) -> bool:
        """Tell whether a next request has begun."""
        return super().has_data() or self._connection.pending() > 0


class ClientContext:
    """What urllib3 takes for an SSLContext: secures a connection and makes sure of who is at the other end."""

    check_hostname = False  # it is checked here, with port and node id
    verify_mode = ssl.CERT_REQUIRED

    def __init__(self, channel: SecureChannel, node_id: str | None, seconds: float) -> None:
        self._channel = channel
        self._node_id = node_id
        self._seconds = seconds

    def set_alpn_protocols(self, _protocols: list[str]) -> None:
        """HTTP/1.1 is all that is spoken."""

    def wrap_socket(self, sock: socket.socket, server_hostname: str | None = None, **_kwargs: Any) -> WrappedSocket:
        """Shake hands; raise ssl.SSLError where the other end is not the one that is called."""
        called = Called(server_hostname or "", sock.getpeername()[1], self._node_id)
        try:
            connection = secured(self._channel, sock, called, min(self._seconds, sock.gettimeout() or self._seconds))
        except (SSL.Error, SecurityFailure, ConfigError) as refused:
            sock.close()
            raise ssl.SSLError(f"{type(refused).__name__}: {refused}") from refused
        return WrappedSocket(connection, sock)


class TlsHttpAdapter(requests.adapters.HTTPAdapter):
    """Carries requests over the channel to one node, or with None to whoever serves an address."""

    def __init__(
        self, channel: SecureChannel, node_id: str | None, seconds: float, places: Places | None = None
    ) -> None:
        self._context = ClientContext(channel, node_id, seconds)
        self._places = places
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools with the channel's context."""
        super().init_poolmanager(*args, ssl_context=self._context, assert_hostname=False, **kwargs)
        self.poolmanager.pool_classes_by_scheme = pools(self._places)

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Leave it to the context: the machine's own CAs have no say here."""
