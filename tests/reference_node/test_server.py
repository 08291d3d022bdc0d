"""The node on a socket: ready line, real calls between two processes' worth of nodes, clean stop."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from reference_node.config import load_config
from reference_node.errors import ConfigError
from reference_node.server import NodeServer

FAULT = "node-query-demands-signature"
pytestmark = pytest.mark.slow


def _own(server: NodeServer, method: str, path: str, **parts: Any) -> dict[str, Any]:
    headers = {"authorization": "Bearer " + server.node.identity.operator_token}
    answer = requests.request(method, f"{server.address}/v1/platform/node/{path}", headers=headers, timeout=10, **parts)
    found: dict[str, Any] = answer.json()
    return found


def _eventually(told: Callable[[], bool], within: float) -> bool:
    deadline = monotonic() + within
    while monotonic() < deadline:
        if told():
            return True
    return told()


def test_two_served_nodes_sign_a_contract_over_sockets(tmp_path: Path) -> None:
    """8.1.2: application, confirmation, health and termination over HTTP, with data folders and background work."""
    with (
        NodeServer(load_config(None, data=tmp_path / "a", port=0, node_id="node-a")) as a,
        NodeServer(load_config(None, data=tmp_path / "b", port=0, node_id="node-b")) as b,
    ):
        applied = _own(a, "POST", "contract/apply", json={"address": b.address, "node_id": "node-b"})
        reference = {"contract_id": applied["data"]["contract_id"]}
        confirmed = _own(b, "POST", "contract/confirm", json={**reference, "status": "APPROVED"})
        assert confirmed["data"]["delivery"] == "DELIVERED"
        assert _own(a, "GET", "partner/health", params=reference)["data"]["contract_status"] == "APPROVED"
        assert _own(a, "POST", "contract/terminate", json=reference)["data"]["delivery"] == "DELIVERED"
        assert _own(b, "GET", "contract/query", params=reference)["data"]["status"] == "TERMINATED"


def test_a_body_in_chunks_and_one_over_the_limit_are_answered_with_envelopes() -> None:
    """The server hands streams through, and the limit holds for them too."""
    with NodeServer(load_config(None, port=0, background=False)) as server:
        small = _own(server, "POST", "contract/apply", data=iter([b"{", b"}"]))
        assert small["data"]["error"] == "MEDIA_TYPE_UNSUPPORTED"
        large = _own(server, "POST", "contract/apply", data=iter([b"x" * 65536] * 17))
        assert large["data"]["error"] == "BODY_TOO_LARGE"


def test_a_server_that_stops_while_it_adds_threads_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that are being added have begun before any is told to end, and none is added afterwards."""
    server = NodeServer(load_config(None, port=0, background=False))
    server.start()
    pool = server._servers[0].requests
    spawn, begun, going = pool._spawn_worker, threading.Event(), threading.Event()

    def _late() -> object:
        begun.set()
        assert going.wait(10)
        return spawn()

    monkeypatch.setattr(pool, "_spawn_worker", _late)
    monkeypatch.setattr(type(pool), "idle", 0)
    growing = threading.Thread(target=server.node.sessions.crowded)
    growing.start()
    assert begun.wait(10)
    stopping = threading.Thread(target=server.stop)
    stopping.start()
    stopping.join(0.2)
    going.set()
    stopping.join(20)
    growing.join(20)
    assert not stopping.is_alive()
    assert not growing.is_alive()
    server.node.sessions.crowded()
    assert not [thread for thread in pool._threads if thread.is_alive()]


def test_connections_of_many_partners_are_kept() -> None:
    """A second request goes over the connection of the first, for each of more partners than cheroot would keep."""
    with NodeServer(load_config(None, port=0, background=False)) as server, ExitStack() as stack:
        host = urlsplit(server.address).netloc
        lines = [stack.enter_context(closing(http.client.HTTPConnection(host, timeout=10))) for _ in range(40)]
        for _ in range(2):
            for line in lines:
                line.request("GET", "/v1/interconn/node/query")
                line.getresponse().read()
                assert line.sock is not None


def test_an_occupied_port_is_told_with_a_remedy() -> None:
    """No trace, one line."""
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ConfigError) as caught:
        NodeServer(load_config(None, port=taken.getsockname()[1], background=False)).start()
    assert "--port" in caught.value.hint


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_process_says_when_it_is_ready_and_stops_when_told(tmp_path: Path, number: signal.Signals) -> None:
    """One ready line, hits of faults kept beside the data, exit 0 on the signal."""
    code = (
        "from pathlib import Path; from reference_node.config import load_config; from reference_node.server import "
        f"serve; serve(load_config(None, data=Path({str(tmp_path)!r}), port=0, faults=[{FAULT!r}]))"
    )
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    with process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        assert ready["event"] == "ready"
        answer = requests.get(
            f"{ready['address']}/v1/interconn/node/query", params={"node_id": ready["node_id"]}, timeout=10
        ).json()
        assert answer["data"]["error"] == "SIGNATURE_MISSING"
        hits = tmp_path / "fault-hits.json"
        assert _eventually(hits.exists, within=5)
        assert json.loads(hits.read_text()) == {FAULT: 1}
        process.send_signal(number)
        assert process.wait(timeout=20) == 0
        assert process.stdout.read() == ""
