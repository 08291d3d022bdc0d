"""The outbox towards one node: retry, order, patience, room; no thread and a clock by hand."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from reference_node.errors import Refusal
from reference_node.transport.channels import Counters
from reference_node.transport.lanes import Lane, LaneLimits
from reference_node.transport.relay import Outgoing, RelayFailed
from reference_node.transport.spool import Spool


@dataclass
class Wire:
    """The other node as the lane sees it: fails as told, and notes what arrives."""

    failures: list[RelayFailed] = field(default_factory=list)
    arrived: list[tuple[str, int, bytes]] = field(default_factory=list)
    now: float = 0.0

    def deliver(self, batch: list[Outgoing]) -> None:
        """Take a batch, or fail with the next failure."""
        if self.failures:
            raise self.failures.pop(0)
        self.arrived += [(message.topic, message.sequence, message.payload.read()) for message in batch]


SILENT = RelayFailed("unreachable", transient=True, heard=False)
FULL = RelayFailed("QUEUE_FULL", transient=True, heard=True)
REFUSED = RelayFailed("SESSION_TOKEN_INVALID", transient=False, heard=False)


def lane(wire: Wire, quota: int = 1000) -> tuple[Lane, Spool, Counters]:
    """Return a lane to that node."""
    counters = Counters()
    limits = LaneLimits(quota, patience=10)
    made = Lane("test", wire.deliver, limits, counters, now=lambda: wire.now, threaded=False)
    return made, Spool(None, memory=1 << 20, inline=1 << 20), counters


def test_messages_are_numbered_by_topic() -> None:
    """Each topic counts from 0, and the order of pushing is kept."""
    wire = Wire()
    out, spool, _ = lane(wire)
    for topic in ("a", "b", "a"):
        out.push(topic, spool.keep(topic.encode()), 0)
    assert wire.arrived == [("a", 0, b"a"), ("b", 0, b"b"), ("a", 1, b"a")]
    assert spool.used == 0


def test_what_did_not_arrive_is_tried_again_when_due() -> None:
    """A failed delivery waits its interval, then goes with what was pushed meanwhile, in order."""
    wire = Wire(failures=[SILENT, SILENT])
    out, spool, counters = lane(wire)
    out.push("a", spool.keep(b"1"), 0)
    out.push("a", spool.keep(b"2"), 0)
    assert wire.arrived == []
    for _ in range(2):
        wire.now += 1
        out.drain()
    assert [row[1:] for row in wire.arrived] == [(0, b"1"), (1, b"2")]
    assert counters.retries == 2


def test_long_silence_breaks_the_lane() -> None:
    """After the patience has run out nothing is kept, and a further push says that the node is not reached."""
    wire = Wire(failures=[SILENT] * 100)
    out, spool, counters = lane(wire)
    out.push("a", spool.keep(b"1"), 0)
    for _ in range(20):
        wire.now += 1
        out.drain()
    with pytest.raises(Refusal, match="PARTNER_UNREACHABLE"):
        out.push("a", spool.keep(b"2"), 0)
    assert (spool.used, counters.undelivered, out.flush(0)) == (0, 1, False)


def test_a_full_queue_is_not_silence() -> None:
    """A node that has no room for long is waited for."""
    wire = Wire(failures=[FULL] * 30)
    out, spool, _ = lane(wire)
    out.push("a", spool.keep(b"1"), 0)
    for _ in range(40):
        wire.now += 3
        out.drain()
    assert wire.arrived == [("a", 0, b"1")]


def test_a_refusal_for_good_breaks_the_lane_at_once() -> None:
    """What can never arrive is not tried again."""
    wire = Wire(failures=[REFUSED])
    out, spool, counters = lane(wire)
    out.push("a", spool.keep(b"1"), 0)
    assert (out.failure, counters.retries) == ("SESSION_TOKEN_INVALID", 0)


def test_above_the_quota_a_push_is_refused() -> None:
    """A lane that is full takes nothing more, and what is refused leaves no memory behind."""
    wire = Wire(failures=[SILENT] * 5)
    out, spool, _ = lane(wire, quota=10)
    out.push("a", spool.keep(b"x" * 8), 0)
    with pytest.raises(Refusal, match="QUEUE_FULL"):
        out.push("a", spool.keep(b"y" * 8), 0)
    assert spool.used == 8
