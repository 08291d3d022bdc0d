"""Messages that set out before they are whole: order, numbers, cuts, failures; and through two nodes on sockets."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from reference_node.errors import Refusal
from reference_node.transport.channels import Counters
from reference_node.transport.lanes import Lane, LaneLimits
from reference_node.transport.relay import Outgoing, RelayFailed
from reference_node.transport.spool import CutShort, Growing, Spool, Writer
from tests.reference_node.transport.conftest import SESSION, Served, client

Nodes = tuple[Served, Served]
MIB = 1024 * 1024
PIECE = bytes(range(256)) * 4096


def eventually(told: Callable[[], object], within: float = 20.0) -> None:
    """Return once it is so; fail when it is not in time."""
    until, pause = time.monotonic() + within, threading.Event()
    while not told():
        assert time.monotonic() < until
        pause.wait(0.01)


@dataclass
class Wire:
    """The other node as the lane sees it: takes whole messages, and fails those that set out early if told to."""

    refuses_early: bool = False
    arrived: list[tuple[str, int, bytes]] = field(default_factory=list)
    begun: threading.Event = field(default_factory=threading.Event)

    def deliver(self, batch: list[Outgoing]) -> None:
        """Take what comes."""
        for message in batch:
            early = isinstance(message.payload, Growing)
            pieces = message.payload.parts(4)
            taken = next(pieces)[0]
            if early:
                self.begun.set()
                if self.refuses_early:
                    raise RelayFailed("unreachable", transient=True, heard=False)
            try:
                content = taken + b"".join(piece for piece, _ in pieces)
            except CutShort:
                raise RelayFailed("FRAME_INVALID", transient=False, heard=True) from None
            self.arrived.append((message.topic, message.sequence, content))


@pytest.fixture
def spool() -> Iterator[Spool]:
    """A spool in which everything above eight bytes lies in files."""
    made = Spool(None, memory=1 << 10, inline=8)
    yield made
    made.close()


@pytest.fixture
def opened() -> Iterator[Callable[[Wire], Lane]]:
    """What opens a lane with threads, which is closed after the test."""
    lanes: list[Lane] = []

    def lane(wire: Wire) -> Lane:
        lanes.append(Lane("test", wire.deliver, LaneLimits(1000, patience=10), Counters()))
        return lanes[-1]

    yield lane
    for made in lanes:
        made.close()


def begun(lane: Lane, spool: Spool) -> Writer:
    """Return the writer of a message that has set out."""
    writer = spool.writer()
    writer.write(b"the first part ")
    growing = writer.growing()
    assert growing is not None
    assert lane.begin("t", growing)
    return writer


def test_others_overtake_and_its_own_topic_waits(opened: Callable[[Wire], Lane], spool: Spool) -> None:
    """While a message grows, other topics go on; what follows it in its topic comes after it."""
    wire = Wire()
    lane = opened(wire)
    writer = begun(lane, spool)
    assert wire.begun.wait(10)
    lane.push("t", spool.keep(b"behind"), 1)
    lane.push("other", spool.keep(b"aside"), 1)
    eventually(lambda: wire.arrived == [("other", 0, b"aside")])
    writer.write(b"and the rest")
    lane.end(writer.finish())
    assert lane.flush(10)
    assert wire.arrived[1:] == [("t", 0, b"the first part and the rest"), ("t", 1, b"behind")]


def test_the_number_of_a_message_cut_short_goes_to_the_next(opened: Callable[[Wire], Lane], spool: Spool) -> None:
    """A writer that gives up leaves no gap in its topic, and nothing of its message."""
    wire = Wire()
    lane = opened(wire)
    writer = begun(lane, spool)
    assert wire.begun.wait(10)
    lane.push("t", spool.keep(b"behind"), 1)
    writer.abandon()
    lane.end(None)
    assert lane.flush(10)
    assert wire.arrived == [("t", 0, b"behind")]


def test_what_failed_on_the_way_goes_as_a_whole(opened: Callable[[Wire], Lane], spool: Spool) -> None:
    """When the early attempt fails, the message keeps its number and arrives once it is whole."""
    wire = Wire(refuses_early=True)
    lane = opened(wire)
    writer = begun(lane, spool)
    assert wire.begun.wait(10)
    writer.write(b"and the rest")
    lane.push("t", spool.keep(b"behind"), 1)
    lane.end(writer.finish())
    assert lane.flush(10)
    assert wire.arrived == [("t", 0, b"the first part and the rest"), ("t", 1, b"behind")]


def test_one_at_a_time(opened: Callable[[Wire], Lane], spool: Spool) -> None:
    """A second message waits until it is whole, as all do, while one has set out."""
    lane = opened(Wire())
    writer = begun(lane, spool)
    second = spool.writer()
    second.write(b"more than eight")
    growing = second.growing()
    assert growing is not None
    assert not lane.begin("t", growing)
    second.abandon()
    lane.end(writer.finish())
    assert lane.flush(10)


def test_a_lane_that_is_closed_ends_it(opened: Callable[[Wire], Lane], spool: Spool) -> None:
    """A session that ends in the middle leaves its writer with a refusal and no file."""
    lane = opened(Wire())
    writer = begun(lane, spool)
    lane.close()
    payload = writer.finish()
    with pytest.raises(Refusal, match="SESSION_NOT_FOUND"):
        lane.end(payload)
    with pytest.raises(FileNotFoundError):
        payload.reader()


def test_the_other_node_takes_in_what_is_not_whole_yet(linked: Nodes) -> None:
    """The receiving node writes the message down before its sender has come to the end of it."""
    a, b = linked
    digest = hashlib.sha256()

    def pieces() -> Iterator[bytes]:
        for number in range(24):
            if number == 20:
                eventually(lambda: b.sessions.spool.spilled)
            yield PIECE

    with client(a, "guest.0") as guest, client(b, "host.0") as host:
        guest.send_stream("host.0", "large", pieces)
        guest.send("host.0", "large", b"behind")
        for part in host.recv_stream("guest.0", "large"):
            digest.update(part)
        assert host.recv("guest.0", "large") == b"behind"
    assert digest.digest() == hashlib.sha256(PIECE * 24).digest()
    assert (b.sessions.totals.duplicates, a.sessions.totals.retries) == (0, 0)


def test_a_sender_that_breaks_off_leaves_nothing(linked: Nodes) -> None:
    """A component that dies in the middle of a message: what it sends afterwards is the first that arrives."""
    a, b = linked

    def broken() -> Iterator[bytes]:
        for number in range(24):
            if number == 20:
                eventually(lambda: b.sessions.spool.spilled)
                raise InterruptedError
            yield PIECE

    with client(a, "guest.0", timeout=0.0) as guest, pytest.raises(Exception, match="InterruptedError"):
        guest.send_stream("host.0", "large", broken)
    with client(a, "guest.0") as guest, client(b, "host.0") as host:
        guest.send("host.0", "large", b"afterwards")
        assert host.recv("guest.0", "large") == b"afterwards"
        assert b.sessions.totals.pushed == 1
    for node in linked:
        node.sessions.close(SESSION)
        folder = node.server.node.config.data / "spool"  # type: ignore[operator]
        eventually(lambda folder=folder: not list(folder.glob("*")))  # type: ignore[misc]
