"""What a session owes to one other node: messages in order, kept until that node has them (9.1-c).

Guarantees: `push` returns once the message is kept (in memory or spool); messages arrive in the order of pushing,
each once, because they are numbered by topic and the other end drops what it has seen; what does not arrive is tried
again after a growing interval; when the other node has been silent for `patience` seconds, or refuses for good,
the lane is broken: what it holds is dropped and every further push says why. A full queue there is not silence.

One message at a time may set out before it is whole (`begin`, `end`): a thread of its own sends it as it grows, so that
the other messages do not wait for its writer. That is tried once; what has not arrived then is a message as any other,
under the number that it has. Later messages of its topic wait until that is known; when it is cut short, its number
goes to the next of them, which is right because nobody has taken it in.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import structlog

from reference_node.errors import Refusal
from reference_node.faults import Faults
from reference_node.transport.channels import Counters
from reference_node.transport.relay import Outgoing, RelayFailed
from reference_node.transport.spool import Growing, Payload

BATCH_MESSAGES = 128
BATCH_BYTES = 16 * 1024 * 1024
_FIRST_WAIT = 0.05
_LONGEST_WAIT = 2.0
log = structlog.get_logger("reference_node")


@dataclass(frozen=True, slots=True)
class LaneLimits:
    """How much a lane holds (bytes), and how long it puts up with silence (seconds)."""

    quota: int
    patience: float


@dataclass(slots=True, eq=False)
class _Early:
    """A message that has set out before it is whole; `whole` or `cut` once its writer has ended."""

    message: Outgoing
    parked: list[Payload] = field(default_factory=list)
    whole: Payload | None = None
    cut: bool = False


class Lane:
    """Messages of one session for one node. With a thread of its own it delivers at once, else when pumped."""

    def __init__(
        self,
        name: str,
        deliver: Callable[[list[Outgoing]], None],
        limits: LaneLimits,
        counters: Counters,
        *,
        now: Callable[[], float] = time.monotonic,
        threaded: bool = True,
        faults: Faults | None = None,
    ) -> None:
        self._faults = Faults() if faults is None else faults
        self._name = name
        self._deliver = deliver
        self._limits = limits
        self._counters = counters
        self._now = now
        self._changed = threading.Condition()
        self._draining = threading.Lock()
        self._queue: deque[Outgoing] = deque()
        self._early: _Early | None = None
        self._threads: list[threading.Thread] = []
        self._next: dict[str, int] = {}
        self._size = 0
        self._closed = False
        self._failure: str | None = None
        self._silent_since: float | None = None
        self._due = 0.0
        self._wait = _FIRST_WAIT
        self._threaded = threaded
        if threaded:
            self._run(self._work, f"lane-{name}")

    def push(self, topic: str, payload: Payload, timeout: float) -> None:
        """Owe a message; wait for room at most `timeout` seconds. A message that is refused is discarded."""
        until = time.monotonic() + timeout
        with self._changed:
            while not self._broken() and self._size and self._size + payload.size > self._limits.quota:
                left = until - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    self._counters.refused_full += 1
                    payload.discard()
                    raise Refusal("QUEUE_FULL")
            if self._broken():
                payload.discard()
                self._check()
            self._size += payload.size
            if self._early is not None and self._early.message.topic == topic:
                self._early.parked.append(payload)
            else:
                self._append(topic, payload)
        if not self._threaded:
            self.drain()

    def begin(self, topic: str, growing: Growing) -> bool:
        """Send a message while it is written; return False where it must wait until it is whole, as others do."""
        with self._changed:
            held_up = self._silent_since is not None or self._due > self._now() or self._size >= self._limits.quota
            if not self._threaded or self._broken() or self._early is not None or held_up:
                return False
            self._early = _Early(Outgoing(topic, self._number(topic), growing))
            if len(self._threads) == 1:
                self._run(self._work_early, f"early-{self._name}")
            self._changed.notify_all()
            return True

    def end(self, payload: Payload | None) -> None:
        """Tell that the message that was begun is whole, or will never be."""
        with self._changed:
            early = self._early
            if early is None or self._broken():
                if payload is not None:
                    payload.discard()
                    self._check()
                return
            early.whole, early.cut = payload, payload is None
            self._size += 0 if payload is None else payload.size
            self._changed.notify_all()

    def flush(self, timeout: float) -> bool:
        """Wait until everything has arrived; return whether it has."""
        with self._changed:
            self._changed.wait_for(lambda: not (self._queue or self._early) or self._broken(), timeout)
            return not (self._queue or self._early) and self._failure is None

    def drain(self) -> None:
        """Deliver what is due; return when nothing is left or the other node does not take it now."""
        with self._draining:
            while (batch := self._batch()) and self._now() >= self._due:
                self._attempt(batch)

    def close(self) -> None:
        """Drop what has not arrived."""
        with self._changed:
            self._closed = True
            self._drop()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(timeout=5)

    @property
    def failure(self) -> str | None:
        """Why the lane is broken, if it is."""
        return self._failure

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._queue)
                late = self._due - self._now()
                if late > 0:
                    self._changed.wait_for(lambda: self._closed, late)
                ended = self._closed
            if ended:
                return
            self.drain()

    def _work_early(self) -> None:
        done: _Early | None = None
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._early not in (None, done))  # noqa: B023
                early = done = self._early
                if self._closed or early is None:
                    return
            arrived = self._sent([early.message])
            with self._changed:
                self._changed.wait_for(lambda: self._broken() or early.whole or early.cut)  # noqa: B023
                self._conclude(early, arrived=arrived)

    def _sent(self, batch: list[Outgoing]) -> bool:
        try:
            self._deliver(batch)
        except RelayFailed:
            return False
        except Exception:  # a defect of ours must not end the thread
            log.exception("delivery failed", lane=self._name)
            return False
        return True

    def _conclude(self, early: _Early, *, arrived: bool) -> None:
        """Put what is left to do among the other messages."""
        topic = early.message.topic
        if early.cut:
            self._next[topic] = early.message.sequence
        self._early = None
        if early.whole is not None and (arrived or self._broken()):
            early.whole.discard()
            self._size -= early.whole.size
            self._counters.delivered += arrived
            self._counters.undelivered += not arrived
        elif early.whole is not None:
            self._counters.retries += 1
            self._queue.append(replace(early.message, payload=early.whole))
        for payload in early.parked:
            if self._broken():
                payload.discard()
            else:
                self._append(topic, payload)
        self._changed.notify_all()

    def _append(self, topic: str, payload: Payload) -> None:
        name = topic.upper() if self._faults.on("sent-under-other-topic") else topic
        self._queue.append(Outgoing(name, self._number(topic), payload))
        self._changed.notify_all()

    def _number(self, topic: str) -> int:
        number = self._next.get(topic, 0)
        self._next[topic] = number + 1
        return number

    def _run(self, work: Callable[[], None], name: str) -> None:
        thread = threading.Thread(target=work, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _batch(self) -> list[Outgoing]:
        """Return the oldest messages, as many as one stream carries."""
        with self._changed:
            batch: list[Outgoing] = []
            size = 0
            for message in self._queue:
                if batch and (len(batch) == BATCH_MESSAGES or size + message.payload.size > BATCH_BYTES):
                    break
                batch.append(message)
                size += message.payload.size
            return batch

    def _attempt(self, batch: list[Outgoing]) -> None:
        try:
            self._deliver(batch)
            if self._faults.on("sent-twice"):
                self._deliver(batch)
        except RelayFailed as failed:
            self._postpone(failed)
        except Exception:  # a defect of ours must not end the thread with messages in its hands
            log.exception("delivery failed", lane=self._name)
            self._postpone(RelayFailed("INTERNAL", transient=True, heard=False))
        else:
            self._settle(batch)

    def _settle(self, batch: list[Outgoing]) -> None:
        with self._changed:
            self._silent_since, self._wait, self._due = None, _FIRST_WAIT, 0.0
            for message in batch:
                if self._queue and self._queue[0] is message:  # a close may have come between
                    self._queue.popleft()
                    self._size -= message.payload.size
                    message.payload.discard()
                    self._counters.delivered += 1
            self._changed.notify_all()

    def _postpone(self, failed: RelayFailed) -> None:
        now = self._now()
        with self._changed:
            if failed.heard:
                self._silent_since = None
            elif self._silent_since is None:
                self._silent_since = now
            silent = 0.0 if self._silent_since is None else now - self._silent_since
            if failed.heard and self._faults.on("given-up-when-full"):
                silent = self._limits.patience
            if failed.transient and silent < self._limits.patience and not self._faults.on("not-sent-again"):
                if self._faults.on("renumbered-when-sent-again"):
                    self._queue = deque(replace(message, sequence=message.sequence + 1) for message in self._queue)
                self._counters.retries += 1
                self._due = now + self._wait
                self._wait = min(self._wait * 2, _LONGEST_WAIT)
                return
            self._failure = failed.reason
            log.warning("messages given up", lane=self._name, reason=failed.reason, messages=len(self._queue))
            self._drop()

    def _broken(self) -> bool:
        return self._closed or self._failure is not None

    def _check(self) -> None:
        if self._broken():
            raise Refusal("PARTNER_UNREACHABLE" if self._failure else "SESSION_NOT_FOUND", reason=self._failure)

    def _drop(self) -> None:
        if self._early is not None:
            self._early.message.payload.discard()
        for message in self._queue:
            message.payload.discard()
            self._counters.undelivered += 1
        self._queue.clear()
        self._size = 0
        self._changed.notify_all()
