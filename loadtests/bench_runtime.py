"""`python -m loadtests.bench_runtime`: how long a component takes from the order to start it until it has ended.

A component that does nothing but write its answer is begun by the warm fork server, one after the other, as the node
begins them; beside it, in turn, a Python interpreter that does nothing and one that imports what a component imports:
that is what each start would cost without the server. The first start, which loads the server, is told apart.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from reference_node.runtime.catalogue import Builtin
from reference_node.runtime.contract import Key, Work
from reference_node.runtime.launcher import Launcher
from reference_node.runtime.logs import Journal

NAME, VERSION = "idle", "1.0.0"
IMPORTS: Final = "import reference_node.runtime.component, reference_node.algorithms"


class Starter:
    """Begins the component again and again."""

    def __init__(self, folder: Path) -> None:
        described: Mapping[str, Any] = {"componentName": NAME, "version": VERSION, "provider": "hutong"}
        builtin = Builtin(dict(described), "loadtests.idle:start")
        self._launcher = Launcher({builtin.key: builtin})
        self._ended = threading.Event()
        self._launcher.woken = self._ended.set
        self._folder = folder
        self._journal = Journal(folder)
        self._count = 0

    def run(self) -> None:
        """Begin it and wait for its end."""
        self._count += 1
        task = f"task_{self._count}"
        self._ended.clear()
        self._launcher.start(
            Work(
                key=Key(task, "guest", 1),
                job_id="job-bench",
                task_name="idle",
                me="guest.0",
                component={"componentName": NAME, "version": VERSION},
                description={},
                command=None,
                parameters={},
                inputs={},
                outputs={},
                parties={"guest.0": "node-a"},
                institutions={"node-a": "inst-a"},
                session_id="session_job-bench",
                token="token-of-the-bench",  # noqa: S106 - opens nothing
                trace_id="bench",
                folder=self._folder / task,
                log=self._journal.path(task),
                address="http://127.0.0.1:9",
            )
        )
        if not self._ended.wait(60):
            raise SystemExit("a component did not end: nothing was measured")
        (told,) = self._launcher.exits()
        if told.cause is not None:
            raise SystemExit(f"a component ended with {told.cause}, {told.detail}: nothing was measured")

    def close(self) -> None:
        """End the server."""
        self._launcher.close()


def _python(program: str) -> Callable[[], None]:
    def _run() -> None:
        subprocess.run([sys.executable, "-c", program], check=True)

    return _run


def _seconds(call: Callable[[], None]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def measure(rounds: int) -> dict[str, float]:
    """Return the median seconds of each way, and of the first start."""
    with tempfile.TemporaryDirectory(prefix="hutong-bench-") as folder:
        starter = Starter(Path(folder))
        try:
            first = _seconds(starter.run)
            ways = {
                "component, warm fork server": starter.run,
                "python -c pass": _python("pass"),
                "python, a component's imports": _python(IMPORTS),
            }
            rows: dict[str, list[float]] = {way: [] for way in ways}
            for _ in range(rounds):
                for way, call in ways.items():
                    rows[way].append(_seconds(call))
        finally:
            starter.close()
    return {**{way: statistics.median(found) for way, found in rows.items()}, "the first start": first}


def main() -> None:
    """Print the figures; with --json as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = measure(given.rounds)
    if given.json:
        sys.stdout.write(json.dumps({way: seconds * 1000 for way, seconds in found.items()}) + "\n")
        return
    table = Table("start to end", "ms")
    for way, seconds in found.items():
        table.add_row(way, f"{seconds * 1000:.0f}")
    Console().print(table)


if __name__ == "__main__":
    main()
