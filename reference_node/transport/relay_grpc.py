"""Messages to another node over gRPC, for addresses grpc://host:port (9.1-c): the same frames, headers as metadata.

Guarantees: as over HTTP; the signature covers the method's path and the serialised message as it stands on the wire.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any, Final
from urllib.parse import urlsplit

import grpc

from reference_node.domain.places import IP, Unfit
from reference_node.errors import ConfigError
from reference_node.faults import Faults
from reference_node.proto.transport_pb2 import Inbound, Outbound
from reference_node.security import signing
from reference_node.security.tls import SecureChannel
from reference_node.transport.frames import SEQUENCE, TOPIC, Frame, cut
from reference_node.transport.partner import Peer
from reference_node.transport.places import Places
from reference_node.transport.relay import OK, Outgoing, RelayFailed, Route, not_allowed, refused
from reference_node.transport.relay_http import INVOKE as HTTP_INVOKE
from reference_node.transport.stamps import TOKEN, VERSION, Stamps
from reference_node.transport.tls import Called
from reference_node.transport.tls_grpc import Folder, Way

PROTOCOL: Final = "org.ppc.ptp.PrivateTransferProtocol"
COMPONENTS: Final = "org.ppc.ptp.PrivateTransferTransport"
INVOKE: Final = f"/{PROTOCOL}/invoke"
TRANSPORT: Final = f"/{PROTOCOL}/transport"
MESSAGE_LIMIT: Final = 72 * 1024 * 1024
OPTIONS: Final = (
    ("grpc.max_receive_message_length", MESSAGE_LIMIT),
    ("grpc.max_send_message_length", MESSAGE_LIMIT),
    ("grpc.enable_http_proxy", 0),
)


Dial = Callable[[str], grpc.Channel]  # opens a channel to an address grpc://host:port
_Target = tuple[str, str, tuple[IP, ...]]  # host and port, the node that is there, and the judged IP addresses


class GrpcRelay:
    """Carries messages to grpc:// addresses; one channel for each."""

    def __init__(
        self,
        stamps: Stamps,
        places: Places,
        *,
        timeout: float,
        chunk: int,
        tls: SecureChannel | None = None,
        handshake_seconds: float = 10.0,
        dial: Dial | None = None,
        faults: Faults | None = None,
    ) -> None:
        self._faults = Faults() if faults is None else faults
        self._dial = dial
        self._stamps = stamps
        self._places = places
        self._tls = tls
        self._handshake_seconds = handshake_seconds
        self._timeout = timeout
        self._chunk = chunk
        self._lock = threading.Lock()
        self._channels: dict[_Target, grpc.Channel] = {}
        self._ways: dict[_Target, Way] = {}
        self._folder: Folder | None = None

    def deliver(self, route: Route, batch: Sequence[Outgoing]) -> None:
        """Hand over a batch in order."""
        target = self._target(route.peer)
        channel = self._channel(target)
        batch = self._bent(batch)
        try:
            if not route.whole(batch, self._chunk):
                self._transport(channel, route, batch)
                return
            for message in batch:
                self._invoke(channel, route, message)
        except grpc.RpcError as failure:
            if self._faults.on("grpc-broken-call-taken-as-done"):
                return
            way = self._ways.get(target)
            if way and self._faults.on("plain-grpc-fallback"):
                self._channels[target] = grpc.insecure_channel(urlsplit(route.peer.address).netloc)
            why = (way and way.failure) or _status(failure)
            raise RelayFailed(f"unreachable: {why}", transient=True, heard=False) from failure

    def close(self) -> None:
        """Close every channel."""
        with self._lock:
            for channel in self._channels.values():
                channel.close()
            for way in self._ways.values():
                way.close()
            if self._folder is not None:
                self._folder.close()
            self._folder = None
            self._channels.clear()
            self._ways.clear()

    def _target(self, peer: Peer) -> _Target:
        """Return where a node is: the name, and what it leads to just now."""
        try:
            found = self._places.judged(peer.address, peer.node_id)
        except Unfit as unfit:
            raise not_allowed(unfit, peer) from unfit
        if not found:
            raise RelayFailed("unreachable: the name has no address", transient=True, heard=False)
        first = found[0].version  # the order within a version is another at each lookup, and means nothing
        ordered = tuple(sorted(found, key=lambda item: (item.version != first, int(item))))
        return urlsplit(peer.address).netloc, peer.node_id, ordered

    def _channel(self, target: _Target) -> grpc.Channel:
        with self._lock:
            if target not in self._channels:
                self._forget(target)
                self._channels[target] = self._open(target)
            return self._channels[target]

    def _forget(self, target: _Target) -> None:
        """Close what leads to where a name led before."""
        for former in [item for item in self._channels if item[:2] == target[:2]]:
            self._channels.pop(former).close()
            if former in self._ways:
                self._ways.pop(former).close()

    def _open(self, target: _Target) -> grpc.Channel:
        netloc, node_id, found = target
        if self._dial is not None:
            return self._dial(f"grpc://{netloc}")
        if self._tls is None:
            return grpc.insecure_channel(_pinned(netloc, found), options=(*OPTIONS, ("grpc.default_authority", netloc)))
        parts = urlsplit(f"//{netloc}")
        called = Called(parts.hostname or "", parts.port or 0, node_id, tuple(map(str, found)))
        try:
            self._folder = self._folder or Folder()
            way = self._ways[target] = Way(self._tls, self._folder, called, self._handshake_seconds)
        except (OSError, ConfigError) as failure:
            raise RelayFailed(f"no channel could be opened: {failure}", transient=True, heard=False) from failure
        return grpc.insecure_channel(way.target, options=(*OPTIONS, ("grpc.default_authority", netloc)))

    def _bent(self, batch: Sequence[Outgoing]) -> Sequence[Outgoing]:
        """Return a batch as the defects of this relay leave it."""
        if self._faults.on("grpc-numbers-left-at-zero"):
            batch = [replace(message, sequence=0) for message in batch]
        if self._faults.on("grpc-topics-shortened"):
            batch = [replace(message, topic=message.topic[:2]) for message in batch]
        return [*batch, *batch] if self._faults.on("grpc-batch-sent-twice") else batch

    def _invoke(self, channel: grpc.Channel, route: Route, message: Outgoing) -> None:
        metadata = {TOPIC: message.topic, SEQUENCE: str(message.sequence)}
        body = Inbound(metadata=metadata, payload=message.whole()).SerializeToString()
        call = channel.unary_unary(INVOKE, request_serializer=bytes, response_deserializer=Outbound.FromString)
        path = HTTP_INVOKE if self._faults.on("grpc-signed-for-http-path") else INVOKE
        headers = self._stamps.headers(route, path, body)
        if self._faults.on("grpc-message-unsigned"):
            del headers[signing.SIGNATURE]
        if self._faults.on("grpc-message-without-version"):
            del headers[VERSION]
        if self._faults.on("grpc-shows-session-as-token"):
            headers[TOKEN] = route.session_id
        answer = call(body, timeout=self._timeout, metadata=tuple(headers.items()))
        if not self._faults.on("grpc-answer-not-read"):
            _judge(answer)

    def _transport(self, channel: grpc.Channel, route: Route, batch: Sequence[Outgoing]) -> None:
        headers, code = self._stamps.stream(route, TRANSPORT)
        call = channel.stream_stream(
            TRANSPORT, request_serializer=Frame.content, response_deserializer=Outbound.FromString
        )
        progress = _Progress(cut(batch, code, self._chunk))
        answers = call(progress.frames(), metadata=tuple(headers.items()))
        cancel: Callable[[], Any] = answers.cancel
        progress.watch(cancel, self._timeout)
        try:
            heard = 0
            for answer in answers:
                _judge(answer)
                progress.moved()
                heard += 1
        finally:
            progress.stop()
            cancel()
        if heard != len(batch):
            raise RelayFailed("the stream ended early", transient=True, heard=False)


