"""What is refused without any change is on record in numbers; strangers cannot fill the evidence with it (9.2-d)."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from reference_node.config import load_config
from reference_node.evidence.noting import Act
from reference_node.evidence.refusals import MOST, OTHERS, Refusals
from reference_node.security.keys import PrivateKey
from reference_node.security.suites import AuthType
from reference_node.server import NodeServer
from reference_node.store.evidence import EvidenceRow
from tests.reference_node.pair import Stranger, TestNode, nodes
from tests.waiting import eventually


def acts(node: TestNode) -> int:
    """Return how many records there are of refusals."""
    with node.node.store.read() as session:
        return session.query(EvidenceRow).filter(EvidenceRow.act == Act.REQUEST_REFUSED.value).count()


def test_many_refusals_are_one_record_a_minute() -> None:
    """Their number is kept; the next minute begins anew."""
    with nodes("node-a", pending_applications=1) as (a,):
        for number in range(6):
            stranger = Stranger(f"stranger-{number}", PrivateKey.generate(AuthType.SHA256_ECDSA))
            reply = a.signed("contractApply", stranger, **stranger.particulars("http://127.0.0.1:9"))
            assert reply.error == (None if number == 0 else "TOO_MANY_APPLICATIONS")
        a.node.pump()
        assert acts(a) == 0
        a.clock.advance(61)
        a.node.pump()
        assert acts(a) == 1
        a.clock.advance(61)
        a.node.pump()
        assert acts(a) == 1


def test_what_is_counted_is_bounded() -> None:
    """Beyond the bound addresses are counted together, and none is lost."""
    refusals = Refusals()
    for number in range(3 * MOST):
        refusals.count("HEADER_REPEATED", f"10.0.{number // 256}.{number % 256}", 0)
    taken = refusals.take(0, at_once=True)
    assert (len(taken), sum(taken.values())) == (MOST + 1, 3 * MOST)
    assert taken["HEADER_REPEATED", OTHERS] == 2 * MOST
    assert refusals.take(10**9) == {}


def test_what_is_no_request_is_counted_at_the_gate() -> None:
    """Wrong framing and a connection on which nothing comes, each under its reason and address."""
    with NodeServer(load_config(None, port=0, head_seconds=1)) as server:
        parts = urlsplit(server.address)
        found: dict[tuple[str, str], int] = {}
        with (
            socket.create_connection((parts.hostname or "", parts.port or 0)),
            socket.create_connection((parts.hostname or "", parts.port or 0)) as wrong,
        ):
            wrong.sendall(b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n")
            assert wrong.recv(64).startswith(b"HTTP/1.1 400")

            def counted() -> bool:
                found.update(server.node.refusals.take(server.node.now(), at_once=True))
                return len(found) == 2

            eventually(counted)
        assert set(found) == {("MESSAGE_MALFORMED", "127.0.0.1"), ("CONNECTION_SILENT", "127.0.0.1")}
