"""Sessions of TLS that are taken up again: by session id and by ticket (RFC 5246, RFC 5077), by PSK (RFC 8446).

Guarantees: a handshake that takes up a session shows no certificate, unless the target goes through the whole of it and
asks for one; each request of a `SessionTransport` has a connection of its own, all of an `OpenTransport` have the same
one; what the target does with a session is written down and not judged.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
from enum import StrEnum
from urllib.parse import urlsplit

from cryptography.hazmat.bindings.openssl.binding import Binding
from OpenSSL import SSL
from urllib3.contrib.pyopenssl import WrappedSocket
from urllib3.util.wait import wait_for_read

from conformance.harness import tls_probe
from conformance.harness.records import Answer, Request
from conformance.harness.target import MAX_ANSWER, Unanswered, query_string
from conformance.harness.tls import Guise

_FAILURES = (OSError, SSL.Error, http.client.HTTPException)


class Kind(StrEnum):
    """How a session is told again."""

    ID = "id"
    TICKET = "ticket"
    PSK = "psk"


class SessionTransport:
    """Carries requests, each over a connection that offers the same session, or none.

    `kept` is the session of the last connection, `resumed` whether the target took it up.
    """

    def __init__(self, url: str, guise: Guise, node_id: str, kind: Kind, session: SSL.Session | None = None) -> None:
        self._url = url
        self._kind = kind
        self._session = session
        self._context = _limited(guise.context(node_id), kind)
        self.kept: SSL.Session | None = None
        self.resumed = False

    def spoken(self) -> bool:
        """Tell whether the target shakes hands in this version of TLS."""
        try:
            with socket.create_connection(tls_probe.place(self._url), timeout=tls_probe.SECONDS) as sock:
                tls_probe.shaken(self._context, sock)
        except (OSError, SSL.Error):
            return False
        return True

    def send(self, request: Request, timeout: float) -> Answer:
        """Send one request. Raises Unanswered when no whole answer comes in time."""
        try:
            with socket.create_connection(tls_probe.place(self._url), timeout=timeout) as sock:
                connection = tls_probe.shaken(self._context, sock, self._session)
                self.resumed = bool(Binding().lib.SSL_session_reused(connection._ssl))  # noqa: SLF001  no call of its own
                answer = _asked(_carried(self._url, connection, sock), request, connection="close")
                self.kept = connection.get_session()  # in TLS 1.3 it came behind the handshake
        except _FAILURES as failure:
            raise _unanswered(self._url, failure) from failure
        return answer


class OpenTransport:
    """Carries requests over one connection, made with the first of them and never again; it has to be closed."""

    def __init__(self, url: str, guise: Guise, node_id: str) -> None:
        self._url = url
        self._context = guise.context(node_id)
        self._carried: http.client.HTTPConnection | None = None

    def send(self, request: Request, timeout: float) -> Answer:
        """Send one request. Raises Unanswered when no whole answer comes in time."""
        try:
            if self._carried is None:
                self._carried = self._opened(timeout)
            return _asked(self._carried, request)
        except _FAILURES as failure:
            raise _unanswered(self._url, failure) from failure

    @property
    def kept(self) -> bool:
        """Whether the target has left the connection open, as it need not."""
        sock = None if self._carried is None else self._carried.sock
        return sock is not None and not wait_for_read(sock, timeout=0)

    def close(self) -> None:
        """End the connection."""
        if self._carried is not None:
            self._carried.close()

    def _opened(self, timeout: float) -> http.client.HTTPConnection:
        sock = socket.create_connection(tls_probe.place(self._url), timeout=timeout)
        try:
            carried = _carried(self._url, tls_probe.shaken(self._context, sock), sock)
        except BaseException:
            sock.close()
            raise
        carried.auto_open = 0
        return carried


def _carried(url: str, connection: SSL.Connection, sock: socket.socket) -> http.client.HTTPConnection:
    carried = http.client.HTTPConnection(urlsplit(url).netloc)
    carried.sock = _Polite(connection, sock)
    return carried


def _asked(carried: http.client.HTTPConnection, request: Request, **headers: str) -> Answer:
    asked = request.path + (f"?{query_string(request.query)}" if request.query else "")
    carried.request(request.method, asked, request.body or None, {**request.headers, **headers})
    answer = carried.getresponse()
    body = answer.read(MAX_ANSWER)
    return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, body)


def _unanswered(url: str, failure: Exception) -> Unanswered:
    hint = "Look at the target's log of this handshake."
    return Unanswered(f"no answer from {url} ({type(failure).__name__})", hint=hint)


class _Polite(WrappedSocket):
    """A connection that says goodbye as it ends: without it, the session would count as spoilt.

    Never later: the number of a closed socket belongs to another one, whose handshake a goodbye would break.
    """

    def _real_close(self) -> None:
        if self.socket.fileno() >= 0:
            with contextlib.suppress(SSL.Error):
                self.connection.shutdown()
        super()._real_close()


def _limited(context: SSL.Context, kind: Kind) -> SSL.Context:
    if kind is Kind.PSK:
        context.set_min_proto_version(SSL.TLS1_3_VERSION)
        return context
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    if kind is Kind.ID:
        context.set_options(SSL.OP_NO_TICKET)
    return context
