"""Deliveries that partners are owed: kept with the change, retried, in order, across restarts."""

from __future__ import annotations

import json
from pathlib import Path

from sqlalchemy import select

from reference_node.store.outbox import OutboxRow
from reference_node.transport.outbound import OutboundAnswer
from tests.reference_node.pair import ManualClock, TestNode, apply, nodes, sign_contract

Two = tuple[TestNode, TestNode]


def _owed(node: TestNode) -> list[tuple[str, str]]:
    with node.node.store.read() as session:
        return [
            tuple(row) for row in session.execute(select(OutboxRow.operation, OutboxRow.state).order_by(OutboxRow.id))
        ]  # type: ignore[misc]


def test_a_delivery_is_tried_again_at_growing_intervals(two: Two) -> None:
    """8.1.2-b: the decision reaches the applicant once it is back, not before it is due."""
    a, b = two
    contract_id = apply(a, b)
    b.network.down.add("node-a.test")
    assert b.own("ownContractConfirm", contract_id=contract_id, status="APPROVED").data["delivery"] == "PENDING"
    attempts = []
    for second in range(16):
        before = len(b.network.sent)
        b.node.pump()
        if len(b.network.sent) > before:
            attempts.append(second)
        b.clock.advance(1)
    assert attempts == [1, 3, 7, 15]
    b.network.down.clear()
    b.clock.advance(60)
    b.node.pump()
    assert a.contract(contract_id)["status"] == "APPROVED"
    assert _owed(b) == [("contractConfirm", "DELIVERED")]


def test_every_attempt_is_signed_afresh(two: Two) -> None:
    """9.2-g: a retried delivery has a nonce and a timestamp of its own."""
    a, b = two
    contract_id = apply(a, b)
    b.network.answers_lost.add("node-a.test")
    b.own("ownContractConfirm", contract_id=contract_id, status="APPROVED")
    b.network.answers_lost.clear()
    b.clock.advance(1)
    b.node.pump()
    sent = [item for item in b.network.sent if item.path.endswith("/contract/confirm")]
    assert len({item.headers["x-nonce"] for item in sent}) == len({item.headers["x-timestamp"] for item in sent}) == 2
    assert [item.body for item in sent] == [sent[0].body] * 2
    assert _owed(b) == [("contractConfirm", "DELIVERED")]


def test_deliveries_of_a_contract_keep_their_order(two: Two) -> None:
    """8.1.2-e: a termination never overtakes the confirmation that it ends."""
    a, b = two
    contract_id = apply(a, b)
    b.network.down.add("node-a.test")
    b.own("ownContractConfirm", contract_id=contract_id, status="APPROVED")
    b.own("ownNodeUpdate", name="new name")
    assert b.own("ownContractTerminate", contract_id=contract_id).data["delivery"] == "PENDING"
    b.network.down.clear()
    b.network.sent.clear()
    b.clock.advance(1)
    b.node.pump()
    ends = [path.rsplit("/", 1)[-1] for path in b.network.paths()]
    assert ends == ["confirm", "update", "terminate"]
    assert a.contract(contract_id)["status"] == "TERMINATED"
    assert a.contract(contract_id)["partner_name"] == "new name"


def test_one_partner_that_is_away_does_not_hold_up_another() -> None:
    """Each contract has a queue of its own."""
    with nodes("node-a", "node-b", "node-c") as (a, b, c):
        first, second = apply(a, c), apply(b, c)
        c.network.down.add("node-a.test")
        assert c.own("ownContractConfirm", contract_id=first, status="APPROVED").data["delivery"] == "PENDING"
        assert c.own("ownContractConfirm", contract_id=second, status="APPROVED").data["delivery"] == "DELIVERED"


def test_what_the_partner_refuses_for_good_is_not_repeated(two: Two) -> None:
    """A definite refusal is an answer; the reason is kept."""
    a, b = two
    contract_id = sign_contract(a, b)
    refusal = {"code": 40303, "msg": "no", "data": {"error": "CONTRACT_NOT_ACTIVE", "hint": "-"}}
    b.network.canned["/v1/interconn/node/contract/terminate"] = OutboundAnswer(403, {}, json.dumps(refusal).encode())
    assert b.own("ownContractTerminate", contract_id=contract_id).data["delivery"] == "DELIVERED"
    before = len(b.network.sent)
    b.clock.advance(3600)
    b.node.pump()
    assert (len(b.network.sent), _owed(b)[-1]) == (before, ("contractTerminate", "REFUSED"))


def test_an_answer_that_is_no_envelope_is_no_delivery(two: Two) -> None:
    """Only a success envelope counts as heard."""
    a, b = two
    for status, body in ((200, b"<html>"), (200, b'{"code":0}'), (302, b""), (500, b'{"code":0,"msg":"","data":{}}')):
        contract_id = apply(a, b, expired_time=a.clock.now + 10_000 + len(body) + status)
        b.network.canned["/v1/interconn/node/contract/confirm"] = OutboundAnswer(status, {}, body)
        assert b.own("ownContractConfirm", contract_id=contract_id, status="APPROVED").data["delivery"] == "PENDING"


def test_a_delivery_is_given_up_after_the_time_set_for_it() -> None:
    """Nothing is tried for ever."""
    with nodes("node-a", "node-b", abandon_seconds=100) as (a, b):
        contract_id = apply(a, b)
        b.network.down.add("node-a.test")
        b.own("ownContractConfirm", contract_id=contract_id, status="APPROVED")
        b.clock.advance(101)
        b.node.pump()
        assert _owed(b) == [("contractConfirm", "ABANDONED")]
        b.clock.advance(100)
        b.node.pump()
        assert _owed(b) == []


def test_a_restart_keeps_contracts_deliveries_nonces_and_identity(tmp_path: Path) -> None:
    """9.2-a-1, 9.2-g: after a restart the same node goes on where it stopped, and no replay passes."""
    clock = ManualClock()
    data = {"node-b": tmp_path / "b"}
    with nodes("node-a") as (a,):
        with nodes("node-b", clock=clock, data=data) as (b,):
            a.network.apps["node-b.test"] = b.app
            b.network.apps["node-a.test"] = a.app
            contract_id = apply(a, b)
            b.network.down.add("node-a.test")
            b.own("ownContractConfirm", contract_id=contract_id, status="APPROVED")
            headers = b.sign("nodeHealth", a.as_stranger(), {})
            assert b.raw("nodeHealth", headers, {}).code == 0
            before = (b.id, b.node.identity.operator_token, b.node.identity.key("SM3_SM2").public.pem)
        with nodes("node-b", clock=clock, data=data) as (again,):
            again.network.apps["node-a.test"] = a.app
            identity = again.node.identity
            assert (again.id, identity.operator_token, identity.key("SM3_SM2").public.pem) == before
            assert again.raw("nodeHealth", headers, {}).error == "NONCE_REPLAYED"
            assert a.contract(contract_id)["status"] == "APPLIED"
            clock.advance(1)
            again.node.pump()
            assert a.contract(contract_id)["status"] == "APPROVED"
    for path in (tmp_path / "b").rglob("*"):
        if "node.db" not in path.name:
            assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path
