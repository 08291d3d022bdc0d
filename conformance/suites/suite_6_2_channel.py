"""The data plane as the other node and the target's component use it: forms, admission, order, topics, ends (6.2-c)."""

from __future__ import annotations

from conformance.harness.channel import NODE_HEADERS, Form
from conformance.harness.channel_calls import Bend, Line, Message
from conformance.harness.registry import scenario
from conformance.harness.world import World
from conformance.suites import sessions, work

TEXT = "度数 4102".encode()
WAIT = 0.3
FAR = 1_000_000
MARGIN = 2.0


@scenario()
def test_channel_forms(world: World) -> None:
    """Messages come in every form and leave in every form; one is empty, two are garbled (6.2-c)."""
    partner, line = sessions.usual(world)
    me = world.profile.target.node_id
    for form in Form:
        name = form.name.lower()
        line.invoke(f"in-{name}", partner, Message(f"in-{name}", TEXT, 0), form=form)
        line.pop(f"in-{name}:popped", f"in-{name}", wait=MARGIN)
        line.push(f"out-{name}", f"out-{name}", TEXT, me, form=form)
        line.pop(f"out-{name}:popped", f"out-{name}", wait=MARGIN, form=form)
    line.invoke("unnumbered", partner, Message("unnumbered", TEXT))
    line.pop("unnumbered:popped", "unnumbered", wait=MARGIN)
    line.invoke("empty", partner, Message("empty", b"", 0))
    line.pop("empty:popped", "empty", wait=MARGIN)
    line.pop("empty:nothing", "empty")
    garbled = Message("garbled", TEXT, 0)
    for form, body in ((Form.PROTOBUF, b"\xff\xff\xff"), (Form.JSON, b'{"payload": "no base64!"}')):
        name = form.name.lower()
        line.invoke(
            f"garbled-{name}", partner, garbled, form=form, bend=Bend(whole=body), breaks="the body is a message"
        )


@scenario()
def test_channel_admission(world: World) -> None:
    """Requests name a wrong session, token, source or target, or lack a header; outsiders call too (6.2-c)."""
    partner, other, stranger = work.played(world), work.played(world, "other"), world.signed_partner("stranger")
    flow = sessions.agreed(world, partner)
    line = sessions.opened(world, partner, flow, arbiter=(other.node_id,))
    second = sessions.opened(world, partner, flow, "two")
    message = Message("door", TEXT, 0)
    bends = {
        "session": Bend(session_id=world.id("session")),
        "token": Bend(token=world.id("token-of-nobody")),
        "token-of-other-job": Bend(token=second.token),
        "source": Bend(source=other.node_id),
        "target": Bend(target=world.id("another-node")),
    }
    for name, bend in bends.items():
        line.invoke(f"invoke-{name}", partner, message, bend=bend, breaks=f"the right {name}")
    for header in NODE_HEADERS:
        line.invoke(f"without-{header}", partner, message, bend=Bend(leave_out=(header,)), breaks=f"{header} is there")
    line.invoke("by-stranger", stranger, message, breaks="only parties of the job send to its session")
    line.pop("before", "door")
    line.invoke("right", partner, message)
    line.invoke("right-of-other", other, Message("door-of-other", TEXT, 0))
    for name in ("session", "token", "token-of-other-job"):
        bend = Bend(token=second.component_token) if name == "token-of-other-job" else bends[name]
        line.pop(f"pop-{name}", "door", bend=bend, breaks=f"the right {name}")
    line.pop("after", "door", wait=MARGIN)
    line.push("push-inside", "door", TEXT, partner.node_id)
    outsider = world.id("outsider")
    line.push("push-outside", "door", TEXT, outsider, breaks="the receiver takes part in the job")


@scenario()
def test_channel_order(world: World) -> None:
    """Messages arrive early, late, twice and far too early (6.2-c)."""
    partner, line = sessions.usual(world)
    texts = [f"message {number}".encode() for number in range(4)]
    for number in (0, 2, 3, 1):
        line.invoke(f"send-{number}", partner, Message("order", texts[number], number))
    for number in (1, 3):
        line.invoke(f"again-{number}", partner, Message("order", texts[number], number))
    far = Message("order", TEXT, FAR)
    line.invoke("far", partner, far, breaks="the number is near the one that is expected")
    _drained(line, "order", 6)


def _drained(line: Line, topic: str, number: int) -> None:
    for place in range(number):
        line.pop(f"popped-{place}", topic)


@scenario()
def test_channel_topics(world: World) -> None:
    """Two topics of a session and the same topic of another: looked at, dropped, taken (6.2-c)."""
    partner = work.played(world)
    flow = sessions.agreed(world, partner)
    line, second = sessions.opened(world, partner, flow), sessions.opened(world, partner, flow, "two")
    line.pop("nothing", "a", wait=WAIT)
    line.pop("nothing-json", "a", form=Form.JSON)
    line.invoke("send-a", partner, Message("a", b"of a", 0))
    line.peek("peek-b", "b")
    line.pop("pop-b", "b")
    second.pop("pop-second", "a")
    line.peek("peek-a", "a")
    line.peek("peek-a-again", "a")
    line.pop("pop-a", "a")
    line.pop("pop-a-again", "a")
    line.invoke("send-a-1", partner, Message("a", b"one", 1))
    line.invoke("send-c-1", partner, Message("c", b"dropped", 0))
    line.release("release-c", "c")
    line.pop("pop-c", "c")
    line.pop("pop-a-kept", "a")
    line.invoke("send-c-2", partner, Message("c", b"two", 1))
    line.pop("pop-c-after", "c", wait=MARGIN)


@scenario()
def test_channel_end(world: World) -> None:
    """A job is stopped; after a while messages for its session come late, and its component asks late (6.2-c)."""
    partner, line = sessions.usual(world)
    line.invoke("in-time", partner, Message("end", TEXT, 0))
    line.peek("in-time:peeked", "end")
    sessions.ended(world, partner, line, "end")
    line.invoke("late", partner, Message("end", TEXT, 1), breaks="the job has ended")
    line.pop("pop-late", "end", breaks="the job has ended")


@scenario()
def test_channel_outbound(world: World) -> None:
    """The target sends to a partner that breaks, is full and answers nonsense before it takes anything (6.2-c)."""
    partner, line = sessions.usual(world)
    to = partner.node_id
    line.push("first", "out", b"message 0", to).at("")
    sessions.awaits(world, partner, "out", 1)
    for operation in ("chanInvoke", "chanTransport"):
        partner.answers(operation, sessions.faltering(sessions.troubles(world)))
    for number in (1, 2, 3):
        line.push(f"push-{number}", "out", f"message {number}".encode(), to)
    line.push("push-other", "other", b"of another topic", to)
    sessions.awaits(world, partner, "out", 4)
    sessions.awaits(world, partner, "other", 1)


@scenario()
def test_channel_own_job(world: World) -> None:
    """Two jobs of the target's: the partner is told their tokens, and messages go both ways under them (6.2-c)."""
    partner = work.played(world)
    one, two = sessions.own(world, partner, "one"), sessions.own(world, partner, "two")
    for slug, line in (("one", one), ("two", two)):
        line.push(f"{slug}:push", slug, TEXT, partner.node_id).at("")
        world.awaited(f"{slug}:came", partner, "chanInvoke", {"topic": slug})
        line.invoke(f"{slug}:invoke", partner, Message("in", TEXT, 0))
        line.pop(f"{slug}:popped", "in", wait=MARGIN)
