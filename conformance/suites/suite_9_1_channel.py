"""The data plane on the wire: signatures, frames, and the second protocol beside HTTP (9.1-b, 9.1-c)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from conformance.harness import channel, ptp
from conformance.harness.channel_calls import Bend, Line, Message, Over
from conformance.harness.partner import Partner
from conformance.harness.registry import scenario
from conformance.harness.world import World
from conformance.suites import sessions, work

TEXT = "度数 4102".encode()
WAIT = 2.0
LONG = b"a message of several frames"


@scenario()
def test_channel_signing(world: World) -> None:
    """A message is sent unsigned, under another's key, altered on the way and twice over (9.1-b)."""
    partner, line = sessions.usual(world)
    forger = world.partner("forger")
    message = Message("signed", TEXT, 0)
    changed = ptp.packed("Inbound", metadata={channel.TOPIC: "signed", channel.SEQUENCE: "0"}, payload=b"changed")
    bends = {
        "unsigned": Bend(unsigned=True),
        "forged": Bend(key=forger.key),
        "altered": Bend(body=changed),
    }
    for name, bend in bends.items():
        line.invoke(name, partner, message, bend=bend, breaks="the signature is that of the sender over the message")
    line.pop("nothing", "signed")
    nonce = Bend(nonce=world.id("nonce")[:64])
    line.invoke("right", partner, message, bend=nonce)
    line.invoke("replayed", partner, Message("signed", TEXT, 1), bend=nonce, breaks="the nonce is new")
    line.pop("popped", "signed", wait=WAIT)
    line.pop("popped-again", "signed")


@scenario()
def test_channel_frames(world: World) -> None:
    """Messages come in streams of frames: whole, forged, changed, in another order, cut short, again (9.1-b, 6.2-c)."""
    partner, line = sessions.usual(world)
    stream = [Message("frames", LONG, 0), Message("frames", b"", 1), Message("frames", b"short", 2)]
    line.transport("whole", partner, stream)
    for number in range(3):
        line.pop(f"whole:popped-{number}", "frames", wait=WAIT)
    bends = {
        "forged": lambda frames: [_forged(frames[0]), *frames[1:]],
        "changed": lambda frames: [replace(frames[0], payload=b"changed!"), *frames[1:]],
        "swapped": lambda frames: [frames[1], frames[0], *frames[2:]],
        "cut": lambda frames: frames[:-1],
    }
    for name, bend in bends.items():
        message = Message(name, LONG, 0)
        line.transport(name, partner, [message], bend=Bend(frames=bend), breaks="frames are whole and have their codes")
        line.pop(f"{name}:nothing", name)
        line.transport(f"{name}:right", partner, [message])
        line.pop(f"{name}:popped", name, wait=WAIT)
    line.transport("again", partner, stream)
    line.pop("again:nothing", "frames")


@scenario()
def test_channel_frame_codes(world: World) -> None:
    """Streams are coded with every algorithm of the protocol, and with some that are too weak (9.2-f-1, 9.2-f-3)."""
    partner, line = sessions.usual(world)
    for code in ("sm4-gmac", "aes-gmac", "hmac-sm3", "hmac-sha256"):
        line.transport(code, partner, [Message(code, TEXT, 0)], bend=Bend(code=code))
    for code in ("3des-gmac", "hmac-sha1", "hmac-md5"):
        bend = Bend(code=code)
        line.transport(code, partner, [Message(code, TEXT, 0)], bend=bend, breaks="the algorithm is strong enough")


@scenario()
def test_channel_frame_forgeries(world: World) -> None:
    """Frames have codes that are nearly right, none, or right ones of other streams (9.1-b)."""
    partner = work.played(world)
    flow = sessions.agreed(world, partner)
    line, other = sessions.opened(world, partner, flow), sessions.opened(world, partner, flow, "two")
    used = Bend(nonce=world.id("nonce")[:64])
    kept: list[ptp.Frame] = []
    line.transport("right", partner, [Message("forgeries", LONG, 0)], bend=replace(used, frames=_noting(kept)))
    bends = {
        "cut-code": Bend(frames=lambda frames: [_coded(frames[0], lambda code: code[:16]), *frames[1:]]),
        "bent-code": Bend(frames=lambda frames: [_coded(frames[0], _flipped), *frames[1:]]),
        "no-code": Bend(frames=lambda frames: [_coded(frame, lambda _code: "") for frame in frames]),
        "left-out": Bend(frames=lambda frames: [frames[0], *frames[2:]]),
        "repeated": Bend(frames=lambda frames: [frames[0], *frames]),
        "of-another-stream": Bend(frames=lambda _frames: list(kept)),
        "of-another-session": Bend(seal=lambda seal: replace(seal, session_id=other.session_id, token=other.token)),
    }
    for name, bend in bends.items():
        # the numbers are those of the stream whose frames are shown again, in a topic that has not had them
        message = Message("forgeries" if name == "of-another-stream" else name, LONG, 0)
        line.transport(name, partner, [message], bend=bend, breaks="frames have the codes of their place and stream")


