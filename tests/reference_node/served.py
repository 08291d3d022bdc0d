"""Nodes in processes of their own, for tests that need sockets, files and the death of a node."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
        (self.folder / "datasets").mkdir(mode=0o700, parents=True, exist_ok=True)
        places = [str(self.folder / "datasets"), str(folder)]  # a relative location is one in the first of them
        self.settings = {"data": str(self.folder), "node_id": name, "port": free_port(), "dataset_folders": places}
        self.settings |= settings
        self.start()

    def start(self) -> None:
        """Start, or start again."""
        command = [sys.executable, "-m", "reference_node", json.dumps(self.settings)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        self.ready = ready = json.loads(self.process.stdout.readline())
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
