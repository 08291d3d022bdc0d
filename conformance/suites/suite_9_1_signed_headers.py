"""What a signature covers on the data plane: its headers, changed on the way, and the older signature base (9.2-g)."""

from __future__ import annotations

from conformance.harness import channel, signing
from conformance.harness.channel import Form
from conformance.harness.channel_calls import Bend, Line, Message, Over
from conformance.harness.errors import NotOffered
from conformance.harness.partner import Partner
from conformance.harness.registry import scenario
from conformance.harness.world import World
from conformance.suites import sessions, work

TEXT = "度数 4102".encode()
WAIT = 2.0
COVERED = "the headers are those that were signed"
CHANGED = "changed"  # the topic to which a message was redirected


def _needs_new_base(world: World) -> None:
    """End the scenario where the family's signature covers no header of the data plane."""
    binding = world.stage.binding
    if binding.signature_base == signing.OLDEST:
        raise NotOffered(f"binding {binding.name}: signature_base is {signing.OLDEST}")


@scenario()
def test_channel_headers(world: World) -> None:
    """Topic, number, session and other headers of bare messages are changed on the way; right ones follow (9.2-g)."""
    _needs_new_base(world)
    partner = work.played(world)
    flow = sessions.agreed(world, partner)
    line, other = sessions.opened(world, partner, flow), sessions.opened(world, partner, flow, "two")
    changes = {
        "topic": {channel.TOPIC: CHANGED},
        "number": {channel.SEQUENCE: "7"},
        "session": {channel.SESSION: other.session_id, channel.TOKEN: other.token},
        "uri": {channel.URI: "/v1/interconn/chan/release"},
        "trace": {channel.TRACE: world.id("trace")},
        "provider": {channel.PROVIDER: "another"},
        "institution": {"x-ptp-source-inst-id": "another"},
        "content-type": {"content-type": "text/plain"},
    }
    for name, change in changes.items():
        _sent(line, partner, name, Bend(after=change))
    line.pop("redirected", CHANGED)
    other.pop("carried-over", "session")
    world.fact("changed", list(changes))


@scenario()
def test_channel_headers_uncovered(world: World) -> None:
    """Signatures of bare messages that leave out one header of the data plane each, beside whole ones (9.2-g)."""
    _needs_new_base(world)
    partner, line = sessions.usual(world)
    names = {"topic": channel.TOPIC, "token": channel.TOKEN, "session": channel.SESSION, "version": channel.VERSION}
    for name, header in names.items():
        _sent(line, partner, name, Bend(uncovered=header))
    world.fact("uncovered", list(names))


@scenario()
def test_channel_old_base(world: World) -> None:
    """The older signature base, from a node that has said to have the newer one, and from one that has not (9.2-g)."""
    _needs_new_base(world)
    partner, line = sessions.usual(world)
    _sent(line, partner, "old", Bend(base=signing.OLDEST))
    if world.stage.grpc is not None:
        bend = Bend(base=signing.OLDEST)
        line.invoke("over-grpc", partner, Message("over-grpc", TEXT, 0), over=Over.GRPC, bend=bend, breaks=COVERED)
        line.invoke("over-grpc:right", partner, Message("over-grpc", TEXT, 0), over=Over.GRPC)


@scenario()
def test_channel_old_node(world: World) -> None:
    """A node that knows the older signature base alone, and says so, sends messages over it (6.2-c)."""
    _needs_new_base(world)
    partner = work.played(world, signature_base=signing.OLDEST)
    line = sessions.opened(world, partner, sessions.agreed(world, partner))
    line.invoke("sent", partner, Message("old", TEXT, 0), form=Form.BARE)
    line.pop("popped", "old", wait=WAIT)


def _sent(line: Line, partner: Partner, name: str, bend: Bend) -> None:
    """Send a bent message to a topic of its own and look for it, then the right one."""
    message = Message(name, TEXT, 0)
    line.invoke(name, partner, message, form=Form.BARE, bend=bend, breaks=COVERED)
    line.pop(f"{name}:nothing", name)
    line.invoke(f"{name}:right", partner, message, form=Form.BARE)
    line.pop(f"{name}:popped", name, wait=WAIT)
