"""Who is who, and keeping each other informed (8.1.1, 8.1.3)."""

from __future__ import annotations

from typing import Any

from reference_node.security.keys import PrivateKey
from tests.reference_node.pair import DAY_MS, Stranger, TestNode, apply, sign_contract

Two = tuple[TestNode, TestNode]


def test_anybody_may_ask_who_a_node_is(two: Two) -> None:
    """8.1.1-b: the query needs no authentication and answers for this node only."""
    a, _ = two
    found = a.raw("nodeQuery", {}, {"node_id": a.id})
    assert (found.data["node_id"], found.data["address"]) == (a.id, a.address)
    assert found.data["auth_types"][0] == "SM3_SM2"
    assert a.raw("nodeQuery", {}, {"node_id": "node-z"}).error == "RESOURCE_NOT_FOUND"


def test_the_operator_sees_the_own_node_and_known_ones(two: Two) -> None:
    """8.1.1-a: by node id, this node's particulars or those that a partner has given."""
    a, b = two
    assert a.own("ownNodeQuery", node_id=a.id).data["address"] == a.address
    assert a.own("ownNodeQuery", node_id=b.id).error == "RESOURCE_NOT_FOUND"
    apply(a, b)
    assert a.own("ownNodeQuery", node_id=b.id).data["address"] == b.address
    assert b.own("ownNodeQuery", node_id=a.id).data["institution"] == a.id


def test_an_update_is_kept_and_reaches_the_partners_in_force(two: Two) -> None:
    """8.1.3-a, 8.1.3-b: changed fields change, others stay, and partners under contract know."""
    a, b = two
    in_force = sign_contract(a, b)
    apply(a, b, expired_time=a.clock.now + DAY_MS)
    reply = a.own("ownNodeUpdate", name="new name", description="second phase")
    assert reply.data["synced"] == [{"contract_id": in_force, "delivery": "DELIVERED"}]
    assert reply.data["node"]["institution"] == a.id
    assert a.raw("nodeQuery", {}, {"node_id": a.id}).data["name"] == "new name"
    seen = b.own("ownNodeQuery", node_id=a.id).data
    assert (seen["name"], seen["description"]) == ("new name", "second phase")
    assert b.contract(in_force)["partner_name"] == "new name"


def test_a_partner_that_was_away_learns_of_the_update_later(two: Two) -> None:
    """8.1.3-b: the message is owed until it is heard."""
    a, b = two
    sign_contract(a, b)
    a.network.down.add("node-b.test")
    assert a.own("ownNodeUpdate", name="new name").data["synced"][0]["delivery"] == "PENDING"
    assert b.own("ownNodeQuery", node_id=a.id).data["name"] == a.id
    a.network.down.clear()
    a.clock.advance(a.node.config.retry_seconds)
    a.node.pump()
    assert b.own("ownNodeQuery", node_id=a.id).data["name"] == "new name"


def _message(contract_id: str, source: Stranger, **changed: Any) -> dict[str, Any]:
    found = source.particulars("http://moved.test") | {"contract_id": contract_id} | changed
    del found["node_id"]
    return found


def test_a_partner_moves_to_a_new_key_and_the_old_one_counts_no_longer(two: Two) -> None:
    """8.1.3-b, 9.2-a-1: the change of a key is signed by the key it replaces."""
    a, b = two
    contract_id = sign_contract(a, b)
    old, new = a.as_stranger(), Stranger(a.id, PrivateKey.generate("SM3_SM2"))
    message = _message(contract_id, new)
    assert b.signed("nodeSync", new, **message).error == "SIGNATURE_INVALID"
    assert b.signed("nodeHealth", old).code == 0
    assert b.signed("nodeSync", old, **message).code == 0
    assert b.contract(contract_id)["partner_address"] == "http://moved.test"
    assert b.signed("nodeHealth", old).error == "SIGNATURE_INVALID"
    assert b.signed("contractQuery", new, contract_id=contract_id).data["status"] == "APPROVED"


def test_a_sync_needs_a_contract_in_force_between_the_two(two: Two, stranger: Stranger) -> None:
    """8.1.3-b: a pending, ended or foreign contract is no ground for changing what is known of a node."""
    a, b = two
    pending = b.signed("contractApply", stranger, **stranger.particulars()).data["contract_id"]
    assert b.signed("nodeSync", stranger, **_message(pending, stranger)).error == "CONTRACT_NOT_ACTIVE"
    contract_id = sign_contract(a, b)
    b.own("ownContractConfirm", contract_id=pending, status="APPROVED")
    foreign = b.signed("nodeSync", stranger, **_message(contract_id, stranger))
    assert foreign.error == "CONTRACT_NOT_FOUND"
    assert b.contract(contract_id)["partner_address"] == a.address
    assert b.signed("nodeSync", stranger, **_message(pending, stranger)).code == 0
