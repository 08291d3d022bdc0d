"""The nodes that the harness plays, reached over gRPC: their end of the data plane between nodes (9.1-c).

A `Gate` takes calls as gRPC hands them over, `GrpcListener` puts it on a socket. Guarantees: what comes is recorded as
what comes over HTTP is, metadata as headers, of a stream all its messages, each after its length; a message of a stream
is answered as soon as it is whole; a partner that is to be away ends the call with a status, one that is to hang says
nothing for a while before. Nothing of this is shared with the reference node.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Final, Protocol

import grpc
from OpenSSL import SSL

from conformance.harness import channel, ptp
from conformance.harness.profile_model import TlsMode
from conformance.harness.records import Answer, Request
from conformance.harness.target import NOBODY
from conformance.harness.tls import GATEWAY, Guise, Wardrobe
from conformance.harness.tls_tunnel import Tunnels

AWAY: Final = "UNAVAILABLE"
HANGS: Final = "DEADLINE_EXCEEDED"
_LARGEST: Final = 72 * 1024 * 1024
_THREADS: Final = 16
_HANG_SECONDS: Final = 2.0
_GRACE_SECONDS: Final = 1.0
_UNHEARD: Final = Answer(499, {"content-type": channel.GRPC, channel.STATUS: "CANCELLED"})  # nothing whole came
Metadata = Iterable[tuple[str, str | bytes]]


class Taker(Protocol):
    """Whoever knows the partners, answers in their names and keeps the record."""

    def answered(self, request: Request) -> Answer:
        """Return what the partner that is meant answers."""

    def handle(self, request: Request, answer: Answer | None = None) -> Answer:
        """Record a call with its answer, the usual one unless one is given."""


class BrokenOff(Exception):
    """A call ends with this status of gRPC and without an answer."""

    def __init__(self, status: str) -> None:
        super().__init__(status)
        self.status = status


class Gate:
    """Takes the target's calls, whatever carries them here."""

    def __init__(self, taker: Taker) -> None:
        self._taker = taker

    def single(self, path: str, metadata: Metadata, body: bytes) -> bytes:
        """Take one message and return its answer; raise BrokenOff where none is given."""
        return _told(self._taker.handle(_request(path, metadata, body)))

    def stream(self, path: str, metadata: Metadata, bodies: Iterable[bytes]) -> Iterator[bytes]:
        """Take a stream of frames and yield an answer to each message of it; one that is a refusal is the last."""
        headers = tuple(metadata)
        frames = bytearray()
        answer: Answer | None = None
        try:
            for body in bodies:
                frames += len(body).to_bytes(4, "big") + body
                if _ends(body):
                    answer = answer or self._taker.answered(_request(path, headers, bytes(frames)))
                    yield _told(answer)
                    if answer.status != 200:
                        return
        finally:
            self._taker.handle(_request(path, headers, bytes(frames)), answer or _UNHEARD)


class GrpcListener:
    """A gate on a socket: plain, or with mutual TLS where there is a wardrobe, through a tunnel in mode gm.

    With a guise it shows, through a tunnel too, the certificate that is meant for the place where it listens.
    """

    def __init__(self, taker: Taker, host: str, port: int, wardrobe: Wardrobe | Guise | None = None) -> None:
        self._gate = Gate(taker)
        self._tunnels: Tunnels | None = None
        workers = ThreadPoolExecutor(_THREADS, thread_name_prefix="hutong-partner-grpc")
        limits = (("grpc.max_receive_message_length", _LARGEST),)
        self._server = grpc.server(workers, options=limits)
        self._server.add_generic_rpc_handlers(
            (
                grpc.method_handlers_generic_handler(
                    channel.NODES,
                    {
                        "invoke": grpc.unary_unary_rpc_method_handler(self._invoke),
                        "transport": grpc.stream_stream_rpc_method_handler(self._transport),
                    },
                ),
            )
        )
        self.port = self._bound(host, port, wardrobe)
        self._server.start()

    def stop(self) -> None:
        """Stop serving."""
        self._server.stop(grace=_GRACE_SECONDS).wait()
        if self._tunnels is not None:
            self._tunnels.close()

    def _bound(self, host: str, port: int, wardrobe: Wardrobe | Guise | None) -> int:
        shown = f"[{host}]" if ":" in host else host
        if wardrobe is None:
            return self._server.add_insecure_port(f"{shown}:{port}")
        bound = port or _free_port(host)  # the certificate names the port
        place = f"{shown}:{bound}"
        if isinstance(wardrobe, Guise):
            context = replace(wardrobe, address=f"https://{place}").context(NOBODY, server=True)
            return self._tunnelled(host, bound, context)
        if wardrobe.settings.mode is TlsMode.GM:
            context = wardrobe.context(NOBODY, GATEWAY, server=True, address=f"https://{place}")
            return self._tunnelled(host, bound, context)
        ca, key, certificate = wardrobe.material(NOBODY, GATEWAY, f"https://{place}")
        credentials = grpc.ssl_server_credentials([(key, certificate)], ca, require_client_auth=True)
        return self._server.add_secure_port(place, credentials)

    def _tunnelled(self, host: str, port: int, context: SSL.Context) -> int:
        """Listen behind a tunnel, for gRPC's own TLS has no national suites."""
        self._tunnels = Tunnels()
        inner = self._tunnels.path()
        self._server.add_insecure_port(f"unix:{inner}")
        return self._tunnels.inward(context, host, port, inner)

    def _invoke(self, body: bytes, context: grpc.ServicerContext) -> bytes:
        try:
            return self._gate.single(channel.METHODS["chanInvoke"], context.invocation_metadata(), body)
        except BrokenOff as broken:
            return _end(broken, context)

    def _transport(self, bodies: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        try:
            yield from self._gate.stream(channel.METHODS["chanTransport"], context.invocation_metadata(), bodies)
        except BrokenOff as broken:
            _end(broken, context)


def _free_port(host: str) -> int:
    with socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET) as taken:
        port: int = taken.getsockname()[1]
        return port


def _end(broken: BrokenOff, context: grpc.ServicerContext) -> bytes:
    if broken.status == HANGS:
        gone = threading.Event()
        if context.add_callback(gone.set):
            gone.wait(_HANG_SECONDS)
    context.abort(grpc.StatusCode[broken.status], "played by the harness")


def _request(path: str, metadata: Metadata, body: bytes) -> Request:
    headers = {"content-type": channel.GRPC}
    for name, value in metadata:
        text = value if isinstance(value, str) else value.decode("latin-1")
        headers[name] = f"{headers[name]},{text}" if name in headers and name != "content-type" else text
    return Request("POST", path, (), headers, body)


def _ends(frame: bytes) -> bool:
    """Tell whether a frame is the last of its message; what is no frame ends the stream by its code."""
    try:
        return "last" in ptp.unpacked("Inbound", frame)["metadata"]
    except ptp.NoMessage:
        return True


def _told(answer: Answer) -> bytes:
    if channel.STATUS in answer.headers:
        raise BrokenOff(answer.headers[channel.STATUS])
    return answer.body
