"""Reaches a target's data plane over gRPC, behind the same seam as HTTP (9.1-c).

The path of a request is the method, its headers are the metadata, its body the message as it stands on the wire, or of
a stream all of them, each after its length; the answer's body is the last message that came back.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import grpc

from conformance.harness import channel, ptp
from conformance.harness.profile_model import NODE_ID
from conformance.harness.records import Answer, Request
from conformance.harness.target import MAX_ANSWER, NOBODY, Unanswered
from conformance.harness.tls import Wardrobe

_OPTIONS = (("grpc.max_receive_message_length", MAX_ANSWER), ("grpc.enable_http_proxy", 0))


class GrpcTransport:
    """Carries messages to grpc://host:port; one connection for each node that is played, made when it is first used."""

    def __init__(self, address: str, wardrobe: Wardrobe | None = None) -> None:
        self._address = address
        self._wardrobe = wardrobe
        self._lock = threading.Lock()
        self._channels: dict[str, grpc.Channel] = {}

    def send(self, request: Request, timeout: float) -> Answer:
        """Send one message, or one stream. Raises Unanswered when no answer comes in time."""
        opened = self._channel(request.headers.get("x-source-node-id", ""))
        metadata = tuple((name, value) for name, value in request.headers.items() if name != "content-type")
        try:
            if channel.FRAME_CODE in request.headers:
                body = b""
                stream = opened.stream_stream(request.path, bytes, bytes)
                for answer in stream(_messages(request.body), timeout=timeout, metadata=metadata):
                    body = answer
            else:
                body = opened.unary_unary(request.path, bytes, bytes)(request.body, timeout=timeout, metadata=metadata)
        except grpc.RpcError as exc:
            hint = f"Serve gRPC at {self._address}, or correct [target] grpc in the profile."
            raise Unanswered(f"no answer from {self._address} ({type(exc).__name__})", hint=hint) from exc
        return Answer(200, {"content-type": channel.GRPC}, body)

    def _channel(self, source: str) -> grpc.Channel:
        target = urlsplit(self._address).netloc
        who = source if self._wardrobe is not None and NODE_ID.fullmatch(source) else NOBODY
        with self._lock:
            if who not in self._channels and self._wardrobe is None:
                self._channels[who] = grpc.insecure_channel(target, options=_OPTIONS)
            elif who not in self._channels and self._wardrobe is not None:
                credentials = grpc.ssl_channel_credentials(*self._wardrobe.material(who))
                self._channels[who] = grpc.secure_channel(target, credentials, options=_OPTIONS)
            return self._channels[who]


def _messages(body: bytes) -> Iterator[bytes]:
    for frame in ptp.split(body):
        yield frame.content
