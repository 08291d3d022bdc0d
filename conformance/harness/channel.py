"""How requests and answers of the data plane are spelled and read, apart from the usual envelope (6.2-c, 9.1-c).

    PROTOBUF    the messages of the public interop API, x-ptp-version 2
    JSON        the same in JSON, bytes as base64
    BARE        the payload alone, x-ptp-version 1: topic and number stand in headers

What was read shows as fields like those of every other operation, so that stories and checks need not know the form:
of an answer `code`, `message`, `payload`, `metadata`; of a request `session_id`, `token`, `source`, `target`, `version`
and `messages`, each with `topic`, `sequence` and `payload` (of a single message beside them too). A payload shows as
text where it is text, else as base64.
Guarantees: whatever a target sends is read; what cannot be is a `problem`.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Any

from conformance.harness import ptp
from conformance.harness.binding_model import Binding, Reading, StatusRule
from conformance.harness.records import Answer, Request
from specs import operations

PROTOCOL = "channel"
OPERATIONS = frozenset(name for name, row in operations().items() if row.protocol == PROTOCOL)
OK, NOTHING, FULL = "E0000000000", "E0000000404", "E0000000700"
TOPIC, SEQUENCE, SESSION, TOKEN = "x-ptp-topic", "x-ptp-sequence", "x-ptp-session-id", "x-ptp-token"
VERSION, PROVIDER, TRACE, URI = "x-ptp-version", "x-ptp-tech-provider-code", "x-ptp-trace-id", "x-ptp-uri"
SOURCE, TARGET, FRAME_CODE, ANSWER_CODE = (
    "x-ptp-source-node-id",
    "x-ptp-target-node-id",
    "x-ptp-frame-mac",
    "x-ptp-code",
)
NODE_HEADERS = (VERSION, PROVIDER, TRACE, TOKEN, URI, SESSION, SOURCE, TARGET)
COMPONENT_HEADERS = (PROVIDER, TRACE, TOKEN, SESSION, TARGET)
BETWEEN_NODES = frozenset({"chanInvoke", "chanTransport"})
TICKET = "x-ptp-ticket"
GRPC = "application/grpc"
STATUS = "grpc-status"
NODES, COMPONENTS = "org.ppc.ptp.PrivateTransferProtocol", "org.ppc.ptp.PrivateTransferTransport"
METHODS = {  # by which path an operation is called over gRPC
    name: f"/{NODES if name in BETWEEN_NODES else COMPONENTS}/{operations()[name].path.rsplit('/', 1)[1]}"
    for name in sorted(OPERATIONS)
}
_JSON, _PROTOBUF, _BYTES = "application/json", "application/x-protobuf", "application/octet-stream"
Carried = tuple[str, str, bytes]  # topic, number as it is spelled, payload
_REQUESTS = {
    "chanInvoke": "Inbound",
    "chanTransport": "Inbound",
    "chanPush": "PushInbound",
    "chanPop": "PopInbound",
    "chanPeek": "PeekInbound",
    "chanRelease": "ReleaseInbound",
}


class Form(StrEnum):
    """How a body is spelled."""

    PROTOBUF = _PROTOBUF
    JSON = _JSON
    BARE = _BYTES


def spelled(operation: str, form: Form, fields: Mapping[str, Any]) -> bytes:
    """Return the body of a request: of its fields those that stand in the body in this form."""
    match form:
        case Form.BARE:
            return bytes(fields.get("payload", b""))
        case Form.JSON:
            shown = {
                name: base64.b64encode(value).decode() if isinstance(value, bytes) else value
                for name, value in fields.items()
            }
            return json.dumps(shown, ensure_ascii=False).encode()
        case Form.PROTOBUF:
            return ptp.packed(_REQUESTS[operation], **fields)


def shown(payload: bytes) -> str:
    """Return a payload as it stands in readings."""
    try:
        return payload.decode()
    except UnicodeDecodeError:
        return base64.b64encode(payload).decode()


# --- answers --------------------------------------------------------------------------------------------------------


def reading(binding: Binding, operation: str, answer: Answer) -> Reading:
    """Say what an answer means; never raises."""
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == _JSON:
        return _of_json(binding, operation, answer)
    if kind == _BYTES:
        usual = OK if answer.status == 200 else ""
        return _told(binding, answer, {"code": answer.headers.get(ANSWER_CODE, usual), "payload": answer.body})
    try:
        return _told(binding, answer, ptp.unpacked("Outbound", answer.body), over_http=kind != GRPC)
    except ptp.NoMessage as exc:
        return Reading(accepted=False, problem=str(exc))


def _of_json(binding: Binding, operation: str, answer: Answer) -> Reading:
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or not isinstance(document.get("code"), str):
        envelope = binding.read_answer(operation, answer.status, answer.body)
        if envelope.accepted:
            return replace(envelope, accepted=False, problem="a message of the data plane is due, not an envelope")
        return replace(envelope, data={**envelope.data, "code": envelope.data.get("ptp_code")})
    fields = {**document, "payload": document.get("content", document.get("payload", ""))}
    try:
        fields["payload"] = base64.b64decode(fields["payload"], validate=True)
    except (binascii.Error, TypeError, ValueError):
        return Reading(accepted=False, problem="/content: base64 is due")
    return _told(binding, answer, fields)


def _told(binding: Binding, answer: Answer, fields: Mapping[str, Any], *, over_http: bool = True) -> Reading:
    code, metadata = fields.get("code", ""), fields.get("metadata") or {}
    accepted = code == OK and answer.status == 200
    problem = None if code else "the answer has no code"
    if over_http and binding.envelope.status is StatusRule.MATCHES:
        fine = answer.status in (200, 204) if code in (OK, NOTHING, FULL) else answer.status >= 400
        if code and not fine and not (code in (NOTHING, FULL) and answer.status >= 400):
            problem = f"HTTP {answer.status} contradicts code {code}"
    word = metadata.get("error") if binding.names_refusals else None
    return Reading(
        accepted=accepted,
        error=None if accepted or not isinstance(word, str) else binding.refusals.name_of(word),
        msg=str(fields.get("message", "")),
        data={"code": code, "payload": shown(fields.get("payload", b"")), "metadata": metadata},
        problem=problem,
    )


# --- requests -------------------------------------------------------------------------------------------------------


def sent(operation: str, request: Request) -> dict[str, Any]:
    """Return what a request carries; what cannot be read of its body is left out."""
    headers = request.headers
    names = {"session_id": SESSION, "token": TOKEN, "source": SOURCE, "target": TARGET, "version": VERSION}
    fields: dict[str, Any] = {name: headers.get(header, "") for name, header in names.items()}
    try:
        messages = [_message(*row) for row in payloads(operation, request)]
    except ptp.NoMessage:
        return fields
    only = messages[0] if len(messages) == 1 else {}
    return {**fields, **only, "messages": messages}


def payloads(operation: str, request: Request) -> list[Carried]:
    """Return the messages of a request with their payloads as they are; raise NoMessage."""
    headers = request.headers
    if FRAME_CODE in headers:
        return _assembled(request.body)
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == _JSON:
        fields = _json_fields(request.body)
    elif headers.get(VERSION) == "1" or kind not in (_PROTOBUF, GRPC):
        fields = {"payload": request.body}
    else:
        fields = ptp.unpacked(_REQUESTS[operation], request.body)
    metadata = fields.get("metadata", {})
    topic = fields.get("topic") or metadata.get(TOPIC, headers.get(TOPIC, ""))
    number = metadata.get(SEQUENCE, headers.get(SEQUENCE, ""))
    return [(topic, number, fields.get("payload", b""))]


def _message(topic: str, number: str, payload: bytes) -> dict[str, Any]:
    sequence = int(number) if number.isascii() and number.isdecimal() else None
    return {"topic": topic, "sequence": sequence, "payload": shown(payload)}


def _json_fields(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
        return {**document, "payload": base64.b64decode(document.get("payload", ""), validate=True)}
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise ptp.NoMessage("the body is no message in JSON") from None


def _assembled(body: bytes) -> list[Carried]:
    """Put the frames of a stream together, as far as they tell what belongs together."""
    found: list[Carried] = []
    pieces = b""
    for frame in ptp.split(body):
        pieces += frame.payload
        if "last" in frame.metadata:
            found.append((frame.metadata.get(TOPIC, ""), frame.metadata.get(SEQUENCE, ""), pieces))
            pieces = b""
    if pieces:
        raise ptp.NoMessage("the stream ends within a message")
    return found


def signed_body(operation: str, request: Request) -> bytes:
    """Return the bytes that the digest of a request covers: none of a stream, which is made while it is sent."""
    return b"" if operation in OPERATIONS and FRAME_CODE in request.headers else request.body


def covered(request: Request) -> Mapping[str, str]:
    """Return the headers of a request that can be signed: over gRPC the content type is the protocol's own."""
    if not over_grpc(request):
        return request.headers
    return {name: value for name, value in request.headers.items() if name != "content-type"}


