"""Requests written by hand on a socket, well or wrongly framed, and crowds of connections on which nothing whole comes.

Guarantees: everything ends in bounded time; what came back is told as plain facts that a recording keeps: the statuses
of all answers to one request, and whether the target closed the connection. Nothing is judged here.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Self
from urllib.parse import urlsplit

from OpenSSL import SSL
from urllib3.util import wait_for_read

from conformance.harness import tls_probe
from conformance.harness.errors import NotOffered
from conformance.harness.records import Answer, Request
from conformance.harness.target import NOBODY, HttpTransport, Transport, Unanswered, query_string
from conformance.harness.tls import Wardrobe
from conformance.harness.tls_hello import TLS_1_3, Offer

QUIET_SECONDS: Final = 0.3
DRIP_SECONDS: Final = 0.2
_MOST: Final = 1 << 20
_HELLO: Final = Offer(TLS_1_3, (0x1301, 0x1302, 0x1303))
_END: Final = b"\r\n"


@dataclass(frozen=True, slots=True)
class Bend:
    """How a request is written: its lines of Host (None is the right one), further lines, and what follows the head.

    Where it says what follows the head, nothing is said about its length but in the lines.
    """

    hosts: tuple[bytes, ...] | None = None
    lines: tuple[bytes, ...] = ()
    after: bytes | None = None


class RawTransport:
    """Carries one request at a time on a socket of its own; `seen` tells what came of the last one."""

    def __init__(
        self, url: str, wardrobe: Wardrobe | None, bend: Bend | None = None, quiet: float = QUIET_SECONDS
    ) -> None:
        self.seen: dict[str, Any] = {"statuses": [], "closed": False}
        self._url = url
        self._wardrobe = wardrobe
        self._bend = bend or Bend()
        self._quiet = quiet

    def send(self, request: Request, timeout: float) -> Answer:
        """Write the request; return the first answer. Raises Unanswered where none came."""
        source = request.headers.get("x-source-node-id") or NOBODY
        self.seen = {"statuses": [], "closed": False}
        try:
            with _Ends(self._url, self._wardrobe, source, timeout) as ends:
                ends.write(spelled(request, urlsplit(self._url).netloc, self._bend))
                came, closed = ends.read(timeout, self._quiet)
        except (OSError, SSL.Error) as failure:
            self.seen = {"statuses": [], "closed": True, "why": str(failure) or type(failure).__name__}
            raise Unanswered("the connection was ended", hint=str(failure)) from failure
        answers = list(_answers(came))
        self.seen = {"statuses": [answer.status for answer in answers], "closed": closed}
        if not answers:
            raise Unanswered("nothing came that HTTP knows", hint="the connection was closed" if closed else "")
        return answers[0]


def needs_sockets(transport: Transport) -> None:
    """End the scenario where the target is not reached over sockets: there is nothing to write by hand on."""
    if not isinstance(transport, HttpTransport):
        raise NotOffered("the target is not reached over sockets")


def spelled(request: Request, host: str, bend: Bend) -> bytes:
    """Return a request as the bytes that are written."""
    target = request.path + (f"?{query_string(request.query)}" if request.query else "")
    lines = [f"{request.method} {target} HTTP/1.1".encode()]
    lines += [b"Host: " + host.encode()] if bend.hosts is None else [b"Host: " + each for each in bend.hosts]
    lines += [f"{name}: {value}".encode("latin-1") for name, value in request.headers.items()]
    lines += bend.lines
    if bend.after is None and request.body:
        lines.append(b"Content-Length: %d" % len(request.body))
    return _END.join([*lines, b"", b""]) + (request.body if bend.after is None else bend.after)


class _Ends:
    """One connection, plain or secured."""

    def __init__(self, url: str, wardrobe: Wardrobe | None, source: str, timeout: float) -> None:
        self._sock = socket.create_connection(tls_probe.place(url), timeout=timeout)
        self._tls: SSL.Connection | None = None
        if wardrobe is not None:
            try:
                self._tls = tls_probe.shaken(wardrobe.context(source), self._sock)
            except BaseException:
                self._sock.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._sock.close()

    def write(self, data: bytes) -> None:
        """Send as much as the target takes: one that refuses may close before all is sent."""
        with contextlib.suppress(OSError, SSL.Error):
            if self._tls is None:
                self._sock.sendall(data)
            else:
                self._sock.setblocking(True)
                self._tls.sendall(data)

    def read(self, first: float, quiet: float) -> tuple[bytes, bool]:
        """Return what comes until the target closes or is quiet for a while, and whether it closed."""
        came, until = b"", time.monotonic() + first
        self._sock.setblocking(False)
        while len(came) < _MOST:
            piece = self._piece()
            if piece == b"":
                return came, True
            if piece is None and not wait_for_read(self._sock, max(0.0, quiet if came else until - time.monotonic())):
                break
            came += piece or b""
        return came, False

    def _piece(self) -> bytes | None:
        """Return what has come, None where nothing has, b"" at the end."""
        try:
            return self._sock.recv(65536) if self._tls is None else self._tls.recv(65536)
        except (BlockingIOError, SSL.WantReadError):
            return None
        except (OSError, SSL.Error):
            return b""


class _Kept(io.BytesIO):
    """Bytes that http.client reads one answer from, and does not close."""

    def makefile(self, _mode: str) -> _Kept:
        return self

    def close(self) -> None:
        """More may follow."""


def _answers(came: bytes) -> Iterator[Answer]:
    """Yield the answers in what came; what is no answer ends them."""
    kept = _Kept(came)
    while kept.tell() < len(came):
        answer = http.client.HTTPResponse(kept)  # type: ignore[arg-type]
        try:
            answer.begin()
            body = answer.read()
        except (http.client.HTTPException, OSError, ValueError):
            return
        yield Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, body)


# --- crowds -----------------------------------------------------------------------------------------------------------

KINDS: Final = ("idle", "dripping", "stopped")


class Crowd:
    """Connections that stand; each of a kind of `KINDS`."""

    def __init__(self, whole: bytes) -> None:
        self._whole = whole
        self._socks: dict[str, list[socket.socket]] = {kind: [] for kind in KINDS}
        self._sent = 1
        self._lock = threading.Lock()

    def open(self, url: str, count: int) -> None:
        """Open so many connections, less where the target turns them away."""
        for number in range(count):
            kind = KINDS[number % len(KINDS)]
            with contextlib.suppress(OSError):
                sock = socket.create_connection(tls_probe.place(url), timeout=tls_probe.SECONDS)
                sock.setblocking(False)
                with self._lock:
                    self._socks[kind].append(sock)
                if kind != "idle":
                    sock.send(self._whole[: 1 if kind == "dripping" else len(self._whole) // 2])

    def drip(self, stop: threading.Event) -> None:
        """Send one byte more on the dripping ones from time to time."""
        while not stop.wait(DRIP_SECONDS) and self._sent < len(self._whole):
            with self._lock:
                dripping = list(self._socks["dripping"])
            for sock in dripping:
                with contextlib.suppress(OSError):
                    sock.send(self._whole[self._sent : self._sent + 1])
            self._sent += 1

    def standing(self) -> dict[str, int]:
        """Return how many of each kind the target has not closed."""
        with self._lock:
            return {kind: sum(not _closed(sock) for sock in socks) for kind, socks in self._socks.items()}

    def close(self) -> None:
        """Close all."""
        with self._lock:
            for sock in (sock for socks in self._socks.values() for sock in socks):
                sock.close()


@contextmanager
def crowd(url: str, count: int) -> Iterator[Crowd]:
    """Have connections stand at the target until the block ends: a third idle, a third dripping, a third stopped."""
    parts = urlsplit(url)
    head = b"GET / HTTP/1.1\r\nHost: " + parts.netloc.encode() + b"\r\nX-Filler: " + b"x" * 400
    made = Crowd(_HELLO.spell(parts.hostname or "") if parts.scheme == "https" else head)
    stop = threading.Event()
    thread = threading.Thread(target=made.drip, args=(stop,), name="hutong-crowd", daemon=True)
    try:
        made.open(url, count)
        thread.start()
        yield made
    finally:
        stop.set()
        if thread.ident is not None:
            thread.join()
        made.close()


def _closed(sock: socket.socket) -> bool:
    """Tell whether the target has closed a connection; an answer before that is read over."""
    try:
        while sock.recv(65536):
            pass
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True
