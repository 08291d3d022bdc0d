"""A node at two networks: TLS with its partners at sockets, and files with the one behind the gap (9.2-a, 9.2-h)."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from reference_node.gap.policy import load_policy
from reference_node.gap.relay import GapRelay
from reference_node.server import NodeServer
from tests.reference_node.served import free_port
from tests.reference_node.transport.tlsing import Realm, own, realm


@contextmanager
def relayed(folder: Path, outer: NodeServer, inner: NodeServer) -> Iterator[None]:
    """Exchange the keys of two nodes and run the relay between their folders."""
    links, policy = {}, []
    for side, server, other in (("outer", outer, inner), ("inner", inner, outer)):
        gap = server.node.config.gap
        assert gap is not None
        links[side] = gap / other.node.node_id
        policy += [f"[{side}]", f'node_id = "{server.node.node_id}"', f'key = "{side}.pem"']
        shutil.copy(links[side] / "own.pem", folder / f"{side}.pem")
    shutil.copy(folder / "inner.pem", links["outer"] / "partner.pem")
    shutil.copy(folder / "outer.pem", links["inner"] / "partner.pem")
    (folder / "gap.toml").write_text("\n".join(policy))
    stop = threading.Event()

    def run() -> None:
        with GapRelay(links["outer"], links["inner"], load_policy(folder / "gap.toml"), folder / "state") as relay:
            relay.run(stop, poll=0.01)

    moving = threading.Thread(target=run)
    moving.start()
    try:
        yield
    finally:
        stop.set()
        moving.join()


def signed(a: NodeServer, b: NodeServer, address: str) -> str:
    """Have both operators agree on a contract and return its id."""
    applied = own(a, "POST", "contract/apply", {"address": address, "node_id": b.node.node_id}).json
    assert applied["code"] == 0, applied
    contract_id = str(applied["data"]["contract_id"])
    confirmed = own(b, "POST", "contract/confirm", {"contract_id": contract_id, "status": "APPROVED"}).json
    assert confirmed["data"]["delivery"] == "DELIVERED", confirmed
    return contract_id


def partners(server: NodeServer) -> dict[str, Any]:
    """Return the partners of the contracts in force, with their addresses."""
    rows = own(server, "GET", "contract/list").json["data"]["records"]
    return {row["partner_node_id"]: row["partner_address"] for row in rows if row["status"] == "APPROVED"}


@pytest.mark.parametrize("mode", ["intl", "gm"])
def test_a_node_speaks_tls_to_some_and_files_to_another(mode: str, tmp_path: Path) -> None:
    """Contracts with both stand side by side; each partner knows the node at the address that reaches it from there."""
    with realm(mode, tmp_path) as here:
        _between(here, tmp_path)


def _between(here: Realm, tmp_path: Path) -> None:
    port = free_port()
    border = here.serve(
        "node-border",
        port=port,
        address=f"https://127.0.0.1:{port}",
        gap=tmp_path / "gap-border",
        gap_partners=["node-inner"],
        gap_poll_seconds=0.01,
    )
    inner = here.serve("node-inner", gap=tmp_path / "gap-inner", gap_partners=["node-border"], gap_poll_seconds=0.01)
    other = here.serve("node-other")
    with relayed(tmp_path, border, inner):
        over_gap, over_tls = signed(border, inner, "spool://node-inner"), signed(border, other, other.address)
        assert partners(border) == {"node-inner": "spool://node-inner", "node-other": other.address}
        assert partners(inner) == {"node-border": "spool://node-border"}
        assert partners(other) == {"node-border": f"https://127.0.0.1:{port}"}
        for server, contract_id in ((inner, over_gap), (other, over_tls)):
            asked = f"partner/health?contract_id={contract_id}"
            assert own(server, "GET", asked).json["code"] == 0, own(server, "GET", asked).json
        assert own(border, "POST", "contract/terminate", {"contract_id": over_gap}).json["code"] == 0
        assert partners(inner) == {}
        assert set(partners(border)) == {"node-other"}
