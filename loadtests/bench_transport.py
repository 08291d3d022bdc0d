"""`python -m loadtests.bench_transport`: how fast messages go from component to component through two nodes.

Both nodes are processes of their own on loopback with a contract between them. Three figures stand beside each other
for the same bytes, measured in turn within one run: a bare socket copy (one sender, one receiver), HTTP, and gRPC.
Throughput is that of one message from the push at one node to the last byte of the pop at the other; the rate of
messages is that of small ones sent one after the other and received on the other side at the same time. Every round
measures all three, and the shares of the bare socket are medians of what the rounds gave: a busy machine is busy for
all three alike. The last line is the largest resident memory that a node reached over its memory before the run.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import requests
from rich.console import Console
from rich.table import Table

from reference_node.config import load_config
from reference_node.server import NodeServer
from reference_node.transport.client import ChannelClient

MIB: Final = 1024 * 1024
PIECE: Final = bytes(range(256)) * 4096
SESSION: Final = "session_job-bench"
TOKEN: Final = "token-of-the-bench-session"  # noqa: S105 - lives as long as the run
OPERATOR: Final = "operator-token-of-the-bench"
PARTIES: Final = {"guest.0": "bench-a", "host.0": "bench-b"}


@dataclass(frozen=True, slots=True)
class Figures:
    """What one way of sending gave."""

    way: str
    mib_per_second: float
    messages_per_second: float
    share: float = 1.0
    message_share: float = 1.0


def _node(folder: str, node_id: str, pipe: Connection) -> None:
    """Serve a node until told otherwise; open the session when the addresses come."""
    config = load_config(
        None, data=Path(folder) / node_id, node_id=node_id, port=0, grpc_port=0, operator_token=OPERATOR
    )
    with NodeServer(config) as server:
        pipe.send((server.address, server.grpc_address))
        while (order := pipe.recv()) is not None:
            server.node.sessions.close(SESSION)
            server.node.sessions.open(SESSION, TOKEN, PARTIES, order)
            pipe.send("open")


@contextmanager
def nodes(folder: str) -> Iterator[tuple[Callable[[str], None], dict[str, str], list[int]]]:
    """Serve two nodes under a contract; yield what opens the session over http or grpc, addresses, process ids."""
    spawn = multiprocessing.get_context("spawn")
    pipes, processes = [], []
    for node_id in PARTIES.values():
        ours, theirs = spawn.Pipe()
        process = spawn.Process(target=_node, args=(folder, node_id, theirs), daemon=True)
        process.start()
        pipes.append(ours)
        processes.append(process)
    listening: list[tuple[str, str]] = [pipe.recv() for pipe in pipes]
    http = dict(zip(PARTIES.values(), [pair[0] for pair in listening], strict=True))
    grpc = dict(zip(PARTIES.values(), [pair[1] for pair in listening], strict=True))
    _contract(http)

    def reopen(way: str) -> None:
        for pipe in pipes:
            pipe.send(grpc if way == "grpc" else http)
            pipe.recv()

    try:
        yield reopen, http, [process.pid or 0 for process in processes]
    finally:
        for pipe in pipes:
            pipe.send(None)
        for process in processes:
            process.join(timeout=20)


def _contract(addresses: dict[str, str]) -> None:
    """Bring the two nodes to a contract in force, as their operators would."""
    a, b = PARTIES.values()
    body = {"address": addresses[b], "node_id": b}
    data = _own(addresses[a], "contract/apply", body)
    _own(addresses[b], "contract/confirm", {"contract_id": data["contract_id"], "status": "APPROVED"})


def _own(address: str, what: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = requests.post(
        f"{address}/v1/platform/node/{what}",
        json=body,
        headers={"authorization": f"Bearer {OPERATOR}"},
        timeout=30,
    ).json()
    if answer["code"] != 0:
        raise SystemExit(f"{what} was refused: {answer}")
    data: dict[str, Any] = answer["data"]
    return data


def _through_nodes(way: str, addresses: dict[str, str], size: int, messages: int) -> Figures:
    a, b = PARTIES.values()
    guest = ChannelClient(addresses[a], SESSION, TOKEN, "guest.0", PARTIES, timeout=600)
    host = ChannelClient(addresses[b], SESSION, TOKEN, "host.0", PARTIES, timeout=600)

    def send_large() -> None:
        guest.send_stream("host.0", "large", lambda: (PIECE for _ in range(size // len(PIECE))))

    def send_small() -> None:
        for _ in range(messages):
            guest.send("host.0", "small", b"x" * 100)

    def receive_large() -> int:
        return sum(len(piece) for piece in host.recv_stream("guest.0", "large"))

    def receive_small() -> int:
        return sum(len(host.recv("guest.0", "small")) for _ in range(messages))

    large = _timed(send_large, receive_large, size)
    small = _timed(send_small, receive_small, 100 * messages)
    guest.close()
    host.close()
    return Figures(way, size / MIB / large, messages / small)


def _bare_socket(size: int, messages: int) -> Figures:
    """Copy the same bytes over one connection on loopback; a small message is answered by nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        sender = socket.create_connection(server.getsockname())
        receiver, _ = server.accept()
        with sender, receiver:
            buffer = bytearray(MIB)

            def send_large() -> None:
                for _ in range(size // len(PIECE)):
                    sender.sendall(PIECE)

            def receive(total: int) -> int:
                got = 0
                while got < total:
                    got += receiver.recv_into(buffer)
                return got

            def send_small() -> None:
                for _ in range(messages):
                    sender.sendall(b"x" * 100)

            large = _timed(send_large, lambda: receive(size), size)
            small = _timed(send_small, lambda: receive(100 * messages), 100 * messages)
    return Figures("bare socket", size / MIB / large, messages / small)


def _timed(send: Callable[[], None], receive: Callable[[], int], expected: int) -> float:
    """Return the seconds from the first byte sent to the last one received."""
    thread = threading.Thread(target=send)
    began = time.perf_counter()
    thread.start()
    got = receive()
    seconds = time.perf_counter() - began
    thread.join()
    if got != expected:
        raise SystemExit(f"{got} bytes of {expected} arrived: nothing was measured")
    return seconds


def _peak(process: int) -> int:
    """Return the largest resident memory of a process so far, in bytes."""
    for line in Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def measure(size: int, messages: int, rounds: int) -> tuple[list[Figures], int]:
    """Return the median figures of each way, and by how many bytes the larger node grew."""
    rows: dict[str, list[Figures]] = {}
    with tempfile.TemporaryDirectory(prefix="hutong-bench-") as folder, nodes(folder) as (reopen, addresses, pids):
        before = [_peak(pid) for pid in pids]
        for _ in range(rounds):
            bare = _bare_socket(size, messages)
            rows.setdefault("bare socket", []).append(bare)
            for way in ("http", "grpc"):
                reopen(way)
                found = _through_nodes(way, addresses, size, messages)
                shares = (
                    found.mib_per_second / bare.mib_per_second,
                    found.messages_per_second / bare.messages_per_second,
                )
                rows.setdefault(way, []).append(replace(found, share=shares[0], message_share=shares[1]))
        grown = max(_peak(pid) - start for pid, start in zip(pids, before, strict=True))
    columns = [name.name for name in fields(Figures)][1:]
    medians = [
        Figures(way, *(statistics.median(getattr(row, column) for row in found) for column in columns))
        for way, found in rows.items()
    ]
    return medians, grown


def main() -> None:
    """Print the figures; with --json as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=256, help="size of the large message")
    parser.add_argument("--messages", type=int, default=1000, help="how many small messages of 100 bytes")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    rows, grown = measure(given.mib * MIB, given.messages, given.rounds)
    if given.json:
        figures = {row.way: {name: value for name, value in asdict(row).items() if name != "way"} for row in rows}
        sys.stdout.write(json.dumps({**figures, "node_growth_mib": grown / MIB}) + "\n")
        return
    table = Table(
        "between two nodes", "MiB/s", "of bare", "messages/s", "of bare", title=f"{given.mib} MiB on loopback"
    )
    for row in rows:
        table.add_row(
            row.way,
            f"{row.mib_per_second:.0f}",
            f"{row.share:.1%}",
            f"{row.messages_per_second:.0f}",
            f"{row.message_share:.2%}",
        )
    console = Console()
    console.print(table)
    console.print(f"a node grew by at most {grown / MIB:.0f} MiB")


if __name__ == "__main__":
    main()