def over_grpc(request: Request) -> bool:
    """Tell whether a request came over gRPC."""
    return request.headers.get("content-type") == GRPC


def called(request: Request) -> str:
    """Return the operation that a request over gRPC calls, "" where there is none."""
    return next((name for name, path in METHODS.items() if over_grpc(request) and path == request.path), "")


def problems(operation: str, request: Request) -> tuple[str, ...]:
    """Say what is wrong with the frames of a received stream, beyond the signing of its request."""
    if operation not in OPERATIONS or FRAME_CODE not in request.headers:
        return ()
    headers = request.headers
    seal = ptp.Seal(
        headers[FRAME_CODE],
        headers.get(TOKEN, ""),
        headers.get("x-nonce", ""),
        headers.get(SOURCE, ""),
        headers.get(TARGET, ""),
        headers.get(SESSION, ""),
    )
    try:
        return ("FRAME_WRONG",) if seal.broken(ptp.split(request.body)) else ()
    except ptp.NoMessage:
        return ("FRAME_WRONG",)


def request_problem(operation: str, request: Request) -> str:
    """Return how a request breaks the interface ("" when it does not)."""
    for name in NODE_HEADERS if operation in BETWEEN_NODES else COMPONENT_HEADERS:
        if not request.headers.get(name):
            return f"the header {name} is missing"
    try:
        payloads(operation, request)
    except ptp.NoMessage as exc:
        return str(exc)
    return ""


def spell_answer(request: Request) -> Answer:
    """Return the answer of a partner that has taken what was sent, in the form of the request."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == GRPC:
        body = ptp.packed("Outbound", code=OK, message="ok")
    elif kind == _JSON:
        body = json.dumps({"code": OK, "message": "ok"}).encode()
    elif request.headers.get(VERSION) == "1":
        kind, body = _BYTES, b""
    else:
        kind, body = _PROTOBUF, ptp.packed("Outbound", code=OK, message="ok")
    return Answer(200, {"content-type": kind, ANSWER_CODE: OK}, body)
