"""Two-party ECDH-PSI: each side masks its own items, then the other's; equal double masks are the intersection.

Guarantees: a side sends its items shuffled, so that positions tell nothing; the values that it gets back belong to its
items by position; only a result party receives double masks of its own items, and only then compares. Three activities
run side by side (own items out, the other's items in and back, own double masks in), so no order of arrival can block
both sides; a window bounds how far sending runs ahead of what comes back, so that the channel's memory stays bounded.

The caller brings digests in secret order and gets one truth value for each. After a failure an activity may still wait
in the channel: whoever owns the channel closes it, or ends the process.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Final

import numpy as np
import numpy.typing as npt

from reference_node.algorithms.channel import Channel
from reference_node.algorithms.contract import Defect, Progress, sound
from reference_node.algorithms.errors import ChannelClosed, PointRefused
from reference_node.algorithms.psi.batches import MASKED_ONCE, MASKED_TWICE, BatchSender, receive
from reference_node.algorithms.psi.curves import DIGEST_BYTES, Curve, Suite
from reference_node.algorithms.psi.handshake import BOTH, Agreement, enough_bits
from reference_node.algorithms.psi.matching import members

_AHEAD: Final = 8  # batches that may be under way
_WAIT: Final = 0.2  # seconds between looks at whether another activity failed
_BAD_POINT_TAKEN: Final = {Suite.X25519: "psi-small-order-point-taken", Suite.SM2: "psi-off-curve-point-taken"}


@dataclass(frozen=True, slots=True)
class Found:
    """What a side learnt: its matches (None for a side that is no result party), sizes and traffic."""

    matched: npt.NDArray[np.bool_] | None
    peer_items: int
    sent_bytes: int


class Exchange:
    """One run of the protocol after the handshake."""

    def __init__(
        self,
        channel: Channel,
        peer: str,
        agreement: Agreement,
        curve: Curve,
        digests: bytes,
        *,
        batch_size: int,
        progress: Progress,
        defect: Defect = sound,
    ) -> None:
        rank = channel.parties.index(channel.me)
        self.channel, self.peer, self.agreement, self.curve = channel, peer, agreement, curve
        self.batch_size, self.progress, self.defect = batch_size, progress, defect
        self.digests, self.items = memoryview(digests), len(digests) // DIGEST_BYTES
        self.own_result = agreement.result_to_rank in {BOTH, rank}
        self.peer_result = agreement.result_to_rank in {BOTH, 1 - rank}
        self.peer_tags: list[bytes] = []
        self.own_tags: list[bytes] = []
        self.peer_items = self.sent_bytes = self.done = 0
        self._moved = threading.Condition()
        self._back = 0
        self._failed = False

    def run(self) -> Found:
        """Run to the end; raise the first failure of any activity."""
        activities: list[Callable[[], None]] = [self._send_own, self._return_peer]
        if self.own_result:
            activities.append(self._take_back)
        ended: SimpleQueue[BaseException | None] = SimpleQueue()
        for activity in activities:
            threading.Thread(target=self._guarded, args=(activity, ended), daemon=True).start()
        for _ in activities:
            failure = ended.get()
            if failure is not None:
                with self._moved:
                    self._failed = True
                    self._moved.notify_all()
                raise failure
        enough_bits(self.agreement, self.items, self.peer_items, self.defect)
        matched = None
        if self.own_result:
            matched = members(b"".join(self.own_tags), b"".join(self.peer_tags), self.agreement.tag_bytes)
        return Found(matched, self.peer_items, self.sent_bytes)

    @staticmethod
    def _guarded(activity: Callable[[], None], ended: SimpleQueue[BaseException | None]) -> None:
        try:
            activity()
        except BaseException as failure:  # noqa: BLE001 - it is raised again in the thread that waits
            ended.put(failure)
        else:
            ended.put(None)

    def _send_own(self) -> None:
        """Mask and send the own items."""
        sender = BatchSender(self.channel, self.peer, MASKED_ONCE, self.curve.point_bytes)
        for start in range(0, max(self.items, 1), self.batch_size):
            end = min(start + self.batch_size, self.items)
            self._wait_for_room(start)
            part = bytes(self.digests[start * DIGEST_BYTES : end * DIGEST_BYTES])
            points = self.curve.points(part)
            masked = points if self.defect("psi-points-unmasked") else self.curve.mask(points)
            self._count(sender.send(masked, last=end == self.items), end - start)

    def _return_peer(self) -> None:
        """Mask the other side's items and give them back where it is a result party."""
        size = self.agreement.tag_bytes
        sender = BatchSender(self.channel, self.peer, MASKED_TWICE, size)
        announced, told = self.agreement.peer_items, self.peer_result or self.defect("psi-result-told-to-all")
        stream = receive(self.channel, self.peer, MASKED_ONCE, self.curve.point_bytes, announced, self.defect)
        for points, last in stream:
            tags = self.curve.tags(self._masked(points), size)
            self.peer_items += len(tags) // size
            hidden = bytes(len(tags)) if self.defect("psi-match-hidden") else tags
            if self.own_result:
                self.peer_tags.append(tags)
            self._count(sender.send(hidden, last=last) if told else 0, 0)

    def _masked(self, points: bytes) -> bytes:
        """Mask points of the other side's, once they are seen to be points."""
        try:
            self.curve.check(points)
            masked = self.curve.mask(points)
        except PointRefused:
            if not self.defect(_BAD_POINT_TAKEN[self.curve.suite]):
                raise
            return points
        return points if self.defect("psi-points-unmasked") else masked

    def _take_back(self) -> None:
        """Take the double masks of the own items, in the order in which they were sent."""
        size = self.agreement.tag_bytes
        for tags, _ in receive(self.channel, self.peer, MASKED_TWICE, size, self.items):
            self.own_tags.append(tags)
            with self._moved:
                self._back += len(tags) // size
                self._moved.notify_all()
            self._count(0, len(tags) // size)

    def _wait_for_room(self, sent: int) -> None:
        """Wait until no more than the window is under way; a side that gets nothing back does not wait."""
        if not self.own_result:
            return
        with self._moved:
            while sent - self._back >= _AHEAD * self.batch_size and not self._failed:
                self._moved.wait(_WAIT)
            if self._failed:
                raise ChannelClosed("another activity of this run failed")

    def _count(self, sent: int, done: int) -> None:
        with self._moved:
            self.sent_bytes += sent
            self.done += done
            share = self.done / max(1, self.items * (1 + self.own_result))
        if done:
            self.progress(min(share, 1.0), "masking")
