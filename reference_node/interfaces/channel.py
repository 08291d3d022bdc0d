"""The data plane over HTTP (6.2-c, 9.1-c): push, pop, peek, release for components; invoke and transport for nodes.

These operations have a pipeline of their own beside the router's: bodies may be raw and of any size. Guarantees: a
component is admitted by its session's token, a node by its signature, its contract and that token; a body is read
only after that, or is small; a message goes into the spool and out of it in pieces; what is refused is refused in the
form of the request, as protobuf message or as the node's common envelope.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import parse_qsl

import flask
from google.protobuf.message import DecodeError
from google.protobuf.message import Message as Protobuf
from werkzeug.exceptions import MethodNotAllowed

import specs
from reference_node.errors import Refusal
from reference_node.interfaces import channel_bodies as bodies
from reference_node.interfaces import channel_calls as calls
from reference_node.interfaces import router, wire
from reference_node.interfaces.channel_bodies import Manner
from reference_node.node import Node
from reference_node.proto.transport_pb2 import Inbound, PeekInbound, PopInbound, PushInbound, ReleaseInbound
from reference_node.security import doubled_headers, entrance
from reference_node.security.errors import SecurityFailure
from reference_node.security.incoming import Incoming
from reference_node.transport import frames, stamps
from reference_node.transport.pushing import Push
from reference_node.transport.relay import NOTHING, OK, code_of
from reference_node.transport.sessions import Session
from reference_node.transport.spool import CHUNK, Payload

PROTOCOL: Final = "channel"
_NO_LIMIT: Final = 1 << 40  # for defects
Kind = TypeVar("Kind", bound=Protobuf)


class Stream(Protocol):
    """The body of a request as the server hands it over."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes."""


class Request:
    """One request: its headers at once, its body when it is asked for."""

    def __init__(self, environ: Mapping[str, Any], path: str) -> None:
        self.head = router.incoming(environ, path, b"")
        self.headers = self.head.headers
        self._stream: Stream = environ["wsgi.input"]
        self._length = environ.get("CONTENT_LENGTH") or ""
        self.chunked = "chunked" in self.headers.get("transfer-encoding", "").lower()
        if self._length and not self._length.isdecimal():
            raise Refusal("REQUEST_INVALID", pointer="content-length")

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters, the last of each name."""
        return dict(parse_qsl(self.head.query, keep_blank_values=True, max_num_fields=100))

    @property
    def stated(self) -> int:
        """The length that the request states."""
        return int(self._length or 0)

    def whole(self, limit: int = calls.BODY_LIMIT) -> bytes:
        """Return the body; refuse one that is longer than the limit."""
        if self.stated > limit:
            raise Refusal("BODY_TOO_LARGE")
        if self.chunked:
            self.unbounded()
        kept = bytearray()
        for piece in self.pieces():
            kept += piece
            if len(kept) > limit:
                raise Refusal("BODY_TOO_LARGE")
        return bytes(kept)

    def pieces(self) -> Iterator[bytes]:
        """Yield the body."""
        left = self.stated
        while self.chunked or left:
            piece = self._stream.read(CHUNK if self.chunked else min(CHUNK, left))
            if not piece:
                break
            left -= len(piece)
            yield piece
        if left > 0:  # the caller went away: half a message is none
            raise Refusal("REQUEST_INVALID", pointer="content-length")

    def reader(self) -> Callable[[int], bytes]:
        """Return a function that reads a given number of bytes, less only at the end."""
        self.unbounded()
        if self.chunked:
            return self._stream.read
        pending = bytearray()
        pieces = self.pieces()

        def _read(size: int) -> bytes:
            while len(pending) < size and (piece := next(pieces, b"")):
                pending.extend(piece)
            taken = bytes(pending[:size])
            del pending[:size]
            return taken

        return _read

    def unbounded(self) -> None:
        """Lift the server's limits of a body, once it is known who sends it: the quota bounds it from here."""
        if hasattr(self._stream, "maxlen"):
            self._stream.maxlen = 0
        if hasattr(self._stream, "trust"):
            self._stream.trust()


Operation = Callable[[Node, Request, Manner], flask.Response]


def register(app: flask.Flask, node: Node) -> None:
    """Give the application the routes of the data plane."""
    for operation in specs.operations().values():
        if operation.protocol == PROTOCOL:
            handler = HANDLERS[operation.id]
            view = partial(_serve, node, operation, handler)
            app.add_url_rule(
                operation.path, operation.id, view, methods=[operation.method], provide_automatic_options=False
            )


