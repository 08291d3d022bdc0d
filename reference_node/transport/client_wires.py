"""How a component's channel reaches its node: HTTP by the standard library, or gRPC for grpc:// addresses.

A wire makes one attempt: it returns what the node answered, or raises Unreached when there is no whole answer. It
imports little, because every component process carries it.
"""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from reference_node.proto.transport_pb2 import TransportOutbound

OK: Final = "E0000000000"
NOTHING: Final = "E0000000404"
FULL: Final = "E0000000700"
_PIECE: Final = 1024 * 1024
_WHOLE: Final = 8 * 1024 * 1024
_PUSH_SECONDS: Final = 60.0
_GRACE_SECONDS: Final = 10.0


class Unreached(Exception):
    """No whole answer came back."""


@dataclass(slots=True)
class Reply:
    """What the node answered; the payload is read once, by `read` or `pieces`."""

    code: str
    message: str
    pieces: Callable[[], Iterator[bytes]]
    refused: bool = False

    def read(self) -> bytes:
        """Return the whole payload."""
        return b"".join(self.pieces())


class Wire(Protocol):
    """One connection to the node, of one thread."""

    def push(self, headers: Mapping[str, str], chunks: Iterable[bytes], size: int | None) -> Reply:
        """Send a message."""

    def pop(self, headers: Mapping[str, str], wait: float) -> Reply:
        """Ask for a message, waiting at most `wait` seconds."""

    def close(self) -> None:
        """Close the connection."""


def connect(address: str) -> Wire:
    """Return a wire to http://host:port, https://host:port or grpc://host:port."""
    return GrpcWire(address) if address.startswith("grpc://") else HttpWire(address)


class HttpWire:
    """The bare form: payloads as bodies, everything else in headers."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname or "", parts.port, timeout=_PUSH_SECONDS, blocksize=_PIECE)
        self._base = parts.path.rstrip("/") + "/v1/interconn/chan/"

    def push(self, headers: Mapping[str, str], chunks: Iterable[bytes], size: int | None) -> Reply:
        """Send a message; a large one, or one of unknown size, in chunks."""
        whole = b"".join(chunks) if size is not None and size <= _WHOLE else None
        return self._ask("push", headers, _cut(chunks) if whole is None else whole, _PUSH_SECONDS)

    def pop(self, headers: Mapping[str, str], wait: float) -> Reply:
        """Ask for a message."""
        return self._ask(f"pop?timeout={wait:.3f}", headers, b"", wait + _GRACE_SECONDS)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _ask(self, what: str, headers: Mapping[str, str], body: bytes | Iterator[bytes], timeout: float) -> Reply:
        chunked = not isinstance(body, bytes)
        sent = {**headers, "content-type": "application/octet-stream"}
        sent |= {"transfer-encoding": "chunked"} if chunked else {}
        try:
            self._connection.timeout = timeout
            if self._connection.sock is not None:
                self._connection.sock.settimeout(timeout)
            self._connection.request("POST", self._base + what, body, sent, encode_chunked=chunked)
            answer = self._connection.getresponse()
            return self._reply(answer)
        except (OSError, http.client.HTTPException) as lost:
            self._connection.close()
            raise Unreached(type(lost).__name__) from lost

    def _reply(self, answer: http.client.HTTPResponse) -> Reply:
        if answer.headers.get_content_type() == "application/json":
            return _refusal(answer.read())
        code = answer.headers.get("x-ptp-code", "E0000000520")
        if not answer.length:
            answer.read()
            return Reply(code, "", lambda: iter(()))
        return Reply(code, "", lambda: self._pieces(answer))

    def _pieces(self, answer: http.client.HTTPResponse) -> Iterator[bytes]:
        try:
            while piece := answer.read(_PIECE):
                yield piece
            if answer.length:
                raise http.client.IncompleteRead(b"", answer.length)
        except (OSError, http.client.HTTPException) as lost:
            self._connection.close()
            raise Unreached(type(lost).__name__) from lost


class GrpcWire:
    """The service PrivateTransferTransport; a message is at most 64 MiB."""

    def __init__(self, address: str) -> None:
        import grpc

        from reference_node.proto import transport_pb2
        from reference_node.transport.relay_grpc import COMPONENTS, OPTIONS

        self._grpc = grpc
        self._messages = transport_pb2
        self._service = COMPONENTS
        self._channel = grpc.insecure_channel(urlsplit(address).netloc, options=OPTIONS)

    def push(self, headers: Mapping[str, str], chunks: Iterable[bytes], size: int | None) -> Reply:  # noqa: ARG002
        """Send a message."""
        body = self._messages.PushInbound(topic=headers["x-ptp-topic"], payload=b"".join(chunks))
        return self._ask("push", headers, body.SerializeToString(), _PUSH_SECONDS)

    def pop(self, headers: Mapping[str, str], wait: float) -> Reply:
        """Ask for a message; gRPC's time-outs are whole seconds."""
        body = self._messages.PopInbound(topic=headers["x-ptp-topic"], timeout=max(1, round(wait)))
        return self._ask("pop", headers, body.SerializeToString(), wait + _GRACE_SECONDS)

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def _ask(self, method: str, headers: Mapping[str, str], body: bytes, timeout: float) -> Reply:
        call = self._channel.unary_unary(
            f"/{self._service}/{method}",
            request_serializer=bytes,
            response_deserializer=self._messages.TransportOutbound.FromString,
        )
        try:
            answer: TransportOutbound = call(body, timeout=timeout, metadata=tuple(headers.items()))
        except self._grpc.RpcError as lost:
            raise Unreached(str(lost)) from lost
        return Reply(answer.code, answer.message, lambda: iter((answer.payload,)), "error" in answer.metadata)


def _cut(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield pieces of a size that suits the socket; an empty one would end a chunked body."""
    for chunk in chunks:
        view = memoryview(chunk)
        for start in range(0, len(view), _PIECE):
            yield bytes(view[start : start + _PIECE])


def _refusal(body: bytes) -> Reply:
    """Read the node's error envelope."""
    code, reason = "E0000000520", ""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        envelope = json.loads(body)
        reason = f"{envelope['data']['error']}: {envelope['msg']}"
        code = envelope["data"].get("ptp_code", code)
    return Reply(code, reason, lambda: iter(()), refused=True)
