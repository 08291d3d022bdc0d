"""`python -m loadtests.bench_transport`: how fast messages go from component to component through two nodes.

Both nodes are processes of their own on loopback with a contract between them. Three figures stand beside each other
for the same bytes, measured in turn within one run: a bare socket copy (one sender, one receiver), HTTP, and gRPC.
Throughput is that of one message from the push at one node to the last byte of the pop at the other; the rate of
messages is that of small ones sent one after the other and received on the other side at the same time. Every round
measures all three, and the shares of the bare socket are medians of what the rounds gave: a busy machine is busy for
all three alike. With `--tls intl` or `--tls gm` the nodes, not their components, talk over the secure channel, with
`--tls all` plain, intl and gm in turn. The last line is the largest resident memory that a node reached over its memory
before the run.
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
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, fields, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import requests
from rich.console import Console
from rich.table import Table

from conformance.harness.profile_model import TlsMode, TlsSettings
from conformance.harness.tls import NodeAdapter, Wardrobe
from reference_node.config import load_config
from reference_node.security.certificates import Address, Holder
from reference_node.security.pki import Pki
from reference_node.server import NodeServer
from reference_node.transport.client import ChannelClient

MIB: Final = 1024 * 1024
PIECE: Final = bytes(range(256)) * 4096
SESSION: Final = "session_job-bench"
TOKEN: Final = "token-of-the-bench-session"  # noqa: S105 - lives as long as the run
OPERATOR: Final = "operator-token-of-the-bench"
MODES: Final = ("off", "intl", "gm")
PARTIES: Final = {"guest.0": "bench-a", "host.0": "bench-b"}


@dataclass(frozen=True, slots=True)
class Figures:
    """What one way of sending gave."""

    way: str
    mib_per_second: float
    messages_per_second: float
    share: float = 1.0
    message_share: float = 1.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node is reached: by others over HTTP and gRPC, by its components."""

    http: str
    grpc: str
    inner: str


@dataclass(frozen=True, slots=True)
class Running:
    """Two nodes under a contract: what opens the session over http or grpc, where components go, process ids."""

    reopen: Callable[[str], None]
    addresses: dict[str, str]
    processes: list[int]


def _node(folder: str, node_id: str, mode: str, pipe: Connection) -> None:
    """Serve a node until told otherwise; open the session when the addresses come."""
    root = Path(folder)
    own, ca = root / "ca" / node_id, root / "ca"
    tls: dict[str, Any] = {} if mode == "off" else {"tls": mode, "tls_ca": ca / "ca.pem", "tls_crl": ca / "ca.crl"}
    tls |= {} if mode == "off" else {"tls_certificate": own / "certificate.pem", "tls_key": own / "key.pem"}
    settings: dict[str, Any] = {"data": root / node_id, "node_id": node_id, "operator_token": OPERATOR, **tls}
    with NodeServer(load_config(None, port=0, grpc_port=0, **settings)) as server:
        pipe.send(Place(server.address, server.grpc_address or "", server.node.component_address))
        while (order := pipe.recv()) is not None:
            server.node.sessions.close(SESSION)
            server.node.sessions.open(SESSION, TOKEN, PARTIES, order)
            pipe.send("open")