def _serve(node: Node, operation: specs.Operation, handler: Operation) -> flask.Response:
    environ = flask.request.environ
    if environ["REQUEST_METHOD"] != operation.method:
        raise MethodNotAllowed([operation.method])
    request = Request(environ, operation.path)
    to_node = handler in (_invoke, _transport)
    manner = _node_manner(request) if to_node else bodies.manner_of(request.headers.get("content-type", ""))
    if manner is Manner.BARE and to_node and node.faults.on("pass-through-not-taken"):
        manner = Manner.PROTOBUF
    try:
        doubled_headers.refuse(environ.get(doubled_headers.ENVIRON), node.faults)
        entrance.check(node, request.head)
        return handler(node, request, manner)
    except Exception as failure:
        refused = router.as_refusal(failure)
        router.count(node, refused)
        answer = None if refused.name == "INTERNAL" else bodies.refusal(manner, refused, to_node=to_node)
        if answer is not None:
            return answer
        if refused.name == "INTERNAL":
            raise
        refused.extra["ptp_code"] = code_of(refused.name, refused.code.status)
        raise refused from failure


def _node_manner(request: Request) -> Manner:
    """Return the form of a node's request: bare with version 1, else JSON when it says so, else protobuf."""
    json = request.headers.get("content-type", "").lower().startswith("application/json")
    if request.headers.get(stamps.VERSION) == stamps.BARE and not json:
        return Manner.BARE
    return Manner.JSON if json else Manner.PROTOBUF


def _push(node: Node, request: Request, manner: Manner) -> flask.Response:
    session = calls.component_session(node, request.headers, manner)
    # the black box form's callers wait 20 s for an answer, and try again only if they get one
    patience = calls.BLACKBOX_SECONDS if manner == Manner.BLACKBOX else calls.PUSH_SECONDS
    timeout = calls.seconds(request.query.get("timeout"), patience)
    target, ticket = request.headers[stamps.TARGET], calls.ticket(node, request.headers)
    if manner in (Manner.BARE, Manner.BLACKBOX):
        topic = calls.checked_topic(request.headers.get(frames.TOPIC, ""))
        request.unbounded()
        with Push(node.sessions, session, target, topic, ticket) as push:
            for piece in request.pieces():
                push.write(piece)
            push.finish(timeout)
    else:
        topic, payload = _pushed(node, request, manner)
        node.sessions.push_once(session, target, topic, payload, timeout, ticket)
    return bodies.outcome(manner, OK, calls.DONE, {}, to_node=False)


def _pushed(node: Node, request: Request, manner: Manner) -> tuple[str, Payload]:
    """Return topic and payload of a push whose body is a message."""
    spool = node.sessions.spool
    topic = request.headers.get(frames.TOPIC, "")
    if manner == Manner.JSON:
        body = wire.read_object(request.whole())
        topic = calls.checked_topic(body.get("topic", topic))
        if node.faults.on("json-push-not-decoded"):
            return topic, spool.keep(str(body.get("payload")).encode())
        return topic, spool.keep(calls.base64_bytes(body.get("payload"), "/payload"))
    message = _parsed(PushInbound, request.whole())
    return calls.checked_topic(message.topic or topic), spool.keep(message.payload)


def _pop(node: Node, request: Request, manner: Manner) -> flask.Response:
    session = calls.component_session(node, request.headers, manner)
    topic, timeout = _timed(request, manner, PopInbound)
    ticket = calls.ticket(node, request.headers)
    payload = node.sessions.pop(session, topic, calls.seconds(timeout, calls.POP_SECONDS), ticket)
    if payload is None and node.faults.on("empty-topic-not-found"):
        raise Refusal("RESOURCE_NOT_FOUND")
    if payload is None:
        return bodies.outcome(manner, NOTHING, calls.EMPTY, {}, to_node=False)

    def settle(whole: bool) -> None:
        if whole or ticket is not None:
            payload.discard()
        else:
            session.mailbox.put_back(topic, payload)

    return bodies.content(manner, OK, calls.DONE, payload, settle)


def _peek(node: Node, request: Request, manner: Manner) -> flask.Response:
    session = calls.component_session(node, request.headers, manner)
    topic, _ = _timed(request, manner, PeekInbound)
    payload = session.mailbox.peek(topic)
    if payload is None:
        return bodies.outcome(manner, NOTHING, calls.EMPTY, {}, to_node=False)
    return bodies.content(manner, OK, calls.DONE, payload, lambda _whole: payload.discard())


def _release(node: Node, request: Request, manner: Manner) -> flask.Response:
    session = calls.component_session(node, request.headers, manner)
    topic, _ = _timed(request, manner, ReleaseInbound)
    session.mailbox.release(topic or None)
    return bodies.outcome(manner, OK, calls.DONE, {}, to_node=False)


