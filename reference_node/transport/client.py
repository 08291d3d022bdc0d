"""The channel as a component sees it: messages to and from the other parties of its job, through its own node (6.2-c).

Guarantees: what is sent arrives once and in the order of sending for each (sender, receiver, tag), across lost
connections too: every push and pop carries a ticket, by which the node knows a repetition. `scope` keeps the topics of
one task apart from those of others in the same session; it must be the same at all parties, as the task id is.

>>> channel = ChannelClient.from_environment(os.environ, me="guest.0", scope=task_id)
>>> channel.send("host.0", "sizes", b"100000")
>>> channel.recv("host.0", "sizes")
b'100000'

    ChannelError        the node refuses, or cannot be reached
    └── ChannelTimeout  nothing came, or nobody took what was sent, in time
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Self
from urllib.parse import quote

from reference_node.transport import client_wires as wires
from reference_node.transport.client_wires import FULL, NOTHING, Reply, Unreached, Wire

_NODES: Final = "config.node_id."
_WAIT_SECONDS: Final = 20.0
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0
_TOPIC_LIMIT: Final = 256
_PLAIN: Final = "".join(chr(code) for code in range(33, 127) if chr(code) != "%")


class ChannelError(Exception):
    """The node refused, or could not be reached; `code` is the one of the interop API."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason


class ChannelTimeout(ChannelError):
    """Nothing came, or nobody took what was sent, in time."""


@dataclass(slots=True)
class _Hand:
    """What one thread of the component holds: a connection, and the numbers of its tickets."""

    wire: Wire
    name: str = field(default_factory=lambda: secrets.token_hex(8))
    pushed: int = 0
    popped: int = 0


class ChannelClient:
    """The channel of one party; its threads may share it. Implements the algorithms' `Channel`."""

    def __init__(
        self,
        address: str,
        session_id: str,
        token: str,
        me: str,
        nodes: Mapping[str, str],
        *,
        trace_id: str = "",
        scope: str = "",
        provider: str = "hutong",
        timeout: float = 3600.0,
        connect: Callable[[str], Wire] = wires.connect,
    ) -> None:
        """`nodes` maps each party to its node id; `timeout` (s) bounds each send and each recv."""
        if me not in nodes:
            raise ValueError(f"{me} is not among the parties {', '.join(sorted(nodes))}")
        self.me = me
        self._nodes = dict(nodes)
        self._scope = scope
        self._timeout = timeout
        self._open: Callable[[], Wire] = lambda: connect(address)
        self._local = threading.local()
        self._hands: list[_Hand] = []  # of every thread, so that close reaches those whose thread has ended
        self._headers = {
            "x-ptp-version": "1",
            "x-ptp-tech-provider-code": provider,
            "x-ptp-trace-id": trace_id or secrets.token_hex(16),
            "x-ptp-token": token,
            "x-ptp-session-id": session_id,
            "x-ptp-source-node-id": nodes[me],
        }

    @classmethod
    def from_environment(
        cls, environ: Mapping[str, str], *, me: str, scope: str = "", timeout: float = 3600.0
    ) -> ChannelClient:
        """Return the channel that the environment contract of components describes."""
        nodes = {name.removeprefix(_NODES): value for name, value in environ.items() if name.startswith(_NODES)}
        return cls(
            environ["system.transport"],
            environ["config.session_id"],
            environ["config.token"],
            me,
            nodes,
            trace_id=environ.get("config.trace_id", ""),
            scope=scope,
            timeout=timeout,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    @property
    def parties(self) -> tuple[str, ...]:
        """Every party of the job, this one too."""
        return tuple(sorted(self._nodes))

    def send(self, to: str, tag: str, payload: bytes) -> None:
        """Send a message to a party; return once the own node has it."""
        self.send_stream(to, tag, lambda: iter((payload,)), size=len(payload))

    def send_stream(self, to: str, tag: str, chunks: Callable[[], Iterable[bytes]], *, size: int | None = None) -> None:
        """Send a message that is never in memory whole; `chunks` is asked again when the connection is lost."""
        hand = self._hand()
        headers = {
            **self._headers,
            "x-ptp-target-node-id": self._nodes[to],
            "x-ptp-topic": self._topic(self.me, to, tag),
            "x-ptp-ticket": f"{hand.name}-{hand.pushed}",
        }
        self._persist(lambda: hand.wire.push(headers, chunks(), size), FULL).read()
        hand.pushed += 1

    def recv(self, sender: str, tag: str) -> bytes:
        """Take the next message of a party, waiting for it."""
        hand = self._hand()
        until = time.monotonic() + self._timeout
        while True:  # a connection may break within an answer: the same ticket gets the same message again
            reply = self._pop(hand, sender, tag, until)
            try:
                payload = reply.read()
            except Unreached as lost:
                if time.monotonic() > until:
                    raise ChannelError("E0000000607", str(lost)) from lost
            else:
                hand.popped += 1
                return payload

    def recv_stream(self, sender: str, tag: str) -> Iterator[bytes]:
        """Take the next message of a party in pieces; a connection that breaks within it is a ChannelError."""
        hand = self._hand()
        reply = self._pop(hand, sender, tag, time.monotonic() + self._timeout)
        try:
            yield from reply.pieces()
        except Unreached as lost:
            raise ChannelError("E0000000607", str(lost)) from lost
        hand.popped += 1

    def close(self) -> None:
        """Close the connections of all threads; a thread that goes on opens a fresh one."""
        hands, self._hands = self._hands, []
        for hand in hands:
            hand.wire.close()
        self._local = threading.local()

    def _pop(self, hand: _Hand, sender: str, tag: str, until: float) -> Reply:
        headers = {
            **self._headers,
            "x-ptp-target-node-id": self._nodes[sender],
            "x-ptp-topic": self._topic(sender, self.me, tag),
            "x-ptp-ticket": f"{hand.name}-{hand.popped}",
        }
        while True:
            wait = max(0.001, min(_WAIT_SECONDS, until - time.monotonic()))
            reply = self._persist(lambda wait=wait: hand.wire.pop(headers, wait), "")  # type: ignore[misc]
            if reply.code != NOTHING:
                return reply
            if time.monotonic() >= until:
                raise ChannelTimeout(NOTHING, f"no {tag} from {sender}")

    def _persist(self, call: Callable[[], Reply], again: str) -> Reply:
        """Repeat a call while the node is not reached or answers `again`."""
        until = time.monotonic() + self._timeout
        pause = _FIRST_PAUSE
        while True:
            try:
                reply = call()
            except Unreached as lost:
                if time.monotonic() > until:
                    raise ChannelError("E0000000607", str(lost)) from lost
            else:
                if reply.code != again:
                    break
                if time.monotonic() > until:
                    raise ChannelTimeout(reply.code, reply.message)
            threading.Event().wait(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
        if reply.code not in (wires.OK, NOTHING):
            raise ChannelError(reply.code, reply.message)
        if reply.code == NOTHING and reply.refused:
            raise ChannelError(reply.code, reply.message)
        return reply

    def _topic(self, sender: str, receiver: str, tag: str) -> str:
        scoped = f"{self._scope}/{tag}" if self._scope else tag
        topic = f"{sender}->{receiver}:{quote(scoped, safe=_PLAIN)}"
        if len(topic) > _TOPIC_LIMIT:
            raise ValueError(f"the topic {topic} is longer than {_TOPIC_LIMIT} characters")
        return topic

    def _hand(self) -> _Hand:
        hand: _Hand | None = getattr(self._local, "hand", None)
        if hand is None:
            hand = self._local.hand = _Hand(self._open())
            self._hands.append(hand)
        return hand
