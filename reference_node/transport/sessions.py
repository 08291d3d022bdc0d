"""Sessions of the data plane: who talks with whom under which token, and where their messages wait (6.2-c, 9.1-c).

Guarantees: nothing is pushed, taken or received for a session that is not open, with another token (compared in
constant time), or by a node that is no party of it; what belongs to a session is gone when it is closed. Sessions live
as long as the process: after a restart the job plane opens those that go on, and the spool starts empty.

>>> session = sessions.open("session_job-1", token, {"guest.0": "node-a", "host.0": "node-b"})
>>> sessions.push(session, "node-b", "guest.0->host.0:sizes", payload, timeout=5)   # on node-a
>>> sessions.pop(session, "guest.0->host.0:sizes", timeout=5)                       # on node-b
"""

from __future__ import annotations

import hmac
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from urllib.parse import urlsplit

from reference_node.errors import Refusal
from reference_node.faults import Faults
from reference_node.transport.channels import Counters, Mailbox
from reference_node.transport.lanes import Lane, LaneLimits
from reference_node.transport.partner import Peer
from reference_node.transport.relay import Outgoing, Relay, RelayFailed, Route
from reference_node.transport.spool import Growing, Payload, Spool

_FORMS = 16
PeerFinder = Callable[[str], Peer]


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes and seconds: what a session may hold here, and how long its messages are tried."""

    quota: int
    patience: float
    chunk: int


@dataclass(frozen=True, slots=True)
class Ticket:
    """By which a repeated push or pop is known: who asks, and which of its pushes or pops this is, from 0."""

    holder: str
    number: int


@dataclass(slots=True, eq=False)
class Session:
    """One session at one node. `token` is shared with the partners, `component_token` with own components only."""

    session_id: str
    token: str = field(repr=False)
    component_token: str = field(repr=False)
    parties: Mapping[str, str]
    addresses: Mapping[str, str]
    trace_id: str
    passthrough: bool
    mailbox: Mailbox
    within: str | None = None
    proved: bool = True
    spoken: dict[str, int] = field(default_factory=dict)
    lanes: dict[str, Lane] = field(default_factory=dict)
    turns: dict[str, threading.Lock] = field(default_factory=dict)
    pushed: dict[str, int] = field(default_factory=dict)
    kept: dict[str, tuple[int, Payload]] = field(default_factory=dict)


class Sessions:
    """The data plane of one node; any thread may use it.

    `relays` maps the scheme of an address to what carries messages there. `crowded` is called before a thread waits
    for a message, so that a server can add a thread in its place.
    """

    def __init__(
        self,
        node_id: str,
        spool: Spool,
        limits: Limits,
        *,
        find_peer: PeerFinder,
        relays: Mapping[str, Relay],
        now: Callable[[], float] = time.monotonic,
        threaded: bool = True,
        faults: Faults | None = None,
    ) -> None:
        self.node_id = node_id
        self.spool = spool
        self.limits = limits
        self.totals = Counters()
        self.crowded: Callable[[], None] = lambda: None
        self._find_peer = find_peer
        self._relays = relays
        self._now = now
        self._threaded = threaded
        self._faults = Faults() if faults is None else faults
        self._lock = threading.Lock()
        self._sessions: dict[str, Session] = {}

    def open(
        self,
        session_id: str,
        token: str,
        parties: Mapping[str, str],
        addresses: Mapping[str, str] | None = None,
        *,
        component_token: str | None = None,
        trace_id: str | None = None,
        passthrough: bool = False,
        within: str | None = None,
        proved: bool = True,
    ) -> Session:
        """Open a session among parties (name to node id); the same again returns the one that is open.

        `addresses` (node id to grpc://host:port) says who takes messages elsewhere than at the address of its contract;
        it has to be from the contract with that very node as well.
        `passthrough` sends single messages bare, x-ptp-version 1. A session within another ends with it.
        Where the token is no secret (`proved` is false), the signature of each message admits by itself, and nothing
        that a signature does not cover is sent or taken.
        """
        with self._lock:
            known = self._sessions.get(session_id)
            if known is not None:
                if not hmac.compare_digest(known.token.encode(), token.encode()):
                    raise Refusal("ID_TAKEN", pointer="x-ptp-session-id")
                known.parties = {**known.parties, **parties}
                known.addresses = {**known.addresses, **(addresses or {})}
                return known
            session = Session(
                session_id,
                token,
                component_token or token,
                dict(parties),
                dict(addresses or {}),
                trace_id or secrets.token_hex(16),
                passthrough,
                Mailbox(quota=self.limits.quota, counters=self.totals, waiting=self.crowded, faults=self._faults),
                within=within,
                proved=proved,
            )
            self._sessions[session_id] = session
            return session

    def close(self, session_id: str, *, linger: float = 0) -> None:
        """End a session; wait at most `linger` seconds for what it owes to arrive. One that is not open is no error."""
        with self._lock:
            session = self._sessions.get(session_id)
            inner = [item.session_id for item in self._sessions.values() if item.within == session_id]
        for name in inner:
            self.close(name, linger=linger)
        if session is None:
            return
        until = time.monotonic() + linger
        for lane in list(session.lanes.values()):
            lane.flush(max(0.0, until - time.monotonic()))
        with self._lock:
            self._sessions.pop(session_id, None)
            lanes = list(session.lanes.values())
        for lane in lanes:
            lane.close()
        session.mailbox.close()
        for _, payload in session.kept.values():
            payload.discard()

    def end_waits(self) -> None:
        """Tell everybody who waits for a message that there will be none, so that a server can stop."""
        for session in list(self._sessions.values()):
            session.mailbox.close()

    def close_all(self) -> None:
        """End every session and let go of files and connections."""
        for session_id in list(self._sessions):
            self.close(session_id)
        for relay in set(self._relays.values()):
            relay.close()
        self.spool.close()

    def of_component(self, session_id: str, token: str) -> Session:
        """Return the session that a component of this node may use."""
        if self._faults.on("component-token-unchecked") and session_id in self._sessions:
            return self._sessions[session_id]
        return self._admitted(session_id, token, lambda session: session.component_token)

    def of_partner(self, session_id: str, token: str, source: str) -> Session:
        """Return the session that another node may send to."""
        if self._faults.on("session-token-unchecked") and session_id in self._sessions:
            token = self._sessions[session_id].token if token not in self._tokens() else token
        if self._faults.on("token-of-other-job-taken") and session_id in self._sessions and token in self._tokens():
            token = self._sessions[session_id].token
        session = self._admitted(session_id, token, lambda session: session.token if session.proved else token)
        parties = [*session.parties.values()][: 2 if self._faults.on("session-closed-to-third-party") else None]
        if source not in parties and not self._faults.on("session-open-to-others"):
            raise Refusal("NOT_YOURS", pointer="x-ptp-source-node-id")
        return session

    def of_any(self, session_id: str) -> Session | None:
        """Return a session whoever asks, None where it is not open."""
        return self._sessions.get(session_id)

    def push(self, session: Session, target: str, topic: str, payload: Payload, timeout: float) -> None:
        """Send a message to a topic at the node `target`, which may be this one."""
        try:
            lane = None if target == self.node_id else self._lane(session, target)
        except Refusal:
            payload.discard()
            raise
        if lane is None:
            session.mailbox.put(topic, payload, timeout=timeout)
        else:
            lane.push(topic, payload, timeout)

    def push_once(
        self, session: Session, target: str, topic: str, payload: Payload, timeout: float, ticket: Ticket | None
    ) -> None:
        """Send a message unless it was sent under the same ticket before."""
        if ticket is None or self._faults.on("push-ticket-ignored"):
            self.push(session, target, topic, payload, timeout)
            return
        turn = self._turn(session, f"push {ticket.holder}")
        if not turn.acquire(timeout=timeout):  # an earlier attempt of the same push still waits for room
            payload.discard()
            raise Refusal("QUEUE_FULL")
        try:
            if ticket.number < session.pushed.get(ticket.holder, 0):
                self.totals.duplicates += 1
                payload.discard()
                return
            self.push(session, target, topic, payload, timeout)
            session.pushed[ticket.holder] = ticket.number + 1
        finally:
            turn.release()

    def begin(self, session: Session, target: str, topic: str, growing: Growing, ticket: Ticket | None) -> Lane | None:
        """Send a message while it is written; None where it must be whole first. What has begun ends with `end`."""
        if target == self.node_id or not session.proved:
            return None
        turn = None if ticket is None else self._turn(session, f"push {ticket.holder}")
        if turn is not None and not turn.acquire(blocking=False):
            return None
        begun = False
        try:
            fresh = ticket is None or ticket.number >= session.pushed.get(ticket.holder, 0)
            lane = self._lane(session, target)
            begun = fresh and lane.begin(topic, growing)
            return lane if begun else None
        finally:
            if turn is not None and not begun:
                turn.release()

    def end(self, session: Session, lane: Lane, payload: Payload | None, ticket: Ticket | None) -> None:
        """End a message that was begun: it is whole, or cut short."""
        try:
            lane.end(payload)
            if ticket is not None and payload is not None:
                session.pushed[ticket.holder] = ticket.number + 1
        finally:
            if ticket is not None:
                self._turn(session, f"push {ticket.holder}").release()

    def pop(self, session: Session, topic: str, timeout: float, ticket: Ticket | None = None) -> Payload | None:
        """Take the oldest message; under the ticket of the last pop the same one again.

        What a holder was given last is kept until it asks with its next ticket: only then it is known to have it.
        """
        if self._faults.on("sessions-mixed") and session.mailbox.peek(topic) is None:
            session = next((row for row in self._sessions.values() if row.mailbox.peek(topic)), session)
        if ticket is None or self._faults.on("pop-ticket-ignored"):
            return session.mailbox.pop(topic, timeout)
        turn = self._turn(session, f"pop {ticket.holder}")
        if not turn.acquire(timeout=timeout):
            return None
        try:
            number, kept = session.kept.get(ticket.holder, (-1, None))
            if kept is not None and number == ticket.number:
                return kept.share()
            if kept is not None:
                del session.kept[ticket.holder]
                kept.discard()
            payload = session.mailbox.pop(topic, timeout)
            if payload is None:
                return None
            session.kept[ticket.holder] = (ticket.number, payload)
            return payload.share()
        finally:
            turn.release()

    def spoke(self, session: Session, form: str) -> None:
        """Count a call of a component in one form; of many forms the first are enough."""
        with self._lock:
            if form in session.spoken or len(session.spoken) < _FORMS:
                session.spoken[form] = session.spoken.get(form, 0) + 1

    def spoken(self, session_id: str) -> dict[str, int]:
        """Return how often the components of a session have called in which form."""
        with self._lock:
            session = self._sessions.get(session_id)
            return {} if session is None else dict(session.spoken)

    def flush(self, session_id: str, timeout: float) -> bool:
        """Wait until what a session owes has arrived; return whether it has."""
        until = time.monotonic() + timeout
        lanes = list(self._sessions[session_id].lanes.values())
        return all(lane.flush(max(0.0, until - time.monotonic())) for lane in lanes)

    def pump(self) -> None:
        """Deliver what is due, where lanes have no threads."""
        if not self._threaded:
            for session in list(self._sessions.values()):
                for lane in list(session.lanes.values()):
                    lane.drain()

    def counters(self) -> dict[str, int]:
        """Return what the data plane has done so far."""
        return {**asdict(self.totals), "spilled": self.spool.spilled, "open": len(self._sessions)}

    def _admitted(self, session_id: str, token: str, of: Callable[[Session], str]) -> Session:
        session = self._sessions.get(session_id)
        # an unknown session costs the same comparison
        fits = hmac.compare_digest(token.encode(), (of(session) if session else "").encode())
        if session is None and self._faults.on("unknown-session-taken"):
            session = next((row for row in self._sessions.values() if of(row) == token), None)
            fits = session is not None
        if session is None:
            unknown = "SESSION_TOKEN_INVALID" if self._faults.on("unknown-session-forbidden") else "SESSION_NOT_FOUND"
            raise Refusal(unknown, pointer="x-ptp-session-id")
        if not fits:
            raise Refusal("SESSION_TOKEN_INVALID", pointer="x-ptp-token")
        return session

    def _tokens(self) -> set[str]:
        return {session.token for session in self._sessions.values()}

    def _turn(self, session: Session, name: str) -> threading.Lock:
        with self._lock:
            return session.turns.setdefault(name, threading.Lock())

    def _lane(self, session: Session, target: str) -> Lane:
        if target not in session.parties.values() and not self._faults.on("push-to-outsider"):
            raise Refusal("REQUEST_INVALID", pointer="x-ptp-target-node-id")
        with self._lock:
            if session.session_id not in self._sessions:
                raise Refusal("SESSION_NOT_FOUND", pointer="x-ptp-session-id")
            lane = session.lanes.get(target)
            if lane is None:
                lane = Lane(
                    f"{session.session_id}-{target}",
                    lambda batch: self._deliver(session, target, batch),
                    LaneLimits(self.limits.quota, self.limits.patience),
                    self.totals,
                    now=self._now,
                    threaded=self._threaded,
                    faults=self._faults,
                )
                session.lanes[target] = lane
            return lane

    def _deliver(self, session: Session, target: str, batch: list[Outgoing]) -> None:
        try:
            peer = self._find_peer(target)
        except Refusal as refusal:
            raise RelayFailed(refusal.name, transient=False, heard=False) from refusal
        peer = replace(peer, address=session.addresses.get(target, peer.address))
        relay = self._relays.get(urlsplit(peer.address).scheme)
        if relay is None:
            raise RelayFailed(f"no relay for {peer.address}", transient=False, heard=False)
        relay.deliver(
            Route(
                session.session_id,
                session.token,
                session.trace_id,
                peer,
                passthrough=session.passthrough,
                proved=session.proved,
            ),
            batch,
        )
