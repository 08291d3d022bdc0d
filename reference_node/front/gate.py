"""The loop that holds every connection on which no whole request has come yet: no worker waits for anybody's bytes.

Guarantees: a handshake, a head, and a body that is not to be streamed are read here without waiting, in one thread for
all connections; each has a deadline of seconds; there are at most so many connections, of one address and in all, and
so many bytes of unfinished requests (`hall`). What is no request is refused with an envelope, once, and what follows it
is thrown away.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any, Final

import structlog

from reference_node.front.arrivals import Arrivals
from reference_node.front.hall import Common, Hall
from reference_node.front.head import Malformed
from reference_node.front.lines import Line, Stage
from reference_node.front.rules import SILENT, House, Rules, Security
from reference_node.front.wires import Plain, Secured

log = structlog.get_logger("reference_node")
_READ_AT_ONCE: Final = 16
_DISCARDED: Final = 256 * 1024
_CONTINUE: Final = memoryview(b"HTTP/1.1 100 Continue\r\n\r\n")
_READ: Final = (Stage.HEAD, Stage.IDLE, Stage.BODY)


class Gate:
    """Connections on their way to the workers. `put` and `release` are for workers, the rest is the loop's."""

    can_add_keepalive_connection = True  # where there are too many, the one that rests longest goes

    def __init__(self, house: House, rules: Rules, security: Security | None, common: Common) -> None:
        self._rules = rules
        self._house = house
        self._hall = Hall(rules, common)
        self._arrivals = Arrivals(self._hall, rules, security, self._guarded, self._begun)
        self._listener: socket.socket = house.socket
        self._stopping = False
        self._running = False
        self._hall.listen(self._listener)
        self._seconds = {
            Stage.PREFACE: rules.head_seconds,
            Stage.SHAKE: rules.handshake_seconds,
            Stage.HEAD: rules.head_seconds,
            Stage.IDLE: rules.idle_seconds,
            Stage.QUEUE: rules.idle_seconds,
            Stage.LINGER: rules.linger_seconds,
        }

    def __len__(self) -> int:
        """Return how many connections there are."""
        return len(self._hall)

    # --- the loop ---------------------------------------------------------------------------------------------------

    def run(self, expiration_interval: float) -> None:
        """Serve until `stop`; look for what is overdue as often as that."""
        self._running = True
        try:
            swept = time.monotonic()
            while not self._stopping:
                for line in self._hall.ready(expiration_interval):
                    if line is None:
                        self._arrivals.accept(self._listener)
                    else:
                        self._guarded(self._ready, line)
                for _ in range(len(self._hall.again)):
                    self._guarded(self._look_again, self._hall.again.popleft())
                if (now := time.monotonic()) - swept >= expiration_interval:
                    swept = now
                    self._sweep(now)
        finally:
            self._running = False

    def stop(self) -> None:
        """End the loop."""
        self._stopping = True
        self._hall.ring()
        while self._running:
            time.sleep(0.005)

    def close(self) -> None:
        """Close every connection that waits."""
        self._stopping = True
        self._arrivals.close()
        self._hall.close()

    # --- what workers hand back -------------------------------------------------------------------------------------

    def put(self, connection: Any) -> None:
        """Wait for the next request of a connection."""
        line: Line = connection.line
        line.begin_next()
        line.proven = True
        soon = bool(line.buffer) or _pending(line)
        self._hall.wait(line, Stage.HEAD if line.buffer else Stage.IDLE)
        if soon:
            self._hall.look_soon(line)

    def release(self, line: Line, *, linger: bool) -> None:
        """Close a connection; with `linger` only after the other end has taken the last answer."""
        if linger and not self._stopping and line.wire is not None and line.stage is not Stage.CLOSED:
            line.wire.bye()
            self._hall.wait(line, Stage.LINGER)
        else:
            self._hall.drop(line)

    # --- what comes -------------------------------------------------------------------------------------------------

    def _guarded(self, act: Callable[[Line], None], line: Line) -> None:
        """Do something with one connection; what goes wrong ends that one and no other."""
        try:
            act(line)
        except Malformed as wrong:
            self._refuse(line, wrong)
        except BlockingIOError:
            pass
        except OSError:
            self._hall.drop(line)
        except Exception:
            log.exception("a connection was given up")
            self._hall.drop(line)

    def _begun(self, line: Line) -> None:
        """Wait for the first request of a connection."""
        if self._house.lax("idle-connections-take-workers"):
            self._hand_over(line)
        else:
            self._hall.wait(line, Stage.HEAD)

    def _ready(self, line: Line) -> None:
        if line.stage in _READ:
            self._read(line)
        elif line.stage is Stage.SHAKE:
            self._arrivals.hello(line)
        elif line.stage is Stage.LINGER:
            _discard(line)
        elif line.stage is Stage.PREFACE:
            self._arrivals.preface(line)

    def _look_again(self, line: Line) -> None:
        """Look at what has come already, of a pipelined request or within the TLS library."""
        if line.stage in _READ and not (line.buffer and line.head is None and self._understood(line)):
            self._read(line)

    def _read(self, line: Line) -> None:
        if line.head is None and self._house.lax("dripping-connections-take-workers"):
            self._hand_over(line)
            return
        for _ in range(_READ_AT_ONCE):
            before = len(line.buffer)
            open_still = line.fill()
            came = len(line.buffer) - before
            if came and self._understood(line):
                return
            if not open_still:
                self._hall.drop(line)
                return
            if not came or isinstance(line.wire, Plain):
                return
        self._hall.look_soon(line)

    def _understood(self, line: Line) -> bool:
        """Make of what has come what there is to be made of it; true where a worker has it now."""
        headless = line.head is None
        whole = line.advance(self._rules.limits, self._house.lax, self._house.streams)
        head = line.head
        if headless and head is not None and head.expects and not line.buffer and line.body is None and line.wire:
            line.wire.send(_CONTINUE)
        if whole:
            self._hand_over(line)
            return True
        self._hall.account(line)
        if head is not None and line.stage is not Stage.BODY:
            self._hall.wait(line, Stage.BODY)
        elif head is None and line.stage is Stage.IDLE:
            self._hall.wait(line, Stage.HEAD)
        return False

    def _hand_over(self, line: Line) -> None:
        """Give a connection to a worker; one that will read a body only where not too many do that already."""
        streams = line.body is None and line.head is not None
        if self._hall.work(line, streams=streams):
            self._house.serve_line(line)
        else:
            self._hall.wait(line, Stage.QUEUE)

    def _refuse(self, line: Line, wrong: Malformed) -> None:
        """Say why, once, and take nothing more from this connection."""
        self._house.noted(wrong.name, line.address)
        accept = b"" if line.head is None else line.head.value(b"accept-language")
        line.forget()
        self._hall.account(line)
        if line.wire is None:
            self._hall.drop(line)
            return
        try:
            line.wire.send(memoryview(self._house.refusal(wrong, accept)))
        except OSError:
            self._hall.drop(line)
        else:
            self.release(line, linger=True)

    # --- deadlines --------------------------------------------------------------------------------------------------

    def _sweep(self, now: float) -> None:
        """End what is overdue, and let go on what has waited for its turn."""
        for stage, seconds in self._seconds.items():
            for line in self._hall.overdue(stage, now - seconds):
                self._guarded(self._expire, line)
        for line in self._hall.at(Stage.BODY):
            if now - line.since > self._rules.grace_seconds + line.size / self._rules.rate:
                self._guarded(self._expire, line)
        for line in self._hall.at(Stage.QUEUE):
            self._guarded(self._hand_over, line)

    def _expire(self, line: Line) -> None:
        if line.stage is Stage.HEAD and self._house.lax("head-deadline-missing"):
            return
        if line.stage is Stage.BODY or (line.stage is Stage.HEAD and line.buffer):
            raise Malformed("head" if line.stage is Stage.HEAD else "body", "MESSAGE_TOO_SLOW")
        if line.connection is None:
            self._house.noted(SILENT, line.address)
        self._hall.drop(line)


def _discard(line: Line) -> None:
    """Throw away what comes after the last answer, so that the other end is not cut off from it; OSError at the end."""
    for _ in range(_READ_AT_ONCE):
        if not line.sock.recv(_DISCARDED):  # of TLS too: nobody reads it
            raise ConnectionAbortedError("all was said")


def _pending(line: Line) -> bool:
    """Tell whether bytes wait in the TLS library, of which the selector does not know."""
    return isinstance(line.wire, Secured) and line.wire.connection.pending() > 0
