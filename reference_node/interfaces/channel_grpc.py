"""The data plane over gRPC (9.1-c), on a port of its own: the services of specs/proto/transport.proto.

Guarantees: the same admission and the same outcome as over HTTP, headers as metadata; a refusal is an answer whose
`code` says so and whose metadata names it; the signature is verified over the message as it stood on the wire, which is
why messages are handed to the methods unparsed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
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
from reference_node.security import certificates, entrance
from reference_node.security.guards import Incoming
from reference_node.security.tls import Presented, SecureChannel
from reference_node.transport import frames, stamps
from reference_node.transport.relay import NOTHING, OK, code_of
from reference_node.transport.relay_grpc import COMPONENTS, INVOKE, OPTIONS, PROTOCOL, TRANSPORT
from reference_node.transport.spool import Payload

log = structlog.get_logger("reference_node")
_THREADS: Final = 64
Context = grpc.ServicerContext
Kind = TypeVar("Kind", bound=Protobuf)


class GrpcServer:
    """The services of one node on a port."""

    def __init__(self, node: Node, host: str, port: int, threads: int = _THREADS) -> None:
        self._server = grpc.server(ThreadPoolExecutor(threads, thread_name_prefix="grpc"), options=OPTIONS)
        self._server.add_generic_rpc_handlers(
            (
                grpc.method_handlers_generic_handler(PROTOCOL, _protocol(node)),
                grpc.method_handlers_generic_handler(COMPONENTS, _components(node)),
            )
        )
        wanted = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self.port = self._bind(wanted, node.tls)
        shown = f"[{host}]" if ":" in host else host
        self.address = f"grpc://{shown}:{self.port}"

    def _bind(self, wanted: str, tls: SecureChannel | None) -> int:
        if tls is None:
            return self._server.add_insecure_port(wanted)
        ca, key, chain = tls.material()
        credentials = grpc.ssl_server_credentials([(key, chain)], ca, require_client_auth=True)
        return self._server.add_secure_port(wanted, credentials)

    def start(self) -> None:
        """Serve in threads of its own."""
        self._server.start()

    def stop(self) -> None:
        """Let running calls finish for a moment, then end them."""
        self._server.stop(grace=1).wait()


def methods(node: Node) -> dict[str, grpc.RpcMethodHandler[Any, Any]]:
    """Return every method by its path."""
    services = {PROTOCOL: _protocol(node), COMPONENTS: _components(node)}
    return {f"/{service}/{name}": method for service, rows in services.items() for name, method in rows.items()}


def _protocol(node: Node) -> dict[str, grpc.RpcMethodHandler[Any, Any]]:
    answer = Outbound.SerializeToString
    return {
        "invoke": grpc.unary_unary_rpc_method_handler(
            lambda body, context: _invoke(node, body, context), response_serializer=answer
        ),
        "transport": grpc.stream_stream_rpc_method_handler(
            lambda bodies, context: _transport(node, bodies, context), response_serializer=answer
        ),
    }


def _components(node: Node) -> dict[str, grpc.RpcMethodHandler[Any, Any]]:
    def _method(method: Callable[[Node, bytes, dict[str, str]], TransportOutbound]) -> Any:
        def _call(body: bytes, context: Context) -> TransportOutbound:
            try:
                return method(node, body, _headers(context))
            except Exception as failure:  # noqa: BLE001 - answered, never thrown at the caller
                return TransportOutbound(**_refusal(failure))

        return grpc.unary_unary_rpc_method_handler(_call, response_serializer=TransportOutbound.SerializeToString)

    return {"push": _method(_push), "pop": _method(_pop), "peek": _method(_peek), "release": _method(_release)}


def _invoke(node: Node, body: bytes, context: Context) -> Outbound:
    try:
        incoming = _incoming(node, INVOKE, context, body)
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


def _transport(node: Node, bodies: Iterator[bytes], context: Context) -> Iterator[Outbound]:
    """Answer each message of the stream once it is in its topic; a refusal ends the stream."""
    try:
        incoming = _incoming(node, TRANSPORT, context, b"")
        session = calls.partner_session(node, incoming)
        with calls.assembler(node, session, incoming.headers) as assembler:
            for body in bodies:
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
    ticket = calls.ticket(headers)
    node.sessions.push_once(session, headers[stamps.TARGET], topic, payload, calls.PUSH_SECONDS, ticket)
    return TransportOutbound(code=OK, message=calls.DONE)


def _pop(node: Node, body: bytes, headers: dict[str, str]) -> TransportOutbound:
    session = calls.component_session(node, headers)
    message = _parsed(PopInbound(), body)
    topic = calls.checked_topic(message.topic or headers.get(frames.TOPIC, ""))
    ticket = calls.ticket(headers)
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
    """Return the metadata as headers; one that stands twice is joined, as HTTP has it."""
    found: dict[str, str] = {}
    for name, value in context.invocation_metadata():
        text = value if isinstance(value, str) else value.decode("latin-1")
        found[name] = f"{found[name]},{text}" if name in found else text
    return found


def _incoming(node: Node, method: str, context: Context, body: bytes) -> Incoming:
    incoming = Incoming("POST", method, "", _headers(context), body, _remote(context.peer()), _presented(node, context))
    entrance.check(node, incoming)
    return incoming


def _presented(node: Node, context: Context) -> Presented | None:
    """Return what the caller has shown; gRPC checks chains and dates, but knows no revocation list."""
    if node.tls is None:
        return None
    shown = b"".join(bytes(part) for part in context.auth_context().get("x509_pem_cert", ()))
    certificate = certificates.read(shown.decode("ascii"))
    node.tls.trust.check(certificate, node.now())
    return Presented(certificate)


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
