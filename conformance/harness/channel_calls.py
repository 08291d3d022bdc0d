"""What a scenario does with the session of a job on the data plane: as the other node, and as the target's component.

A `Line` is one such session. Its calls are recorded as steps like those of `World`; `Bend` says what is wrong with one
on purpose.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from conformance.harness import channel, ptp, signing
from conformance.harness.channel import Form
from conformance.harness.errors import Undrivable
from conformance.harness.partner import Partner
from conformance.harness.records import Request
from conformance.harness.steps import Told
from conformance.harness.target import Transport
from conformance.harness.world import World
from specs import operations

_PROVIDER = "hutong-harness"
_PIECE = 8  # bytes of a frame: small, so that short messages have several


class Over(StrEnum):
    """The protocols by which the data plane is reached."""

    HTTP = "http"
    GRPC = "grpc"


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the other node's; without a number where it has none."""

    topic: str
    payload: bytes
    sequence: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bend:
    """What is bent in a request of the data plane before it leaves; by default nothing.

    `source` and `target` stand in the headers of the data plane only; `body` takes the place of the one that was
    signed, `whole` that of the right one before it is signed; `frames` is what becomes of a stream's sealed frames,
    `code` what they are sealed with, `seal` what becomes of that, `piece` how many bytes a frame carries; by `ticket` a
    push or pop is known when it is repeated. `after` headers are put in place once all are signed, over the version
    `base` (0 is the newest that both sides have) and without the component `uncovered`.
    """

    session_id: str = ""
    token: str = ""
    source: str = ""
    target: str = ""
    leave_out: tuple[str, ...] = ()
    nonce: str = ""
    key: signing.Key | None = None
    unsigned: bool = False
    body: bytes | None = None
    whole: bytes | None = None
    frames: Callable[[list[ptp.Frame]], list[ptp.Frame]] | None = None
    code: str = ""
    seal: Callable[[ptp.Seal], ptp.Seal] | None = None
    piece: int = _PIECE
    ticket: str = ""
    after: Mapping[str, str] = field(default_factory=dict)
    base: int = 0
    uncovered: str = ""


STRAIGHT = Bend()


