"""Where connections wait: what each is at, since when, and which go when there are too many. For several threads.

Guarantees: a connection is in one stage; those of a stage stand in the order in which they came to it; a connection
that waits for its other end is known to the selector, one that a worker has is not; `drop` closes it once and for all.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Final

from reference_node.front.bounds import Bounds
from reference_node.front.lines import Line, Stage
from reference_node.front.rules import Rules

_ROOM: Final = 7 / 8  # of the memory for what is unfinished is left after some had to go
_SHARE: Final = 3 / 4  # of the workers that read bodies may do so for one address


class Common:
    """What halls have in common whose connections are counted together: the bounds, and the lock on them."""

    def __init__(self, rules: Rules) -> None:
        self.lock = threading.RLock()
        self.bounds: Bounds[Line] = Bounds(rules.most, rules.each)


class Hall:
    """The connections of one listening socket."""

    def __init__(self, rules: Rules, common: Common) -> None:
        self.again: deque[Line] = deque()
        self._rules = rules
        self._lock = common.lock
        self._selector = selectors.DefaultSelector()
        self._bounds = common.bounds
        self._stages: dict[Stage, dict[Line, None]] = {stage: {} for stage in Stage}
        self._streaming: set[Line] = set()
        self._held = 0
        self._closed = False
        self._bell, self._ringer = socket.socketpair()
        for sock in (self._bell, self._ringer):
            sock.setblocking(False)
        self._selector.register(self._bell, selectors.EVENT_READ, None)

    def __len__(self) -> int:
        """Return how many connections there are, with those of halls that are counted together."""
        return len(self._bounds)

    def listen(self, listener: socket.socket) -> None:
        """Be told of what wants to come in."""
        listener.setblocking(False)
        self._selector.register(listener, selectors.EVENT_READ, None)

    def ready(self, seconds: float) -> Iterator[Line | None]:
        """Yield the connections on which something has come, and None where somebody wants to come in."""
        for key, _ in self._selector.select(0 if self.again else seconds):
            if key.fileobj is self._bell:
                with contextlib.suppress(OSError):
                    self._bell.recv(4096)
            else:
                yield key.data

    # --- coming and going -------------------------------------------------------------------------------------------

    def enter(self, line: Line) -> bool:
        """Count a connection; false, and it is closed, where there is no room for it."""
        with self._lock:
            if self._closed or not self._room(line):
                line.stage = Stage.CLOSED
                line.sock.close()
                return False
            line.hall = self
            self._bounds.enter(line, line.party)
            return True

    def move(self, line: Line, party: str) -> bool:
        """Count a connection for another party from now on; false, and it is closed, where there is no room for it."""
        with self._lock:
            self._bounds.leave(line)
            line.party, line.exempt = party, False
            if not self._room(line):
                self.drop(line)
                return False
            self._bounds.enter(line, party)
            return True

    def evict(self) -> bool:
        """Let the connection go that goes first; false where none can."""
        with self._lock:
            victim = self._bounds.victim("", exempt=True)
            if victim is not None:
                victim.hall.drop(victim)
            return victim is not None

    def wait(self, line: Line, stage: Stage) -> None:
        """Wait for the other end, from now on; a handshake that goes on keeps its deadline."""
        with self._lock:
            if line.stage is Stage.CLOSED:
                return
            if self._closed:
                self.drop(line)
                return
            self._stages[line.stage].pop(line, None)
            if stage is not Stage.SHAKE:
                line.since = time.monotonic()
            line.stage = stage
            self._stages[stage][line] = None
            self._streaming.discard(line)
            if stage is Stage.QUEUE:
                self._unregister(line)
            else:
                self._register(line)
            self._bounds.wait(line, proven=line.proven)

    def work(self, line: Line, *, streams: bool = False) -> bool:
        """Note that a thread has a connection now; false where it is closed, or must wait for its turn to stream."""
        with self._lock:
            if line.stage is Stage.CLOSED or (streams and not self._may_stream(line)):
                return False
            if streams:
                self._streaming.add(line)
            self._stages[line.stage].pop(line, None)
            self._unregister(line)
            self._bounds.work(line)
            line.stage = Stage.WORK
            self._hold(line, 0)
            return True

    def drop(self, line: Line) -> None:
        """Close a connection and forget it."""
        with self._lock:
            if line.stage is Stage.CLOSED:
                return
            self._stages[line.stage].pop(line, None)
            self._unregister(line)
            self._bounds.leave(line)
            self._streaming.discard(line)
            self._hold(line, 0)
            line.stage = Stage.CLOSED
        with contextlib.suppress(OSError):
            line.close()

    def close(self) -> None:
        """Close every connection that waits."""
        with self._lock:
            self._closed = True
            for line in [line for stage in self._stages.values() for line in stage]:
                self.drop(line)
            self._selector.close()
        self._bell.close()
        self._ringer.close()

    # --- looking ----------------------------------------------------------------------------------------------------

    def look_soon(self, line: Line) -> None:
        """Have a connection looked at, on which something may have come of which the selector does not know."""
        self.again.append(line)
        self.ring()

    def ring(self) -> None:
        """Wake the loop."""
        with contextlib.suppress(OSError):
            self._ringer.send(b"\0")

    def overdue(self, stage: Stage, before: float) -> Iterator[Line]:
        """Yield the connections that are in a stage since before a time."""
        while True:
            with self._lock:
                line = next(iter(self._stages[stage]), None)
            if line is None or line.since >= before:
                return
            yield line
            if line.stage is stage:  # a defect lets it wait on
                return

    def at(self, stage: Stage) -> list[Line]:
        """Return the connections in a stage."""
        with self._lock:
            return list(self._stages[stage])

    def account(self, line: Line) -> None:
        """Count what is held of a request; where it is too much in all, the connections that hold most go."""
        with self._lock:
            self._hold(line, line.size)
            if self._held <= self._rules.buffered:
                return
            holding = [each for stage in (Stage.HEAD, Stage.BODY) for each in self._stages[stage]]
            for each in sorted(holding, key=lambda one: one.held, reverse=True):
                if self._held <= self._rules.buffered * _ROOM:
                    break
                self.drop(each)

    def _hold(self, line: Line, size: int) -> None:
        self._held += size - line.held
        line.held = size

    def _room(self, line: Line) -> bool:
        """Make room for one more connection; false where there is none."""
        while self._bounds.full(line.party, exempt=line.exempt):
            victim = self._bounds.victim(line.party, exempt=line.exempt)
            if victim is None:
                return False
            victim.hall.drop(victim)
        return True

    def _may_stream(self, line: Line) -> bool:
        if len(self._streaming) >= self._rules.streams:
            return False
        return sum(each.party == line.party for each in self._streaming) < max(1, int(self._rules.streams * _SHARE))

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
