"""How the server reads its sockets: cheroot's connection with a buffer that does not copy large bodies to and fro.

cheroot reads through Python's pure-Python buffer, because it must ask whether a next request waits in it already. This
one is the interpreter's own; it knows what waits by counting what came from the socket and what was read of it. By the
same count a server that stops knows the connections on which nothing has been asked: it does not wait for those.
"""

from __future__ import annotations

import contextlib
import io
import socket
from typing import Any

from cheroot import wsgi
from cheroot.makefile import MakeFile, StreamWriter
from cheroot.server import HeaderReader, HTTPConnection, HTTPRequest, HTTPServer

from reference_node.security import doubled_headers

_BUFFER = 64 * 1024


class Names(HeaderReader):
    """Reads headers as cheroot does, and keeps their names as they came."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def _transform_key(self, key_name: bytes) -> bytes:
        self.names.append(key_name.strip().decode("latin-1"))
        transformed: bytes = super()._transform_key(key_name)  # type: ignore[misc]
        return transformed


class Request(HTTPRequest):
    """A request that remembers which of its headers leaves open what is meant, before headers are folded."""

    repeated: str | None = None

    def read_request_headers(self) -> bool:
        """Read the headers and look at their names."""
        self.header_reader = Names()
        whole: bool = super().read_request_headers()  # type: ignore[no-untyped-call]
        self.repeated = doubled_headers.repeated((name, "") for name in self.header_reader.names)
        return whole


class Gateway(wsgi.Gateway_10):
    """Hands a request to the application, with the name of a header that it must be refused for."""

    def get_environ(self) -> Any:
        """Return the environment of the request."""
        environ: dict[str, Any] = super().get_environ()  # type: ignore[no-untyped-call]
        if self.req.repeated is not None:
            environ[doubled_headers.ENVIRON] = self.req.repeated
        return environ


class Connection(HTTPConnection):
    """A connection whose bodies are read straight into their place. Under TLS the adapter brings files of its own."""

    RequestHandlerClass = Request

    def __init__(self, server: HTTPServer, sock: socket.socket, makefile: Any = MakeFile) -> None:
        super().__init__(server, sock, _file if makefile is MakeFile else makefile)

    def communicate(self) -> bool:
        """Read a request and answer it."""
        at_work: dict[Connection, int] = self.server.at_work
        at_work[self] = getattr(self.rfile, "came", 0)
        try:
            kept: bool = super().communicate()  # type: ignore[no-untyped-call]
            return kept
        finally:
            del at_work[self]


class Server(wsgi.Server):
    """cheroot's server over these connections; it stops at once where nothing is being answered."""

    ConnectionClass = Connection
    keep_alive_conn_limit = 256  # of 10, as cheroot has it, partners would shake hands anew for each request
    expiration_interval = 0.1  # it looks whether it shall stop as often as for connections that have expired

    def __init__(self, *given: Any, **named: Any) -> None:
        self.at_work: dict[Connection, int] = {}
        super().__init__(*given, **named)
        self.gateway = Gateway

    def stop(self) -> None:
        """Let running requests finish, then let go of the sockets."""
        for connection, came in list(self.at_work.items()):
            if getattr(connection.rfile, "came", None) == came:
                with contextlib.suppress(OSError):
                    connection.socket.shutdown(socket.SHUT_RD)
        super().stop()


class _Counted(socket.SocketIO):
    """A socket that counts what came out of it."""

    came = 0

    def readinto(self, buffer: Any) -> int | None:
        count = super().readinto(buffer)
        self.came += count or 0
        return count


class Reader(io.BufferedReader):
    """What cheroot reads requests from."""

    def __init__(self, sock: socket.socket) -> None:
        self._counted = _Counted(sock, "r")
        self.bytes_read = 0
        super().__init__(self._counted, _BUFFER)

    @property
    def came(self) -> int:
        """How many bytes the socket has given."""
        return self._counted.came

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

    def has_data(self) -> bool:
        """Tell whether something waits to be read without asking the socket."""
        return self.came > self.bytes_read


def _file(sock: socket.socket, mode: str, size: int) -> Reader | StreamWriter:
    return Reader(sock) if "r" in mode else StreamWriter(sock, mode, size)
