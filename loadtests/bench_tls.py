"""`python -m loadtests.bench_tls`: what the secure channel costs the node: plain HTTP, intl and gm side by side.

Three nodes are processes of their own, pinned to one core; the client is pinned to another where there is one. The same
signed query (contractQuery, SM2 with SM3) is sent to each in turn, over connections that are kept open, and connections
are opened and closed for the handshakes. Both are counted per second of the node's processor time, because a shared
machine is noisy; of some rounds the median is printed. Plain HTTP has no handshake: its figure is that of connections.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import requests
from rich.console import Console
from rich.table import Table

from conformance import demo
from conformance.harness import engine
from conformance.harness.binding import load_binding
from conformance.harness.profile import parse_profile
from conformance.harness.tls import NodeAdapter, Wardrobe
from conformance.harness.world import World
from loadtests.bench import Prepared, cpu_seconds, pin, signed_queries

MODES: Final = ("off", "intl", "gm")
TIMEOUT: Final = 30.0


@dataclass(frozen=True, slots=True)
class Line:
    """One node under measurement: how it is called, and what is asked of it."""

    mode: str
    address: str
    process: int
    session: Callable[[], requests.Session]
    prepare: Callable[[int], list[Prepared]]


@dataclass(frozen=True, slots=True)
class Figures:
    """What one mode came to."""

    mode: str
    requests_per_cpu_second: float
    handshakes_per_cpu_second: float


@contextmanager
def line(
    mode: str, folder: Path, *, server: Mapping[str, object] | None = None, handshake_seconds: float | None = None
) -> Iterator[Line]:
    """Serve a node in a mode, under contract with a partner that is played; `server` goes into that section."""
    with ExitStack() as stack:
        secured = None if mode == "off" else demo.Secured.found(mode, folder / "ca")
        if secured is not None and handshake_seconds is not None:
            secured = replace(secured, handshake_seconds=handshake_seconds)
        served = stack.enter_context(demo.serve(folder / "node", f"bench-{mode}", secured=secured, server=server or {}))
        content: dict[str, object] = {
            "target": {"name": "bench", "url": served.address, "node_id": served.node_id},
            "operator": {"token_file": str(served.token_file)},
        }
        content |= {} if secured is None else {"tls": secured.profile()}
        profile = parse_profile(content, "bench")
        stage = engine.stage(profile, load_binding("reference"))
        stack.callback(stage.receiver.stop)
        stage.receiver.start(profile.partner.host, profile.partner.port)
        world = World(stage, "bench")
        stack.callback(world.close)
        partner = world.signed_partner("bench")
        wardrobe = None if profile.tls is None else Wardrobe(profile.tls)
        if wardrobe is not None:
            stack.callback(wardrobe.close)

        def _session() -> requests.Session:
            made = requests.Session()
            made.trust_env = False
            if wardrobe is not None:
                made.mount("https://", NodeAdapter(wardrobe, partner.node_id, pool_maxsize=1))
            return made

        def _prepare(count: int) -> list[Prepared]:
            return signed_queries(world, partner.key, partner.node_id, partner.contract_id, count)

        pin(served.process.pid, 0)
        yield Line(mode, served.address, served.process.pid, _session, _prepare)


def ask(session: requests.Session, address: str, asked: Prepared) -> None:
    """Send a request that was prepared; end the measurement where it is refused."""
    path, headers = asked
    answer = session.get(address + path, headers=headers, timeout=TIMEOUT)
    if answer.status_code != requests.codes.ok or answer.json()["code"] != 0:
        raise SystemExit(f"a request was refused, so nothing was measured: {answer.text[:200]}")


def requests_rate(at: Line, count: int) -> float:
    """Return how many requests one second of the node's processor time serves, over one connection."""
    first, *prepared = at.prepare(count + 1)
    with at.session() as session:
        ask(session, at.address, first)
        before = cpu_seconds(at.process)
        for asked in prepared:
            ask(session, at.address, asked)
        return count / max(cpu_seconds(at.process) - before, 0.01)


def handshake_rate(at: Line, count: int, per_request: float) -> float:
    """Return how many new connections one second of processor time serves; what each one asks is taken off."""
    prepared = at.prepare(count)
    before = cpu_seconds(at.process)
    for asked in prepared:
        with at.session() as session:
            ask(session, at.address, asked)
    return count / max(cpu_seconds(at.process) - before - count / per_request, 0.01)


def measure(rounds: int, count: int, handshakes: int) -> list[Figures]:
    """Measure the modes in turn; return the medians."""
    served: dict[str, list[float]] = {mode: [] for mode in MODES}
    shaken: dict[str, list[float]] = {mode: [] for mode in MODES}
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hutong-bench-")))
        lines = []
        for mode in MODES:
            (root / mode).mkdir()
            lines.append(stack.enter_context(line(mode, root / mode)))
        pin(os.getpid(), 1)
        for _ in range(rounds):
            for at in lines:
                served[at.mode].append(requests_rate(at, count))
                shaken[at.mode].append(handshake_rate(at, handshakes, served[at.mode][-1]))
    return [Figures(mode, statistics.median(served[mode]), statistics.median(shaken[mode])) for mode in MODES]


def main() -> None:
    """Print the figures; with --json as JSON."""
    words = argparse.ArgumentParser(prog="bench_tls", description=__doc__)
    words.add_argument("--rounds", type=int, default=5)
    words.add_argument("--requests", type=int, default=600)
    words.add_argument("--handshakes", type=int, default=150)
    words.add_argument("--json", action="store_true")
    given = words.parse_args()
    rows = measure(given.rounds, given.requests, given.handshakes)
    plain = rows[0]
    if given.json:
        found = {
            row.mode: {
                "requests_per_cpu_s": row.requests_per_cpu_second,
                "handshakes_per_cpu_s": row.handshakes_per_cpu_second,
            }
            for row in rows
        }
        sys.stdout.write(json.dumps(found) + "\n")
        return
    table = Table("channel", "requests per CPU second", "of plain", "new connections per CPU second")
    for row in rows:
        share = f"{row.requests_per_cpu_second / plain.requests_per_cpu_second:.2f}"
        shaken = f"{row.handshakes_per_cpu_second:.0f}"
        table.add_row(row.mode, f"{row.requests_per_cpu_second:.0f}", share, shaken)
    Console().print(table)


if __name__ == "__main__":
    main()
