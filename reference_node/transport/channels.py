"""What has arrived for the components of one session: an ordered queue for each topic (9.1-c).

Guarantees: topics do not mix; within a topic messages leave in the order of their sequence numbers, each once: what was
seen before is dropped, what comes early is held until the gap is filled, and what is further ahead than the window is
refused with the number that is expected; above the quota a message waits for room, and is refused when none comes
within its time-out. A message without a sequence number (of a partner that has none) is queued as it arrives.

>>> mailbox = Mailbox(quota=1 << 20)
>>> mailbox.put("host.0->guest.0:sizes", spool.keep(b"1"), timeout=0)
True
>>> mailbox.pop("host.0->guest.0:sizes", timeout=0).read()
b'1'
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from reference_node.errors import Refusal
from reference_node.faults import Faults
from reference_node.transport.spool import Payload

WINDOW = 1024


@dataclass(slots=True)
class Counters:
    """What a node's data plane has done so far."""

    pushed: int = 0
    popped: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    duplicates: int = 0
    early: int = 0
    refused_full: int = 0
    delivered: int = 0
    retries: int = 0
    undelivered: int = 0


@dataclass(slots=True)
class _Stream:
    """The messages of one sender in one topic."""

    expected: int = 0
    held: dict[int, Payload] = field(default_factory=dict)


