"""`python -m loadtests.bench_connections`: what others wait while 10,000 connections stand, and nothing whole comes.

A node is a process of its own; so is the crowd: a third idle, a third dripping bytes of a head (of a handshake under
TLS), a third stopped half way, from twenty addresses of the loopback interface. A partner sends signed queries, one
over a connection of its own for each over a kept one, before and while the crowd stands. 100 ms are the bound.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Final

from rich.console import Console
from rich.table import Table

from loadtests.bench_tls import Line, ask, line

MODES: Final = ("off", "intl")
SOURCES: Final = 20
PATIENCE_SECONDS: Final = 300.0  # of the node with them, so that all stand at once
GATHER_SECONDS: Final = 20.0
_ALMOST: Final = 0.995


@dataclass(frozen=True, slots=True)
class Waits:
    """How long requests took, in milliseconds."""

    median: float
    p99: float
    longest: float


@dataclass(frozen=True, slots=True)
class Figures:
    """What one mode came to; memory in MiB."""

    mode: str
    standing: int
    calm: Waits
    crowded: Waits
    memory_before: float
    memory_crowded: float


class Gathered:
    """A crowd that runs."""

    def __init__(self, hears: IO[str], says: IO[str]) -> None:
        self._hears, self._says = hears, says

    def standing(self) -> int:
        """Return how many connections stand now."""
        self._hears.write("\n")
        self._hears.flush()
        return int(json.loads(self._says.readline())["standing"])

    def gather(self, count: int, seconds: float) -> int:
        """Wait until they all stand, or for some seconds; return how many do."""
        until = time.monotonic() + seconds
        while (found := self.standing()) < count * _ALMOST and time.monotonic() < until:
            time.sleep(0.1)
        return found


@contextmanager
def crowd(address: str, count: int, *, tls: bool) -> Iterator[Gathered]:
    """Run a crowd until the block ends."""
    words = [address, "--count", str(count), "--sources", str(SOURCES), *(["--tls"] if tls else [])]
    command = [sys.executable, "-m", "loadtests.crowd", *words]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        if process.stdin is None or process.stdout is None:
            raise SystemExit("the crowd has no pipes")
        try:
            yield Gathered(process.stdin, process.stdout)
        finally:
            process.stdin.close()
            process.wait(timeout=30)


def waits(at: Line, count: int) -> Waits:
    """Return how long requests take, half of them over connections of their own."""
    took = []
    prepared = at.prepare(count)
    with at.session() as kept:
        for number, asked in enumerate(prepared):
            began = time.perf_counter()
            if number % 2:
                ask(kept, at.address, asked)
            else:
                with at.session() as own:
                    ask(own, at.address, asked)
            took.append((time.perf_counter() - began) * 1000)
    took.sort()
    return Waits(statistics.median(took), took[int(len(took) * 0.99)], took[-1])


def memory(process: int) -> float:
    """Return the memory that a process has resident, in MiB."""
    text = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    return int(text.partition("VmRSS:")[2].split()[0]) / 1024


def measure(mode: str, count: int, requests: int) -> Figures:
    """Measure one mode."""
    patience = {"head_seconds": PATIENCE_SECONDS, "idle_seconds": PATIENCE_SECONDS}
    with tempfile.TemporaryDirectory(prefix="hutong-bench-") as folder:
        return _measured(mode, Path(folder), patience, count, requests)


def _measured(mode: str, folder: Path, patience: dict[str, float], count: int, requests: int) -> Figures:
    with line(mode, folder, server=patience, handshake_seconds=PATIENCE_SECONDS) as at:
        waits(at, 20)
        calm, before = waits(at, requests), memory(at.process)
        with crowd(at.address.partition("//")[2], count, tls=mode != "off") as gathered:
            gathered.gather(count, GATHER_SECONDS)
            crowded = waits(at, requests)
            return Figures(mode, gathered.standing(), calm, crowded, before, memory(at.process))


def main() -> None:
    """Print the figures; with --json as JSON."""
    words = argparse.ArgumentParser(prog="bench_connections", description=__doc__)
    words.add_argument("--count", type=int, default=10_000)
    words.add_argument("--requests", type=int, default=300)
    words.add_argument("--json", action="store_true")
    given = words.parse_args()
    rows = [measure(mode, given.count, given.requests) for mode in MODES]
    if given.json:
        sys.stdout.write(json.dumps([asdict(row) for row in rows]) + "\n")
        return
    table = Table("TLS", "stand", "calm p50/p99/max", "crowded p50/p99/max", "memory before", "crowded")
    table.title = "what others wait, in ms, while connections stand on which nothing whole comes"
    for row in rows:
        spoken = [f"{each.median:.1f} / {each.p99:.1f} / {each.longest:.1f}" for each in (row.calm, row.crowded)]
        table.add_row(
            row.mode, str(row.standing), *spoken, f"{row.memory_before:.0f} MiB", f"{row.memory_crowded:.0f} MiB"
        )
    Console().print(table)


if __name__ == "__main__":
    main()
