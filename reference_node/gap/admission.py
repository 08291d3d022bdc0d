"""What may pass the gap, judged while it is copied and without holding more of it than one frame (9.2-h).

Guarantees: a request is one of the operations that the policy names and its body is as the interface documents say; an
answer answers a request that has passed, once, and is as the documents say; a message of the data plane belongs to a
component that both sides were told to run, goes between the parties that the job names, and has a tag that the
component declares as an intermediate parameter, within the declared size, the policy's and what is left of the session.
Whatever else there is, unknown fields and unexpected metadata among it, is Refused with a reason.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cache
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import unquote

import jsonschema_rs
from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

import specs
from reference_node.faults import Faults
from reference_node.gap.files import Head
from reference_node.gap.ledger import Asked, Job, Ledger
from reference_node.gap.operations import DATA, between_nodes
from reference_node.gap.policy import Policy
from reference_node.proto.transport_pb2 import Inbound, Outbound
from reference_node.transport import frames, stamps

_MANAGEMENT_LIMIT: Final = 4 * 1024 * 1024
_FRAME_LIMIT: Final = 16 * 1024 * 1024 + frames.OVERHEAD
_OUTCOME_LIMIT: Final = 64 * 1024
_PROTOBUF: Final = "application/x-protobuf"
_TOPIC: Final = re.compile(r"(?P<sender>[a-z]+\.\d+)->(?P<receiver>[a-z]+\.\d+):(?P<scope>[^/]+)\.\d+/(?P<tag>.+)")
_FIELDS: Final = frozenset({frames.TOPIC, frames.SEQUENCE, frames.PART, frames.LAST, frames.SIZE, frames.CODE})
_VALUE_LIMIT: Final = 512
Kind = TypeVar("Kind", bound=Message)
_SIGN_OF_LIFE: Final = "nodeHealth"
_WORDS: Final = frozenset({"error", "status", "duplicate", "accepted", "expected", "retry_after"})


class Reason(StrEnum):
    """Why a file is refused."""

    FORMAT = "FORMAT"
    SIGNATURE = "SIGNATURE"
    REPLAYED = "REPLAYED"
    OPERATION = "OPERATION"
    BODY = "BODY"
    UNASKED = "UNASKED"
    KIND = "KIND"
    PARTIES = "PARTIES"
    NOT_RUNNING = "NOT_RUNNING"
    MESSAGE_TOO_LARGE = "MESSAGE_TOO_LARGE"
    SESSION_TOO_LARGE = "SESSION_TOO_LARGE"


class Refused(Exception):
    """Something may not pass; a component that is not known to run yet may be later."""

    def __init__(self, reason: Reason, words: str) -> None:
        super().__init__(words)
        self.reason = reason

    @property
    def error(self) -> str:
        """What the sender's node is told, in the names that it knows from its partners."""
        return "SESSION_NOT_FOUND" if self.reason is Reason.NOT_RUNNING else "GAP_REFUSED"


@dataclass(slots=True)
class Passage:
    """What is to be remembered of what passes, and what the record says of it."""

    operation: str
    change: Callable[[], None]
    details: dict[str, Any] = field(default_factory=dict)


class Inspector(Protocol):
    """Looks at a body piece by piece."""

    def feed(self, piece: bytes) -> None:
        """Take the next piece; raise Refused."""

    def finish(self) -> Passage:
        """Return what follows from the whole; raise Refused."""


class Gate:
    """Judges by policy and ledger."""

    def __init__(self, policy: Policy, ledger: Ledger, faults: Faults | None = None) -> None:
        self.policy = policy
        self.ledger = ledger
        self.faults = Faults() if faults is None else faults

    def inspector(self, side: str, head: Head) -> Inspector:
        """Return what looks at the body of a file of `side`, whose head is authentic; raise Refused."""
        if head.kind == "answer":
            asked = self.ledger.asked(head.answers or "")
            if asked is None and self.faults.on("relay-unasked-passed"):
                asked = Asked("", _SIGN_OF_LIFE, None)
            if asked is None or asked.side == side:
                raise Refused(Reason.UNASKED, "no request that has passed waits for this answer")
            return _Answer(self, head, asked)
        operation = between_nodes().get((head.method or "", head.path or ""))
        if operation is None and self.faults.on("relay-operation-passed"):
            operation = specs.operations()[_SIGN_OF_LIFE]
        if operation is None or operation.id not in self.policy.operations:
            raise Refused(Reason.OPERATION, f"{head.method} {head.path} may not pass")
        if operation.id in DATA:
            return _Data(self, side, head, operation.id)
        return _Request(self, side, head, operation)


