"""What a handler gets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from reference_node.node import Node
from reference_node.security.guards import Caller


@dataclass(slots=True)
class Call:
    """One authenticated and validated request.

    `session` is the request's transaction: the router commits it when the handler returns and rolls it back on an
    error; a service that calls a partner commits it first. `source` is the calling node, absent on the own side (and
    where proof of possession is optional and was not given). `query` has its defaults filled in.
    `component_of` is the job whose component calls instead of the operator.
    """

    node: Node
    session: Session
    source: Caller | None
    query: dict[str, Any]
    body: dict[str, Any]
    trace_id: str
    token_set: str
    component_of: str | None = None

    @property
    def caller(self) -> Caller:
        """The calling node, for operations that only nodes reach."""
        if self.source is None:
            raise AssertionError("an operation of the own side has no calling node")
        return self.source


@dataclass(frozen=True, slots=True)
class Streamed:
    """A file as an answer, in place of an envelope; sent piece by piece when the transaction has ended."""

    name: str
    length: int
    content: Iterator[bytes]
