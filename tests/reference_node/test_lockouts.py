"""Whom failures of authentication lock out (9.2-a-5): what they are counted against, and how much is kept of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from sqlalchemy import func, select

from reference_node.errors import Refusal
from reference_node.security import lockouts
from reference_node.security.incoming import Incoming
from reference_node.security.keys import PrivateKey
from reference_node.security.lockouts import Standing
from reference_node.security.tls import Presented
from reference_node.store.guards import LockoutRow
from tests.reference_node.pair import Stranger, TestNode, fresh_nonce, sign_contract

Two = tuple[TestNode, TestNode]
SHARED = "10.0.0.1"  # the balancer's


def _forged(b: TestNode, claimed: Stranger, remote: str = SHARED) -> str | None:
    thief = Stranger(claimed.node_id, PrivateKey.generate("SM3_SM2"))
    return b.raw("nodeHealth", b.sign("nodeHealth", thief, {}), {}, remote=remote).error


def _rows(b: TestNode) -> list[tuple[str, str]]:
    with b.node.store.read() as session:
        return [(row.source, row.remote) for row in session.scalars(select(LockoutRow))]


def test_a_partner_is_served_while_somebody_forges_its_requests_from_its_address(two: Two) -> None:
    """9.2-a-5: eight requests in its name under another key, from the balancer that it comes through itself."""
    a, b = two
    sign_contract(a, b)
    partner = a.as_stranger()
    answers = [_forged(b, partner) for _ in range(8)]
    assert answers == ["SIGNATURE_INVALID"] * 5 + ["LOCKED_OUT"] * 3
    assert b.signed("nodeHealth", partner, SHARED).code == 0
    assert _forged(b, partner) == "LOCKED_OUT"  # the partner's success does not end what it did not begin
    assert _rows(b) == [("", SHARED)]


def test_fresh_ids_are_no_way_around_the_lock_out(two: Two, stranger: Stranger) -> None:
    """A failure counts against the address, whatever id is claimed; an application that proves its key is taken."""
    _, b = two
    for number in range(5):
        unsigned = {**b.sign("nodeHealth", Stranger(f"nobody-{number}", stranger.key), {}), "x-auth-sign": ""}
        assert b.raw("nodeHealth", unsigned, {}, remote=SHARED).error == "SIGNATURE_MISSING"
    assert b.raw("nodeHealth", unsigned, {}, remote=SHARED).error == "LOCKED_OUT"
    assert b.raw("nodeHealth", unsigned, {}, remote="10.0.0.2").error == "SIGNATURE_MISSING"
    assert b.signed("contractApply", stranger, SHARED, **stranger.particulars()).code == 0
    assert len(_rows(b)) == 2


def test_who_proved_itself_by_certificate_is_locked_out_whole(two: Two) -> None:
    """9.2-a-5: a node whose certificate is right and whose signatures are not; at its address nobody else notices."""
    _, b = two
    certificate = SimpleNamespace(holder=SimpleNamespace(node_id="node-c"))
    channel = Presented(cast("Any", certificate))
    headers = {"x-source-node-id": "node-c"}
    incoming = Incoming("GET", "/", "", headers, b"", SHARED, channel)
    for _ in range(5):
        lockouts.failed(b.node, incoming, Standing())
    with b.node.store.reading() as connection:
        with pytest.raises(Refusal) as refused:
            lockouts.standing(b.node, connection, incoming)
        assert lockouts.standing(b.node, connection, Incoming("GET", "/", "", headers, b"", SHARED)) == Standing()
    assert (refused.value.name, refused.value.extra["retry_after"]) == ("LOCKED_OUT", 300)
    assert _rows(b) == [("node-c", "")]


def test_a_record_says_what_a_failure_was_counted_against(two: Two) -> None:
    """9.2-d: the id is the claimed one, and the record says that nothing but the address was known."""
    a, b = two
    sign_contract(a, b)
    _forged(b, a.as_stranger())
    (record,) = b.audit("ownEvidenceList", act="identity").data["records"]
    told = b.audit("ownEvidenceRestore", first_seq=record["seq"], last_seq=record["seq"], reason="test")
    content = told.data["records"][0]["content"]
    assert content["subjects"] == {"node_id": a.id}
    assert content["details"].items() >= {"counted_against": "ADDRESS", "in_a_row": 1}.items()


@pytest.mark.parametrize(
    ("remote", "block"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("spool:node-x", "spool:node-x"),
        ("", ""),
        ("x" * 90, "x" * 64),
    ],
)
def test_an_address_stands_for_what_one_caller_has_of_them(remote: str, block: str) -> None:
    """One address of IPv4, a /64 of IPv6, an end of the gap by its name."""
    assert lockouts.block(remote) == block


def test_rows_are_bounded_and_the_oldest_make_way(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many addresses fail, so many rows are kept; one that locks somebody out goes last."""
    _, b = two
    monkeypatch.setattr(lockouts, "MOST", 20)
    monkeypatch.setattr(lockouts, "EVICTED", 5)
    headers = {"x-source-node-id": fresh_nonce()}
    for _ in range(5):
        lockouts.failed(b.node, Incoming("GET", "/", "", headers, b"", "10.9.9.9"), Standing())
    for number in range(60):
        b.clock.advance(0.001)
        lockouts.failed(b.node, Incoming("GET", "/", "", headers, b"", f"10.1.0.{number}"), Standing())
    rows = _rows(b)
    assert 15 < len(rows) <= 20
    assert {("", "10.9.9.9"), ("", "10.1.0.59")} <= set(rows)
    assert ("", "10.1.0.0") not in rows
    b.clock.advance(2 * b.node.config.lockout_seconds + 1)
    b.node.pump()
    with b.node.store.read() as session:
        assert session.scalar(select(func.count()).select_from(LockoutRow)) == 0
