"""Nodes started as processes on loopback, each with its data folder, and ended with whoever has started them.

Guarantees: `start` returns once the node answers, or raises with the end of its log; a node has the port that it had
before, so that contracts made then still hold; Ctrl-C in the terminal reaches the starter and not the nodes, which end
when it lets go of them, or is gone.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from reference_node import private
from reference_node.operator.client import OperatorError

_START_SECONDS: Final = 120.0
_END_SECONDS: Final = 30.0
_TAIL: Final = 2000


@dataclass(slots=True)
class Process:
    """A node that was started here."""

    node_id: str
    address: str
    grpc: str | None
    token: str
    log: Path
    process: subprocess.Popen[str]

    @classmethod
    def start(cls, data: Path, **settings: Any) -> Self:
        """Start a node with its files in `data`; `settings` are those of reference_node.config."""
        private.make(data)
        log, port, grpc_port = data / "node.log", data / "port", data / "grpc-port"
        settings["port"] = settings.get("port") or _free(port)
        if settings.get("grpc_port") == 0:  # where its contracts say that it is
            settings["grpc_port"] = _free(grpc_port)
        command = [sys.executable, "-m", "reference_node", json.dumps({"data": str(data), **settings})]
        with open(log, "a", encoding="utf-8", opener=private.opener) as errors:
            pipe = subprocess.PIPE
            process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=errors, text=True, process_group=0)
        try:
            ready = _ready(process, log)
            token = (data / "operator-token").read_text(encoding="utf-8").strip()
            port.write_text(ready["address"].rpartition(":")[2], encoding="utf-8")
            grpc_port.write_text(ready.get("grpc", "").rpartition(":")[2], encoding="utf-8")
        except BaseException:
            _end(process)
            raise
        return cls(ready["node_id"], ready["address"], ready.get("grpc"), token, log, process)

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self.process.poll() is None

    def end(self) -> None:
        """End it as an operator does."""
        _end(self.process)


def _free(port: Path) -> int:
    """Return the port that a node had last, under which its partners know it, if it is free; else another.

    A number and not 0, because a port that was bound as 0 cannot be had again for a minute.
    """
    last = 0
    with contextlib.suppress(OSError, ValueError):
        last = int(port.read_text(encoding="utf-8"))
    for wanted in (last, 0):
        with contextlib.suppress(OSError, OverflowError), socket.create_server(("127.0.0.1", wanted)) as found:
            return int(found.getsockname()[1])
    raise OperatorError("there is no free port on 127.0.0.1")


def _ready(process: subprocess.Popen[str], log: Path) -> dict[str, Any]:
    line = ""
    if process.stdout is not None and select.select([process.stdout], [], [], _START_SECONDS)[0]:
        line = process.stdout.readline()
    if not line:
        raise OperatorError(f"a node did not start; its log is {log}", hint=_tail(log))
    found: dict[str, Any] = json.loads(line)
    return found


def _tail(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace")[-_TAIL:].strip().splitlines()
    return lines[-1] if lines else "The log is empty."


def _end(process: subprocess.Popen[str]) -> None:
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()
    try:
        process.wait(timeout=_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
