"""A node that is started again and speaks gRPC elsewhere tells its partners (8.1.3-b, 9.1-a)."""

from __future__ import annotations

from pathlib import Path

import specs

from .pair import TestNode, nodes, sign_contract


def started(node: TestNode, grpc: str | None) -> int:
    """Have a node begin anew with gRPC there, or nowhere; return how often it told a partner."""
    before = len(told(node))
    node.node.grpc_listening, node.node.grpc_told = grpc, None
    node.node.pump()
    node.node.pump()
    return len(told(node)) - before


def told(node: TestNode) -> list[str]:
    """Return the messages of changes that have gone from node to node."""
    return [sent.path for sent in node.network.sent if sent.path == specs.operations()["nodeSync"].path]


def known(of: TestNode, to: TestNode) -> str | None:
    """Return where a node is known to speak gRPC."""
    found: str | None = to.own("ownNodeQuery", node_id=of.id).data.get("grpc_address")
    return found


def test_partners_learn_where_grpc_is_spoken_after_a_start(tmp_path: Path) -> None:
    """Another port is told once, the same one not, and that there is none any more is told as well."""
    with nodes("node-a", "node-b", data={"node-a": tmp_path / "a"}) as (a, b):
        assert started(a, "grpc://node-a.test:1") == 0
        sign_contract(a, b)
        assert known(a, b) == "grpc://node-a.test:1"
        assert started(a, "grpc://node-a.test:1") == 0
        assert started(a, "grpc://node-a.test:2") == 1
        assert known(a, b) == "grpc://node-a.test:2"
        assert started(a, None) == 1
        assert known(a, b) is None
        assert started(a, None) == 0
        assert [path.stat().st_mode & 0o777 for path in (tmp_path / "a").glob("grpc-*")] == [0o600]


def test_a_partner_that_is_away_is_told_later(tmp_path: Path) -> None:
    """What could not be delivered at the start is owed and delivered when the partner is back."""
    with nodes("node-a", "node-b", data={"node-a": tmp_path / "a"}) as (a, b):
        started(a, "grpc://node-a.test:1")
        sign_contract(a, b)
        a.network.down.add("node-b.test")
        started(a, "grpc://node-a.test:2")
        assert known(a, b) == "grpc://node-a.test:1"
        a.network.down.clear()
        a.clock.advance(120)
        a.node.pump()
        assert known(a, b) == "grpc://node-a.test:2"
