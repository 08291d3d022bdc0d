"""Nodes that are served over TLS, a bare caller with any certificate or none, and a wire that is listened to."""

from __future__ import annotations

import http.client
import io
import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from OpenSSL import SSL

from reference_node.config import load_config
from reference_node.security.certificates import Address, Holder
from reference_node.security.pki import Files, Pki
from reference_node.server import NodeServer
from reference_node.transport.tls import shake

SUITES = {"gm": "sm2", "intl": "p256"}
ANYWHERE = (Address("127.0.0.1", 0), Address("::1", 0))


class Answer:
    """What a caller got: status, envelope."""

    def __init__(self, status: int, body: bytes) -> None:
        self.status = status
        self.json: Any = json.loads(body) if body else None

    @property
    def error(self) -> str | None:
        """The refusal's name."""
        found: str | None = self.json["data"].get("error")
        return found


@dataclass
class Realm:
    """A CA and the nodes that it certifies."""

    mode: str
    folder: Path
    ca: Pki
    stack: ExitStack = field(default_factory=ExitStack)

    def files(self, node_id: str, role: str = "node", **more: Any) -> Files:
        """Certify a node at any port of the loopback interface."""
        return self.ca.issue(Holder(node_id, role, ANYWHERE), **more)

    def serve(self, node_id: str, files: Files | None = None, **settings: Any) -> NodeServer:
        """Serve a node over TLS."""
        shown = files or self.files(node_id)
        given = {
            "data": self.folder / f"data-{node_id}",
            "port": 0,
            "tls": self.mode,
            "tls_certificate": shown.certificate,
            "tls_key": shown.key,
            "tls_ca": self.ca.folder / "ca.pem",
            "tls_crl": self.ca.folder / "ca.crl",
        }
        return self.stack.enter_context(NodeServer(load_config(None, node_id=node_id, **{**given, **settings})))


@contextmanager
def realm(mode: str, folder: Path) -> Iterator[Realm]:
    """Make a CA and, when the block ends, stop every node."""
    made = Realm(mode, folder, Pki.init(folder / "ca", SUITES[mode]))
    with made.stack:
        yield made


def bare(files: Files | None, *, suites: bytes = b"", ciphers: bytes = b"", version: int = 0) -> SSL.Context:
    """Return a context that trusts anybody and shows a certificate or none."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    if version:
        context.set_max_proto_version(version)
    if ciphers:
        context.set_cipher_list(ciphers)
    if suites:
        context.set_tls13_ciphersuites(suites)
    if files is not None:
        context.use_certificate_chain_file(str(files.certificate))
        context.use_privatekey_file(str(files.key))
    return context


class Line:
    """One connection over which requests can be made."""

    def __init__(self, url: str, context: SSL.Context) -> None:
        parts = urlsplit(url)
        self._socket = socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10)
        self.tls = SSL.Connection(context, self._socket)
        self.tls.set_connect_state()
        self._host = parts.netloc
        try:
            shake(self.tls, self._socket, 10)
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._socket.close()

    def ask(self, method: str, path: str, headers: dict[str, str] | None = None, body: Any = None) -> Answer:
        """Ask and read the whole answer; raise SSL.Error where the connection was ended."""
        content = b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", f"host: {self._host}", f"content-length: {len(content)}"]
        lines += [] if body is None else ["content-type: application/json"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        self._socket.setblocking(True)
        self.tls.sendall("\r\n".join([*lines, "", ""]).encode() + content)
        answer = http.client.HTTPResponse(_Readable(self.tls))  # type: ignore[arg-type]
        answer.begin()
        return Answer(answer.status, answer.read())


class _Readable(io.RawIOBase):
    """What http.client reads an answer from."""

    def __init__(self, tls: SSL.Connection) -> None:
        self._tls = tls

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._tls.recv_into(buffer)


def own(server: NodeServer, method: str, path: str, body: Any = None) -> Answer:
    """Ask a node as its operator, who has a token and no certificate."""
    mode = server.node.config.tls
    suites = b"TLS_SM4_GCM_SM3" if mode == "gm" else b""
    with Line(server.address, bare(None, suites=suites)) as line:
        token = {"authorization": "Bearer " + server.node.identity.operator_token}
        return line.ask(method, "/v1/platform/node/" + path, token, body)
