"""Messages to another node over HTTP: one by `invoke`, large ones and many at once by `transport` (9.1-c).

Guarantees: the body of a stream is made while it is sent, one frame at a time; every request is signed (9.2-b); what
came back is believed only in the form of the interface definition.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from google.protobuf.message import DecodeError

from reference_node.domain.places import Unfit
from reference_node.proto.transport_pb2 import Inbound, Outbound
from reference_node.transport import outbound as seam
from reference_node.transport.frames import SEQUENCE, TOPIC, cut, pack
from reference_node.transport.places import Places
from reference_node.transport.relay import OK, Outgoing, RelayFailed, Route, not_allowed, refused
from reference_node.transport.stamps import BARE, Stamps

INVOKE: Final = "/v1/interconn/chan/invoke"
TRANSPORT: Final = "/v1/interconn/chan/transport"
PROTOBUF: Final = "application/x-protobuf"


class HttpRelay:
    """Carries messages to http:// and https:// addresses."""

    def __init__(self, stamps: Stamps, outbound: seam.Outbound, places: Places, *, timeout: float, chunk: int) -> None:
        self._stamps = stamps
        self._places = places
        self._outbound = outbound
        self._timeout = timeout
        self._chunk = chunk

    def deliver(self, route: Route, batch: Sequence[Outgoing]) -> None:
        """Hand over a batch in order."""
        try:
            self._places.judged(route.peer.address, route.peer.node_id)
            if not route.whole(batch, self._chunk):
                _judge(self._transport(route, batch), bare=route.passthrough and len(batch) == 1)
                return
            for message in batch:
                _judge(self._invoke(route, message), bare=route.passthrough)
        except Unfit as unfit:
            raise not_allowed(unfit, route.peer) from unfit
        except seam.Unreachable as unreachable:
            raise RelayFailed(f"unreachable: {unreachable}", transient=True, heard=False) from unreachable

    def close(self) -> None:
        """Connections belong to the outbound seam."""

    def _invoke(self, route: Route, message: Outgoing) -> seam.OutboundAnswer:
        url = route.peer.address.rstrip("/") + INVOKE
        names = {TOPIC: message.topic, SEQUENCE: str(message.sequence)}
        path = urlsplit(url).path
        if route.passthrough:
            body = message.whole()
            more = {**names, "content-type": "application/octet-stream"}
            headers = self._stamps.headers(route, path, body, version=BARE, more=more)
        else:
            body = Inbound(metadata=names, payload=message.whole()).SerializeToString()
            headers = self._stamps.headers(route, path, body, more={"content-type": PROTOBUF})
        return self._outbound.send("POST", url, headers, body, self._timeout)

    def _transport(self, route: Route, batch: Sequence[Outgoing]) -> seam.OutboundAnswer:
        url = route.peer.address.rstrip("/") + TRANSPORT
        headers, code = self._stamps.stream(route, urlsplit(url).path, {"content-type": PROTOBUF})
        chunks = pack(cut(batch, code, self._chunk))
        if isinstance(self._outbound, seam.StreamingOutbound):
            return self._outbound.stream(url, headers, chunks, self._timeout)
        return self._outbound.send("POST", url, headers, b"".join(chunks), self._timeout)


def _judge(answer: seam.OutboundAnswer, *, bare: bool) -> None:
    """Return when the answer says that all arrived."""
    if answer.headers.get("content-type", "").startswith("application/json"):
        raise refused(_refusal(answer.body), answer.status)
    if bare:
        if answer.status != 200:
            raise refused(None, answer.status)
        return
    try:
        outcome = Outbound.FromString(answer.body)
    except DecodeError:
        raise RelayFailed("the answer is no Outbound", transient=answer.status >= 500, heard=False) from None
    if answer.status != 200 or outcome.code != OK:
        raise refused(outcome.metadata.get("error"), answer.status)


def _refusal(body: bytes) -> str | None:
    try:
        envelope: Any = json.loads(body)
    except (ValueError, RecursionError):
        return None
    data = envelope.get("data") if isinstance(envelope, Mapping) else None
    name = data.get("error") if isinstance(data, Mapping) else None
    return name if isinstance(name, str) else None
