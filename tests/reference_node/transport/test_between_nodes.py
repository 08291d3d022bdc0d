"""From component to component through two nodes on sockets, over HTTP and gRPC."""

from __future__ import annotations

import hashlib
import threading

import pytest

from tests.reference_node.transport.conftest import SESSION, Served, client

Nodes = tuple[Served, Served]
MIB = 1024 * 1024


@pytest.mark.parametrize("over_grpc", [False, True])
def test_what_is_sent_is_received(linked: Nodes, over_grpc: bool) -> None:
    """Messages of every size, the empty one too, arrive as they were sent and in order."""
    a, b = linked
    sent = [b"", b"x", b"y" * MIB, bytes(range(256)) * 8192, b"z"]
    with client(a, "guest.0", over_grpc=over_grpc) as guest, client(b, "host.0", over_grpc=over_grpc) as host:
        for payload in sent:
            guest.send("host.0", "step", payload)
        assert [host.recv("guest.0", "step") for _ in sent] == sent


def test_tags_do_not_mix(linked: Nodes) -> None:
    """What was sent under one tag is not received under another, whatever the order of receiving."""
    a, b = linked
    with client(a, "guest.0") as guest, client(b, "host.0") as host:
        guest.send("host.0", "first 一", b"1")
        guest.send("host.0", "second", b"2")
        assert (host.recv("guest.0", "second"), host.recv("guest.0", "first 一")) == (b"2", b"1")


def test_both_directions_at_once(linked: Nodes) -> None:
    """Two parties that talk at the same time both hear every message in order."""
    heard: dict[str, list[bytes]] = {}

    def talk(node: Served, me: str, other: str) -> None:
        with client(node, me) as channel:
            for number in range(50):
                channel.send(other, "count", b"%d" % number)
            heard[me] = [channel.recv(other, "count") for _ in range(50)]

    threads = [
        threading.Thread(target=talk, args=(linked[0], "guest.0", "host.0")),
        threading.Thread(target=talk, args=(linked[1], "host.0", "guest.0")),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    expected = [b"%d" % number for number in range(50)]
    assert heard == {"guest.0": expected, "host.0": expected}


def test_a_large_message_is_streamed(linked: Nodes) -> None:
    """A message of 64 MiB goes through files, arrives whole, and leaves no file behind."""
    a, b = linked
    piece = bytes(range(256)) * 4096
    with client(a, "guest.0") as guest, client(b, "host.0") as host:
        guest.send_stream("host.0", "large", lambda: iter([piece] * 64))
        digest, size = hashlib.sha256(), 0
        for part in host.recv_stream("guest.0", "large"):
            digest.update(part)
            size += len(part)
    assert (size, digest.digest()) == (64 * MIB, hashlib.sha256(piece * 64).digest())
    for node in linked:
        node.sessions.close(SESSION)
        assert list((node.server.node.config.data / "spool").glob("*")) == []  # type: ignore[operator]
