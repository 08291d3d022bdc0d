"""What a session owes to one other node: messages in order, kept until that node has them (9.1-c).

Guarantees: `push` returns once the message is kept (in memory or spool); messages arrive in the order of pushing,
each once, because they are numbered by topic and the other end drops what it has seen; what does not arrive is tried
again after a growing interval; when the other node has been silent for `patience` seconds, or refuses for good,
the lane is broken: what it holds is dropped and every further push says why. A full queue there is not silence.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from reference_node.errors import Refusal
from reference_node.transport.channels import Counters
from reference_node.transport.relay import Outgoing, RelayFailed
from reference_node.transport.spool import Payload

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
    ) -> None:
        self._name = name
        self._deliver = deliver
        self._limits = limits
        self._counters = counters
        self._now = now
        self._changed = threading.Condition()
        self._draining = threading.Lock()
        self._queue: deque[Outgoing] = deque()
        self._next: dict[str, int] = {}
        self._size = 0
        self._closed = False
        self._failure: str | None = None
        self._silent_since: float | None = None
        self._due = 0.0
        self._wait = _FIRST_WAIT
        self._thread: threading.Thread | None = None
        if threaded:
            self._thread = threading.Thread(target=self._work, name=f"lane-{name}", daemon=True)
            self._thread.start()

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
                raise Refusal("PARTNER_UNREACHABLE" if self._failure else "SESSION_NOT_FOUND", reason=self._failure)
            sequence = self._next.get(topic, 0)
            self._next[topic] = sequence + 1
            self._queue.append(Outgoing(topic, sequence, payload))
            self._size += payload.size
            self._changed.notify_all()
        if self._thread is None:
            self.drain()

    def flush(self, timeout: float) -> bool:
        """Wait until everything has arrived; return whether it has."""
        with self._changed:
            self._changed.wait_for(lambda: not self._queue or self._broken(), timeout)
            return not self._queue and self._failure is None

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
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout=5)

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
            if failed.transient and silent < self._limits.patience:
                self._counters.retries += 1
                self._due = now + self._wait
                self._wait = min(self._wait * 2, _LONGEST_WAIT)
                return
            self._failure = failed.reason
            log.warning("messages given up", lane=self._name, reason=failed.reason, messages=len(self._queue))
            self._drop()

    def _broken(self) -> bool:
        return self._closed or self._failure is not None

    def _drop(self) -> None:
        for message in self._queue:
            message.payload.discard()
            self._counters.undelivered += 1
        self._queue.clear()
        self._size = 0
        self._changed.notify_all()
