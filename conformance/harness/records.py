"""Records of a run: what was sent, what came back, what was found. They hold no behaviour but their JSON form.

`Exchange` is one request and its answer in either direction; `Transcript` is all that one scenario did; `Finding` is
one thing that is wrong, by code; `CheckResult` is what one check says of one requirement.
Round trip: `Exchange.from_json(exchange.to_json()) == exchange`.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Self

JsonObject = dict[str, Any]
_LONGEST_KEPT = 1 << 20
_BEGINNING = 1024
# the rules that a request of ours breaks where the connection or the file itself may be refused: silence answers too
SHOWN_COUNTS = "the certificate that is shown counts"
FILE_COUNTS = "the file is the partner's, for the target, whole and as it was signed"
# what the operator's hooks disturb; while it is, any answer will do but where a check says otherwise
STORE_STANDS = "the store stands"
ALL_RUN = "every instance runs"
INTERRUPTED = frozenset({STORE_STANDS, ALL_RUN})
HAS_ROOM = "there is room for what is to be kept"
# what is no request to HTTP may be refused by whatever stands before a target, in its own words, or without any
FRAMED = "the framing is that of RFC 9112"
SILENCE_WILL_DO = frozenset({SHOWN_COUNTS, FILE_COUNTS, FRAMED})


class Direction(StrEnum):
    """Who called whom."""

    TO_TARGET = "to_target"
    TO_PARTNER = "to_partner"
    TO_PEER = "to_peer"


class Verdict(StrEnum):
    """What a check or a requirement comes to; the order in `conformance.harness.verdict` says which is worse."""

    PASS = "pass"  # noqa: S105  the word, not a secret
    WARN = "warn"
    FAIL = "fail"
    NOT_APPLICABLE = "not_applicable"
    NOT_TESTABLE = "not_testable"
    NOT_SCORED = "not_scored"
    ERROR = "error"


class StopKind(StrEnum):
    """Why a scenario ended before its end."""

    PREREQUISITE = "prerequisite"
    UNDRIVABLE = "undrivable"
    NOT_OFFERED = "not_offered"
    BLAME = "blame"


def _body_to_json(body: bytes) -> str | JsonObject:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(body).decode()}


def _body_from_json(value: str | JsonObject) -> bytes:
    return value.encode() if isinstance(value, str) else base64.b64decode(value["base64"])


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request as it went over the wire; header names are in lower case.

    `omitted` is how many bytes at the end of a very long body are not kept.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    omitted: int = 0

    def kept(self) -> Self:
        """Return what a recording keeps of the request."""
        if len(self.body) <= _LONGEST_KEPT:
            return self
        return replace(self, body=self.body[:_BEGINNING], omitted=len(self.body) - _BEGINNING)

    def to_json(self) -> JsonObject:
        """Return the JSON form."""
        row: JsonObject = {
            "method": self.method,
            "path": self.path,
            "query": [list(pair) for pair in self.query],
            "headers": dict(self.headers),
            "body": _body_to_json(self.body),
        }
        return {**row, "omitted": self.omitted} if self.omitted else row

    @classmethod
    def from_json(cls, row: JsonObject) -> Self:
        """Read the JSON form."""
        query = tuple((name, value) for name, value in row["query"])
        body = _body_from_json(row["body"])
        return cls(row["method"], row["path"], query, row["headers"], body, row.get("omitted", 0))


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; header names are in lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def to_json(self) -> JsonObject:
        """Return the JSON form."""
        return {"status": self.status, "headers": dict(self.headers), "body": _body_to_json(self.body)}

    @classmethod
    def from_json(cls, row: JsonObject) -> Self:
        """Read the JSON form."""
        return cls(row["status"], row["headers"], _body_from_json(row["body"]))


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and what came of it.

    `negative` names the rule that a request of ours breaks on purpose ("" when it breaks none).
    `failure` says why there is no answer ("" when there is one).
    `problems` is what the receiving partner found wrong with the signing of a request of the target's.
    """

    id: str
    scenario: str
    step: str
    direction: Direction
    operation: str
    partner: str
    request: Request
    answer: Answer | None
    negative: str = ""
    failure: str = ""
    problems: tuple[str, ...] = ()
    at_ms: int = 0
    elapsed_ms: float = 0.0

    def to_json(self) -> JsonObject:
        """Return the JSON form."""
        return {
            "id": self.id,
            "scenario": self.scenario,
            "step": self.step,
            "direction": self.direction.value,
            "operation": self.operation,
            "partner": self.partner,
            "request": self.request.to_json(),
            "answer": self.answer.to_json() if self.answer else None,
            "negative": self.negative,
            "failure": self.failure,
            "problems": list(self.problems),
            "at_ms": self.at_ms,
            "elapsed_ms": round(self.elapsed_ms, 3),
        }

    @classmethod
    def from_json(cls, row: JsonObject) -> Self:
        """Read the JSON form."""
        return cls(
            id=row["id"],
            scenario=row["scenario"],
            step=row["step"],
            direction=Direction(row["direction"]),
            operation=row["operation"],
            partner=row["partner"],
            request=Request.from_json(row["request"]),
            answer=Answer.from_json(row["answer"]) if row["answer"] else None,
            negative=row["negative"],
            failure=row["failure"],
            problems=tuple(row["problems"]),
            at_ms=row["at_ms"],
            elapsed_ms=row["elapsed_ms"],
        )