class _Whole:
    """Keeps a body that may only be small."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.content = bytearray()

    def feed(self, piece: bytes) -> None:
        """Add a piece."""
        self.content += piece
        if len(self.content) > self._limit:
            raise Refused(Reason.MESSAGE_TOO_LARGE, f"longer than {self._limit} bytes")


class _Request(_Whole):
    """A request of the management plane."""

    def __init__(self, gate: Gate, side: str, head: Head, operation: specs.Operation) -> None:
        super().__init__(_MANAGEMENT_LIMIT)
        self._gate, self._side, self._head, self._operation = gate, side, head, operation

    def finish(self) -> Passage:
        """Judge the body by the operation's schema."""
        name, body = self._operation.id, {}
        if self._operation.method == "POST":
            body = _object(self.content)
            known = self._operation.body_schema is not None and not self._gate.faults.on("relay-body-off-schema-passed")
            if known and not _validator(name, answer=False).is_valid(body):
                raise Refused(Reason.BODY, f"the body is not as {name} has it")
        elif self.content:
            raise Refused(Reason.BODY, "a GET has no body")
        job_id = body.get("job_id")
        asked = Asked(self._side, name, job_id if isinstance(job_id, str) else None)
        request_id, ledger = self._head.id, self._gate.ledger
        try:
            learn = _lesson(request_id, name, body)
        except (KeyError, TypeError, AttributeError):
            raise Refused(Reason.BODY, f"the body is not as {name} has it") from None

        def _change() -> None:
            ledger.ask(request_id, asked)
            learn(ledger)

        return Passage(name, _change, {"job": asked.job_id} if asked.job_id else {})


def _lesson(request_id: str, name: str, body: Mapping[str, Any]) -> Callable[[Ledger], None]:
    """Return how to note what a request says of jobs and of what runs."""
    match name:
        case "jobCreate" | "jobCreateAll":
            parts = body["dag"]["components"]
            components = {part["name"]: (part["componentName"], part["version"], part["provider"]) for part in parts}
            roles = body["config"]["role"]
            parties = {f"{role}.{at}": node for role, nodes in roles.items() for at, node in enumerate(nodes)}
            offered = body["job_id"], request_id, components, parties
            return lambda ledger: ledger.offer(*offered)
        case "taskStart":
            begun = body["task_id"], body["job_id"], body["task_name"]
            return lambda ledger: ledger.run(*begun)
        case "taskRerun":
            again = body["task_id"], body["job_id"]
            return lambda ledger: ledger.run_again(*again)
        case "jobStop" | "jobStopAll" | "taskStop":
            ended = body["job_id"], body.get("task_id"), body.get("task_name")
            return lambda ledger: ledger.stop(*ended)
    return lambda _ledger: None


class _Answer(_Whole):
    """An answer, of either plane."""

    def __init__(self, gate: Gate, head: Head, asked: Asked) -> None:
        super().__init__(_OUTCOME_LIMIT if asked.operation in DATA else _MANAGEMENT_LIMIT)
        self._gate, self._head, self._asked = gate, head, asked

    def finish(self) -> Passage:
        """Judge the body by the operation's schema, or as the outcome of messages."""
        name, agreed = self._asked.operation, False
        if name in DATA and self._head.headers.get("content-type") == _PROTOBUF:
            outcome = _message(Outbound, self.content)
            if outcome.payload or outcome.metadata.keys() - _WORDS or _long(outcome.metadata):
                raise Refused(Reason.BODY, "an outcome has no payload and no metadata of its own")
        else:
            envelope = _object(self.content)
            code = envelope.get("code")
            done = code == 0 and self._head.status == 200 and name not in DATA
            if not isinstance(code, int) or (done and not _validator(name, answer=True).is_valid(envelope)):
                raise Refused(Reason.BODY, f"the answer is not as {name} has it")
            agreed = done
        request_id = self._head.answers or ""
        return Passage(name, lambda: self._gate.ledger.answer(request_id, agreed=agreed), {"status": self._head.status})


