"""The reference node on loopback with components that compute: for defects of algorithms and of what surrounds them.

Everything is real but the processes of components: they run as threads here, so that the node's deliberate defects
reach them and are counted. Their channel is the component's own, over HTTP.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from conformance.harness import engine
from conformance.harness.binding import load_binding
from conformance.harness.profile import parse_profile
from conformance.harness.profile_model import Profile
from conformance.selftest.inprocess import AUDITOR, NODE_ID, TOKEN
from conformance.selftest.served import ServedLab
from conformance.selftest.tampering import hand
from reference_node.algorithms import ALGORITHMS
from reference_node.algorithms.contract import Inputs
from reference_node.config import load_config
from reference_node.domain.task import Cause
from reference_node.faults import Faults
from reference_node.runtime.contract import Exit, Key, Work
from reference_node.runtime.logs import append
from reference_node.server import NodeServer
from reference_node.transport.client import ChannelClient
from reference_node.transport.client_wires import HttpWire, Reply

NAME: Final = "computing"
MODULE: Final = "conformance.suites.suite_9_2_computing"
_SECONDS: Final = 20.0
_CALLBACK_SECONDS: Final = 5.0


class Stopped(Exception):
    """The attempt was stopped."""


class _Wire(HttpWire):
    """A wire that breaks once its component is over; a thread that it has left behind keeps no connection either."""

    def __init__(self, address: str, over: threading.Event) -> None:
        super().__init__(address)
        self._over = over

    def push(self, headers: Mapping[str, str], chunks: Iterable[bytes], size: int | None) -> Reply:
        """Send a message."""
        return self._unless_over(lambda: HttpWire.push(self, headers, chunks, size))

    def pop(self, headers: Mapping[str, str], wait: float) -> Reply:
        """Ask for a message."""
        return self._unless_over(lambda: HttpWire.pop(self, headers, min(wait, 1.0)))

    def _unless_over(self, ask: Callable[[], Reply]) -> Reply:
        if self._over.is_set():
            raise Stopped
        try:
            return ask()
        finally:
            if self._over.is_set():
                self.close()


class ThreadRunner:
    """Runs the built-in components as threads of this process."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._lock = threading.Lock()
        self._running: dict[Key, threading.Event] = {}
        self._exits: list[Exit] = []
        self.woken: Callable[[], None] = lambda: None

    def start(self, work: Work) -> None:
        """Begin."""
        over = threading.Event()
        with self._lock:
            self._running[work.key] = over
        threading.Thread(target=self._run, args=(work, over), daemon=True).start()

    def stop(self, key: Key) -> None:
        """End an attempt."""
        with self._lock:
            over = self._running.pop(key, None)
        if over is not None:
            over.set()

    def alive(self, key: Key) -> bool:
        """Tell whether an attempt runs, or has ended without `exits` having told of it."""
        with self._lock:
            return key in self._running or any(item.key == key for item in self._exits)

    def exits(self) -> Sequence[Exit]:
        """Return the attempts that have ended since the last call."""
        with self._lock:
            found, self._exits = self._exits, []
            return found

    def close(self) -> None:
        """End everything."""
        for key in list(self._running):
            self.stop(key)

    def _run(self, work: Work, over: threading.Event) -> None:
        told = self._done(work, over)
        with self._lock:
            if self._running.pop(work.key, None) is not None:
                self._exits.append(told)
        self.woken()

    def _done(self, work: Work, over: threading.Event) -> Exit:
        def note(share: float, word: str) -> None:
            append(work.log, "INFO", f"{work.me} {share:.0%} {word}", time.time_ns() // 1_000_000)

        work.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        channel = ChannelClient(
            work.address,
            work.session_id,
            work.token,
            work.me,
            work.parties,
            scope=f"{work.key.task_id}.{work.key.attempt}",
            timeout=_SECONDS,
            connect=lambda address: _Wire(address, over),
        )
        inputs = Inputs(work.inputs, work.outputs, note, self._faults.on)
        try:
            outputs = ALGORITHMS[work.component["componentName"]].start(channel, work.parameters, inputs)
        except Exception as failure:  # noqa: BLE001  what a component raises is told, as its process would
            return Exit(work.key, Cause.COMPONENT_FAILED, f"{type(failure).__name__}: {failure}")
        finally:
            over.set()
            channel.close()
        return Exit(work.key, files={name: str(path) for name, path in outputs.files.items()}, summary=outputs.summary)


def computing_lab(faults: Sequence[str] = ()) -> ServedLab:
    """Serve a node with these defects on loopback, and set a stage around it."""
    folder = tempfile.TemporaryDirectory(prefix="hutong-lab-")
    root = Path(folder.name)
    (root / "datasets").mkdir()
    tokens = {"operator_token": TOKEN, "auditor_token": AUDITOR}
    where = {"data": root / "data", "dataset_folders": [root / "datasets"]}
    config = load_config(None, node_id=NODE_ID, port=0, faults=tuple(faults), **where, **tokens)
    server = NodeServer(config)
    runner = ThreadRunner(server.node.faults)
    runner.woken = lambda: server.node.driver.kick(server.node)
    server.node.runner = runner
    server.start()
    current = replace(engine.stage(_profile(server, root), load_binding("reference")), tamper=hand(server.node))
    current.receiver.start("127.0.0.1", 0)
    return ServedLab(server, engine.Collector(current), folder)


def _profile(server: NodeServer, root: Path) -> Profile:
    hooks = {"storage_path": [str(root / "data")], "datasets_path": str(root / "datasets")}
    return parse_profile(
        {
            "target": {"url": server.address, "node_id": NODE_ID},
            "operator": {"token": TOKEN},
            "auditor": {"token": AUDITOR},
            "operator_hooks": hooks,
            "timings": {"callback_seconds": _CALLBACK_SECONDS},
        },
        "on loopback",
    )