@dataclass(frozen=True, slots=True)
class Stop:
    """Why and where a scenario ended early."""

    kind: StopKind
    message: str
    step: str = ""

    def to_json(self) -> JsonObject:
        """Return the JSON form."""
        return {"kind": self.kind.value, "message": self.message, "step": self.step}

    @classmethod
    def from_json(cls, row: JsonObject) -> Self:
        """Read the JSON form."""
        return cls(StopKind(row["kind"]), row["message"], row["step"])


@dataclass(frozen=True, slots=True)
class Transcript:
    """All that one scenario did, in order, with the facts it chose (ids, names, what it expects)."""

    scenario: str
    exchanges: tuple[Exchange, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    stop: Stop | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. The judge fills in requirement and check; words come from specs/messages."""

    code: str
    pointer: str = ""
    expected: Any = None
    actual: Any = None
    exchanges: tuple[str, ...] = ()
    requirement: str = ""
    check: str = ""

    def to_json(self) -> JsonObject:
        """Return the JSON form."""
        return {
            "code": self.code,
            "requirement": self.requirement,
            "check": self.check,
            "pointer": self.pointer,
            "expected": self.expected,
            "actual": self.actual,
            "exchanges": list(self.exchanges),
        }

    @classmethod
    def from_json(cls, row: JsonObject) -> Self:
        """Read the JSON form."""
        return cls(
            row["code"],
            row["pointer"],
            row["expected"],
            row["actual"],
            tuple(row["exchanges"]),
            row["requirement"],
            row["check"],
        )


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check says of one requirement; `reason` explains every verdict that is neither pass nor fail."""

    check: str
    requirement: str
    scenario: str
    verdict: Verdict
    findings: tuple[Finding, ...] = ()
    reason: str = ""
    waived: tuple[str, ...] = ()

    def to_json(self) -> JsonObject:
        """Return the JSON form."""
        return {
            "check": self.check,
            "requirement": self.requirement,
            "scenario": self.scenario,
            "verdict": self.verdict.value,
            "findings": [finding.to_json() for finding in self.findings],
            "reason": self.reason,
            "waived": list(self.waived),
        }

    @classmethod
    def from_json(cls, row: JsonObject) -> Self:
        """Read the JSON form."""
        return cls(
            row["check"],
            row["requirement"],
            row["scenario"],
            Verdict(row["verdict"]),
            tuple(Finding.from_json(item) for item in row["findings"]),
            row["reason"],
            tuple(row["waived"]),
        )