class _Data:
    """Messages of the data plane: one, or a stream of frames."""

    def __init__(self, gate: Gate, side: str, head: Head, operation: str) -> None:
        self._gate, self._side, self._head, self._operation = gate, side, head, operation
        if head.headers.get("content-type") != _PROTOBUF or head.headers.get(stamps.VERSION) == stamps.BARE:
            raise Refused(Reason.BODY, "messages cross the gap in protobuf form only")
        self._framed = frames.ALGORITHM_HEADER in head.headers and operation == "chanTransport"
        self._job_id = head.headers.get(stamps.SESSION, "").removeprefix("session_")
        self._job = gate.ledger.job(self._job_id)
        self._pending = bytearray()
        self._open: tuple[str, str] | None = None
        self._size = self._most = 0
        self._carried: dict[tuple[str, str], list[int]] = {}
        self._check_session()

    def feed(self, piece: bytes) -> None:
        """Look at every message that is whole."""
        self._pending += piece
        while self._framed and len(self._pending) >= 4:
            (length,) = struct.unpack(">I", self._pending[:4])
            if length > _FRAME_LIMIT:
                raise Refused(Reason.BODY, "a frame is too long")
            if len(self._pending) < 4 + length:
                break
            self._frame(_message(Inbound, self._pending[4 : 4 + length]))
            del self._pending[: 4 + length]
        if len(self._pending) > 4 + _FRAME_LIMIT:
            raise Refused(Reason.MESSAGE_TOO_LARGE, f"longer than {_FRAME_LIMIT} bytes without frames")

    def finish(self) -> Passage:
        """Return what was carried."""
        if not self._framed:
            self._frame(_message(Inbound, self._pending), alone=True)
        elif self._pending or self._open is not None:
            raise Refused(Reason.BODY, "the stream ends within a message")
        asked = Asked(self._side, self._operation, self._job_id)
        job_id, size, request_id, ledger = self._job_id, self._head.size, self._head.id, self._gate.ledger
        messages = [
            {"task": task, "tag": tag, "count": count, "bytes": total}
            for (task, tag), (count, total) in self._carried.items()
        ]

        def _change() -> None:
            ledger.ask(request_id, asked)
            ledger.carry(job_id, size)

        return Passage(self._operation, _change, {"job": job_id, "messages": messages})

    def _check_session(self) -> None:
        if self._job is None or not self._job.agreed:
            raise Refused(Reason.NOT_RUNNING, "both sides have agreed to no job of this session")
        full = self._job.carried + self._head.size > self._gate.policy.session_bytes
        if full and not self._gate.faults.on("relay-session-unbounded"):
            raise Refused(Reason.SESSION_TOO_LARGE, "the session has carried what the policy lets it")

    def _frame(self, frame: Inbound, *, alone: bool = False) -> None:
        metadata = dict(frame.metadata)
        foreign = metadata.keys() - _FIELDS or _long(metadata)
        if foreign and not self._gate.faults.on("relay-smuggled-passed"):
            raise Refused(Reason.BODY, "the metadata hold more than a message's place")
        place = (metadata.get(frames.TOPIC, ""), metadata.get(frames.SEQUENCE, ""))
        if self._open is None:
            task, tag, self._most = self._admitted(place[0])
            self._open, self._size = place, 0
            self._carried.setdefault((task, tag), [0, 0])[0] += 1
        elif place != self._open:
            raise Refused(Reason.BODY, "a message begins before the last one has ended")
        self._size += len(frame.payload)
        if self._size > self._most and not self._gate.faults.on("relay-size-unbounded"):
            raise Refused(Reason.MESSAGE_TOO_LARGE, f"a message on {place[0]} is longer than {self._most} bytes")
        if alone or frames.LAST in metadata:
            task, tag, _ = self._admitted(place[0])
            self._carried[task, tag][1] += self._size
            self._open = None

    def _admitted(self, topic: str) -> tuple[str, str, int]:
        """Return task, tag and the most bytes of a message on a topic; raise Refused."""
        found, job, policy = _TOPIC.fullmatch(unquote(topic)), self._job, self._gate.policy
        if found is None or job is None:
            raise Refused(Reason.KIND, f"the topic {topic[:128]!r} names no task and no tag")
        task = self._gate.ledger.task(found["scope"])
        if task is not None and not task.running and self._gate.faults.on("relay-stopped-passed"):
            task = replace(task, running=True)
        if task is None or not task.running or task.job_id != self._job_id:
            raise Refused(Reason.NOT_RUNNING, f"no component runs as {found['scope'][:128]}")
        self._check_parties(job, found["sender"], found["receiver"])
        component = job.components.get(task.task_name, ("", "", ""))
        kinds = policy.intermediates.get(component, {})
        if found["tag"] not in kinds and self._gate.faults.on("relay-kind-passed"):
            return task.task_name, found["tag"], policy.message_bytes
        if found["tag"] not in kinds:
            words = f"{' '.join(component)} declares no intermediate parameter {found['tag'][:128]!r}"
            raise Refused(Reason.KIND, words)
        return task.task_name, found["tag"], min(kinds[found["tag"]], policy.message_bytes)

    def _check_parties(self, job: Job, sender: str, receiver: str) -> None:
        policy = self._gate.policy
        own, other = (policy.outer, policy.inner) if self._side == "outer" else (policy.inner, policy.outer)
        if (job.parties.get(sender), job.parties.get(receiver)) != (own.node_id, other.node_id):
            raise Refused(Reason.PARTIES, f"{sender} and {receiver} are not the parties on both sides")


def _object(content: bytes | bytearray) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        raise Refused(Reason.BODY, "the body is no JSON") from None
    if not isinstance(found, dict):
        raise Refused(Reason.BODY, "the body is no JSON object")
    return found


def _message(kind: type[Kind], content: bytes | bytearray) -> Kind:
    try:
        found = kind.FromString(bytes(content))
    except DecodeError:
        raise Refused(Reason.BODY, f"the body is no {kind.DESCRIPTOR.name}") from None
    if len(UnknownFieldSet(found)):
        raise Refused(Reason.BODY, f"an {kind.DESCRIPTOR.name} with fields that it does not have")
    return found


def _long(metadata: Mapping[str, str]) -> bool:
    return any(len(value) > _VALUE_LIMIT for value in metadata.values())


@cache
def _validator(name: str, *, answer: bool) -> jsonschema_rs.Validator:
    operation = specs.operations()[name]
    schema = operation.answer_schema if answer else operation.body_schema
    return jsonschema_rs.validator_for(dict(schema or {"type": "object"}), validate_formats=True)
