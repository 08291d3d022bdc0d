"""The node's side of the fork server: begins components, kills them, and tells how they have ended.

Guarantees: the server is started when it is first needed and again when it has died; a component that ended without a
word is told of as crashed, one that ran out of memory as that; with the node every component is gone.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import structlog

from reference_node.domain.task import Cause
from reference_node.runtime import confinement
from reference_node.runtime.catalogue import Catalogue
from reference_node.runtime.component import NO_MEMORY, RESULT
from reference_node.runtime.contract import Exit, Key, LaunchFailed, Work
from reference_node.runtime.environment import of_server, request

log = structlog.get_logger("reference_node")
_MODULE: Final = "reference_node.runtime.server"
_PATIENCE: Final = 30.0


class Launcher:
    """Runs components in processes of their own; any thread may use it."""

    def __init__(
        self,
        catalogue: Catalogue,
        faults: Sequence[str] = (),
        *,
        bounds: confinement.Bounds | None = None,
        means: confinement.Means | None = None,
    ) -> None:
        self._catalogue = catalogue
        self._faults = tuple(faults)
        self._bounds = bounds or confinement.Bounds()
        self._means = means or confinement.probe()
        self._lock = threading.Lock()
        self._server: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._ready = threading.Event()
        self._works: dict[str, Work] = {}
        self._exits: list[Exit] = []
        self._closed = False
        self.woken: Callable[[], None] = lambda: None

    def warm(self) -> None:
        """Have the server loaded before it is needed."""
        with self._lock:
            self._serving()

    def start(self, work: Work) -> None:
        """Begin; raise LaunchFailed."""
        entry = None
        if work.command is None:
            builtin = self._catalogue.get((work.component["componentName"], work.component["version"]))
            if builtin is None:
                raise LaunchFailed(f"{work.component['componentName']} does not come with this node")
            entry = builtin.entry
        else:
            _check_command(work.command)
        told = request(work, entry, confinement.told(work, self._bounds, self._means), self._faults)
        data = json.dumps({"start": told}).encode() + b"\n"
        with self._lock:
            control = self._serving()
            self._works[told["id"]] = work
            try:
                control.sendall(data)
            except OSError as failure:
                self._works.pop(told["id"], None)
                raise LaunchFailed("the fork server does not answer") from failure

    def stop(self, key: Key) -> None:
        """Kill an attempt and whatever it has started."""
        name = _name(key)
        with self._lock:
            if self._works.pop(name, None) is not None and self._control is not None:
                with contextlib.suppress(OSError):
                    self._control.sendall(json.dumps({"stop": name}).encode() + b"\n")

    def alive(self, key: Key) -> bool:
        """Tell whether an attempt runs, or has ended without `exits` having told of it."""
        with self._lock:
            return _name(key) in self._works or any(item.key == key for item in self._exits)

    def exits(self) -> Sequence[Exit]:
        """Return the attempts that have ended since the last call."""
        with self._lock:
            found, self._exits = self._exits, []
            return found

    def close(self) -> None:
        """End the server, and with it every component."""
        with self._lock:
            self._closed = True
            server, control = self._server, self._control
            self._server = self._control = None
            self._works.clear()
        if control is not None:
            with contextlib.suppress(OSError):
                control.shutdown(socket.SHUT_RDWR)
        if server is not None:
            try:
                server.wait(timeout=5)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        server = self._server
        return None if server is None or server.poll() is not None else server.pid

    def _serving(self) -> socket.socket:
        """Return the socket to the server, which is started if there is none."""
        if self._closed:
            raise LaunchFailed("the node is closing")
        if self._server is not None and self._control is not None and self._server.poll() is None:
            return self._control
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", _MODULE, str(theirs.fileno())]
            self._server = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, env=of_server()
            )
        self._control = ours
        threading.Thread(target=self._listen, args=(ours, self._server), name="launcher", daemon=True).start()
        return ours

    def _listen(self, control: socket.socket, server: subprocess.Popen[bytes]) -> None:
        with control, control.makefile("rb") as lines, contextlib.suppress(OSError, ValueError):
            for line in lines:
                self._hear(json.loads(line))
        server.wait()
        with self._lock:
            lost = [] if self._server is not server else list(self._works.items())
            for name, work in lost:
                self._exits.append(Exit(work.key, Cause.COMPONENT_CRASHED, "the fork server has ended"))
                del self._works[name]
            if self._server is server:
                self._server = self._control = None
        if lost:
            log.error("fork server ended", code=server.returncode)
            self.woken()

    def _hear(self, told: dict[str, Any]) -> None:
        if "ready" in told:
            self._ready.set()
        if "exit" not in told:
            return
        with self._lock:
            work = self._works.pop(told["exit"], None)
            if work is not None:
                self._exits.append(_exit(work, told))
        self.woken()


def _exit(work: Work, told: dict[str, Any]) -> Exit:
    said = _said(work)
    files = said.get("files")
    if files is None:
        files = {name: str(path) for name, path in work.outputs.items() if path.exists()}
    if told.get("code") == 0:
        return Exit(work.key, files=files, summary=said.get("summary"))
    if told.get("code") == NO_MEMORY:
        return Exit(work.key, Cause.MEMORY_EXCEEDED, f"more than {work.memory_mib} MiB")
    if "detail" in said:
        return Exit(work.key, Cause.COMPONENT_FAILED, said["detail"])
    if "signal" in told:
        return Exit(work.key, Cause.COMPONENT_CRASHED, f"killed by {_signal(told['signal'])}")
    return Exit(work.key, _cause(work), f"exit status {told['code']}")


def _cause(work: Work) -> Cause:
    """A command says with its exit status that it failed; a built-in component would have said why."""
    return Cause.COMPONENT_CRASHED if work.command is None else Cause.COMPONENT_FAILED


def _said(work: Work) -> dict[str, Any]:
    """Return what a built-in component has left; a command leaves its outputs only."""
    if work.command is not None:
        return {}
    try:
        found = json.loads((work.folder / RESULT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _check_command(command: str) -> None:
    try:
        words = shlex.split(command)
    except ValueError as failure:
        raise LaunchFailed(f"the command cannot be read: {failure}") from failure
    if not words or (shutil.which(words[0]) is None and not Path(words[0]).is_file()):
        raise LaunchFailed("the command is not installed")


def _name(key: Key) -> str:
    return f"{key.task_id}/{key.role}/{key.attempt}"