@contextmanager
def nodes(folder: str, mode: str = "off") -> Iterator[Running]:
    """Serve two nodes under a contract."""
    if mode != "off":
        ca = Pki.init(Path(folder) / "ca", {"gm": "sm2", "intl": "p256"}[mode])
        for node_id in PARTIES.values():
            ca.issue(Holder(node_id, "node", (Address("127.0.0.1", 0),)))
    spawn = multiprocessing.get_context("spawn")
    pipes, processes = [], []
    for node_id in PARTIES.values():
        ours, theirs = spawn.Pipe()
        process = spawn.Process(target=_node, args=(folder, node_id, mode, theirs), daemon=True)
        process.start()
        pipes.append(ours)
        processes.append(process)
    listening: dict[str, Place] = {node_id: pipe.recv() for node_id, pipe in zip(PARTIES.values(), pipes, strict=True)}
    http = {node_id: place.http for node_id, place in listening.items()}
    grpc = {node_id: place.grpc for node_id, place in listening.items()}
    _contract(http, None if mode == "off" else Path(folder) / "ca", mode)

    def reopen(way: str) -> None:
        for pipe in pipes:
            pipe.send(grpc if way == "grpc" else http)
            pipe.recv()

    try:
        inner = {node_id: place.inner for node_id, place in listening.items()}
        yield Running(reopen, inner, [process.pid or 0 for process in processes])
    finally:
        for pipe in pipes:
            pipe.send(None)
        for process in processes:
            process.join(timeout=20)


def _contract(addresses: dict[str, str], ca: Path | None, mode: str) -> None:
    """Bring the two nodes to a contract in force, as their operators would."""
    a, b = PARTIES.values()
    with requests.Session() as session:
        session.trust_env = False
        if ca is not None:
            own = {"certificate": ca / a / "certificate.pem", "key": ca / a / "key.pem"}
            wardrobe = Wardrobe(TlsSettings(TlsMode(mode), ca=ca / "ca.pem", **own))
            session.mount("https://", NodeAdapter(wardrobe, a, pool_maxsize=1))
            wardrobe.close()
        data = _own(session, addresses[a], "contract/apply", {"address": addresses[b], "node_id": b})
        confirmed = {"contract_id": data["contract_id"], "status": "APPROVED"}
        _own(session, addresses[b], "contract/confirm", confirmed)


def _own(session: requests.Session, address: str, what: str, body: dict[str, Any]) -> dict[str, Any]:
    url = f"{address}/v1/platform/node/{what}"
    answer = session.post(url, json=body, headers={"authorization": f"Bearer {OPERATOR}"}, timeout=30).json()
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


def measure(size: int, messages: int, rounds: int, modes: Sequence[str] = ("off",)) -> tuple[list[Figures], int]:
    """Return the median figures of each way, and by how many bytes the larger node grew."""
    rows: dict[str, list[Figures]] = {}
    with ExitStack() as stack:
        running: dict[str, Running] = {}
        for mode in modes:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="hutong-bench-"))
            running[mode] = stack.enter_context(nodes(folder, mode))
        pids = [pid for pair in running.values() for pid in pair.processes]
        before = [_peak(pid) for pid in pids]
        for _ in range(rounds):
            bare = _bare_socket(size, messages)
            rows.setdefault(bare.way, []).append(bare)
            for mode, pair in running.items():
                for way in ("http", "grpc"):
                    pair.reopen(way)
                    found = _through_nodes(_spelt(way, mode), pair.addresses, size, messages)
                    rows.setdefault(found.way, []).append(_beside(found, bare))
        grown = max(_peak(pid) - start for pid, start in zip(pids, before, strict=True))
    columns = [name.name for name in fields(Figures)][1:]
    medians = [
        Figures(way, *(statistics.median(getattr(row, column) for row in found) for column in columns))
        for way, found in rows.items()
    ]
    return medians, grown


def _spelt(way: str, mode: str) -> str:
    return way if mode == "off" else f"{way}, {mode}"


def _beside(found: Figures, bare: Figures) -> Figures:
    """Return figures with their shares of the bare socket's."""
    share = found.mib_per_second / bare.mib_per_second
    return replace(found, share=share, message_share=found.messages_per_second / bare.messages_per_second)


def main() -> None:
    """Print the figures; with --json as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=256, help="size of the large message")
    parser.add_argument("--messages", type=int, default=1000, help="how many small messages of 100 bytes")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tls", choices=[*MODES, "all"], default="off", help="how the nodes talk to each other")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    modes = MODES if given.tls == "all" else (given.tls,)
    rows, grown = measure(given.mib * MIB, given.messages, given.rounds, modes)
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
