"""Two nodes on sockets with a contract in force and an open session."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from reference_node.clock import SystemClock
from reference_node.config import load_config
from reference_node.server import NodeServer
from reference_node.transport.client import ChannelClient
from reference_node.transport.sessions import Session, Sessions
from tests.reference_node import pair

SESSION = "session_job-0123456789abcdef0123456789abcdef"
TOKEN = "token-of-the-session-0123456789"
PARTIES = {"guest.0": "node-a", "host.0": "node-b"}


@dataclass
class Served:
    """One node that listens."""

    server: NodeServer

    @property
    def id(self) -> str:
        """Its node id."""
        return self.server.node.node_id

    @property
    def address(self) -> str:
        """Where it listens."""
        return self.server.address

    @property
    def grpc(self) -> str:
        """Where it listens for gRPC."""
        assert self.server.grpc_address is not None
        return self.server.grpc_address

    @property
    def sessions(self) -> Sessions:
        """Its data plane."""
        return self.server.node.sessions

    def hands(self) -> pair.TestNode:
        """Return its operator's hands."""
        return pair.TestNode(self.server._app, self.address, pair.Network(), SystemClock())  # type: ignore[arg-type]

    def headers(self, target: str, topic: str = "", **more: str) -> dict[str, str]:
        """Return the headers with which a component of this node calls."""
        given = {name.replace("_", "-"): value for name, value in more.items()}
        return {
            "x-ptp-tech-provider-code": "test",
            "x-ptp-trace-id": "trace-of-the-test",
            "x-ptp-token": TOKEN,
            "x-ptp-session-id": SESSION,
            "x-ptp-source-node-id": self.id,
            "x-ptp-target-node-id": target,
            "x-ptp-topic": topic,
            **given,
        }


@contextmanager
def served(folder: Path, **settings: Any) -> Iterator[tuple[Served, Served]]:
    """Serve nodes a and b under a contract."""
    own = {"port": 0, "grpc_port": 0, "channel_patience_seconds": 10.0, **settings}
    with (
        NodeServer(load_config(None, node_id="node-a", data=folder / "a", **own)) as first,
        NodeServer(load_config(None, node_id="node-b", data=folder / "b", **own)) as second,
    ):
        a, b = Served(first), Served(second)
        pair.sign_contract(a.hands(), b.hands())
        yield a, b


def open_session(*nodes: Served, over_grpc: bool = False, **options: Any) -> list[Session]:
    """Open the session of the tests at some nodes."""
    addresses = {node.id: node.grpc for node in nodes} if over_grpc else {}
    return [node.sessions.open(SESSION, TOKEN, PARTIES, addresses, **options) for node in nodes]


def client(node: Served, me: str, *, over_grpc: bool = False, **options: Any) -> ChannelClient:
    """Return the channel of a party at a node."""
    address = node.grpc if over_grpc else node.address
    return ChannelClient(address, SESSION, TOKEN, me, PARTIES, **{"timeout": 20.0, **options})


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[tuple[Served, Served]]:
    """Two nodes that listen, without a session."""
    with served(tmp_path) as both:
        yield both


@pytest.fixture(params=["http", "grpc"])
def linked(request: pytest.FixtureRequest, nodes: tuple[Served, Served]) -> tuple[Served, Served]:
    """Two nodes with the session open, joined over HTTP and then over gRPC."""
    open_session(*nodes, over_grpc=request.param == "grpc")
    return nodes
