"""Sockets of the secure channel: for the gate of a server on the one side, for urllib3 on the other (9.2-g).

Guarantees: the handshake of a caller is the gate's, which waits for none and has a time limit (9.2-a-5); nothing is
sent to a server before its certificate was found to be that of the node and the address that are called. Nothing of
this changes what other code of the process does.
"""

from __future__ import annotations

import socket
import ssl
import time
from dataclasses import dataclass
from typing import Any, Final

import requests
from OpenSSL import SSL
from urllib3.contrib.pyopenssl import WrappedSocket
from urllib3.util import wait_for_read, wait_for_write

from reference_node.errors import ConfigError
from reference_node.security.errors import SecurityFailure
from reference_node.security.tls import ENVIRON, Presented, SecureChannel
from reference_node.transport.pinned import pools
from reference_node.transport.places import Places

_HANDSHAKE: Final = 0x16
_ENVIRON: Final = {"wsgi.url_scheme": "https", "HTTPS": "on"}


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


class TlsAdapter:
    """What the gate of a server asks of the secure channel."""

    def __init__(self, channel: SecureChannel) -> None:
        self._channel = channel

    def bind(self, sock: socket.socket) -> socket.socket:
        """Leave the listening socket as it is, which cheroot asks for."""
        return sock

    def context(self) -> SSL.Context:
        """Return what callers' connections are made from; raise ConfigError for files that cannot be read just now."""
        return self._channel.context(server=True)

    def environ(self, connection: SSL.Connection) -> dict[str, Any]:
        """Return what every request of a connection finds in its environment; raise SecurityFailure."""
        return {**_ENVIRON, ENVIRON: self._channel.presented(connection)}

    def plain(self, first: int) -> dict[str, Any] | None:
        """Return the environment of a connection without TLS, which only a defect takes."""
        if first == _HANDSHAKE or not self._channel.trust.faults.on("plain-http-on-tls-port"):
            return None
        return {**_ENVIRON, ENVIRON: Presented(self._channel.own)}


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
