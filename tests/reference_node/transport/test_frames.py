"""Frames: what is cut is put together; what was tampered with is refused and leaves nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from reference_node.errors import Refusal
from reference_node.proto.transport_pb2 import Inbound
from reference_node.transport.channels import Mailbox
from reference_node.transport.frames import Assembler, FrameCode, cut, pack, unpack
from reference_node.transport.relay import Outgoing
from reference_node.transport.spool import Spool


def code(algorithm: str = "sm4-gmac", nonce: str = "nonce-0123456789") -> FrameCode:
    """Return the code of a stream."""
    return FrameCode(algorithm, "token", nonce=nonce, source="node-a", target="node-b", session_id="session_1")


def frames(spool: Spool, *payloads: bytes, algorithm: str = "sm4-gmac") -> list[Inbound]:
    """Return the frames of some messages of one topic, in pieces of four bytes."""
    batch = [Outgoing("t", number, spool.keep(data)) for number, data in enumerate(payloads)]
    return [Inbound.FromString(frame.content()) for frame in cut(batch, code(algorithm), 4)]


@pytest.mark.parametrize("algorithm", ["sm4-gmac", "aes-gmac", "hmac-sm3", "hmac-sha256"])
def test_what_is_cut_is_put_together(algorithm: str) -> None:
    """Messages of no, one and several pieces come out as they went in."""
    spool, mailbox = Spool(None, memory=1 << 20, inline=1 << 20), Mailbox(quota=1 << 20)
    sent = [b"", b"four", b"several pieces", b"x"]
    with Assembler(mailbox, spool, code(algorithm), "node-a", patience=0) as assembler:
        for frame in frames(spool, *sent, algorithm=algorithm):
            assembler.feed(frame)
        assert assembler.finish() == len(sent)
    assert [mailbox.pop("t", 0).read() for _ in sent] == sent  # type: ignore[union-attr]


def _changed(rows: list[Inbound]) -> list[Inbound]:
    rows[1].payload = b"else"
    return rows


def _renamed(rows: list[Inbound]) -> list[Inbound]:
    for row in rows:
        row.metadata["x-ptp-topic"] = "another"
    return rows


@pytest.mark.parametrize(
    "bend",
    [
        _changed,
        _renamed,
        lambda rows: rows[1:],
        lambda rows: [rows[0], rows[0], *rows[1:]],
        lambda rows: [rows[1], rows[0], *rows[2:]],
        lambda rows: rows[:-1],
        lambda rows: [rows[0], *rows[2:]],
    ],
)
def test_a_stream_that_was_tampered_with_is_refused(bend: Callable[[list[Inbound]], list[Inbound]]) -> None:
    """Frames changed, left out, repeated, reordered or cut short: nothing of the message arrives or stays."""
    spool, mailbox = Spool(None, memory=1 << 20, inline=1 << 20), Mailbox(quota=1 << 20)
    rows = bend(frames(spool, b"three pieces"))
    before = spool.used

    def take() -> None:
        with Assembler(mailbox, spool, code(), "node-a", patience=0) as assembler:
            for row in rows:
                assembler.feed(row)
            assembler.finish()

    with pytest.raises(Refusal, match="FRAME_INVALID"):
        take()
    assert (mailbox.pop("t", 0), mailbox.size, spool.used) == (None, 0, before)


def test_frames_of_another_stream_are_refused() -> None:
    """A frame that was recorded fits no stream that another request opens."""
    spool, mailbox = Spool(None, memory=1 << 20, inline=1 << 20), Mailbox(quota=1 << 20)
    with (
        pytest.raises(Refusal, match="FRAME_INVALID"),
        Assembler(mailbox, spool, code(nonce="another-nonce-9876"), "node-a", patience=0) as assembler,
    ):
        assembler.feed(frames(spool, b"x")[0])


@pytest.mark.parametrize(
    "body", [b"\x00\x00", b"\x00\x00\x00\x09abc", b"\xff\xff\xff\xff", b"\x00\x00\x00\x02\xff\xff"]
)
def test_a_body_that_is_no_frames_is_refused(body: bytes) -> None:
    """A length cut short, a frame cut short, one over the limit, and bytes that are no message."""
    taken = memoryview(body)

    def read(size: int) -> bytes:
        nonlocal taken
        piece, taken = bytes(taken[:size]), taken[size:]
        return piece

    with pytest.raises(Refusal, match="FRAME_INVALID"):
        list(unpack(read, 1 << 20))


def test_packed_frames_unpack() -> None:
    """The body of an HTTP stream gives back its frames."""
    spool = Spool(None, memory=1 << 20, inline=1 << 20)
    rows = list(cut([Outgoing("t", 0, spool.keep(b"some bytes")), Outgoing("t", 1, spool.keep(b""))], code(), 4))
    taken = memoryview(b"".join(pack(rows)))

    def read(size: int) -> bytes:
        nonlocal taken
        piece, taken = bytes(taken[:size]), taken[size:]
        return piece

    assert [row.SerializeToString(deterministic=True) for row in unpack(read, 1 << 20)] == [
        Inbound(metadata=row.metadata, payload=row.payload).SerializeToString(deterministic=True) for row in rows
    ]


def test_a_message_is_sent_while_it_is_written() -> None:
    """The frames of a message come before its end is there; its size then stands with the last one."""
    spool, mailbox = Spool(None, memory=8, inline=8), Mailbox(quota=1 << 20)
    writer = spool.writer()
    writer.write(b"nine byte")
    growing = writer.growing()
    assert growing is not None
    stream = cut([Outgoing("t", 0, growing)], code(), 4)
    rows = [next(stream), next(stream)]
    writer.write(b"s and more")
    payload = writer.finish()
    rows += stream
    with Assembler(mailbox, spool, code(), "node-a", patience=0) as assembler:
        for row in rows:
            assembler.feed(Inbound.FromString(row.content()))
        assert assembler.finish() == 1
    assert mailbox.pop("t", 0).read() == payload.read() == b"nine bytes and more"  # type: ignore[union-attr]
    assert ["size" in row.metadata for row in rows] == [False, False, False, False, True]


def test_a_message_cut_short_while_it_is_sent_is_refused() -> None:
    """When the writer gives up, the stream ends within the message, and the receiver keeps nothing of it."""
    spool, mailbox = Spool(None, memory=8, inline=8), Mailbox(quota=1 << 20)
    writer = spool.writer()
    writer.write(b"nine byte")
    growing = writer.growing()
    assert growing is not None
    stream = cut([Outgoing("t", 0, growing)], code(), 4)
    rows = [next(stream), next(stream)]
    writer.abandon()
    assert list(stream) == []

    def take() -> None:
        with Assembler(mailbox, spool, code(), "node-a", patience=0) as assembler:
            for row in rows:
                assembler.feed(Inbound.FromString(row.content()))
            assembler.finish()

    with pytest.raises(Refusal, match="FRAME_INVALID"):
        take()
    assert (mailbox.pop("t", 0), mailbox.size) == (None, 0)
