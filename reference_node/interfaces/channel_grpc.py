"""The data plane over gRPC (9.1-c), on a port of its own: the services of specs/proto/transport.proto.

Guarantees: the same admission and the same outcome as over HTTP, headers as metadata; a refusal is an answer whose
`code` says so and whose metadata names it; the signature is verified over the message as it stood on the wire, which is
why messages are handed to the methods unparsed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

import grpc
import structlog
from google.protobuf.message import DecodeError
from google.protobuf.message import Message as Protobuf

from reference_node.errors import Refusal
from reference_node.interfaces import channel_calls as calls
from reference_node.interfaces import router
from reference_node.node import Node
from reference_node.proto.transport_pb2 import (
    Inbound,
    Outbound,
    PeekInbound,
    PopInbound,
    PushInbound,
    ReleaseInbound,
    TransportOutbound,
)
from reference_node.security import doubled_headers, entrance, signing
from reference_node.security.incoming import Incoming
from reference_node.transport import frames, stamps
from reference_node.transport.relay import NOTHING, OK, code_of
from reference_node.transport.relay_grpc import COMPONENTS, INVOKE, OPTIONS, PROTOCOL, TRANSPORT
from reference_node.transport.spool import Payload
from reference_node.transport.tls_grpc import Caller, Door

log = structlog.get_logger("reference_node")
_THREADS: Final = 64
_BOUNDS: Final = (  # what gRPC's own core does about connections on which nothing comes
    ("grpc.server_handshake_timeout_ms", 10_000),
    ("grpc.max_connection_idle_ms", 300_000),
    ("grpc.max_allowed_incoming_connections", 1024),
)
Context = grpc.ServicerContext
Kind = TypeVar("Kind", bound=Protobuf)


class GrpcServer:
    """The services of one node on a port; over TLS, behind a door."""

    def __init__(self, node: Node, host: str, port: int, threads: int = _THREADS) -> None:
        self._door: Door | None = None
        if node.tls is not None:
            self._door = Door(node.tls, host, port, node.config.tls_handshake_seconds)
        self._server = grpc.server(ThreadPoolExecutor(threads, thread_name_prefix="grpc"), options=[*OPTIONS, *_BOUNDS])
        self._server.add_generic_rpc_handlers(
            tuple(
                grpc.method_handlers_generic_handler(service, rows)
                for service, rows in _services(Hall(node, self._door)).items()
            )
        )
        shown = f"[{host}]" if ":" in host else host
        if self._door is None:
            self.port = self._server.add_insecure_port(f"{shown}:{port}")
        else:
            self._server.add_insecure_port(self._door.inner)
            self.port = self._door.port
        self.address = f"grpc://{shown}:{self.port}"

    def start(self) -> None:
        """Serve in threads of its own."""
        self._server.start()
        if self._door is not None:
            self._door.open()

    def stop(self) -> None:
        """Let running calls finish for a moment, then end them."""
        if self._door is not None:
            self._door.refuse()
        self._server.stop(grace=1).wait()
        if self._door is not None:
            self._door.close()


@dataclass(frozen=True, slots=True)
class Hall:
    """A node, and the door through which its callers have come."""

    node: Node
    door: Door | None = None

    def incoming(self, method: str, context: Context, body: bytes) -> Incoming:
        """Return a call that may have come this way; else refuse it."""
        caller = Caller(None, _remote(context.peer()))
        if self.door is not None:
            caller = self.door.caller(context.peer()) or caller
            if caller.presented is None:
                raise Refusal("CHANNEL_NOT_SECURE")
        found = doubled_headers.repeated((name, "") for name, _ in context.invocation_metadata())
        if found is not None:
            raise Refusal("HEADER_REPEATED", pointer=found)
        incoming = Incoming("POST", method, "", _headers(context), body, caller.remote, caller.presented)
        self._check(incoming)
        return incoming

    def _check(self, incoming: Incoming) -> None:
        faults, shown = self.node.faults, incoming.channel
        if shown is not None and shown.certificate is None and faults.on("grpc-certificate-not-demanded"):
            return
        if faults.on("grpc-certificate-of-other-node-taken"):
            kept = {name: value for name, value in incoming.headers.items() if name != signing.SOURCE}
            incoming = replace(incoming, headers=kept)
        entrance.check(self.node, incoming)


def methods(node: Node) -> dict[str, grpc.RpcMethodHandler[Any, Any]]:
    """Return every method by its path."""
    services = _services(Hall(node))
    return {f"/{service}/{name}": method for service, rows in services.items() for name, method in rows.items()}


def _services(hall: Hall) -> dict[str, dict[str, grpc.RpcMethodHandler[Any, Any]]]:
    return {PROTOCOL: _protocol(hall), COMPONENTS: _components(hall)}


def _protocol(hall: Hall) -> dict[str, grpc.RpcMethodHandler[Any, Any]]:
    answer = Outbound.SerializeToString
    return {
        "invoke": grpc.unary_unary_rpc_method_handler(
            lambda body, context: _invoke(hall, body, context), response_serializer=answer
        ),
        "transport": grpc.stream_stream_rpc_method_handler(
            lambda bodies, context: _transport(hall, bodies, context), response_serializer=answer
        ),
    }


def _components(hall: Hall) -> dict[str, grpc.RpcMethodHandler[Any, Any]]:
    def _method(name: str, method: Callable[[Node, bytes, dict[str, str]], TransportOutbound]) -> Any:
        def _call(body: bytes, context: Context) -> TransportOutbound:
            try:
                incoming = hall.incoming(f"/{COMPONENTS}/{name}", context, body)
                return method(hall.node, body, dict(incoming.headers))
            except Exception as failure:  # noqa: BLE001 - answered, never thrown at the caller
                return TransportOutbound(**_refusal(failure))

        return grpc.unary_unary_rpc_method_handler(_call, response_serializer=TransportOutbound.SerializeToString)

    rows = {"push": _push, "pop": _pop, "peek": _peek, "release": _release}
    return {name: _method(name, method) for name, method in rows.items()}


def _invoke(hall: Hall, body: bytes, context: Context) -> Outbound:
    node = hall.node
    try:
        if len(body) > calls.BODY_LIMIT and not node.faults.on("grpc-oversize-message-taken"):
            raise Refusal("BODY_TOO_LARGE")
        incoming = hall.incoming(INVOKE, context, body)
        session = calls.partner_session(node, incoming)
        inbound = _parsed(Inbound(), body)
        message = calls.arrival(inbound.payload, inbound.metadata, incoming.headers)
        fresh = calls.take_in(node, session, incoming.headers[stamps.SOURCE], message)
        if not fresh and node.faults.on("grpc-repeated-message-refused"):
            raise Refusal("REQUEST_INVALID", pointer=frames.SEQUENCE)
    except Exception as failure:  # noqa: BLE001 - answered, never thrown at the caller
        refused = _refusal(failure)
        return Outbound(**refused | ({"code": "E0000000500"} if node.faults.on("grpc-refusal-uncoded") else {}))
    return Outbound(code=OK, message=calls.DONE, metadata={} if fresh else {"duplicate": "1"})


def _transport(hall: Hall, bodies: Iterator[bytes], context: Context) -> Iterator[Outbound]:
    """Answer each message of the stream once it is in its topic; a refusal ends the stream."""
    node = hall.node
    try:
        incoming = hall.incoming(TRANSPORT, context, b"")
        session = calls.partner_session(node, incoming)
        with calls.assembler(node, session, incoming.headers) as assembler:
            for body in bodies:
                if len(body) > frames.LIMIT and not node.faults.on("grpc-oversize-frame-taken"):
                    raise Refusal("FRAME_INVALID")
                if assembler.feed(frames.parsed(body)):
                    yield Outbound(code=OK, message=calls.DONE, metadata={"accepted": str(assembler.accepted)})
            assembler.finish()
    except Exception as failure:  # noqa: BLE001 - answered, never thrown at the caller
        yield Outbound(**_refusal(failure))


def _push(node: Node, body: bytes, headers: dict[str, str]) -> TransportOutbound:
    session = calls.component_session(node, headers)
    message = _parsed(PushInbound(), body)
    topic = calls.checked_topic(message.topic or headers.get(frames.TOPIC, ""))
    payload = node.sessions.spool.keep(message.payload)
    ticket = calls.ticket(node, headers)
    node.sessions.push_once(session, headers[stamps.TARGET], topic, payload, calls.PUSH_SECONDS, ticket)
    return TransportOutbound(code=OK, message=calls.DONE)


def _pop(node: Node, body: bytes, headers: dict[str, str]) -> TransportOutbound:
    session = calls.component_session(node, headers)
    message = _parsed(PopInbound(), body)
    topic = calls.checked_topic(message.topic or headers.get(frames.TOPIC, ""))
    ticket = calls.ticket(node, headers)
    payload = node.sessions.pop(session, topic, calls.seconds(message.timeout, calls.POP_SECONDS), ticket)
    if payload is not None and payload.size > calls.BODY_LIMIT:  # one gRPC message cannot carry it
        if ticket is None:
            session.mailbox.put_back(topic, payload)
        else:
            payload.discard()
        raise Refusal("BODY_TOO_LARGE")
    if payload is not None and node.faults.on("grpc-pop-without-payload"):
        payload.discard()
        payload = node.sessions.spool.keep(b"")
    return _content(payload)


def _peek(node: Node, body: bytes, headers: dict[str, str]) -> TransportOutbound:
    session = calls.component_session(node, headers)
    message = _parsed(PeekInbound(), body)
    payload = session.mailbox.peek(calls.checked_topic(message.topic or headers.get(frames.TOPIC, "")))
    if payload is not None and payload.size > calls.BODY_LIMIT:
        payload.discard()
        raise Refusal("BODY_TOO_LARGE")
    return _content(payload)


def _release(node: Node, body: bytes, headers: dict[str, str]) -> TransportOutbound:
    session = calls.component_session(node, headers)
    message = _parsed(ReleaseInbound(), body)
    session.mailbox.release(calls.checked_topic(message.topic or headers.get(frames.TOPIC, "")) or None)
    return TransportOutbound(code=OK, message=calls.DONE)


def _content(payload: Payload | None) -> TransportOutbound:
    if payload is None:
        return TransportOutbound(code=NOTHING, message=calls.EMPTY)
    answer = TransportOutbound(code=OK, message=calls.DONE, payload=payload.read())
    payload.discard()
    return answer


def _parsed(message: Kind, body: bytes) -> Kind:
    try:
        message.ParseFromString(body)
    except DecodeError:
        raise Refusal("REQUEST_INVALID", pointer="") from None
    return message


def _headers(context: Context) -> dict[str, str]:
    """Return the metadata as headers; one that stands twice is joined, where it may."""
    found: dict[str, str] = {}
    for name, value in context.invocation_metadata():
        text = value if isinstance(value, str) else value.decode("latin-1")
        found[name] = f"{found[name]},{text}" if name in found else text
    return found


def _remote(peer: str) -> str:
    """Return the address alone of ipv4:10.0.0.1:5000 or ipv6:[::1]:5000."""
    return peer.partition(":")[2].rpartition(":")[0].strip("[]")


def _refusal(failure: Exception) -> dict[str, Any]:
    refused = router.as_refusal(failure)
    if refused.name == "INTERNAL":
        log.error("handler failed", exc_info=failure)
    status = refused.code.status
    metadata = {"error": refused.name, "status": str(status)}
    metadata |= {name: str(value) for name, value in refused.extra.items() if isinstance(value, (int, str))}
    return {"code": code_of(refused.name, status), "message": refused.code.msg.zh, "metadata": metadata}
