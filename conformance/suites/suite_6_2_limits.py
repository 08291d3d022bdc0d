"""The data plane at its limits: what is too long, and what a component repeats under a ticket (6.2-c)."""

from __future__ import annotations

from conformance.harness.channel_calls import Bend, Line, Message, Over
from conformance.harness.partner import Partner
from conformance.harness.registry import scenario
from conformance.harness.world import World, common
from conformance.suites import sessions

TEXT = "度数 4102".encode()
MESSAGE_LIMIT = 64 << 20
FRAME_LIMIT = 16 << 20
WAIT = 2.0


@scenario()
def test_channel_oversize(world: World) -> None:
    """A message and a frame are longer than the protocol allows, over HTTP and over gRPC (6.2-c)."""
    with common():  # what leads there is tried elsewhere, and with less
        partner, line = sessions.usual(world)
    for over in Over:
        _oversize(line, partner, over)
    for over in Over:
        line.invoke(f"{over}:short", partner, Message(f"{over}-short", TEXT, 0), over=over)
        line.transport(f"{over}:narrow", partner, [Message(f"{over}-narrow", TEXT, 0)], over=over)


def _oversize(line: Line, partner: Partner, over: Over) -> None:
    long = Message(f"{over}-long", bytes(MESSAGE_LIMIT + 1), 0)
    line.invoke(f"{over}:message", partner, long, over=over, breaks="a message outside a stream has at most 64 MiB")
    line.pop(f"{over}:message-nothing", long.topic)
    wide = Message(f"{over}-wide", bytes(FRAME_LIMIT + (1 << 20)), 0)
    bend = Bend(piece=len(wide.payload))
    line.transport(f"{over}:frame", partner, [wide], over=over, bend=bend, breaks="a frame carries at most 16 MiB")
    line.pop(f"{over}:frame-nothing", wide.topic)


@scenario()
def test_channel_tickets(world: World) -> None:
    """A component repeats a push and a pop under the tickets that they had, goes on, and shows no right one (6.2-c)."""
    _, line = sessions.usual(world)
    me, holder = world.profile.target.node_id, world.id("holder").replace("-", "x")
    first, second = Bend(ticket=f"{holder}-0"), Bend(ticket=f"{holder}-1")
    for step, bend in (("push", first), ("push-again", first), ("push-next", second)):
        line.push(step, "pushed", step.encode(), me, bend=bend)
    for number in range(3):
        line.pop(f"pushed-{number}", "pushed")
    for payload in (b"one", b"two"):
        line.push(f"fill-{payload.decode()}", "popped", payload, me)
    for step, bend in (("pop", first), ("pop-again", first), ("pop-next", second)):
        line.pop(step, "popped", wait=WAIT, bend=bend)
    for name, ticket in (("cut", holder), ("short", "me-0"), ("odd", f"{holder}-x")):
        breaks = "a ticket is a holder and a number"
        line.push(f"push-{name}", "odd-ticket", b"odd", me, bend=Bend(ticket=ticket), breaks=breaks)