def _timed(request: Request, manner: Manner, kind: type[PopInbound | PeekInbound | ReleaseInbound]) -> tuple[str, Any]:
    """Return topic and time-out of a request: of the body, else of header and query."""
    topic, timeout = request.headers.get(frames.TOPIC, ""), request.query.get("timeout")
    body = request.whole(router.BODY_LIMIT)
    if manner == Manner.JSON and body:
        fields = wire.read_object(body)
        topic, timeout = fields.get("topic", topic), fields.get("timeout", timeout)
    elif manner == Manner.PROTOBUF:
        message = _parsed(kind, body)
        topic, timeout = message.topic or topic, getattr(message, "timeout", None) or timeout
    return calls.checked_topic(topic), timeout


def _invoke(node: Node, request: Request, manner: Manner) -> flask.Response:
    session, body = _signed_body(node, request)
    if manner == Manner.BARE:
        message = calls.arrival(body, {}, request.headers)
    elif manner == Manner.JSON:
        fields = wire.read_object(body)
        payload = calls.base64_bytes(fields.get("payload", ""), "/payload")
        message = calls.arrival(
            str(fields.get("payload")).encode() if node.faults.on("json-message-not-decoded") else payload,
            calls.text_pairs(fields.get("metadata", {}), "/metadata"),
            request.headers,
        )
    else:
        try:
            inbound = _parsed(Inbound, body)
        except Refusal:
            if not node.faults.on("garbled-message-taken"):
                raise
            inbound = Inbound(payload=body)
        message = calls.arrival(inbound.payload, inbound.metadata, request.headers)
    fresh = calls.take_in(node, session, request.headers[stamps.SOURCE], message)
    return bodies.outcome(manner, OK, calls.DONE, {} if fresh else {"duplicate": "1"}, to_node=True)


def _transport(node: Node, request: Request, manner: Manner) -> flask.Response:
    if frames.ALGORITHM_HEADER not in request.headers:  # without frames it is one message, as with invoke
        return _invoke(node, request, manner)
    session = calls.partner_session(node, request.head)
    with calls.assembler(node, session, request.headers) as assembler:
        limit = _NO_LIMIT if node.faults.on("oversize-frame-taken") else frames.LIMIT
        for frame in frames.unpack(request.reader(), limit):
            assembler.feed(frame)
        accepted = assembler.finish()
    return bodies.outcome(manner, OK, calls.DONE, {"accepted": str(accepted)}, to_node=True)


def _signed_body(node: Node, request: Request) -> tuple[Session, bytes]:
    """Read a body that a signature covers; a large one only for who knows a session's token."""
    headers = request.headers
    if request.stated > router.BODY_LIMIT or request.chunked:
        source = headers.get(stamps.SOURCE, "")
        node.sessions.of_partner(headers.get(stamps.SESSION, ""), headers.get(stamps.TOKEN, ""), source)
    body = _bounded(node, request)
    head = request.head
    incoming = Incoming(head.method, head.path, head.query, headers, body, head.remote, head.channel)
    try:
        return calls.partner_session(node, incoming), body
    except (Refusal, SecurityFailure):
        if node.faults.on("refused-message-kept"):
            with contextlib.suppress(Refusal):  # the answer remains what it was
                _keep(node, headers, body)
        if headers.get(stamps.VERSION) == stamps.BARE and node.faults.on("refused-bare-message-kept"):
            _taken(node, headers, calls.arrival(body, {}, headers))
        raise


def _bounded(node: Node, request: Request) -> bytes:
    """Return a body that is not longer than a message may be."""
    if node.faults.on("oversize-message-taken"):
        return request.whole(_NO_LIMIT)
    try:
        return request.whole()
    except Refusal:
        if node.faults.on("oversize-message-kept"):
            inbound = _parsed(Inbound, request.whole(_NO_LIMIT))
            _keep(node, request.headers, Inbound(metadata=inbound.metadata, payload=b"cut").SerializeToString())
        raise


def _keep(node: Node, headers: Mapping[str, str], body: bytes) -> None:
    """Take a message in although it is refused, for the defect that checks too late."""
    inbound = _parsed(Inbound, body)
    _taken(node, headers, calls.arrival(inbound.payload, inbound.metadata, headers))


def _taken(node: Node, headers: Mapping[str, str], message: calls.Arrival) -> None:
    session = node.sessions.of_any(headers.get(stamps.SESSION, ""))
    if session is not None:
        calls.take_in(node, session, "nobody", message)


def _parsed(kind: type[Kind], body: bytes) -> Kind:
    try:
        return kind.FromString(body)
    except DecodeError:
        raise Refusal("REQUEST_INVALID", pointer="") from None


HANDLERS: Final[Mapping[str, Operation]] = {
    "chanInvoke": _invoke,
    "chanTransport": _transport,
    "chanPush": _push,
    "chanPop": _pop,
    "chanPeek": _peek,
    "chanRelease": _release,
}
