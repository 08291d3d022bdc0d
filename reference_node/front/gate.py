"""The loop that holds every connection on which no whole request has come yet: no worker waits for anybody's bytes.

Guarantees: a handshake, a head and a body that is not to be streamed are read here, without waiting, in one thread for all
connections (handshakes compute in two more); each has a deadline of seconds; there are at most so many connections, of one
address and in all, and so many bytes of unfinished requests, and when there are too many the ones that wait longest go,
strangers first (`bounds`). What is no request is refused with an envelope, and what follows it is thrown away.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any, Final, Protocol

import structlog
from OpenSSL import SSL

from reference_node.errors import NodeError
from reference_node.front import preface
from reference_node.front.bounds import Bounds, whose
from reference_node.front.head import Lax, Malformed
from reference_node.front.lines import Limits, Line, Stage
from reference_node.front.wires import Plain, Secured

log = structlog.get_logger("reference_node")
_ACCEPTED_AT_ONCE: Final = 64
_READ_AT_ONCE: Final = 16
_PREFACE_BYTES: Final = 4096 + 16
_RECORD_HEAD: Final = 5
_HANDSHAKE: Final = 0x16
_HELLO_MOST: Final = 5 + (1 << 14)
_LOOKS: Final = 64
_DISCARDED: Final = 256 * 1024
_SHAKERS: Final = 2
_ROOM: Final = 7 / 8  # of the memory for what is unfinished, which is left after some had to go


@dataclass(frozen=True, slots=True)
class Rules:
    """Deadlines in seconds, the least rate of a body in bytes per second, and bounds in connections and bytes."""

    head_seconds: float = 10.0
    idle_seconds: float = 30.0
    handshake_seconds: float = 10.0
    linger_seconds: float = 5.0
    grace_seconds: float = 5.0
    rate: float = 16 * 1024
    most: int = 16_384
    each: int = 1024
    buffered: int = 64 * 1024 * 1024
    streams: int = 192
    limits: Limits = Limits(1024 * 1024, 72 * 1024 * 1024)
    proxies: tuple[IPv4Network | IPv6Network, ...] = ()


class Security(Protocol):
    """What the gate asks of the secure channel."""

    def context(self) -> SSL.Context:
        """Return what connections are made from; raise ConfigError."""

    def environ(self, connection: SSL.Connection) -> dict[str, Any]:
        """Return what requests of a connection find in their environment; raise SecurityFailure."""

    def plain(self, first: int) -> dict[str, Any] | None:
        """Return the environment where a defect takes a connection that does not begin with a handshake."""


class House(Protocol):
    """The server behind the gate."""

    socket: socket.socket
    lax: Lax

    def serve_line(self, line: Line) -> None:
        """Have a worker answer the request of a connection."""

    def streams(self, path: bytes) -> bool:
        """Tell whether a worker reads bodies for this path while they come."""

    def refusal(self, wrong: Malformed, accept: bytes) -> bytes:
        """Return the whole answer to what is no request."""


class Gate:
    """Connections on their way to the workers. `put` and `release` are for workers, the rest is the loop's."""

    can_add_keepalive_connection = True  # where there are too many, the one that rests longest goes

    def __init__(self, house: House, rules: Rules, security: Security | None) -> None:
        self.rules = rules
        self._house = house
        self._security = security
        self._lock = threading.RLock()
        self._selector = selectors.DefaultSelector()
        self._bounds: Bounds[Line] = Bounds(rules.most, rules.each)
        self._stages: dict[Stage, dict[Line, None]] = {stage: {} for stage in Stage}
        self._again: deque[Line] = deque()
        self._held = 0
        self._streaming: set[Line] = set()
        self._shakers = None if security is None else ThreadPoolExecutor(_SHAKERS, "handshake")
        self._bell, self._ringer = socket.socketpair()
        self._stopping = False
        self._running = False
        self._listener = house.socket
        for sock in (self._listener, self._bell, self._ringer):
            sock.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ, None)
        self._selector.register(self._bell, selectors.EVENT_READ, None)
        self._seconds = {
            Stage.PREFACE: rules.head_seconds,
            Stage.SHAKE: rules.handshake_seconds,
            Stage.HEAD: rules.head_seconds,
            Stage.IDLE: rules.idle_seconds,
            Stage.QUEUE: rules.idle_seconds,
            Stage.LINGER: rules.linger_seconds,
        }

    # --- the loop ---------------------------------------------------------------------------------------------------

    def run(self, expiration_interval: float) -> None:
        """Serve until `stop`; look for what is overdue as often as that."""
        self._running = True
        try:
            swept = time.monotonic()
            while not self._stopping:
                for key, _ in self._selector.select(0 if self._again else expiration_interval):
                    if key.data is not None:
                        self._guarded(self._ready, key.data)
                    elif key.fileobj is self._bell:
                        with contextlib.suppress(BlockingIOError):
                            self._bell.recv(4096)
                    else:
                        self._accept()
                for _ in range(len(self._again)):
                    self._guarded(self._look_again, self._again.popleft())
                if (now := time.monotonic()) - swept >= expiration_interval:
                    swept = now
                    self._sweep(now)
        finally:
            self._running = False

    def stop(self) -> None:
        """End the loop."""
        self._stopping = True
        self._ring()
        while self._running:
            time.sleep(0.005)

    def close(self) -> None:
        """Close every connection that waits."""
        self._stopping = True
        if self._shakers is not None:
            self._shakers.shutdown()
        with self._lock:
            for line in [line for stage in self._stages.values() for line in stage]:
                self._drop(line)
            self._selector.close()
        self._bell.close()
        self._ringer.close()

    def waiting(self) -> int:
        """Return how many connections there are."""
        return len(self._bounds)

    # --- what workers hand back -------------------------------------------------------------------------------------

    def put(self, connection: Any) -> None:
        """Wait for the next request of a connection."""
        line: Line = connection.line
        line.begin_next()
        line.proven = True
        with self._lock:
            self._streaming.discard(line)
            self._wait(line, Stage.HEAD if line.buffer else Stage.IDLE)
        if line.buffer or _pending(line):
            self._look_soon(line)

    def release(self, line: Line, *, linger: bool) -> None:
        """Close a connection; with `linger` only after the other end has taken the last answer."""
        with self._lock:
            self._streaming.discard(line)
            if linger and not self._stopping and line.wire is not None:
                line.wire.bye()
                self._wait(line, Stage.LINGER)
            else:
                self._drop(line)

    # --- accepting --------------------------------------------------------------------------------------------------

    def _accept(self) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                sock, address = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as failure:  # no more file descriptors, or the listener is closed
                log.warning("no connection could be taken", reason=str(failure))
                if not self._evict("", exempt=True):
                    time.sleep(0.01)
                return
            sock.setblocking(False)
            self._enter(sock, str(address[0]), int(address[1]))

    def _enter(self, sock: socket.socket, address: str, port: int) -> None:
        proxied = self._is_proxy(address)
        line = Line(sock, address, port, whose(address), time.monotonic(), exempt=proxied)
        with self._lock:
            if not self._room(line.party, exempt=proxied):
                sock.close()
                return
            self._bounds.enter(line, line.party)
            if proxied:
                self._wait(line, Stage.PREFACE)
            else:
                self._begin(line)

    def _begin(self, line: Line) -> None:
        """Wait for a handshake, or for a request."""
        if self._house.lax("idle-connections-take-workers") and self._security is None:
            line.wire = Plain(line.sock)
            self._hand_over(line)
        elif self._security is None:
            line.wire = Plain(line.sock)
            self._wait(line, Stage.HEAD)
        else:
            _wake_at(line.sock, _RECORD_HEAD)
            self._wait(line, Stage.SHAKE)

    def _is_proxy(self, address: str) -> bool:
        if not self.rules.proxies:
            return False
        found = ip_address(address.partition("%")[0])
        found = getattr(found, "ipv4_mapped", None) or found
        return any(found in network for network in self.rules.proxies)

    def _room(self, party: str, *, exempt: bool) -> bool:
        """Make room for one more connection of a party; false where there is none."""
        while self._bounds.full(party, exempt=exempt):
            if not self._evict(party, exempt=exempt):
                return False
        return True

    def _evict(self, party: str, *, exempt: bool) -> bool:
        with self._lock:
            victim = self._bounds.victim(party, exempt=exempt)
            if victim is not None:
                self._drop(victim)
            return victim is not None

    # --- what comes -------------------------------------------------------------------------------------------------

    def _guarded(self, act: Callable[[Line], None], line: Line) -> None:
        """Do something with one connection; what goes wrong ends that one and no other."""
        try:
            act(line)
        except Malformed as wrong:
            self._refuse(line, wrong)
        except OSError:
            self._drop(line)
        except Exception:
            log.exception("a connection was given up")
            self._drop(line)

    def _ready(self, line: Line) -> None:
        match line.stage:
            case Stage.PREFACE:
                self._read_preface(line)
            case Stage.SHAKE:
                self._read_hello(line)
            case Stage.LINGER:
                self._discard(line)
            case Stage.HEAD | Stage.IDLE | Stage.BODY:
                self._read(line)
            case _:
                pass

    def _look_again(self, line: Line) -> None:
        """Look at what has come already, of a pipelined request or within the TLS library."""
        if line.stage in (Stage.HEAD, Stage.IDLE, Stage.BODY):
            if line.buffer and line.head is None and self._understood(line):
                return
            self._read(line)

    def _read_preface(self, line: Line) -> None:
        """Read whose connection a balancer hands on, and not a byte more."""
        found = preface.read(line.sock.recv(_PREFACE_BYTES, socket.MSG_PEEK) or b"?")
        if found is None:
            return
        left = found.size
        while left:
            left -= len(line.sock.recv(left))
        with self._lock:
            if found.address is not None:
                party = whose(found.address)
                self._bounds.leave(line)
                if not self._room(party, exempt=False):
                    self._drop(line)
                    return
                line.address, line.port, line.party, line.exempt = found.address, found.port or 0, party, False
                self._bounds.enter(line, party)
            self._begin(line)

    def _read_hello(self, line: Line) -> None:
        """Shake hands once the first message is whole: until then a connection costs no more than its socket."""
        if line.wire is None:
            seen = line.sock.recv(_HELLO_MOST, socket.MSG_PEEK)
            if not seen:
                self._drop(line)
                return
            taken = None if self._security is None else self._security.plain(seen[0])
            if taken is not None:
                line.wire, line.environ = Plain(line.sock), taken
                _wake_at(line.sock, 1)
                self._wait(line, Stage.HEAD)
                return
            wanted = _RECORD_HEAD
            if len(seen) >= _RECORD_HEAD:
                wanted = min(_HELLO_MOST, _RECORD_HEAD + int.from_bytes(seen[3:5]))
            line.scanned += 1
            if seen[0] == _HANDSHAKE and len(seen) < wanted and line.scanned < _LOOKS:
                _wake_at(line.sock, wanted)
                return
            line.scanned = 0
            _wake_at(line.sock, 1)
        with self._lock:
            self._leave_stage(line)
            line.stage = Stage.WORK
        if self._shakers is not None:
            self._shakers.submit(self._guarded, self._shake, line)

    def _shake(self, line: Line) -> None:
        """Carry a handshake on by what has come, in a thread that computes."""
        if self._security is None or self._stopping:
            self._drop(line)
            return
        try:
            if line.wire is None:
                line.wire = Secured(self._security.context(), line.sock)
            wire = line.wire
            done = not isinstance(wire, Secured) or wire.shake()
            if done and isinstance(wire, Secured):
                line.environ = self._security.environ(wire.connection)
        except (SSL.Error, NodeError, ValueError) as failure:
            log.debug("a handshake has failed", reason=str(failure))
            self._drop(line)
            return
        with self._lock:
            if self._stopping:
                self._drop(line)
                return
            self._wait(line, Stage.HEAD if done else Stage.SHAKE)
        if done:
            self._look_soon(line)

    def _read(self, line: Line) -> None:
        for _ in range(_READ_AT_ONCE):
            before = len(line.buffer)
            open_still = line.fill()
            came = len(line.buffer) - before
            if came and self._understood(line):
                return
            if not open_still:
                self._drop(line)
                return
            if not came or isinstance(line.wire, Plain):
                return
        self._look_soon(line)

    def _understood(self, line: Line) -> bool:
        """Make of what has come what there is to be made of it; true where a worker has it now."""
        headless = line.head is None
        whole = line.advance(self.rules.limits, self._house.lax, self._house.streams)
        if headless and line.head is not None and line.head.expects and not line.buffer and line.body is None:
            self._continue(line)
        self._account(line)
        if whole:
            self._hand_over(line)
        elif line.head is not None and line.stage is not Stage.BODY:
            self._wait(line, Stage.BODY)
        elif line.head is None and line.stage is Stage.IDLE:
            self._wait(line, Stage.HEAD)
        return whole

    def _continue(self, line: Line) -> None:
        if line.wire is not None:
            line.wire.send(memoryview(b"HTTP/1.1 100 Continue\r\n\r\n"))

    def _account(self, line: Line) -> None:
        """Count what is held; where it is too much, the connections that hold most go."""
        size = line.size
        with self._lock:
            self._held += size - line.held
            line.held = size
            if self._held <= self.rules.buffered:
                return
            holding = [each for stage in (Stage.HEAD, Stage.BODY) for each in self._stages[stage]]
            for each in sorted(holding, key=lambda one: one.held, reverse=True):
                if self._held <= self.rules.buffered * _ROOM:
                    break
                self._drop(each)

    def _hand_over(self, line: Line) -> None:
        """Give a connection to a worker; one that will read a body only where not too many do that already."""
        streams = line.body is None and line.head is not None
        with self._lock:
            if line.stage is Stage.CLOSED:
                return
            if streams and not self._may_stream(line):
                self._wait(line, Stage.QUEUE)
                return
            if streams:
                self._streaming.add(line)
            self._leave_stage(line)
            line.stage = Stage.WORK
            self._held -= line.held
            line.held = 0
        self._house.serve_line(line)

    def _may_stream(self, line: Line) -> bool:
        most = self.rules.streams
        if len(self._streaming) >= most:
            return False
        return sum(each.party == line.party for each in self._streaming) < max(1, most * 3 // 4)

    def _refuse(self, line: Line, wrong: Malformed) -> None:
        """Say why, once, and take nothing more from this connection."""
        if line.stage is Stage.CLOSED:
            return
        accept = b"" if line.head is None else line.head.value(b"accept-language")
        try:
            if line.wire is not None:
                line.wire.send(memoryview(self._house.refusal(wrong, accept)))
                line.buffer.clear()
                line.chunks = None
                self._account(line)
                self.release(line, linger=True)
                return
        except OSError:
            pass
        self._drop(line)

    def _discard(self, line: Line) -> None:
        """Throw away what comes after the last answer, so that the other end is not cut off from it."""
        for _ in range(_READ_AT_ONCE):
            try:
                piece = line.sock.recv(_DISCARDED)  # of TLS too: nobody reads it
            except BlockingIOError:
                return
            if not piece:
                self._drop(line)
                return

    # --- waiting ----------------------------------------------------------------------------------------------------

    def _wait(self, line: Line, stage: Stage) -> None:
        """Wait for the other end, from now on; a handshake that goes on keeps its deadline."""
        with self._lock:
            if line.stage is Stage.CLOSED:
                return
            self._stages[line.stage].pop(line, None)
            if stage is not Stage.SHAKE:
                line.since = time.monotonic()
            line.stage = stage
            self._stages[stage][line] = None
            if stage is not Stage.QUEUE:
                self._register(line)
            else:
                self._unregister(line)
            self._bounds.wait(line, proven=line.proven)

    def _leave_stage(self, line: Line) -> None:
        self._stages[line.stage].pop(line, None)
        self._unregister(line)
        self._bounds.work(line)

    def _register(self, line: Line) -> None:
        wants_write = line.wire is not None and line.wire.wants_write and line.stage is Stage.SHAKE
        events = selectors.EVENT_WRITE if wants_write else selectors.EVENT_READ
        if not line.registered:
            self._selector.register(line.sock, events, line)
        elif line.registered != events:
            self._selector.modify(line.sock, events, line)
        line.registered = events

    def _unregister(self, line: Line) -> None:
        if line.registered:
            self._selector.unregister(line.sock)
            line.registered = 0

    def _drop(self, line: Line) -> None:
        """Close a connection and forget it."""
        with self._lock:
            if line.stage is Stage.CLOSED:
                return
            self._stages[line.stage].pop(line, None)
            self._unregister(line)
            self._bounds.leave(line)
            self._streaming.discard(line)
            self._held -= line.held
            line.held = 0
            line.stage = Stage.CLOSED
        with contextlib.suppress(OSError):
            if line.wire is None:
                line.sock.close()
            else:
                line.wire.close()

    def _look_soon(self, line: Line) -> None:
        self._again.append(line)
        self._ring()

    def _ring(self) -> None:
        with contextlib.suppress(OSError):
            self._ringer.send(b"\0")

    # --- deadlines --------------------------------------------------------------------------------------------------

    def _sweep(self, now: float) -> None:
        """End what is overdue, and let go on what has waited for its turn."""
        for stage, seconds in self._seconds.items():
            for line in self._overdue(stage, now - seconds):
                self._guarded(self._expire, line)
        with self._lock:
            slow = [line for line in self._stages[Stage.BODY] if self._too_slow(line, now)]
            queued = list(self._stages[Stage.QUEUE])
        for line in slow:
            self._guarded(self._expire, line)
        for line in queued:
            self._guarded(self._hand_over, line)

    def _overdue(self, stage: Stage, before: float) -> Iterator[Line]:
        """Yield the connections of a stage that are in it since before a time; they stand in that order."""
        while True:
            with self._lock:
                line = next(iter(self._stages[stage]), None)
            if line is None or line.since >= before:
                return
            yield line
            if line.stage is stage:  # a defect lets it wait on
                return

    def _too_slow(self, line: Line, now: float) -> bool:
        return now - line.since > self.rules.grace_seconds + line.size / self.rules.rate

    def _expire(self, line: Line) -> None:
        begun = line.stage is Stage.BODY or (line.stage is Stage.HEAD and bool(line.buffer))
        if line.stage is Stage.HEAD and self._house.lax("head-deadline-missing"):
            return
        if begun:
            raise Malformed("head" if line.stage is Stage.HEAD else "body", "MESSAGE_TOO_SLOW")
        self._drop(line)


def _pending(line: Line) -> bool:
    """Tell whether bytes wait in the TLS library, of which the selector does not know."""
    return isinstance(line.wire, Secured) and line.wire.connection.pending() > 0


def _wake_at(sock: socket.socket, count: int) -> None:
    """Have the kernel wake us once so many bytes have come, so that bytes which drip cost nothing."""
    with contextlib.suppress(OSError, AttributeError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count)
