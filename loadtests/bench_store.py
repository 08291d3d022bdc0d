"""What durability and the count of rows cost: signed requests a second, with and without each (9.2-a, 9.2-e).

    python -m loadtests.bench_store

Guarantees: the node is the real one on a database on the disk, asked in this process without sockets, by several
threads at once; requests are signed before the clock runs; the variants take turns, and the median of the rounds is
printed. A query writes its nonce; an application writes a contract and a record of evidence too.

`NORMAL` leaves the last commits to the system: they are lost with the power, and a nonce that was used counts as new.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, NamedTuple

from flask import Flask
from rich.console import Console
from rich.table import Table
from sqlalchemy import event

from reference_node.app import create_app, node_of
from reference_node.config import load_config
from reference_node.node import Node
from reference_node.security import signing
from reference_node.security.keys import PrivateKey
from reference_node.store.contracts import ContractRow, PartnerKeyRow

ROUNDS: Final = 7
REQUESTS: Final = 200
THREADS: Final = 4
_PARTNER: Final = "bench-partner"
_CONTRACT: Final = "bench-contract"
_FOREVER: Final = 2**52
_INTERFACE: Final = "/v1/interconn/node/contract"


class Variant(NamedTuple):
    """One way to keep things."""

    name: str
    synchronous: str
    counted: bool


VARIANTS: Final = (
    Variant("NORMAL, not counted", "NORMAL", counted=False),
    Variant("NORMAL, counted", "NORMAL", counted=True),
    Variant("FULL, not counted", "FULL", counted=False),
    Variant("FULL, counted (as it is)", "FULL", counted=True),
)
Send = Callable[[], int]


class Bench:
    """One node with one partner, kept in one way."""

    def __init__(self, folder: Path, variant: Variant) -> None:
        config = load_config(None, data=folder, node_id="bench-node", background=False, threads=THREADS)
        self.app: Flask = create_app(config)
        self.node: Node = node_of(self.app)
        self.key = PrivateKey.generate("SM3_SM2")
        _sign_contract(self.node, self.key)
        _keep_as(self.node, variant)

    def queries(self, count: int) -> list[Send]:
        """Return queries of the contract, ready to be sent."""
        return [self._ready("GET", "/query", f"contract_id={_CONTRACT}", b"", self.key, _PARTNER) for _ in range(count)]

    def applications(self, count: int) -> list[Send]:
        """Return applications, each of a node of its own."""
        return [self._application() for _ in range(count)]

    def _application(self) -> Send:
        key = PrivateKey.generate("SM3_SM2")
        source = f"node-{key.public.fingerprint[:16]}"
        body: dict[str, Any] = {
            "node_id": source,
            "name": source,
            "address": "http://127.0.0.1:9",
            "inst_id": source,
            "institution": source,
            "system": "hutong",
            "system_version": "0.1.0",
            "expired_time": self.node.now() + 86_400_000,
            "auth_type": "SM3_SM2",
            "auth_credential": key.public.pem,
        }
        return self._ready("POST", "/apply", "", self.app.json.dumps(body).encode(), key, source)

    def _ready(self, method: str, path: str, query: str, body: bytes, key: PrivateKey, source: str) -> Send:
        path = _INTERFACE + path
        nonce = PrivateKey.generate("SM3_SM2").public.fingerprint[:32]
        stamp = signing.Stamp(source, self.node.node_id, nonce, self.node.now(), "bench", None)
        headers = signing.sign_headers(key, signing.Request(method, path, query, body), stamp)
        headers |= {"content-type": "application/json"} if body else {}

        def send() -> int:
            answer = self.app.test_client().open(path, method=method, query_string=query, headers=headers, data=body)
            if answer.status_code != 200:
                raise SystemExit(f"a request was refused, nothing was measured: {answer.get_data(as_text=True)}")
            return answer.status_code

        return send


def _sign_contract(node: Node, key: PrivateKey) -> None:
    now = node.now()
    row = ContractRow(
        contract_id=_CONTRACT,
        role="APPROVER",
        status="APPROVED",
        expired_time=_FOREVER,
        partner_node_id=_PARTNER,
        partner_address="http://127.0.0.1:9",
        partner={},
        partner_auth_type="SM3_SM2",
        partner_credential=key.public.pem,
        partner_key=key.public.fingerprint,
        own_auth_type="SM3_SM2",
        created_at=now,
        updated_at=now,
    )
    known = PartnerKeyRow(
        node_id=_PARTNER,
        fingerprint=key.public.fingerprint,
        auth_type="SM3_SM2",
        credential=key.public.pem,
        seen_at=now,
    )
    with node.store.begin() as session:
        session.add_all([row, known])


def _keep_as(node: Node, variant: Variant) -> None:
    """Turn off what a variant is without; connections are opened anew."""
    if not variant.counted and node.store.tally is not None:
        node.store.tally.close()
        node.store.tally = None
    node.store.engine.dispose()
    pragma = f"PRAGMA synchronous = {variant.synchronous}"
    event.listen(node.store.engine, "connect", lambda connection, _: connection.execute(pragma))


def _rate(sends: Sequence[Send]) -> float:
    begun = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        for future in [pool.submit(send) for send in sends]:
            future.result()
    return len(sends) / (time.perf_counter() - begun)


def measure(rounds: int = ROUNDS, requests: int = REQUESTS) -> dict[str, tuple[float, float]]:
    """Return by variant the queries and the applications a second."""
    found: dict[str, list[tuple[float, float]]] = {variant.name: [] for variant in VARIANTS}
    with tempfile.TemporaryDirectory(prefix="hutong-bench-") as folder:
        benches = {variant.name: Bench(Path(folder) / str(at), variant) for at, variant in enumerate(VARIANTS)}
        for _ in range(rounds):
            for name, bench in benches.items():
                found[name].append((_rate(bench.queries(requests)), _rate(bench.applications(requests // 4))))
        for bench in benches.values():
            bench.node.close()
    return {
        name: (statistics.median(row[0] for row in rows), statistics.median(row[1] for row in rows))
        for name, rows in found.items()
    }


def main() -> None:
    """Print both side by side."""
    table = Table("kept", "contractQuery/s", "contractApply/s", title=f"{THREADS} threads, median of {ROUNDS} rounds")
    for name, (queries, applications) in measure().items():
        table.add_row(name, f"{queries:.0f}", f"{applications:.0f}")
    Console().print(table)


if __name__ == "__main__":
    main()
