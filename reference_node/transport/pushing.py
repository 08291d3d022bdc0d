"""A message as a component pushes it, piece by piece (9.1-c).

Guarantees: it is never in memory whole; once it is too large for memory it is sent on while it comes in, where its lane
is free for that; what was cut short is gone at both nodes, and its number with it.
"""

from __future__ import annotations

from typing import Self

from reference_node.errors import Refusal
from reference_node.transport.lanes import Lane
from reference_node.transport.sessions import Session, Sessions, Ticket


class Push:
    """One message on its way in; a context, which drops what was not finished."""

    def __init__(self, sessions: Sessions, session: Session, target: str, topic: str, ticket: Ticket | None) -> None:
        self._sessions = sessions
        self._session = session
        self._target = target
        self._topic = topic
        self._ticket = ticket
        self._writer = sessions.spool.writer()
        self._asked = False
        self._lane: Lane | None = None
        self._finished = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        if not self._finished:
            self._writer.abandon()
            if self._lane is not None:
                self._sessions.end(self._session, self._lane, None, self._ticket)

    def write(self, piece: bytes) -> None:
        """Add a piece."""
        self._writer.write(piece)
        if self._writer.size > self._sessions.limits.quota:
            raise Refusal("BODY_TOO_LARGE")
        growing = None if self._asked else self._writer.growing()
        if growing is not None:
            self._asked = True
            self._lane = self._sessions.begin(self._session, self._target, self._topic, growing, self._ticket)

    def finish(self, timeout: float) -> None:
        """Return once the message is kept, or on its way whole; wait for room at most `timeout` seconds."""
        payload = self._writer.finish()
        self._finished = True
        if self._lane is None:
            self._sessions.push_once(self._session, self._target, self._topic, payload, timeout, self._ticket)
        else:
            self._sessions.end(self._session, self._lane, payload, self._ticket)
