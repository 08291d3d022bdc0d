"""The server on its sockets: cheroot's workers and its answers, behind a gate that waits for whole requests (9.2-e).

Guarantees: a worker gets a connection only once the head of a request is whole and strictly well-formed, and its body
too, unless it is one that is streamed; what a worker still waits for has a least rate. An answer is sent in as few
pieces as it has; a connection on which something of a refused request is left is closed, not read on.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from cheroot import wsgi
from cheroot.errors import MaxSizeExceeded
from cheroot.server import HTTPConnection, HTTPRequest

from reference_node.errors import Refusal
from reference_node.front.bodies import Streamed
from reference_node.front.gate import Gate
from reference_node.front.hall import Common
from reference_node.front.head import Head, Lax, Malformed, strict
from reference_node.front.lines import Line, Stage
from reference_node.front.rules import Rules, Security
from reference_node.front.wires import Intake, Outlet, Pace, Plain
from reference_node.security import doubled_headers

_SETTLED_BYTES: Final = 1024 * 1024
_SETTLED_SECONDS: Final = 1.0
_PIECE: Final = 64 * 1024
_QUOTED_SLASH: Final = re.compile(rb"(?i)%2F")
_SPARE: Final = 2
_SPACE: Final = b", "
_LENGTH: Final = b"Content-Length"
_FRAMING: Final = frozenset({b"host", b"content-length", b"transfer-encoding"})  # what the gate itself demands once


class Request(HTTPRequest):
    """A request whose head was read at the gate."""

    conn: Connection

    def parse_request(self) -> None:
        """Take the head as it was understood."""
        head = self.conn.line.head
        if head is None:
            return
        self.started_request = True
        self.uri, self.method, self.qs = head.target, head.method, head.query
        self.authority = b""
        self.path = b"%2F".join(unquote_to_bytes(part) for part in _QUOTED_SLASH.split(head.path))
        self.request_protocol = b"HTTP/1.%d" % head.minor
        self.response_protocol = "HTTP/1.1" if head.minor else "HTTP/1.0"
        self.inheaders = _folded(head)
        self.chunked_read = head.chunked
        self.close_connection = not head.keep
        self.ready = True

    def respond(self) -> None:
        """Have the application answer, and send what it says."""
        self.rfile = self.conn.open_body()
        self.server.gateway(self).respond()
        self.ensure_headers_sent()
        if self.chunked_write:
            self.conn.wfile.write(b"0\r\n\r\n")
        self.conn.wfile.flush()

    def send_headers(self) -> None:
        """Send status and fields together with what follows; where the body was not taken whole, the last time."""
        if not self.conn.settle():
            self.close_connection = True
        self.conn.wfile.hold()
        super().send_headers()


class Gateway(wsgi.Gateway_10):
    """Hands a request to the application, with the name of a header that it must be refused for."""

    def get_environ(self) -> Any:
        """Return the environment of the request."""
        environ: dict[str, Any] = super().get_environ()  # type: ignore[no-untyped-call]
        head = self.req.conn.line.head
        fields = [] if head is None else [name.decode("latin-1") for name, _ in head.fields if name not in _FRAMING]
        environ[doubled_headers.ENVIRON] = doubled_headers.repeated((name, "") for name in fields)
        return environ


class Connection(HTTPConnection):
    """What cheroot's workers have of a connection."""

    RequestHandlerClass = Request

    def __init__(self, server: Server, line: Line) -> None:
        self.server = server
        self.line = line
        self.socket = line.sock
        self.remote_addr, self.remote_port = line.address, line.port
        self.ssl_env = line.environ
        self.requests_seen = 0
        self.rfile: Any = io.BytesIO()
        self.wfile = Outlet(line.wire or Plain(line.sock), server.pace, server.crowd)
        self._streamed: Streamed | None = None
        self._intake: Intake | None = None
        self._pace: Pace | None = None

    def open_body(self) -> Any:
        """Return what the application reads the body from."""
        line, head = self.line, self.line.head
        if line.body is not None or head is None or line.wire is None:
            return io.BytesIO(line.body or b"")
        self._pace = pace = self.server.pace()
        self.rfile = self._intake = Intake(line.wire, bytes(line.buffer), pace)
        line.buffer.clear()
        most = self.server.rules.limits.body
        self._streamed = Streamed(self._intake, head.length, most, pace.trust, self.server.lax)
        self.server.crowd()
        return self._streamed

    def settle(self) -> bool:
        """Read what is left of a body, where it is little; return whether nothing is left of it."""
        body, left = self._streamed, _SETTLED_BYTES
        if body is None or (not body.over and self.server.lax("leftover-taken-for-request")):
            return True
        body.maxlen = 0
        if self._pace is not None:
            self._pace.hurry(_SETTLED_SECONDS)
        with contextlib.suppress(OSError, ValueError, MaxSizeExceeded, Refusal):
            while left > 0 and not body.over and (piece := body.read(_PIECE)):
                left -= len(piece)
        return body.over

    def communicate(self) -> bool:
        """Answer the request that is there; return whether the connection is kept."""
        if self.line.head is None and not self._attend():
            return False
        kept: bool = super().communicate()  # type: ignore[no-untyped-call]
        if kept and self._intake is not None:
            self.line.buffer += self._intake.left()
        if kept:
            self._streamed = self._intake = None
        return kept

    def close(self) -> None:
        """Have the gate close it, slowly where the other end may still be sending."""
        self.server.gate.release(self.line, linger=self._streamed is not None and not self._streamed.over)

    def _attend(self) -> bool:
        """Wait here for a head, as a defect has it; return whether one came."""
        line, pace = self.line, Pace(1.0, self.server.timeout, self.server.timeout)
        pace.trust()
        with contextlib.suppress(Malformed, OSError):
            while line.wire is not None and line.fill():
                if line.advance(self.server.rules.limits, self.server.lax, self.server.streams):
                    return True
                if not pace.wait(line.wire):
                    return False
        return False


