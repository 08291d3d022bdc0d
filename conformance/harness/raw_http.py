"""Requests that no HTTP library would send: every header as it is spelled, also twice, one connection for each.

A header stands twice where two names of a request differ in case only; what is recorded shows both. Guarantees: the
same seam as every other transport; ends in bounded time; an answer that is none raises Unanswered.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
from typing import Any
from urllib.parse import urlsplit

from OpenSSL import SSL

from conformance.harness import places
from conformance.harness.records import Answer, Request
from conformance.harness.target import MAX_ANSWER, NOBODY, Unanswered, query_string
from conformance.harness.tls import Wardrobe, wrapped

_PIECE = 64 * 1024


class RawTransport:
    """Carries requests to a target, their headers in order, or backwards."""

    def __init__(self, url: str, wardrobe: Wardrobe | None = None, *, backwards: bool = False) -> None:
        self._parts = urlsplit(url)
        self._wardrobe = wardrobe
        self._backwards = backwards

    def send(self, request: Request, timeout: float) -> Answer:
        """Send one request. Raises Unanswered when no whole answer comes in time."""
        who = request.headers.get("x-source-node-id", "") or NOBODY
        try:
            with self._connected(who, timeout) as sock:
                sock.sendall(self._spelled(request))
                return _read(sock)
        except (OSError, SSL.Error, ssl.SSLError, http.client.HTTPException, ValueError) as failure:
            why = str(failure) or type(failure).__name__
            raise Unanswered(
                f"no answer from {self._parts.netloc} ({why})", hint="Look at the node's log."
            ) from failure

    def _connected(self, who: str, timeout: float) -> Any:
        host, secured = self._parts.hostname or "", self._wardrobe is not None
        port = self._parts.port or (443 if self._parts.scheme == "https" else 80)
        own = "" if secured or who == NOBODY else places.of(host, who)
        sock = socket.create_connection((host, port), timeout, (own, 0) if own else None)
        if self._wardrobe is None:
            return sock
        try:
            return wrapped(self._wardrobe, who, sock, host)
        except BaseException:
            sock.close()
            raise

    def _spelled(self, request: Request) -> bytes:
        path = request.path + (f"?{query_string(request.query)}" if request.query else "")
        headers = list(request.headers.items())
        if self._backwards:
            headers.reverse()
        lines = [f"{request.method} {path} HTTP/1.1", f"Host: {self._parts.netloc}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in headers]
        if request.body or request.method == "POST":
            lines.append(f"Content-Length: {len(request.body)}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + request.body


def _read(sock: Any) -> Answer:
    received = bytearray()
    while len(received) <= MAX_ANSWER and (piece := sock.recv(_PIECE)):
        received += piece
    answer = http.client.HTTPResponse(_Held(bytes(received)))  # type: ignore[arg-type]
    answer.begin()
    body = answer.read()
    return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, body)


class _Held:
    """What was received, in the form that the standard library reads answers from."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def makefile(self, _mode: str) -> io.BytesIO:
        """Return it as a file."""
        return io.BytesIO(self._content)