class _Progress:
    """Ends a stream on which nothing moves; a stream as such may last as long as its messages need."""

    def __init__(self, frames: Iterator[Frame]) -> None:
        self._frames = frames
        self._moved = threading.Event()
        self._stopped = False

    def frames(self) -> Iterator[Frame]:
        """Yield the frames and note that they are asked for."""
        for frame in self._frames:
            self.moved()
            yield frame

    def moved(self) -> None:
        """Note that something went or came."""
        self._moved.set()

    def stop(self) -> None:
        """End the watch."""
        self._stopped = True
        self._moved.set()

    def watch(self, cancel: Callable[[], Any], timeout: float) -> None:
        """Cancel once nothing has moved for `timeout` seconds."""

        def _watch() -> None:
            while self._moved.wait(timeout) and not self._stopped:
                self._moved.clear()
            if not self._stopped:
                cancel()

        threading.Thread(target=_watch, name="stream-watch", daemon=True).start()


def _pinned(netloc: str, found: tuple[IP, ...]) -> str:
    """Return judged addresses as gRPC names them; of both versions those of IPv4 are spelled as mapped."""
    port = netloc.rpartition(":")[2]
    if all(isinstance(item, IPv4Address) for item in found):
        return "ipv4:" + ",".join(f"{item}:{port}" for item in found)
    spelled = (f"::ffff:{item}" if isinstance(item, IPv4Address) else str(item) for item in found)
    return "ipv6:" + ",".join(f"[{item}]:{port}" for item in spelled)


def _judge(answer: Outbound) -> None:
    if answer.code != OK:
        status = answer.metadata.get("status", "")
        raise refused(answer.metadata.get("error"), int(status) if status.isdecimal() else 500)


def _status(failure: grpc.RpcError) -> str:
    code = getattr(failure, "code", None)
    return str(code().name) if callable(code) else type(failure).__name__