class Server(wsgi.Server):
    """cheroot's server behind a gate.

    `lax` lets defects through, `streams` tells of which paths bodies are streamed, `refused` spells the answer to what
    is no request, `crowded` is called where a worker may have to wait for another node; servers with one `common` have
    their connections counted together.
    """

    ConnectionClass = Connection
    expiration_interval = 0.1
    _connections: Any

    def __init__(
        self,
        bind: tuple[str, int],
        app: Any,
        *,
        rules: Rules | None = None,
        refused: Callable[[Malformed, bytes], tuple[str, bytes]] | None = None,
        streams: Callable[[bytes], bool] = lambda _path: True,
        lax: Lax = strict,
        common: Common | None = None,
        noted: Callable[[str, str], None] = lambda _reason, _address: None,
        **named: Any,
    ) -> None:
        self.rules = rules or Rules()
        self.lax = lax
        self.streams = streams
        self._common = common or Common(self.rules)
        self.crowded: Callable[[], None] | None = None
        self._refused = refused or _said
        self.noted = noted
        super().__init__(bind, app, **named)
        self.gateway = Gateway

    @property
    def gate(self) -> Gate:
        """What holds the connections that wait."""
        return self._gate

    @property
    def security(self) -> Security | None:
        """What secures the connections, None for plain ones."""
        adapter: Security | None = self.ssl_adapter
        return adapter

    def prepare(self) -> None:
        """Bind and listen, and put the gate in the place of cheroot's own loop."""
        super().prepare()
        self._connections.close()
        self._gate = Gate(self, self.rules, self.security, self._common)
        self._connections = self._gate

    def serve_line(self, line: Line) -> None:
        """Have a worker answer the request of a connection."""
        if line.connection is None:
            line.connection = Connection(self, line)
        self.requests.put(line.connection)

    def put_conn(self, conn: Connection) -> None:
        """Wait for the next request of a connection."""
        if self.ready and conn.line.stage is Stage.WORK:
            self.gate.put(conn)
        else:
            conn.close()

    def pace(self) -> Pace:
        """Return the patience for one body or one answer."""
        return Pace(self.rules.rate, self.rules.grace_seconds, self.timeout)

    def crowd(self) -> None:
        """Have workers added where few are left for others."""
        if self.crowded is not None and self.requests.idle < _SPARE:
            self.crowded()

    def refusal(self, wrong: Malformed, accept: bytes) -> bytes:
        """Return the whole answer to what is no request."""
        status, body = self._refused(wrong, accept)
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        return f"{head}Connection: close\r\nServer: {self.server_name}\r\n\r\n".encode() + body


def _said(wrong: Malformed, _accept: bytes) -> tuple[str, bytes]:
    """Return an answer where nobody has better words."""
    return "400 Bad Request", f'{{"error":"{wrong.name}"}}'.encode()


def _folded(head: Head) -> dict[bytes, bytes]:
    """Return the fields by name; a list may stand in several parts (RFC 9110, 5.3), what else is doubled is refused."""
    found: dict[bytes, bytes] = {}
    for name, value in head.fields:
        key = name.title()
        listed = key in found and name.decode("latin-1") in doubled_headers.LISTS
        found[key] = found[key] + _SPACE + value if listed else value
    if _LENGTH in found:  # as it was understood, also by a defect
        del found[_LENGTH]
        found |= {} if head.length is None else {_LENGTH: b"%d" % head.length}
    return found
