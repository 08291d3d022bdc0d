"""Tunnels of TLS for libraries that do not speak RFC 8998, such as gRPC's: they meet sockets of this machine instead.

    outward(context, host, port)    a socket's path; what connects there reaches host and port by TLS
    inward(context, host, port, to) a port; what connects there by TLS reaches the socket `to`

Guarantees: the contexts are those of the nodes that are played, so certificates are demanded and judged as for HTTP,
and a server's has to name the host that is called; HTTP/2 has to be agreed on (ALPN); what one side does not take is
read no further from the other; `close` ends everything. The sockets lie in a folder that is for this user only.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import threading
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, Final, TypeVar

from OpenSSL import SSL
from urllib3.contrib.pyopenssl import get_subj_alt_name
from urllib3.util.ssl_match_hostname import CertificateError, match_hostname

_SECONDS: Final = 10.0
_LINGER_SECONDS: Final = 1.0
_PIECE: Final = 64 * 1024
_H2: Final = b"h2"
_ENDS: Final = (OSError, SSL.Error, CertificateError, TimeoutError)
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Carry = Callable[[Streams], Awaitable[None]]
Given = TypeVar("Given")


class Tunnels:
    """The tunnels of a run, all in one thread."""

    def __init__(self) -> None:
        self.failure = ""
        self._folder = tempfile.TemporaryDirectory(prefix="hutong-")
        self._count = 0
        self._servers: list[asyncio.Server] = []
        self._running: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="hutong-tunnels", daemon=True)
        self._thread.start()

    def path(self) -> str:
        """Return where a socket may be put."""
        self._count += 1
        return str(Path(self._folder.name) / str(self._count))

    def outward(self, context: SSL.Context, host: str, port: int) -> str:
        """Lead to a server of TLS; return the path of the socket from which the way goes."""
        context.set_alpn_protos([_H2])
        path = self.path()

        async def carry(near: Streams) -> None:
            async with (
                _closing(near),
                asyncio.timeout(_SECONDS) as limit,
                _closing(await asyncio.open_connection(host, port)) as far,
            ):
                line = _Line(context, far, server=False)
                await line.shake()
                _match(line.secured, host)
                limit.reschedule(None)
                await _exchange(line, near)

        self._do(self._keep(asyncio.start_unix_server(self._noted(carry), path)))
        return path

    def inward(self, context: SSL.Context, host: str, port: int, to: str) -> int:
        """Take connections of TLS and lead them to a socket; return the port."""
        context.set_alpn_select_callback(lambda _connection, offered: _H2 if _H2 in offered else b"")

        async def carry(far: Streams) -> None:
            async with _closing(far), asyncio.timeout(_SECONDS) as limit:
                line = _Line(context, far, server=True)
                await line.shake()
                async with _closing(await asyncio.open_unix_connection(to)) as near:
                    limit.reschedule(None)
                    await _exchange(line, near)

        server = self._do(self._keep(asyncio.start_server(self._noted(carry), host, port)))
        bound: int = server.sockets[0].getsockname()[1]
        return bound

    def close(self) -> None:
        """End every connection and every tunnel."""
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._folder.cleanup()

    def _do(self, work: Coroutine[Any, Any, Given]) -> Given:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_SECONDS)

    async def _keep(self, starting: Awaitable[asyncio.Server]) -> asyncio.Server:
        server = await starting
        self._servers.append(server)
        return server

    def _noted(self, carry: Carry) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]:
        async def carried(streams: Streams) -> None:
            try:
                await carry(streams)
            except _ENDS as failure:
                self.failure = f"{type(failure).__name__}: {failure}"

        def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = self._loop.create_task(carried((reader, writer)))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

        return begin

    async def _end(self) -> None:
        for server in self._servers:
            server.close()
        running = tuple(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        for server in self._servers:
            await server.wait_closed()


class _Line:
    """A connection of TLS over streams."""

    def __init__(self, context: SSL.Context, streams: Streams, *, server: bool) -> None:
        self._reader, self._writer = streams
        self.secured = SSL.Connection(context, None)
        if server:
            self.secured.set_accept_state()
        else:
            self.secured.set_connect_state()

    async def shake(self) -> None:
        """Shake hands and agree on HTTP/2."""
        while True:
            try:
                self.secured.do_handshake()
            except SSL.WantReadError:
                if not await self._hear():
                    raise ConnectionError("the other side hung up within the handshake") from None
            else:
                break
            finally:
                self._speak()  # an alert too, where it has failed
        if self.secured.get_alpn_proto_negotiated() != _H2:
            raise ConnectionError("the other side does not agree on HTTP/2 (ALPN h2)")

    async def read(self) -> bytes:
        """Return what comes next, nothing at the end."""
        while True:
            try:
                return self.secured.recv(_PIECE)
            except SSL.ZeroReturnError:
                return b""
            except SSL.WantReadError:
                if not await self._hear():
                    return b""

    async def write(self, data: bytes) -> None:
        """Send; wait while the other side does not take it."""
        self.secured.sendall(data)
        self._speak()
        await self._writer.drain()

    async def _hear(self) -> bool:
        self._speak()
        data = await self._reader.read(_PIECE)
        if data:
            self.secured.bio_write(data)
        return bool(data)

    def _speak(self) -> None:
        with contextlib.suppress(SSL.WantReadError):
            while True:
                self._writer.write(self.secured.bio_read(_PIECE))


async def _exchange(line: _Line, near: Streams) -> None:
    """Carry both ways until one side is through."""
    reader, writer = near

    async def inward() -> None:
        while data := await line.read():
            writer.write(data)
            await writer.drain()

    async def outward() -> None:
        while data := await reader.read(_PIECE):
            await line.write(data)

    ways = [asyncio.ensure_future(inward()), asyncio.ensure_future(outward())]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)


@contextlib.asynccontextmanager
async def _closing(streams: Streams) -> Any:
    """Close streams; what they still hold goes out, unless nobody takes it for a while."""
    writer = streams[1]
    try:
        yield streams
    finally:
        writer.close()
        with contextlib.suppress(*_ENDS):
            async with asyncio.timeout(_LINGER_SECONDS):
                await writer.wait_closed()
        writer.transport.abort()


def _match(secured: SSL.Connection, host: str) -> None:
    shown = secured.get_peer_certificate()
    if shown is None:
        raise ConnectionError("the other side has shown no certificate")
    match_hostname({"subjectAltName": tuple(get_subj_alt_name(shown))}, host)
