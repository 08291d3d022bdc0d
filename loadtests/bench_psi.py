"""`python -m loadtests.bench_psi`: the open intersection, both suites, beside the bare multiplications that it needs.

Each party is a process of its own, pinned to one core where there are two, and the two talk through a pipe; tables are
CSV files, half of each set is shared, and the result is held against the plaintext. `bare` is how many points a core
multiplies in the same run, doing nothing else: an item costs a party two of them, so `of bare` is the share of its
processor time that goes into what cannot be left out. Rates are per second of processor time, which a busy machine
distorts less than the clock does. Bytes are those that one side sends, per item.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import tempfile
import threading
import time
from collections import defaultdict
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from rich.console import Console
from rich.table import Table

from reference_node.algorithms import ALGORITHMS
from reference_node.algorithms.contract import Inputs
from reference_node.algorithms.psi.curves import FORMATS, Suite, make_curve

PARTIES = ("guest.0", "host.0")
BARE_POINTS = 4000


class PipeChannel:
    """A channel between two processes: one pipe, with the tag in front of each payload."""

    def __init__(self, me: str, pipe: Connection) -> None:
        self.me, self.parties = me, PARTIES
        self._pipe, self._lock = pipe, threading.Lock()
        self._queues: defaultdict[str, SimpleQueue[bytes]] = defaultdict(SimpleQueue)
        threading.Thread(target=self._read, daemon=True).start()

    def send(self, to: str, tag: str, payload: bytes) -> None:
        """Send one payload to the only other party."""
        del to
        with self._lock:
            self._pipe.send_bytes(tag.encode().ljust(32) + payload)

    def recv(self, sender: str, tag: str) -> bytes:
        """Return the next payload of a tag."""
        del sender
        return self._queues[tag].get()

    def _read(self) -> None:
        while True:
            try:
                raw = self._pipe.recv_bytes()
            except EOFError:
                return
            self._queues[raw[:32].decode().strip()].put(raw[32:])


def party(me: str, pipe: Connection, core: int, folder: str, suite: str) -> None:
    """Run one side and leave its summary and resident memory in a file."""
    _pin(core)
    channel = PipeChannel(me, pipe)
    params = {"id": "id", "suites": suite, "workers": 1}
    inputs = Inputs({"table": Path(folder, f"{me}.csv")}, {"joined": Path(folder, f"{me}.{suite}.csv")})
    summary = dict(ALGORITHMS["intersection"].start(channel, params, inputs).summary)
    used = resource.getrusage(resource.RUSAGE_SELF)
    summary["cpu"] = used.ru_utime + used.ru_stime
    summary["megabytes"] = used.ru_maxrss / 1024
    Path(folder, f"{me}.{suite}.json").write_text(json.dumps(summary), encoding="utf-8")
    channel.send("", "done", b"")
    channel.recv("", "done")


def _pin(core: int) -> None:
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(0, {cores[core % len(cores)]})


def bare(suite: Suite) -> float:
    """Return how many points one thread multiplies in a second."""
    curve = make_curve(suite, FORMATS[suite][0])
    points = curve.mask(curve.points(b"".join(curve.digest(str(at).encode()) for at in range(BARE_POINTS))))
    curve.mask(points)  # whatever is loaded on demand is loaded now
    began = time.process_time()
    curve.mask(points)
    return BARE_POINTS / (time.process_time() - began)


def run(suite: Suite, items: int, folder: Path) -> dict[str, Any]:
    """Run both parties; return the slower one's figures."""
    context = multiprocessing.get_context("spawn")
    ends = context.Pipe()
    processes = [
        context.Process(target=party, args=(me, end, at, str(folder), str(suite)))
        for at, (me, end) in enumerate(zip(PARTIES, ends, strict=True))
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    found = [json.loads((folder / f"{me}.{suite}.json").read_text(encoding="utf-8")) for me in PARTIES]
    for summary in found:
        if summary["intersection"] != items - items // 2:
            raise SystemExit(f"{suite}: the result differs from the plaintext")
    slower: dict[str, Any] = max(found, key=lambda summary: float(summary["cpu"]))
    return slower


def main() -> None:
    """Print one line for each suite."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--items", type=int, default=100_000, help="identifiers of each side")
    parser.add_argument("--suites", default=",".join(Suite), help="suites, separated by commas")
    given = parser.parse_args()
    table = Table("suite", "items", "wall s", "cpu s", "items/cpu s", "bare/cpu s", "of bare", "bytes", "MB")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for at, me in enumerate(PARTIES):
            rows = range(at * (given.items // 2), at * (given.items // 2) + given.items)
            (folder / f"{me}.csv").write_text("id\n" + "".join(f"user-{row}\n" for row in rows), encoding="utf-8")
        for suite in map(Suite, given.suites.split(",")):
            rate, found = bare(suite), run(suite, given.items, folder)
            speed = given.items / found["cpu"]
            table.add_row(
                suite,
                f"{given.items:,}",
                f"{found['seconds']:.1f}",
                f"{found['cpu']:.1f}",
                f"{speed:,.0f}",
                f"{rate:,.0f}",
                f"{2 * speed / rate:.0%}",
                f"{found['sent_bytes'] / given.items:.1f}",
                f"{found['megabytes']:.0f}",
            )
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
