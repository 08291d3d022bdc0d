"""What carries messages to another node: the seam between the outbox of a session and HTTP or gRPC.

A relay hands over a batch in order and returns when the other node has all of it, else it raises RelayFailed:
`transient` says whether trying again can help, `heard` whether the other node is there and has only no room.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from reference_node.domain.places import Unfit
from reference_node.transport.partner import Peer
from reference_node.transport.spool import Content

log = structlog.get_logger("reference_node")

OK: Final = "E0000000000"
NOTHING: Final = "E0000000404"
FULL: Final = "E0000000700"
_CODES: Final = {
    "QUEUE_FULL": FULL,
    "HEADER_MISSING": "E0000000400",
    "SEQUENCE_AHEAD": "E0000000616",
    "FRAME_INVALID": "E0000000616",
    "SIGNATURE_INVALID": "E0000000615",
    "SIGNATURE_MISSING": "E0000000615",
    "SIGNATURE_MALFORMED": "E0000000615",
    "DIGEST_MISMATCH": "E0000000615",
    "CONTRACT_EXPIRED": "E0000000605",
    "CONTRACT_NOT_ACTIVE": "E0000000618",
    "PARTNER_UNREACHABLE": "E0000000607",
    "PARTNER_REFUSED": "E0000000607",
}
_BY_STATUS: Final = {400: "E0000000400", 401: "E0000000403", 403: "E0000000403", 404: NOTHING}
# refusals that may pass: the session is opened here before it is opened there, a queue is full, a node starts anew
_MAY_PASS: Final = frozenset({"SESSION_NOT_FOUND", "QUEUE_FULL", "LOCKED_OUT", "STORE_UNAVAILABLE", "SEQUENCE_AHEAD"})


class RelayFailed(Exception):
    """A batch did not arrive, or it is not known to have."""

    def __init__(self, reason: str, *, transient: bool, heard: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.transient = transient
        self.heard = heard


@dataclass(frozen=True, slots=True)
class Route:
    """Where messages of a session go, and what admits them there."""

    session_id: str
    token: str
    trace_id: str
    peer: Peer
    passthrough: bool = False
    proved: bool = True

    def whole(self, batch: Sequence[Outgoing], limit: int) -> bool:
        """Tell whether messages go one by one, each under a signature: a lone short one, and all without a secret."""
        return not self.proved or (len(batch) == 1 and batch[0].short(limit))


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message on its way; numbered from 0 in its topic."""

    topic: str
    sequence: int
    payload: Content

    def short(self, limit: int) -> bool:
        """Tell whether it can go in one request, being complete and no longer than this."""
        return self.payload.complete and self.payload.size <= limit

    def whole(self) -> bytes:
        """Return all bytes."""
        return b"".join(piece for piece, _ in self.payload.parts(max(1, self.payload.size)))


class Relay(Protocol):
    """Carries messages to one kind of address."""

    def deliver(self, route: Route, batch: Sequence[Outgoing]) -> None:
        """Hand over a batch in order; raise RelayFailed."""

    def close(self) -> None:
        """Let go of connections."""


def code_of(name: str, status: int) -> str:
    """Return the code that the interop API gives to a refusal."""
    fallback = "E0000000400" if 400 <= status < 500 else "E0000000500"
    return _CODES.get(name) or _BY_STATUS.get(status, fallback)


def not_allowed(unfit: Unfit, peer: Peer) -> RelayFailed:
    """Return that a message goes nowhere: its address is none that this node goes to."""
    log.warning("message not sent: the address is not allowed", partner=peer.node_id, reason=unfit.reason.value)
    return RelayFailed(f"the address is not allowed: {unfit.reason}", transient=False, heard=False)


def refused(name: str | None, status: int) -> RelayFailed:
    """Return what a refusal by the other node means for the sender."""
    transient = name in _MAY_PASS or (name is None and status == 429) or status >= 500
    return RelayFailed(name or f"HTTP {status}", transient=transient, heard=name == "QUEUE_FULL")
