"""How algorithms talk: a channel of three members that is handed to them, and one that lives in this process.

Guarantees of every channel: payloads of one (sender, receiver, tag) arrive once and in the order of sending; tags do
not disturb each other; `recv` waits. The order of `parties` is the same everywhere and gives a party its rank.

    >>> channels = local_channels(["guest.0", "host.0"])
    >>> channels["guest.0"].send("host.0", "greeting", b"hello")
    >>> channels["host.0"].recv("guest.0", "greeting")
    b'hello'
"""

from __future__ import annotations

import queue
import threading
from collections import defaultdict
from collections.abc import Sequence
from typing import Protocol

from reference_node.algorithms.errors import ChannelClosed, ChannelTimeout

_Topic = tuple[str, str, str]


class Channel(Protocol):
    """One party's end of the connections among the parties of a task."""

    @property
    def me(self) -> str:
        """This party's name."""

    @property
    def parties(self) -> tuple[str, ...]:
        """The names of all parties in the order of their ranks, this one among them."""

    def send(self, to: str, tag: str, payload: bytes) -> None:
        """Send one payload; may block while the other side is slow."""

    def recv(self, sender: str, tag: str) -> bytes:
        """Return the next payload; raise ChannelTimeout or ChannelClosed."""


class LocalHub:
    """The queues that the local channels of one run share."""

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self.sent = 0
        self._queues: defaultdict[_Topic, queue.SimpleQueue[bytes | None]] = defaultdict(queue.SimpleQueue)
        self._lock = threading.Lock()
        self._closed = False

    def put(self, topic: _Topic, payload: bytes) -> None:
        """Append to a topic."""
        with self._lock:
            if self._closed:
                raise ChannelClosed("the channel was closed")
            self.sent += len(payload)
            self._queues[topic].put(payload)

    def get(self, topic: _Topic) -> bytes:
        """Take from a topic."""
        with self._lock:
            if self._closed:
                raise ChannelClosed("the channel was closed")
            source = self._queues[topic]
        try:
            payload = source.get(timeout=self.timeout)
        except queue.Empty:
            raise ChannelTimeout(f"nothing arrived from {topic[0]} on {topic[2]}") from None
        if payload is None:
            source.put(None)  # for the next that waits here
            raise ChannelClosed("the channel was closed")
        return payload

    def close(self) -> None:
        """Wake whoever waits; nothing passes any more."""
        with self._lock:
            self._closed = True
            for waiting in self._queues.values():
                waiting.put(None)


class LocalChannel:
    """A channel between threads of one process."""

    def __init__(self, me: str, parties: tuple[str, ...], hub: LocalHub) -> None:
        self.me = me
        self.parties = parties
        self.hub = hub

    def send(self, to: str, tag: str, payload: bytes) -> None:
        """Send one payload."""
        self.hub.put((self.me, to, tag), payload)

    def recv(self, sender: str, tag: str) -> bytes:
        """Return the next payload; raise ChannelTimeout or ChannelClosed."""
        return self.hub.get((sender, self.me, tag))

    def close(self) -> None:
        """Close the channels of all parties of this run."""
        self.hub.close()


def local_channels(parties: Sequence[str], *, timeout: float = 60.0) -> dict[str, LocalChannel]:
    """Connect parties that run as threads of this process; `timeout` bounds each wait, in seconds."""
    names, hub = tuple(parties), LocalHub(timeout)
    return {name: LocalChannel(name, names, hub) for name in names}
