"""Reaches a target's data plane over gRPC, behind the same seam as HTTP (9.1-c).

The path of a request is the method, its headers are the metadata, its body the message as it stands on the wire, or of
a stream all of them, each after its length; the answer's body is the last message that came back.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Self
from urllib.parse import urlsplit

import grpc

from conformance.harness import channel, ptp
from conformance.harness.profile_model import NODE_ID, TlsMode
from conformance.harness.records import Answer, Request
from conformance.harness.target import MAX_ANSWER, NOBODY, Unanswered
from conformance.harness.tls import Guise, Wardrobe
from conformance.harness.tls_tunnel import Tunnels

_OPTIONS = (("grpc.max_receive_message_length", MAX_ANSWER), ("grpc.enable_http_proxy", 0))


class GrpcTransport:
    """Carries messages to grpc://host:port; one connection for each node that is played, made when it is first used.

    Where gRPC's own TLS will not do, for its want of national suites or of certificates that are shown on purpose, it
    goes through a tunnel.
    """

    def __init__(self, address: str, wardrobe: Wardrobe | Guise | None = None) -> None:
        self._address = address
        self._wardrobe = wardrobe
        self._lock = threading.Lock()
        self._channels: dict[str, grpc.Channel] = {}
        tunnelled = isinstance(wardrobe, Guise) or (wardrobe is not None and wardrobe.settings.mode is TlsMode.GM)
        self._tunnels = Tunnels() if tunnelled else None
        if isinstance(wardrobe, Wardrobe):
            wardrobe.lasting.callback(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End every connection."""
        with self._lock:
            for opened in self._channels.values():
                opened.close()
            self._channels.clear()
            if self._tunnels is not None:
                self._tunnels.close()
                self._tunnels = None

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
            why = (self._tunnels and self._tunnels.failure) or type(exc).__name__
            raise Unanswered(f"no answer from {self._address} ({why})", hint=hint) from exc
        return Answer(200, {"content-type": channel.GRPC}, body)

    def _channel(self, source: str) -> grpc.Channel:
        who = source if self._wardrobe is not None and NODE_ID.fullmatch(source) else NOBODY
        with self._lock:
            if who not in self._channels:
                self._channels[who] = self._open(who)
            return self._channels[who]

    def _open(self, who: str) -> grpc.Channel:
        parts = urlsplit(self._address)
        if self._tunnels is not None and self._wardrobe is not None:
            path = self._tunnels.outward(self._wardrobe.context(who), parts.hostname or "", parts.port or 0)
            return grpc.insecure_channel(f"unix:{path}", options=(*_OPTIONS, ("grpc.default_authority", parts.netloc)))
        if isinstance(self._wardrobe, Wardrobe):
            credentials = grpc.ssl_channel_credentials(*self._wardrobe.material(who))
            return grpc.secure_channel(parts.netloc, credentials, options=_OPTIONS)
        return grpc.insecure_channel(parts.netloc, options=_OPTIONS)


def _messages(body: bytes) -> Iterator[bytes]:
    for frame in ptp.split(body):
        yield frame.content
