"""`make bench`: how many signed requests the node answers on one core, beside plain Flask on the same server.

Both servers are processes of their own on cheroot, pinned to one core; the client is pinned to another where there is
one. Requests are signed before the clock runs (SM2 with SM3), so what is measured is the node: verification, nonce,
contract, answer. The two are measured in turn, five rounds each, and the median of the ratios is printed, because a
shared machine is noisy. The last line is the length of a whole certification.
"""

from __future__ import annotations

import http.client
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from rich.console import Console
from rich.table import Table

from conformance import demo
from conformance.harness import engine, signing
from conformance.harness.binding import load_binding
from conformance.harness.profile import parse_profile
from conformance.harness.target import query_string
from conformance.harness.world import World

ROUNDS = 5
REQUESTS = 1500
CLIENTS = 4
_SAID_LINES = 8  # of a certification that fails
Prepared = tuple[str, dict[str, str]]


def pin(process: int, core: int) -> None:
    """Keep a process on one core, where there is more than one."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(process, {cores[core % len(cores)]})


def cpu_seconds(process: int) -> float:
    """Return the processor time that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def plain_flask() -> Iterator[tuple[str, int]]:
    """Serve a Flask application that answers a constant envelope, on cheroot with the node's number of threads."""
    program = (
        "import flask, cheroot.wsgi, sys\n"
        "app = flask.Flask('plain')\n"
        "@app.get('/health')\n"
        "def health(): return {'code': 0, 'msg': 'ok', 'data': {'status': 'UP'}}\n"
        "server = cheroot.wsgi.Server(('127.0.0.1', 0), app, numthreads=10)\n"
        "server.prepare(); print(server.bind_addr[1], flush=True); server.serve()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    try:
        port = process.stdout.readline().strip() if process.stdout else ""
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.terminate()
        process.wait(timeout=10)
        if process.stdout:
            process.stdout.close()


def _blast(address: str, prepared: Sequence[Prepared]) -> int:
    """Send requests over one connection; return how many were accepted."""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    accepted = 0
    for path, headers in prepared:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        accepted += answer.status == 200 and b'"code":0' in answer.read().replace(b" ", b"")
    connection.close()
    return accepted


def _measure(address: str, process: int, prepared: Sequence[Prepared]) -> tuple[float, float]:
    """Return requests per second of wall time and per second of the server's CPU time."""
    shares = [prepared[start::CLIENTS] for start in range(CLIENTS)]
    cpu, wall = cpu_seconds(process), time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        accepted = sum(pool.map(lambda share: _blast(address, share), shares))
    wall, cpu = time.perf_counter() - wall, cpu_seconds(process) - cpu
    if accepted != len(prepared):
        raise SystemExit(f"{len(prepared) - accepted} of {len(prepared)} requests were refused: nothing was measured")
    return len(prepared) / wall, len(prepared) / max(cpu, 0.01)


def signed_queries(world: World, key: signing.Key, source: str, contract_id: str, count: int) -> list[Prepared]:
    """Return contract queries, each signed by itself."""
    path, query = "/v1/interconn/node/contract/query", (("contract_id", contract_id),)
    rows = []
    for _ in range(count):
        headers = signing.signed_headers(
            key,
            "GET",
            path,
            query,
            b"",
            source=source,
            target=world.profile.target.node_id,
            nonce=secrets.token_urlsafe(24),
            timestamp_ms=world.now_ms(),
            trace_id=secrets.token_hex(16),
        )
        rows.append((f"{path}?{query_string(query)}", headers))
    return rows


def throughput() -> list[tuple[float, float, float, float]]:
    """Measure node and peer in turn: rows of (node/s, node/CPU-s, plain/s, plain/CPU-s)."""
    rows = []
    with (
        tempfile.TemporaryDirectory(prefix="hutong-bench-") as folder,
        demo.serve(Path(folder) / "node", "bench-node") as served,
        plain_flask() as (plain, plain_process),
    ):
        profile = parse_profile(
            {
                "target": {"name": "bench", "url": served.address, "node_id": served.node_id},
                "operator": {"token_file": str(served.token_file)},
            },
            "bench",
        )
        stage = engine.stage(profile, load_binding("reference"))
        stage.receiver.start(profile.partner.host, profile.partner.port)
        world = World(stage, "bench")
        partner = world.signed_partner("bench")
        pin(served.process.pid, 0)
        pin(plain_process, 0)
        pin(0, 1)
        for _ in range(ROUNDS):
            prepared = signed_queries(world, partner.key, partner.node_id, partner.contract_id, REQUESTS)
            node = _measure(served.address, served.process.pid, prepared)
            peer = _measure(plain, plain_process, [("/health", {})] * REQUESTS)
            rows.append((*node, *peer))
        world.close()
        stage.receiver.stop()
    return rows


def certification() -> float:
    """Return how long `hutong certify --demo` takes, in seconds."""
    with tempfile.TemporaryDirectory(prefix="hutong-bench-") as folder:
        began = time.perf_counter()
        command = [sys.executable, "-m", "conformance.cli", "certify", "--demo", "--out", folder]
        done = subprocess.run(command, capture_output=True, check=False, text=True)
        if done.returncode != 0:
            said = "\n".join((done.stdout + done.stderr).splitlines()[-_SAID_LINES:])
            code = done.returncode
            raise SystemExit(f"{said}\nthe certification ended with exit code {code}: its length means nothing")
        return time.perf_counter() - began


def main() -> None:
    """Print the figures; with --json as JSON."""
    rows = throughput()
    seconds = certification()
    node, node_cpu, plain, plain_cpu = (statistics.median(column) for column in zip(*rows, strict=True))
    ratio = statistics.median(row[1] / row[3] for row in rows)
    if "--json" in sys.argv:
        figures = {"node_rps": node, "node_per_cpu_s": node_cpu, "plain_rps": plain, "plain_per_cpu_s": plain_cpu}
        sys.stdout.write(json.dumps({**figures, "ratio": ratio, "certification_s": seconds}) + "\n")
        return
    table = Table("on one core", "requests/s", "requests per CPU second", title="signed requests (SM2 with SM3)")
    table.add_row("reference node, contractQuery, signed", f"{node:.0f}", f"{node_cpu:.0f}")
    table.add_row("plain Flask on the same server, unsigned", f"{plain:.0f}", f"{plain_cpu:.0f}")
    console = Console()
    console.print(table)
    console.print(f"ratio node / plain per CPU second: {ratio:.2f} (median of {ROUNDS} paired rounds)")
    console.print(f"a whole certification: {seconds:.1f} s")


if __name__ == "__main__":
    main()
