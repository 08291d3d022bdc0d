"""Streams of `EcdhPsiCipherBatch`: written in order, read with every promise of the message checked.

Guarantees of reading: the type is the expected one, indices run from 0 without a gap, the bytes are `count` values of
the agreed length, nothing follows the last batch, and the values are as many as were announced, where they were; a
stream that runs over is refused at once, not when memory is full.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from google.protobuf.message import DecodeError

from reference_node.algorithms.channel import Channel
from reference_node.algorithms.contract import Defect, sound
from reference_node.algorithms.errors import BatchRefused, CountRefused
from reference_node.proto import ecdh_psi_pb2

MASKED_ONCE: Final = "enc"
MASKED_TWICE: Final = "dual.enc"
MOST_ITEMS: Final = 1 << 40


class BatchSender:
    """Sends the batches of one stream."""

    def __init__(self, channel: Channel, to: str, kind: str, size: int) -> None:
        self._channel = channel
        self._to = to
        self._kind = kind
        self._size = size
        self._index = 0

    def send(self, values: bytes, *, last: bool) -> int:
        """Send one batch; return its length on the wire."""
        batch = ecdh_psi_pb2.EcdhPsiCipherBatch(
            type=self._kind,
            batch_index=self._index,
            is_last_batch=last,
            count=len(values) // self._size,
            ciphertext=values,
        )
        self._index += 1
        raw = batch.SerializeToString()
        self._channel.send(self._to, self._kind, raw)
        return len(raw)


def receive(
    channel: Channel, sender: str, kind: str, size: int, announced: int | None, defect: Defect = sound
) -> Iterator[tuple[bytes, bool]]:
    """Yield (values, whether this is the last batch); raise BatchRefused or CountRefused."""
    index = seen = 0
    last = False
    while not last:
        try:
            batch = ecdh_psi_pb2.EcdhPsiCipherBatch.FromString(channel.recv(sender, kind))
        except DecodeError as wrong:
            raise BatchRefused(f"message {index} of {kind} is not an EcdhPsiCipherBatch") from wrong
        if batch.type != kind:
            raise BatchRefused(f"message {index} of {kind} has another type")
        if batch.batch_index != index:
            raise BatchRefused(f"batch {index} of {kind} was expected, {batch.batch_index} came")
        if defect("psi-count-ignored"):
            batch.count = len(batch.ciphertext) // size
        if batch.count < 0 or batch.count * size != len(batch.ciphertext):
            raise BatchRefused(f"batch {index} of {kind} is not {batch.count} values of {size} bytes")
        last, seen, index = batch.is_last_batch, seen + batch.count, index + 1
        if batch.count == 0 and not last:
            raise BatchRefused("an empty batch that is not the last")
        if defect("psi-overrun-taken"):
            seen = seen if announced is None else announced
        if seen > (MOST_ITEMS if announced is None else announced):
            raise CountRefused(f"more values of {kind} came than were announced")
        if last and announced is not None and seen != announced:
            raise CountRefused(f"{seen} values of {kind} came, {announced} were announced")
        yield batch.ciphertext, last