class Mailbox:
    """The queues of one session at one node; any thread may use it."""

    def __init__(
        self,
        *,
        quota: int,
        counters: Counters | None = None,
        waiting: Callable[[], None] | None = None,
        faults: Faults | None = None,
    ) -> None:
        self._quota = quota
        self._faults = Faults() if faults is None else faults
        self._counters = counters or Counters()
        self._waiting = waiting
        self._changed = threading.Condition()
        self._queues: dict[str, deque[Payload]] = {}
        self._streams: dict[tuple[str, str], _Stream] = {}
        self._size = 0
        self._closed = False

    @property
    def size(self) -> int:
        """Bytes that wait to be taken."""
        return self._size

    def seen(self, topic: str, source: str, sequence: int | None) -> bool:
        """Tell whether this message has arrived before."""
        with self._changed:
            return sequence is not None and self._is_known(self._stream(source, topic), sequence)

    def room(self, size: int, timeout: float) -> None:
        """Return once a message of this size would be admitted; raise QUEUE_FULL when it would not in time."""
        with self._changed:
            self._await_room(size, timeout)

    def put(
        self, topic: str, payload: Payload, *, timeout: float, source: str = "", sequence: int | None = None
    ) -> bool:
        """Take a message in; return False when it had arrived before. A message that is refused is discarded."""
        try:
            with self._changed:
                return self._put(topic, payload, timeout, source, sequence)
        except Refusal:
            payload.discard()
            raise

    def pop(self, topic: str, timeout: float) -> Payload | None:
        """Take the oldest message, waiting for one at most `timeout` seconds; None when there is none."""
        if timeout > 0 and not self._queues.get(topic) and self._waiting is not None:
            self._waiting()  # which may take its time: the others must not wait for it
        with self._changed:
            if self._faults.on("pop-does-not-wait"):
                timeout = 0
            if self._faults.on("pop-waits-too-long"):
                timeout = min(12 * timeout, 4)
            if self._faults.on("topics-mixed") and topic not in self._queues:
                topic = next(iter(self._queues), topic)
            self._changed.wait_for(lambda: self._closed or self._queues.get(topic), timeout)
            self._check_open()
            queue = self._queues.get(topic)
            if not queue:
                return None
            if self._faults.on("pop-leaves-message"):
                return queue[0].share()
            payload = queue.pop() if self._faults.on("pop-takes-newest") else queue.popleft()
            if not queue:
                del self._queues[topic]
            self._size -= payload.size
            self._counters.popped += 1
            self._counters.bytes_out += payload.size
            self._changed.notify_all()
            return payload

    def put_back(self, topic: str, payload: Payload) -> None:
        """Return a message that could not be handed over to the head of its topic."""
        with self._changed:
            if self._closed:
                payload.discard()
                return
            self._queues.setdefault(topic, deque()).appendleft(payload)
            self._size += payload.size
            self._changed.notify_all()

    def peek(self, topic: str) -> Payload | None:
        """Return a copy of the oldest message, which stays where it is; None when there is none."""
        with self._changed:
            self._check_open()
            if self._faults.on("peek-consumes"):
                return self.pop(topic, 0)
            queue = self._queues.get(topic)
            return queue[0].share() if queue and not self._faults.on("peek-shows-nothing") else None

    def release(self, topic: str | None = None) -> int:
        """Drop what was not taken from a topic, or from all; return how many messages that were."""
        with self._changed:
            if self._faults.on("release-ignored"):
                return 0
            if self._faults.on("release-forgets-numbers"):
                self._streams.clear()
            return self._drop(None if self._faults.on("release-drops-all") else topic)

    def close(self) -> None:
        """Drop everything; whoever waits here is told that the session is over."""
        with self._changed:
            self._closed = True
            self._drop(None)

    def _put(self, topic: str, payload: Payload, timeout: float, source: str, sequence: int | None) -> bool:
        self._check_open()
        stream = self._stream(source, topic)
        if sequence is not None:
            if self._is_known(stream, sequence):
                if self._faults.on("repeated-message-refused"):
                    raise Refusal("REQUEST_INVALID", pointer="x-ptp-sequence")
                if not self._faults.on("repeated-message-delivered"):
                    return self._forget(payload)
                sequence = None
            elif sequence > stream.expected + WINDOW and not self._faults.on("sequence-window-unbounded"):
                raise Refusal("SEQUENCE_AHEAD", expected=stream.expected)
        # the message that fills a gap is let in above the quota: what is held behind it could never leave otherwise
        if not (stream.held and sequence == stream.expected):
            early = sequence is not None and sequence != stream.expected
            self._await_room(payload.size, 0 if early else timeout)
        if sequence is not None and self._is_known(stream, sequence):  # a retry has overtaken it in the meantime
            return self._forget(payload)
        if self._lost(stream, source, sequence):
            payload.discard()
            return True
        self._size += payload.size
        self._counters.pushed += 1
        self._counters.bytes_in += payload.size
        if sequence is None:
            self._queues.setdefault(topic, deque()).append(payload)
        else:
            self._counters.early += sequence != stream.expected
            stream.held[sequence] = payload
            while (ready := stream.held.pop(stream.expected, None)) is not None:
                self._queues.setdefault(topic, deque()).append(ready)
                stream.expected += 1
        self._changed.notify_all()
        return True

    def _lost(self, stream: _Stream, source: str, sequence: int | None) -> bool:
        """Tell whether a defect loses a message of another node."""
        if sequence is None:
            return bool(source) and self._faults.on("unnumbered-message-lost")
        return sequence != stream.expected and self._faults.on("early-message-lost")

    def _forget(self, payload: Payload) -> bool:
        self._counters.duplicates += 1
        payload.discard()
        return False

    def _await_room(self, size: int, timeout: float) -> None:
        """Wait until the quota admits a message; one that is larger than the quota is admitted when nothing waits."""
        until = time.monotonic() + timeout
        while not self._closed and self._size and self._size + size > self._quota:
            left = until - time.monotonic()
            if left <= 0 or not self._changed.wait(left):
                self._counters.refused_full += 1
                raise Refusal("QUEUE_FULL")
        self._check_open()

    def _stream(self, source: str, topic: str) -> _Stream:
        return self._streams.setdefault((source, topic), _Stream())

    @staticmethod
    def _is_known(stream: _Stream, sequence: int) -> bool:
        return sequence < stream.expected or sequence in stream.held

    def _drop(self, topic: str | None) -> int:
        dropped: list[Payload] = []
        for name in list(self._queues) if topic is None else [topic]:
            dropped += self._queues.pop(name, ())
        for (_, name), stream in self._streams.items():
            if topic in (None, name):
                # what was held counts as arrived, so that a late retry of it is dropped too
                stream.expected = max(stream.held, default=stream.expected - 1) + 1
                dropped += stream.held.values()
                stream.held.clear()
        for payload in dropped:
            self._size -= payload.size
            payload.discard()
        self._changed.notify_all()
        return len(dropped)

    def _check_open(self) -> None:
        if self._closed:
            raise Refusal("SESSION_NOT_FOUND")
