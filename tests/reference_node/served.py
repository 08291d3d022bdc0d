"""Nodes in processes of their own, for tests that need sockets, files and the death of a node."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import requests

import specs


def free_port() -> int:
    """Return a port that nobody uses: a node that is started again must get its old one."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


class Served:
    """A node in a process of its own, with its operator's hands."""

    def __init__(self, folder: Path, name: str, **settings: Any) -> None:
        self.folder, self.name = folder / name, name
        self.settings = {"data": str(self.folder), "node_id": name, "port": free_port(), **settings}
        self.start()

    def start(self) -> None:
        """Start, or start again."""
        command = [sys.executable, "-m", "reference_node", json.dumps(self.settings)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        ready = json.loads(self.process.stdout.readline())
        self.address = ready["address"]
        self.grpc = ready.get("grpc", "")
        self.token = (self.folder / "operator-token").read_text().strip()

    def own(self, operation: str, **fields: Any) -> dict[str, Any]:
        """Call an operation of the own side; return the envelope's data."""
        found = specs.operations()[operation]
        sent: Mapping[str, Any] = {"params": fields} if found.method == "GET" else {"json": fields}
        answer = requests.request(
            found.method,
            self.address + found.path,
            headers={"authorization": f"Bearer {self.token}"},
            timeout=30,
            **sent,
        ).json()
        assert answer["code"] == 0, answer
        data: dict[str, Any] = answer["data"]
        return data

    def job(self, job_id: str) -> dict[str, Any]:
        """Return a job."""
        return self.own("ownJobQuery", job_id=job_id)

    def tasks(self, job_id: str) -> dict[str, dict[str, Any]]:
        """Return the tasks of a job by name."""
        return {row["task_name"]: row for row in self.own("ownTaskList", job_id=job_id)["records"]}

    def kill(self) -> None:
        """End it without a word."""
        self.process.send_signal(signal.SIGKILL)
        self._gone()

    def stop(self) -> None:
        """End it as an operator does."""
        self.process.terminate()
        self._gone()

    def _gone(self) -> None:
        self.process.wait(timeout=30)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


class Tap:
    """A port in front of another, which counts the bytes that go in."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition("/")[2].partition(":")
        self._target = (host, int(port))
        self._server = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self.carried = 0
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        """Where it listens, for gRPC."""
        return f"grpc://127.0.0.1:{self._server.getsockname()[1]}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        for end in (self._server, *self._sockets):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            far = socket.create_connection(self._target)
            self._sockets += [near, far]
            threading.Thread(target=self._carry, args=(near, far, True), daemon=True).start()
            threading.Thread(target=self._carry, args=(far, near, False), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket, counted: bool) -> None:
        try:
            while data := source.recv(65536):
                self.carried += len(data) if counted else 0
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            return