@scenario()
def test_channel_stream_admission(world: World) -> None:
    """Streams show a wrong token or session, come unsigned, from a stranger, under a used nonce, and late (6.2-c)."""
    partner, stranger = work.played(world), world.signed_partner("stranger")
    flow = sessions.agreed(world, partner)
    line, second = sessions.opened(world, partner, flow), sessions.opened(world, partner, flow, "two")
    message = Message("admission", TEXT, 0)
    bends = {
        "session": Bend(session_id=world.id("session")),
        "token": Bend(token=world.id("token-of-nobody")),
        "token-of-other-job": Bend(token=second.token),
        "cut-token": Bend(token=line.token[:-1]),
        "unsigned": Bend(unsigned=True),
    }
    for name, bend in bends.items():
        line.transport(name, partner, [message], bend=bend, breaks=f"the right {name}")
    line.transport("by-stranger", stranger, [message], breaks="only parties of the job send to its session")
    line.pop("before", "admission")
    used = Bend(nonce=world.id("nonce")[:64])
    line.transport("right", partner, [message], bend=used)
    line.transport("replayed", partner, [Message("admission", TEXT, 1)], bend=used, breaks="the nonce is new")
    line.pop("popped", "admission", wait=WAIT)
    line.pop("popped-again", "admission")
    line.invoke("left", partner, Message("left", TEXT, 0))
    sessions.ended(world, partner, line, "left")
    line.transport("late", partner, [Message("admission", TEXT, 1)], breaks="the job has ended")


def _noting(kept: list[ptp.Frame]) -> Callable[[list[ptp.Frame]], list[ptp.Frame]]:
    def note(frames: list[ptp.Frame]) -> list[ptp.Frame]:
        kept.extend(frames)
        return frames

    return note


def _coded(frame: ptp.Frame, bent: Callable[[str], str]) -> ptp.Frame:
    return replace(frame, metadata={**frame.metadata, ptp.CODE: bent(frame.metadata[ptp.CODE])})


def _flipped(code: str) -> str:
    """Return a code of which one bit, the last, is another."""
    return f"{code[:-1]}{int(code[-1], 16) ^ 1:x}"


def _forged(frame: ptp.Frame) -> ptp.Frame:
    return replace(frame, metadata={**frame.metadata, ptp.CODE: "0" * 64})


@scenario()
def test_channel_protocols(world: World) -> None:
    """The same requests over HTTP and over gRPC: right ones, wrong ones, streams, and a component's (9.1-c)."""
    partner, line = sessions.usual(world)
    for over in Over:
        _every_operation(world, line, partner, over)


def _every_operation(world: World, line: Line, partner: Partner, over: Over) -> None:
    me, topic = world.profile.target.node_id, f"by-{over.value}"
    first, second = Message(topic, TEXT, 0), Message(topic, LONG, 1)
    line.invoke(f"{over}:invoke", partner, first, over=over)
    line.invoke(f"{over}:invoke-again", partner, first, over=over)
    line.transport(f"{over}:transport", partner, [second, Message(topic, b"third", 2)], over=over)
    cut = Bend(frames=lambda frames: frames[:-1])
    line.transport(f"{over}:cut", partner, [Message(topic, LONG, 3)], over=over, bend=cut, breaks="the stream is whole")
    wrong = {
        "token": Bend(token=world.id("token-of-nobody")),
        "session": Bend(session_id=world.id("session")),
        "unsigned": Bend(unsigned=True),
        "header": Bend(leave_out=(channel.URI,)),
    }
    for name, bend in wrong.items():
        line.invoke(
            f"{over}:{name}", partner, Message(topic, TEXT, 3), over=over, bend=bend, breaks=f"the right {name}"
        )
    far = Message(topic, TEXT, 1_000_000)
    line.invoke(f"{over}:far", partner, far, over=over, breaks="the number is near the one that is expected")
    line.peek(f"{over}:peek", topic, over=over)
    for number in range(4):
        line.pop(f"{over}:pop-{number}", topic, over=over, wait=1.0)
    line.push(f"{over}:push", topic, TEXT, me, over=over)
    line.pop(f"{over}:popped", topic, over=over, wait=1.0)
    line.push(f"{over}:push-wrong", topic, TEXT, me, over=over, bend=wrong["token"], breaks="the right token")
