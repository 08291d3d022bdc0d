"""Steps of a scenario: what is bent in a request on purpose, what was answered, which call came.

Reading the data of an answer that was refused ends the scenario as a failed prerequisite; the check that owns that step
says what was wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from conformance.harness import signing
from conformance.harness.binding import Reading
from conformance.harness.errors import Prerequisite
from conformance.harness.partner import Inbound
from conformance.harness.records import Exchange
from conformance.harness.story import MISSING, at


@dataclass(frozen=True, slots=True, kw_only=True)
class Tamper:
    """What is bent in a request before it leaves; by default nothing.

    `before` headers are signed as they stand; `after` headers, `body`, `query`, `method` and `path` are put in place
    once the request has been signed, which was made for `signed_method` and `signed_path` where they are given and
    does not cover the component `uncovered`; `label` is the algorithm that the signature is said to be of, `bent` makes
    another signature of the right one. `leave_out` drops headers last.
    """

    leave_out: tuple[str, ...] = ()
    before: Mapping[str, str] = field(default_factory=dict)
    after: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    query: tuple[tuple[str, str], ...] | None = None
    method: str = ""
    path: str = ""
    signed_method: str = ""
    signed_path: str = ""
    uncovered: str = ""
    label: str = ""
    bent: Callable[[bytes], bytes] | None = None
    nonce: str = ""
    offset_ms: int = 0
    source: str = ""
    target: str = ""
    key: signing.Key | None = None
    unsigned: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """The answer to a step. `data` ends the scenario when the step was refused."""

    step: str
    exchange: Exchange
    reading: Reading | None

    @property
    def accepted(self) -> bool:
        """Whether the target accepted the request."""
        return self.reading is not None and self.reading.accepted

    @property
    def data(self) -> Mapping[str, Any]:
        """What the answer carries. Raises Prerequisite when it was refused or never came."""
        if self.reading is None:
            raise Prerequisite(f"step {self.step} got no answer: {self.exchange.failure}")
        if not self.reading.accepted:
            raise Prerequisite(f"step {self.step} was refused: {self.reading.error or self.reading.msg}")
        return self.reading.data

    def at(self, pointer: str) -> Any:
        """Return what the answer shows at a pointer. Raises Prerequisite when there is nothing."""
        value = at(self.data, pointer)
        if value is MISSING:
            raise Prerequisite(f"the answer to step {self.step} has nothing at {pointer}")
        return value


@dataclass(frozen=True, slots=True)
class Awaited:
    """A call that the scenario waited for."""

    step: str
    inbound: Inbound | None

    @property
    def came(self) -> bool:
        """Whether the target called."""
        return self.inbound is not None

    @property
    def sent(self) -> Mapping[str, Any]:
        """What the target sent. Raises Prerequisite when it never called."""
        if self.inbound is None:
            raise Prerequisite(f"the target never made the call awaited as {self.step}")
        return self.inbound.sent
