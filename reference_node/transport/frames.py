"""Large messages and many small ones in one stream: cut into frames, authenticated, put together again (9.1-c, 9.2-b).

A stream is a sequence of `Inbound` messages, the same over gRPC and over HTTP, where each is preceded by its length in
four bytes, big endian. Guarantees: no more than one frame is in memory at either end; a frame that was changed, left
out, repeated, reordered or taken from another stream is refused, because its code covers its place in this stream and
the key is made of the session's token and the nonce of the signed request that opened the stream; a message that is cut
short leaves nothing behind. `specs/protocols/transport.md` is the description that others re-implement.
"""

from __future__ import annotations

import hmac
import struct
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Self

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.hmac import HMAC
from google.protobuf.message import DecodeError

from reference_node.errors import Refusal
from reference_node.proto.transport_pb2 import Inbound
from reference_node.transport.channels import Mailbox
from reference_node.transport.relay import Outgoing
from reference_node.transport.spool import Spool, Writer

TOPIC: Final = "x-ptp-topic"
SEQUENCE: Final = "x-ptp-sequence"
PART: Final = "part"
LAST: Final = "last"
SIZE: Final = "size"
CODE: Final = "mac"
ALGORITHM_HEADER: Final = "x-ptp-frame-mac"
ALGORITHMS: Final[dict[str, Callable[[], hashes.HashAlgorithm]]] = {
    "hmac-sm3": hashes.SM3,
    "hmac-sha256": hashes.SHA256,
}
TOPIC_LIMIT: Final = 256
SEQUENCE_LIMIT: Final = 2**53
OVERHEAD: Final = 64 * 1024
_LABEL: Final = b"hutong-ptp-frame-1"


class FrameCode:
    """The code of each frame of one stream; `nonce` is the one of the request that opened it."""

    def __init__(self, algorithm: str, token: str, *, nonce: str, source: str, target: str, session_id: str) -> None:
        if algorithm not in ALGORITHMS:
            raise Refusal("FRAME_INVALID", pointer=ALGORITHM_HEADER)
        self._hash = ALGORITHMS[algorithm]
        mac = HMAC(token.encode(), self._hash())
        mac.update(f"{_LABEL.decode()}\n{nonce}\n{source}\n{target}\n{session_id}".encode())
        self._key = mac.finalize()

    def of(self, number: int, frame: Inbound) -> str:
        """Return the code of the frame that stands at this place of the stream."""
        mac = HMAC(self._key, self._hash())
        fields = [(name, value) for name, value in sorted(frame.metadata.items()) if name != CODE]
        mac.update(_LABEL + struct.pack(">QI", number, len(fields)))
        for text in (text for pair in fields for text in pair):
            encoded = text.encode()
            mac.update(struct.pack(">I", len(encoded)) + encoded)
        mac.update(struct.pack(">Q", len(frame.payload)))
        mac.update(frame.payload)
        return mac.finalize().hex()


def cut(batch: Iterable[Outgoing], code: FrameCode, chunk: int) -> Iterator[Inbound]:
    """Yield the frames of some messages; an empty message is one empty frame."""
    number = 0
    for message in batch:
        left = message.payload.size
        pieces = message.payload.chunks(chunk) if left else iter((b"",))
        for part, piece in enumerate(pieces):
            left -= len(piece)
            metadata = {TOPIC: message.topic, SEQUENCE: str(message.sequence), PART: str(part)}
            if part == 0:
                metadata[SIZE] = str(message.payload.size)
            if left == 0:
                metadata[LAST] = "1"
            frame = Inbound(metadata=metadata, payload=piece)
            frame.metadata[CODE] = code.of(number, frame)
            number += 1
            yield frame


def pack(frames: Iterable[Inbound]) -> Iterator[bytes]:
    """Yield frames as they stand in the body of an HTTP request."""
    for frame in frames:
        content = frame.SerializeToString()
        yield struct.pack(">I", len(content)) + content


def unpack(read: Callable[[int], bytes], limit: int) -> Iterator[Inbound]:
    """Yield the frames of a body; raise FRAME_INVALID for one that is cut short, too long or no message."""
    while head := read(4):
        if len(head) < 4:
            raise Refusal("FRAME_INVALID")
        (length,) = struct.unpack(">I", head)
        if length > limit:
            raise Refusal("FRAME_INVALID")
        content = read(length)
        if len(content) < length:
            raise Refusal("FRAME_INVALID")
        yield parsed(content)


def parsed(content: bytes) -> Inbound:
    """Return the message that some bytes hold."""
    try:
        return Inbound.FromString(content)
    except DecodeError:
        raise Refusal("FRAME_INVALID") from None


class Assembler:
    """Puts the messages of one stream together and into the mailbox; as a context, so that nothing stays behind."""

    def __init__(self, mailbox: Mailbox, spool: Spool, code: FrameCode, source: str, *, patience: float) -> None:
        self._mailbox = mailbox
        self._spool = spool
        self._code = code
        self._source = source
        self._patience = patience
        self._number = 0
        self._place: tuple[str, int] | None = None
        self._part = 0
        self._size = 0
        self._writer: Writer | None = None
        self.accepted = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        if self._writer is not None:
            self._writer.abandon()
            self._writer = None

    def feed(self, frame: Inbound) -> bool:
        """Take the next frame; return whether it ended a message."""
        if not hmac.compare_digest(self._code.of(self._number, frame), frame.metadata.get(CODE, "")):
            raise Refusal("FRAME_INVALID")
        self._number += 1
        place = (topic_of(frame), number_of(frame, SEQUENCE))
        if number_of(frame, PART) == 0 and self._place is None:
            self._begin(place, number_of(frame, SIZE))
        elif place != self._place or number_of(frame, PART) != self._part:
            raise Refusal("FRAME_INVALID")
        self._part += 1
        self._size -= len(frame.payload)
        if self._writer is not None:
            self._writer.write(frame.payload)
        if LAST not in frame.metadata:
            if self._size <= 0:
                raise Refusal("FRAME_INVALID")
            return False
        self._end(place)
        return True

    def finish(self) -> int:
        """Return how many messages arrived; a stream that ends within a message is refused."""
        if self._place is not None:
            raise Refusal("FRAME_INVALID")
        return self.accepted

    def _begin(self, place: tuple[str, int], size: int) -> None:
        self._place, self._part, self._size = place, 0, size
        # a message that has arrived before is read and dropped without being written
        if self._mailbox.seen(place[0], self._source, place[1]):
            return
        self._mailbox.room(size, self._patience)
        self._writer = self._spool.writer()

    def _end(self, place: tuple[str, int]) -> None:
        if self._size != 0:
            raise Refusal("FRAME_INVALID")
        writer, self._writer, self._place = self._writer, None, None
        self.accepted += 1
        if writer is not None:
            topic, sequence = place
            self._mailbox.put(topic, writer.finish(), timeout=self._patience, source=self._source, sequence=sequence)


def topic_of(frame: Inbound) -> str:
    """Return the topic of a frame."""
    topic = frame.metadata.get(TOPIC, "")
    if len(topic) > TOPIC_LIMIT:
        raise Refusal("REQUEST_INVALID", pointer=TOPIC)
    return topic


def number_of(frame: Inbound, name: str) -> int:
    """Return a number of a frame's metadata."""
    return whole(frame.metadata.get(name, ""), name)


def whole(text: str, pointer: str) -> int:
    """Read a number that is not negative."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 16 and int(text) < SEQUENCE_LIMIT):
        raise Refusal("REQUEST_INVALID", pointer=pointer)
    return int(text)
