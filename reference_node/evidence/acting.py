"""On whose behalf the node acts just now, for the records of what it does (9.2-d).

Guarantees: what is done within a request is its caller's, across every transaction of the request; what no request
asked for is the node's own. A request that a handler makes to another node of the same process has an actor of its own.

>>> with acting(Acting("contractApply")) as now:
...     now.actor = actor("NODE", "node-b")
...     current() is now
True
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum

from reference_node.evidence.records import digest


class ActorRole(StrEnum):
    """What the one who acts is to this node."""

    NODE = "NODE"
    OPERATOR = "OPERATOR"
    AUDITOR = "AUDITOR"
    COMPONENT = "COMPONENT"
    SELF = "SELF"


def actor(role: str, who: str | None = None) -> dict[str, str]:
    """Return who acts, as records say it: a node or the component of a job by its id, an office without one."""
    return {"role": ActorRole(role).value} if who is None else {"role": ActorRole(role).value, "id": who}


@dataclass(slots=True)
class Acting:
    """One request as evidence sees it; `answer` spells what is about to be answered, once that is known."""

    operation: str | None = None
    trace_id: str | None = None
    request: bytes | None = None
    actor: dict[str, str] = field(default_factory=lambda: actor("SELF"))
    answer: Callable[[], bytes] | None = None

    @property
    def request_digest(self) -> str | None:
        """The digest of the body that was sent, or of the query where there was none."""
        return None if self.request is None else digest(self.request)

    @property
    def answer_digest(self) -> str | None:
        """The digest of the answer's body, where the record is written with it."""
        return None if self.answer is None else digest(self.answer())


_CURRENT: ContextVar[Acting | None] = ContextVar("acting", default=None)


@contextmanager
def acting(now: Acting) -> Iterator[Acting]:
    """Let what is done in the block be done on behalf of this request."""
    token = _CURRENT.set(now)
    try:
        yield now
    finally:
        _CURRENT.reset(token)


def current() -> Acting:
    """Return on whose behalf is being acted."""
    return _CURRENT.get() or Acting()