@dataclass(frozen=True, slots=True)
class Line:
    """A session of a job at the target: its id, the token between nodes, and that of the target's component."""

    world: World
    session_id: str
    token: str
    component_token: str = ""
    grpc: Transport | None = None  # what carries gRPC there, where it is not the usual

    # --- as the other node ------------------------------------------------------------------------------------------

    def invoke(
        self,
        step: str,
        partner: Partner,
        message: Message,
        *,
        form: Form = Form.PROTOBUF,
        over: Over = Over.HTTP,
        breaks: str = "",
        bend: Bend = STRAIGHT,
    ) -> Told:
        """Send one message to the target."""
        bare = form is Form.BARE
        numbers = {channel.TOPIC: message.topic}
        if message.sequence is not None:
            numbers[channel.SEQUENCE] = str(message.sequence)
        fields = {"payload": message.payload, "metadata": {} if bare else numbers}
        body = channel.spelled("chanInvoke", form, fields) if bend.whole is None else bend.whole
        path, transport = self._way("chanInvoke", over)
        more = {channel.VERSION: "1" if bare else "2", **(numbers if bare else {})}
        headers = self._signed(partner, path, body, bend, more, "" if over is Over.GRPC else form.value)
        return self._send(step, "chanInvoke", path, headers, body, partner.node_id, breaks, bend, transport)

    def transport(
        self,
        step: str,
        partner: Partner,
        messages: Sequence[Message],
        *,
        over: Over = Over.HTTP,
        breaks: str = "",
        bend: Bend = STRAIGHT,
    ) -> Told:
        """Send messages to the target in one stream of frames."""
        path, transport = self._way("chanTransport", over)
        usual = "hmac-sm3" if partner.key.alg == "sm2-sm3" else "hmac-sha256"
        more = {channel.VERSION: "2", channel.FRAME_CODE: bend.code or usual}
        headers = self._signed(partner, path, b"", bend, more, "" if over is Over.GRPC else Form.PROTOBUF.value)
        seal = ptp.Seal(
            headers[channel.FRAME_CODE],
            headers[channel.TOKEN],
            headers["x-nonce"],
            headers[channel.SOURCE],
            headers[channel.TARGET],
            headers[channel.SESSION],
        )
        seal = seal if bend.seal is None else bend.seal(seal)
        frames = seal.sealed(frame for message in messages for frame in _cut(message, bend.piece))
        body = ptp.joined(frames if bend.frames is None else bend.frames(frames))
        return self._send(step, "chanTransport", path, headers, body, partner.node_id, breaks, bend, transport)

    # --- as the target's component ----------------------------------------------------------------------------------

    def push(
        self,
        step: str,
        topic: str,
        payload: bytes,
        to: str,
        *,
        form: Form = Form.PROTOBUF,
        over: Over = Over.HTTP,
        breaks: str = "",
        bend: Bend = STRAIGHT,
    ) -> Told:
        """Hand the target a message for a node."""
        fields = {"payload": payload, "topic": topic}
        return self._as_component(step, "chanPush", fields, topic, to, form, over, breaks, bend)

    def pop(
        self,
        step: str,
        topic: str,
        *,
        wait: float = 0.0,
        form: Form = Form.PROTOBUF,
        over: Over = Over.HTTP,
        breaks: str = "",
        bend: Bend = STRAIGHT,
    ) -> Told:
        """Take the oldest message of a topic; `wait` is in seconds, 0 for as short as can be said."""
        me = self.world.profile.target.node_id
        fields: dict[str, Any] = {"topic": topic}
        query: tuple[tuple[str, str], ...] = (("timeout", f"{wait or 0.001:.3f}"),)
        if over is Over.GRPC:  # there the message alone tells, in whole seconds
            fields, query = {**fields, "timeout": max(1, round(wait))}, ()
        return self._as_component(step, "chanPop", fields, topic, me, form, over, breaks, bend, query)

    def peek(self, step: str, topic: str, *, over: Over = Over.HTTP, breaks: str = "", bend: Bend = STRAIGHT) -> Told:
        """Read the oldest message of a topic."""
        me = self.world.profile.target.node_id
        return self._as_component(step, "chanPeek", {"topic": topic}, topic, me, Form.PROTOBUF, over, breaks, bend)

    def release(self, step: str, topic: str, *, breaks: str = "", bend: Bend = STRAIGHT) -> Told:
        """Drop what waits in a topic."""
        me = self.world.profile.target.node_id
        fields = {"topic": topic}
        return self._as_component(step, "chanRelease", fields, topic, me, Form.PROTOBUF, Over.HTTP, breaks, bend)

    # --- inside -----------------------------------------------------------------------------------------------------

    def _as_component(
        self,
        step: str,
        operation: str,
        fields: dict[str, Any],
        topic: str,
        to: str,
        form: Form,
        over: Over,
        breaks: str,
        bend: Bend,
        query: tuple[tuple[str, str], ...] = (),
    ) -> Told:
        if not self.component_token:
            raise Undrivable("the target's component has not told the token of its session")
        path, transport = self._way(operation, over)
        headers = {
            **self._named(bend),
            channel.TOKEN: bend.token or self.component_token,
            channel.TARGET: bend.target or to,
            "content-type": channel.GRPC if over is Over.GRPC else form.value,
        }
        if form is Form.BARE:
            headers[channel.TOPIC] = topic
        if bend.ticket:
            headers[channel.TICKET] = bend.ticket
        body = channel.spelled(operation, form, fields) if bend.whole is None else bend.whole
        return self._send(step, operation, path, headers, body, "", breaks, bend, transport, query)

    def _way(self, operation: str, over: Over) -> tuple[str, Transport | None]:
        """Return the path of an operation and what carries it there; None is the usual."""
        self.world.offered(operation)
        if over is Over.HTTP:
            prefix = urlsplit(self.world.profile.target.url).path.rstrip("/")
            return prefix + self.world.stage.binding.operations[operation].path, None
        grpc = self.grpc or self.world.stage.grpc
        if grpc is None:
            raise Undrivable("the profile names no [target] grpc, and the suite speaks no other second protocol")
        return channel.METHODS[operation], grpc

    def _named(self, bend: Bend) -> dict[str, str]:
        return {
            channel.PROVIDER: _PROVIDER,
            channel.TRACE: secrets.token_hex(16),
            channel.SESSION: bend.session_id or self.session_id,
        }

    def _signed(
        self, partner: Partner, path: str, body: bytes, bend: Bend, more: Mapping[str, str], content_type: str
    ) -> dict[str, str]:
        """Return all headers of a request between nodes; the content type is that of gRPC where it says none."""
        me, named = self.world.profile.target.node_id, self._named(bend)
        own = {
            **named,
            channel.URI: operations()["chanPush"].path,
            channel.TOKEN: bend.token or self.token,
            channel.SOURCE: bend.source or partner.node_id,
            channel.TARGET: bend.target or me,
            **more,
        }
        own = {name: value for name, value in own.items() if name not in bend.leave_out}
        headers = signing.signed_headers(
            bend.key or partner.key,
            "POST",
            path,
            (),
            body,
            source=partner.node_id,
            target=me,
            nonce=bend.nonce or secrets.token_urlsafe(24),
            timestamp_ms=self.world.now_ms(),
            trace_id=named[channel.TRACE],
            without=bend.uncovered,
            beside=own | ({"content-type": content_type} if content_type else {}),
            version=bend.base or partner.signature_base,
        )
        if bend.unsigned:
            headers.pop("x-auth-sign")
        usual = {} if content_type else {"content-type": channel.GRPC}
        return {**self.world.stage.binding.spell_headers(headers), **usual, **bend.after}

    def _send(
        self,
        step: str,
        operation: str,
        path: str,
        headers: dict[str, str],
        body: bytes,
        partner: str,
        breaks: str,
        bend: Bend,
        transport: Transport | None,
        query: tuple[tuple[str, str], ...] = (),
    ) -> Told:
        for name in bend.leave_out:
            headers.pop(name, None)
        request = Request("POST", path, query, headers, body if bend.body is None else bend.body)
        return self.world.send(step, operation, request, partner, breaks, transport)


def _cut(message: Message, piece: int) -> list[ptp.Frame]:
    pieces = [message.payload[start : start + piece] for start in range(0, len(message.payload), piece)] or [b""]
    frames = []
    for part, payload in enumerate(pieces):
        metadata = {channel.TOPIC: message.topic, channel.SEQUENCE: str(message.sequence or 0), "part": str(part)}
        if part == 0:
            metadata["size"] = str(len(message.payload))
        if part == len(pieces) - 1:
            metadata["last"] = "1"
        frames.append(ptp.Frame(metadata, payload))
    return frames
