"""The forms in which the data plane is spoken over HTTP.

    JSON        application/json            {payload or content: base64, topic, metadata, timeout, code, message}
    PROTOBUF    application/x-protobuf      the messages of specs/proto/transport.proto
    BARE        application/octet-stream    the payload alone; topic and numbers in headers, refusals as envelopes
    BLACKBOX    no content type             in: the payload alone; out: a BlackboxOutbound, as SecretFlow reads it

Guarantees: a payload goes into an answer piece by piece, whatever the form; a message that could not be handed over
whole goes back to the head of its topic.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import Final

import flask

from reference_node.errors import Refusal
from reference_node.proto.transport_pb2 import BlackboxOutbound, Outbound, TransportOutbound
from reference_node.transport.frames import varint
from reference_node.transport.relay import FULL, NOTHING, code_of
from reference_node.transport.spool import Payload

CODE_HEADER: Final = "x-ptp-code"
PROTOBUF_TYPE: Final = "application/x-protobuf"
_THREES: Final = 3 * 256 * 1024  # a multiple of three, so that pieces of base64 join


class Manner(StrEnum):
    """How a body is spelled."""

    JSON = "JSON"
    PROTOBUF = "PROTOBUF"
    BARE = "BARE"
    BLACKBOX = "BLACKBOX"


def manner_of(content_type: str) -> Manner:
    """Return the form of a component's request."""
    media = content_type.partition(";")[0].strip().lower()
    match media:
        case "application/json":
            return Manner.JSON
        case "application/x-protobuf" | "application/protobuf":
            return Manner.PROTOBUF
        case "application/octet-stream":
            return Manner.BARE
        case "":
            return Manner.BLACKBOX
        case _:
            raise Refusal("MEDIA_TYPE_UNSUPPORTED", pointer="content-type")


class Handover:
    """The body of an answer that carries a payload: `settle` is told in the end whether all of it was taken."""

    def __init__(self, pieces: Iterator[bytes], settle: Callable[[bool], None]) -> None:
        self._pieces = pieces
        self._settle: Callable[[bool], None] | None = settle
        self._whole = False

    def __iter__(self) -> Iterator[bytes]:
        yield from self._pieces
        self._whole = True

    def close(self) -> None:
        """Tell, once, how it went."""
        settle, self._settle = self._settle, None
        if settle is not None:
            settle(self._whole)


def outcome(manner: Manner, code: str, message: str, metadata: Mapping[str, str], *, to_node: bool) -> flask.Response:
    """Return an answer without a payload."""
    match manner:
        case Manner.JSON:
            body: dict[str, object] = {"code": code, "message": message}
            if metadata:
                body["metadata"] = dict(metadata)
            answer = flask.Response(json.dumps(body, ensure_ascii=False), content_type="application/json")
        case Manner.PROTOBUF:
            kind = Outbound if to_node else TransportOutbound
            content = kind(code=code, message=message, metadata=metadata).SerializeToString()
            answer = flask.Response(content, content_type=PROTOBUF_TYPE)
        case Manner.BLACKBOX:
            content = BlackboxOutbound(code=code, message=message).SerializeToString()
            answer = flask.Response(content, content_type=PROTOBUF_TYPE)
        case Manner.BARE:
            answer = flask.Response(b"", 204 if code == NOTHING else 200, content_type="application/octet-stream")
    answer.headers[CODE_HEADER] = code
    return answer


def content(
    manner: Manner, code: str, message: str, payload: Payload, settle: Callable[[bool], None]
) -> flask.Response:
    """Return an answer with a payload."""
    head, tail, kind, length = b"", b"", PROTOBUF_TYPE, payload.size
    pieces = payload.chunks()
    match manner:
        case Manner.JSON:
            head = json.dumps({"code": code, "message": message}, ensure_ascii=False).encode()[:-1] + b', "content": "'
            tail, kind = b'"}', "application/json"
            pieces = map(base64.b64encode, payload.chunks(_THREES))
            length = 4 * -(-payload.size // 3)
        case Manner.PROTOBUF:  # fields may stand in any order, so the payload comes last
            head = TransportOutbound(code=code, message=message).SerializeToString() + b"\x12" + varint(payload.size)
        case Manner.BLACKBOX:
            head = BlackboxOutbound(code=code, message=message).SerializeToString() + b"\x0a" + varint(payload.size)
        case Manner.BARE:
            kind = "application/octet-stream"
    body = Handover(_joined(head, pieces, tail), settle)
    answer = flask.Response(body, content_type=kind)
    answer.headers["content-length"] = str(len(head) + length + len(tail))
    answer.headers[CODE_HEADER] = code
    return answer


def refusal(manner: Manner, refused: Refusal, *, to_node: bool) -> flask.Response | None:
    """Return the refusal as a protobuf message; None for the forms that are refused by an envelope.

    A full queue is no failure of the call to SecretFlow's components: they look at the code of an answer with status
    200 and try again.
    """
    status = refused.code.status
    code = code_of(refused.name, status)
    metadata = {"error": refused.name, "status": str(status)}
    metadata |= {name: str(value) for name, value in refused.extra.items() if isinstance(value, (int, str))}
    if manner not in (Manner.PROTOBUF, Manner.BLACKBOX):
        return None
    answer = outcome(manner, code, refused.code.msg.zh, metadata, to_node=to_node)
    answer.status_code = 200 if manner == Manner.BLACKBOX and code == FULL else status
    return answer


def _joined(head: bytes, pieces: Iterator[bytes], tail: bytes) -> Iterator[bytes]:
    if head:
        yield head
    yield from pieces
    if tail:
        yield tail
