"""Connections to a served node, written byte by byte, plain or over TLS."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

from OpenSSL import SSL
from urllib3.util import wait_for_read

from reference_node.transport.tls import shake


@dataclass(frozen=True)
class Said:
    """One answer: status, fields, envelope."""

    status: int
    fields: dict[str, str]
    body: bytes

    @property
    def error(self) -> str | None:
        """The name of the refusal."""
        found: str | None = json.loads(self.body)["data"].get("error")
        return found


class Wire:
    """One connection."""

    def __init__(self, url: str, context: SSL.Context | None = None, *, first: bytes = b"", source: str = "") -> None:
        parts = urlsplit(url)
        place = (parts.hostname or "", parts.port or 0)
        self.sock = socket.create_connection(place, timeout=10, source_address=(source, 0) if source else None)
        self.host = parts.netloc
        if first:
            self.sock.sendall(first)
        self.tls: SSL.Connection | None = None
        if context is not None:
            self.tls = SSL.Connection(context, self.sock)
            self.tls.set_connect_state()
            shake(self.tls, self.sock, 10)
            self.sock.setblocking(True)
        self._came = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        """Send bytes."""
        if self.tls is None:
            self.sock.sendall(data)
        else:
            self.sock.setblocking(True)
            self.tls.sendall(data)

    def ask(self, method: str = "GET", path: str = "/v1/interconn/node/query?node_id=node-a", *lines: str) -> None:
        """Send a head."""
        self.send("\r\n".join([f"{method} {path} HTTP/1.1", f"Host: {self.host}", *lines, "", ""]).encode("latin-1"))

    def answer(self, seconds: float = 10) -> Said | None:
        """Return the next answer, None where the other end has closed."""
        self.sock.settimeout(seconds)
        while b"\r\n\r\n" not in self._came:
            if not self._more():
                return None
        head, _, self._came = self._came.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        wanted = int(fields.get("content-length", 0))
        while len(self._came) < wanted and self._more():
            pass
        body, self._came = self._came[:wanted], self._came[wanted:]
        return Said(int(first.split()[1]), fields, body)

    def over(self, seconds: float = 10) -> bool:
        """Tell whether the other end closes without saying anything more."""
        return self.answer(seconds) is None

    def _secured(self, tls: SSL.Connection) -> bytes:
        while True:
            try:
                return tls.recv(65536)
            except SSL.WantReadError:
                if not wait_for_read(self.sock, self.sock.gettimeout()):
                    raise TimeoutError from None

    def _more(self) -> bool:
        try:
            piece: Any = self.sock.recv(65536) if self.tls is None else self._secured(self.tls)
        except (ConnectionError, SSL.ZeroReturnError, SSL.SysCallError):
            return False
        self._came += piece
        return bool(piece)
