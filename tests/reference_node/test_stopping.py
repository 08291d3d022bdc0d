"""A server that stops waits for what it answers, and for nothing else; a connection at rest holds no thread."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from urllib.parse import urlsplit

import pytest

from reference_node.config import load_config
from reference_node.server import NodeServer
from reference_node.transport.client import ChannelClient, ChannelError

PARTIES = {"guest.0": "node-a", "host.0": "node-b"}
TOKEN = "token-of-the-session-0123456789"


def _place(server: NodeServer) -> tuple[str, int]:
    parts = urlsplit(server.address)
    return parts.hostname or "", parts.port or 0


def _chunked(server: NodeServer) -> http.client.HTTPConnection:
    """Return a connection over which a body was sent in chunks, and answered."""
    connection = http.client.HTTPConnection(*_place(server), timeout=10)
    connection.request("POST", "/v1/interconn/node/contract/apply", iter([b"{", b"}"]), encode_chunked=True)
    connection.getresponse().read()
    return connection


def test_idle_connections_and_waiting_components_do_not_hold_a_server() -> None:
    """A connection never used, one kept alive, pops that wait over HTTP and gRPC: all end with the server."""
    told: list[str] = []
    server = NodeServer(load_config(None, node_id="node-a", port=0, grpc_port=0))
    server.start()
    session = server.node.sessions.open("session_1", TOKEN, PARTIES)

    def wait(address: str) -> None:
        with ChannelClient(address, "session_1", TOKEN, "guest.0", PARTIES, timeout=60) as channel:
            try:
                channel.recv("host.0", "never")
            except ChannelError as failure:
                told.append(failure.code)

    entered = threading.Semaphore(0)
    session.mailbox._waiting = entered.release
    threads = [threading.Thread(target=wait, args=(at,)) for at in (server.address, server.grpc_address or "")]
    with socket.create_connection(_place(server)):
        kept = _chunked(server)
        for thread in threads:
            thread.start()
        assert all(entered.acquire(timeout=10) for _ in threads)
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < 4  # what is not at rest is waited for at most 5 s
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(_place(server))
        kept.close()
    for thread in threads:
        thread.join(timeout=20)
    assert told == ["E0000000404"] * 2


def test_a_connection_kept_alive_after_chunks_holds_no_thread() -> None:
    """With one thread only, another connection is answered while the first one rests."""
    with NodeServer(load_config(None, node_id="node-a", port=0, threads=1)) as server:
        resting = _chunked(server)
        other = http.client.HTTPConnection(*_place(server), timeout=10)
        other.request("GET", "/v1/interconn/node/query?node_id=node-a")
        assert other.getresponse().status < 500
        resting.close()
        other.close()
