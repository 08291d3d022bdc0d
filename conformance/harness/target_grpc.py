"""Reaches a target's data plane over gRPC, behind the same seam as HTTP (9.1-c).

The path of a request is the method, its headers are the metadata, its body the message as it stands on the wire, or of
a stream all of them, each after its length; the answer's body is the last message that came back.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import grpc

from conformance.harness import channel, ptp
from conformance.harness.records import Answer, Request
from conformance.harness.target import MAX_ANSWER, Unanswered

_OPTIONS = (("grpc.max_receive_message_length", MAX_ANSWER), ("grpc.enable_http_proxy", 0))


class GrpcTransport:
    """Carries messages to grpc://host:port; one connection, made when it is first used."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._channel: grpc.Channel | None = None

    def send(self, request: Request, timeout: float) -> Answer:
        """Send one message, or one stream. Raises Unanswered when no answer comes in time."""
        if self._channel is None:
            self._channel = grpc.insecure_channel(urlsplit(self._address).netloc, options=_OPTIONS)
        metadata = tuple((name, value) for name, value in request.headers.items() if name != "content-type")
        try:
            if channel.FRAME_CODE in request.headers:
                body = b""
                stream = self._channel.stream_stream(request.path, bytes, bytes)
                for answer in stream(_messages(request.body), timeout=timeout, metadata=metadata):
                    body = answer
            else:
                body = self._channel.unary_unary(request.path, bytes, bytes)(
                    request.body, timeout=timeout, metadata=metadata
                )
        except grpc.RpcError as exc:
            hint = f"Serve gRPC at {self._address}, or correct [target] grpc in the profile."
            raise Unanswered(f"no answer from {self._address} ({type(exc).__name__})", hint=hint) from exc
        return Answer(200, {"content-type": channel.GRPC}, body)


def _messages(body: bytes) -> Iterator[bytes]:
    for frame in ptp.split(body):
        yield frame.content
