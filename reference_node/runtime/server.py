"""The fork server: a small process that has the algorithms loaded, so that a component starts in milliseconds.

It is told by lines of JSON on one socket, and answers on it:

    {"start": {...}}   forks a component         {"started": id, "pid": 4711}
    {"stop": id}       kills its process group   {"exit": id, "code": 0} or {"exit": id, "signal": 9}

Guarantees: one thread, so that a fork copies nothing half way; what components write goes into their logs, line by line
and up to a bound; a command that takes more memory than it may, with all that it has started, is killed within a
fraction of a second; when the node is gone, seen by the end of the socket, every component is killed.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import resource
import selectors
import signal
import socket
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from reference_node.runtime import component, confinement
from reference_node.runtime.logs import append

_LOG_LIMIT: Final = 64 * 1024 * 1024
_LINE_LIMIT: Final = 16 * 1024
_PIECE: Final = 64 * 1024
_WEIGHED_EVERY: Final = 0.1
_MIB: Final = 1024 * 1024


@dataclass(slots=True)
class Child:
    """One component that runs."""

    name: str
    pid: int
    log: Path
    output: int
    memory: int | None = None
    exceeded: bool = False
    pending: bytearray = field(default_factory=bytearray)
    written: int = 0


class ForkServer:
    """Serves one node."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._selector = selectors.DefaultSelector()
        self._children: dict[int, Child] = {}
        self._pending = bytearray()
        self._weigh_at = 0.0
        self._wake_out, wake_in = os.pipe()
        os.set_blocking(wake_in, False)
        signal.set_wakeup_fd(wake_in, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the node decides; Ctrl-C reaches the whole terminal
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        self._selector.register(control, selectors.EVENT_READ, "control")
        self._selector.register(self._wake_out, selectors.EVENT_READ, "wake")

    def serve(self) -> None:
        """Serve until the node is gone."""
        try:
            self._say({"ready": os.getpid()})
            while self._once():
                pass
        finally:
            for child in self._children.values():
                _kill(child.pid)

    def _once(self) -> bool:
        bounded = any(child.memory is not None for child in self._children.values())
        for key, _ in self._selector.select(_WEIGHED_EVERY if bounded else None):
            if key.data == "control":
                if not self._read():
                    return False
            elif key.data == "wake":
                os.read(self._wake_out, _PIECE)
                self._reap()
            else:
                self._take_output(key.data)
        if bounded and time.monotonic() >= self._weigh_at:
            self._weigh()
            self._weigh_at = time.monotonic() + _WEIGHED_EVERY
        return True

    def _weigh(self) -> None:
        """Kill the commands whose processes together hold more memory than they may."""
        held = resident()
        for child in self._children.values():
            if child.memory is not None and held.get(child.pid, 0) > child.memory:
                child.exceeded = True
                _kill(child.pid)

    def _read(self) -> bool:
        try:
            piece = self._control.recv(_PIECE)
        except OSError:
            return False
        self._pending += piece
        while (end := self._pending.find(b"\n")) >= 0:
            line = bytes(self._pending[:end])
            del self._pending[: end + 1]
            self._do(json.loads(line))
        return bool(piece)

    def _do(self, told: dict[str, Any]) -> None:
        if "start" in told:
            self._start(told["start"])
        for child in self._children.values():
            if child.name == told.get("stop"):
                _kill(child.pid)

    def _start(self, wanted: dict[str, Any]) -> None:
        readable, writable = os.pipe()
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            component.become(wanted, writable)
        os.close(writable)
        os.set_blocking(readable, False)
        memory = wanted["memory_mib"] if wanted["command"] is not None else None
        child = Child(wanted["id"], pid, Path(wanted["log"]), readable, None if memory is None else memory * _MIB)
        self._children[pid] = child
        self._selector.register(readable, selectors.EVENT_READ, child)
        self._say({"started": child.name, "pid": pid})

    def _take_output(self, child: Child) -> bool:
        """Move what a component has written into its log; False at its end."""
        try:
            piece = os.read(child.output, _PIECE)
        except BlockingIOError:
            return True
        except OSError:
            piece = b""
        child.pending += piece
        *lines, rest = bytes(child.pending).split(b"\n")
        if not piece or len(rest) > _LINE_LIMIT:
            lines, rest = [*lines, rest], b""
        child.pending = bytearray(rest)
        for line in lines:
            self._log(child, line)
        if not piece:
            with contextlib.suppress(KeyError):
                self._selector.unregister(child.output)
                os.close(child.output)
        return bool(piece)

    def _log(self, child: Child, line: bytes) -> None:
        if not line.strip() or child.written > _LOG_LIMIT:
            return
        child.written += len(line)
        words = line.decode("utf-8", "replace")
        append(child.log, "INFO", words if child.written <= _LOG_LIMIT else "the rest is left out", _now())

    def _reap(self) -> None:
        while self._children:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is None:
                return
            pid = ended.si_pid
            _kill(pid)  # whatever it has started and left behind; until it is waited for, the id is nobody else's
            _, status = os.waitpid(pid, 0)
            child = self._children.pop(pid, None)
            if child is None:
                continue
            while self._take_output(child) and _readable(child.output):
                pass
            self._close(child)
            code = component.NO_MEMORY if child.exceeded else os.waitstatus_to_exitcode(status)
            self._say({"exit": child.name, **({"code": code} if code >= 0 else {"signal": -code})})

    def _close(self, child: Child) -> None:
        with contextlib.suppress(KeyError, ValueError, OSError):
            self._selector.unregister(child.output)
            os.close(child.output)

    def _say(self, what: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):
            self._control.sendall(json.dumps(what).encode() + b"\n")


def resident() -> dict[int, int]:
    """Return the bytes of memory that the processes of each session hold, by the session's leader."""
    page, held = resource.getpagesize(), dict[int, int]()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
            leader, pages = int(fields[3]), int(fields[21])
            held[leader] = held.get(leader, 0) + pages * page
    return held


def _readable(handle: int) -> bool:
    with selectors.DefaultSelector() as selector:
        try:
            selector.register(handle, selectors.EVENT_READ)
        except (OSError, ValueError):
            return False
        return bool(selector.select(0))


def _kill(pid: int) -> None:
    with contextlib.suppress(OSError):
        os.killpg(pid, signal.SIGKILL)
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGKILL)


def _now() -> int:
    return time.time_ns() // 1_000_000


def main() -> None:
    """Load what components need, then serve on the socket that was inherited as file descriptor 3."""
    import numpy as np  # noqa: F401 - loaded for the forks

    import reference_node.algorithms
    import reference_node.transport.client  # noqa: F401

    confinement.keep_to_itself()
    gc.collect()
    gc.freeze()  # pages that a fork never touches stay shared
    with socket.socket(fileno=int(sys.argv[1])) as control:
        ForkServer(control).serve()


if __name__ == "__main__":
    main()
