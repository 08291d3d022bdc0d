"""Both ends of every operation of 8.1, in one process."""

from __future__ import annotations

import json

import specs
from reference_node.transport.outbound import OutboundAnswer
from tests.reference_node.pair import DAY_MS, Stranger, TestNode, apply, nodes, sign_contract

Two = tuple[TestNode, TestNode]


def test_a_contract_is_applied_for_and_waits_for_the_partner(two: Two) -> None:
    """8.1.2-a: after the application both ends have the same contract, pending."""
    a, b = two
    contract_id = apply(a, b, expired_time=a.clock.now + DAY_MS)
    for node, role, partner in ((a, "APPLICANT", b), (b, "APPROVER", a)):
        seen = node.contract(contract_id)
        assert (seen["status"], seen["role"]) == ("APPLIED", role)
        assert (seen["partner_node_id"], seen["partner_address"]) == (partner.id, partner.address)
        assert seen["expired_time"] == a.clock.now + DAY_MS


def test_a_confirmed_contract_is_in_force_at_both_ends(two: Two) -> None:
    """8.1.2-b: the partner's approval reaches the applicant, with the period that was granted."""
    a, b = two
    contract_id = apply(a, b, expired_time=a.clock.now + 2 * DAY_MS)
    reply = b.own("ownContractConfirm", contract_id=contract_id, status="APPROVED", expired_time=a.clock.now + DAY_MS)
    assert reply.data == {
        "contract_id": contract_id,
        "status": "APPROVED",
        "expired_time": a.clock.now + DAY_MS,
        "delivery": "DELIVERED",
    }
    for node in two:
        assert node.contract(contract_id)["status"] == "APPROVED"
        assert node.contract(contract_id)["expired_time"] == a.clock.now + DAY_MS


def test_a_rejected_application_is_rejected_at_both_ends_and_stays_so(two: Two) -> None:
    """8.1.2-b: a rejection reaches the applicant, and no later decision overturns it."""
    a, b = two
    contract_id = apply(a, b)
    assert b.own("ownContractConfirm", contract_id=contract_id, status="REJECTED").data["delivery"] == "DELIVERED"
    assert [node.contract(contract_id)["status"] for node in two] == ["REJECTED", "REJECTED"]
    again = b.own("ownContractConfirm", contract_id=contract_id, status="APPROVED")
    assert again.error == "CONTRACT_NOT_PENDING"
    assert [node.contract(contract_id)["status"] for node in two] == ["REJECTED", "REJECTED"]


def test_the_period_may_be_shortened_and_not_lengthened(two: Two) -> None:
    """8.1.2-b: the approver never grants more than was asked for."""
    a, b = two
    contract_id = apply(a, b, expired_time=a.clock.now + DAY_MS)
    longer = b.own(
        "ownContractConfirm", contract_id=contract_id, status="APPROVED", expired_time=a.clock.now + DAY_MS + 1
    )
    assert (longer.error, longer.data["pointer"]) == ("EXPIRY_INVALID", "/expired_time")
    assert b.contract(contract_id)["status"] == "APPLIED"
    as_long = b.own("ownContractConfirm", contract_id=contract_id, status="APPROVED", expired_time=a.clock.now + DAY_MS)
    assert as_long.code == 0


def test_a_pending_application_can_be_cancelled_and_a_decided_one_not(two: Two) -> None:
    """8.1.2-c: cancellation is for pending applications."""
    a, b = two
    pending, decided = apply(a, b, expired_time=a.clock.now + DAY_MS), sign_contract(a, b)
    assert a.own("ownContractCancel", contract_id=pending).data["status"] == "TERMINATED"
    for node in two:
        assert node.contract(pending)["end_reason"] == "CANCELLED"
    refused = a.own("ownContractCancel", contract_id=decided)
    assert (refused.status, refused.error) == (409, "CONTRACT_NOT_PENDING")
    direct = b.signed("contractCancel", a.as_stranger(), contract_id=decided)
    assert direct.error == "CONTRACT_NOT_PENDING"
    assert [node.contract(decided)["status"] for node in two] == ["APPROVED", "APPROVED"]


def test_only_the_applicant_cancels(two: Two) -> None:
    """8.1.2-c: the node that was applied to decides, it does not withdraw."""
    a, b = two
    contract_id = apply(a, b)
    assert b.own("ownContractCancel", contract_id=contract_id).error == "NOT_YOURS"
    assert a.own("ownContractConfirm", contract_id=contract_id, status="APPROVED").error == "NOT_YOURS"
    assert [node.contract(contract_id)["status"] for node in two] == ["APPLIED", "APPLIED"]


def test_either_party_ends_an_approved_contract(two: Two) -> None:
    """8.1.2-e: both sides may terminate, and both see it."""
    a, b = two
    for ending in two:
        contract_id = sign_contract(a, b, expired_time=a.clock.now + DAY_MS)
        reply = ending.own("ownContractTerminate", contract_id=contract_id)
        assert (reply.data["status"], reply.data["end_reason"]) == ("TERMINATED", "TERMINATED")
        assert reply.data["delivery"] == "DELIVERED"
        assert [node.contract(contract_id)["status"] for node in two] == ["TERMINATED", "TERMINATED"]


def test_a_pending_contract_cannot_be_terminated(two: Two) -> None:
    """8.1.2-e: what was never agreed upon is not ended but cancelled."""
    a, b = two
    sign_contract(a, b)
    pending = apply(a, b, expired_time=a.clock.now + DAY_MS)
    assert a.own("ownContractTerminate", contract_id=pending).error == "CONTRACT_NOT_ACTIVE"
    assert b.signed("contractTerminate", a.as_stranger(), contract_id=pending).error == "CONTRACT_NOT_ACTIVE"
    assert b.contract(pending)["status"] == "APPLIED"


def test_health_says_whether_an_application_is_still_pending(two: Two) -> None:
    """8.1.2-d: cancellable is told as long as it is true."""
    a, b = two
    contract_id = apply(a, b)
    before = a.own("ownPartnerHealth", contract_id=contract_id)
    assert before.data == {"status": "UP", "contract_status": "APPLIED", "cancellable": True}
    b.own("ownContractConfirm", contract_id=contract_id, status="APPROVED")
    after = a.own("ownPartnerHealth", contract_id=contract_id)
    assert after.data == {"status": "UP", "contract_status": "APPROVED", "cancellable": False}


def test_a_contract_is_shown_to_its_parties_only(two: Two) -> None:
    """8.1.1-c: to a third node, known here or not, a contract does not exist."""
    a, b = two
    contract_id = sign_contract(a, b)
    with nodes("node-c", clock=a.clock) as (c,):
        other = c.as_stranger()
        assert b.signed("contractQuery", other, contract_id=contract_id).error == "NODE_UNKNOWN"
        applied = b.signed("contractApply", other, **other.particulars())
        assert b.signed("contractQuery", other, **applied.data).data["status"] == "APPLIED"
        assert b.signed("contractQuery", other, contract_id=contract_id).error == "CONTRACT_NOT_FOUND"
        assert b.signed("nodeHealth", other, contract_id=contract_id).error == "CONTRACT_NOT_FOUND"
        assert b.signed("contractCancel", other, contract_id=contract_id).error == "CONTRACT_NOT_FOUND"
    assert b.signed("contractQuery", a.as_stranger(), contract_id=contract_id).data["status"] == "APPROVED"


def test_a_confirmation_comes_from_the_node_that_was_applied_to(two: Two, stranger: Stranger) -> None:
    """8.1.2-b: a decision by a third node is refused and changes nothing, the partner's own is taken."""
    a, b = two
    contract_id = apply(a, b)
    forged = {
        "contract_id": contract_id,
        "status": "APPROVED",
        "auth_type": "SM3_SM2",
        "auth_credential": stranger.key.public.pem,
        "expired_time": a.clock.now + DAY_MS,
    }
    assert a.signed("contractConfirm", stranger, **forged).error == "NOT_YOURS"
    assert a.contract(contract_id)["status"] == "APPLIED"
    genuine = {**forged, "auth_credential": b.node.identity.key("SM3_SM2").public.pem}
    assert a.signed("contractConfirm", b.as_stranger(), **genuine).code == 0
    assert a.contract(contract_id)["status"] == "APPROVED"


def test_a_repeated_confirmation_is_answered_as_before_and_another_decision_refused(two: Two) -> None:
    """8.1.2-b: a callback that was retried does no harm, a change of mind does not pass."""
    a, b = two
    contract_id = sign_contract(a, b)
    message = {
        "contract_id": contract_id,
        "status": "APPROVED",
        "auth_type": "SM3_SM2",
        "auth_credential": b.node.identity.key("SM3_SM2").public.pem,
        "expired_time": a.clock.now + DAY_MS,
    }
    assert a.signed("contractConfirm", b.as_stranger(), **message).code == 0
    changed = a.signed("contractConfirm", b.as_stranger(), **{**message, "status": "REJECTED"})
    assert changed.error == "CONTRACT_NOT_PENDING"
    assert a.contract(contract_id)["status"] == "APPROVED"


def test_the_same_application_again_has_the_same_contract(two: Two, stranger: Stranger) -> None:
    """8.1.2-a: an application that was retried makes no second contract, another one does."""
    _, b = two
    first = b.signed("contractApply", stranger, **stranger.particulars()).data["contract_id"]
    assert b.signed("contractApply", stranger, **stranger.particulars()).data["contract_id"] == first
    other = {**stranger.particulars(), "description": "another"}
    assert b.signed("contractApply", stranger, **other).data["contract_id"] != first
    assert b.own("ownContractList").data["total"] == 2


def test_an_application_for_a_period_in_the_past_is_refused(two: Two, stranger: Stranger) -> None:
    """8.1.2-a: a period ends in the future, at both ends."""
    a, b = two
    past = b.signed("contractApply", stranger, **stranger.particulars(), expired_time=b.clock.now)
    assert (past.error, past.data["pointer"]) == ("EXPIRY_INVALID", "/expired_time")
    own = a.own("ownContractApply", address=b.address, node_id=b.id, expired_time=a.clock.now)
    assert own.error == "EXPIRY_INVALID"
    assert b.own("ownContractList").data["total"] == 0
    assert b.signed("contractApply", stranger, **stranger.particulars(), expired_time=b.clock.now + 1).code == 0


def test_a_contract_ends_with_its_period_whether_or_not_anybody_sweeps(two: Two) -> None:
    """8.1.2-b: expiry is judged at every use."""
    a, b = two
    contract_id = sign_contract(a, b, expired_time=a.clock.now + DAY_MS)
    pending = apply(a, b, expired_time=a.clock.now + DAY_MS + 1)
    assert b.signed("nodeHealth", a.as_stranger(), contract_id=contract_id).data["contract_status"] == "APPROVED"
    a.clock.advance(DAY_MS / 1000 + 1)
    late = b.own("ownContractConfirm", contract_id=pending, status="APPROVED")
    assert late.error == "CONTRACT_NOT_PENDING"
    asked = b.signed("contractQuery", a.as_stranger(), contract_id=contract_id).data
    assert (asked["status"], asked["end_reason"]) == ("TERMINATED", "EXPIRED")
    assert b.signed("contractTerminate", a.as_stranger(), contract_id=contract_id).error == "CONTRACT_EXPIRED"
    a.node.pump()
    assert a.contract(contract_id)["end_reason"] == "EXPIRED"


def test_a_lost_confirmation_is_made_good_by_the_query(two: Two) -> None:
    """8.1.1-c: the applicant asks, and adopts the decision with the partner's key."""
    a, b = two
    contract_id = apply(a, b)
    b.network.down.add("node-a.test")
    reply = b.own("ownContractConfirm", contract_id=contract_id, status="APPROVED")
    assert reply.data["delivery"] == "PENDING"
    assert a.contract(contract_id)["status"] == "APPLIED"
    assert a.own("ownContractQuery", contract_id=contract_id).data["status"] == "APPROVED"
    assert a.signed("nodeHealth", b.as_stranger(), contract_id=contract_id).data["contract_status"] == "APPROVED"


def test_a_lost_decision_is_made_good_without_anybody_asking(two: Two) -> None:
    """8.1.1-c: the node asks for the fate of its pending applications by itself."""
    a, b = two
    contract_id = apply(a, b)
    b.network.down.add("node-a.test")
    b.own("ownContractConfirm", contract_id=contract_id, status="REJECTED")
    a.node.pump()
    assert a.contract(contract_id)["status"] == "APPLIED"
    a.clock.advance(a.node.config.poll_seconds)
    a.node.pump()
    assert a.contract(contract_id)["status"] == "REJECTED"


def test_the_own_query_answers_what_is_known_when_the_partner_is_away(two: Two) -> None:
    """8.1.1-c: an unreachable partner takes nothing away."""
    a, b = two
    contract_id = apply(a, b)
    a.network.down.add("node-b.test")
    assert a.own("ownContractQuery", contract_id=contract_id).data["status"] == "APPLIED"
    assert a.own("ownContractCancel", contract_id=contract_id).error == "PARTNER_UNREACHABLE"
    assert a.contract(contract_id)["status"] == "APPLIED"


def test_an_answer_about_another_contract_is_not_adopted(two: Two) -> None:
    """8.1.1-c: what the partner says of one contract moves no other."""
    a, b = two
    contract_id = apply(a, b)
    state = {"contract_id": "contract-z", "status": "REJECTED"}
    foreign = json.dumps({"code": 0, "msg": "ok", "data": state}).encode()
    a.network.canned["/v1/interconn/node/contract/query"] = OutboundAnswer(200, {}, foreign)
    assert a.own("ownContractQuery", contract_id=contract_id).data["status"] == "APPLIED"
    a.network.canned.clear()
    b.own("ownContractConfirm", contract_id=contract_id, status="REJECTED")
    assert a.own("ownContractQuery", contract_id=contract_id).data["status"] == "REJECTED"


def test_a_cancellation_that_comes_too_late_brings_the_decision_home(two: Two) -> None:
    """8.1.2-c: the partner's refusal is passed on, and the applicant learns what was decided."""
    a, b = two
    contract_id = apply(a, b)
    b.network.down.add("node-a.test")
    b.own("ownContractConfirm", contract_id=contract_id, status="APPROVED")
    late = a.own("ownContractCancel", contract_id=contract_id)
    assert (late.error, late.data["partner"]["error"]) == ("PARTNER_REFUSED", "CONTRACT_NOT_PENDING")
    assert a.contract(contract_id)["status"] == "APPROVED"


def test_an_application_whose_answer_was_lost_leaves_one_contract(two: Two) -> None:
    """8.1.2-a: attempts are signed afresh and the partner recognises the application."""
    a, b = two
    a.network.answers_lost.add("node-b.test")
    body = {"address": b.address, "node_id": b.id, "expired_time": a.clock.now + DAY_MS}
    assert a.own("ownContractApply", **body).error == "PARTNER_UNREACHABLE"
    assert (a.own("ownContractList").data["total"], b.own("ownContractList").data["total"]) == (0, 0)
    a.network.answers_lost.clear()
    assert a.own("ownContractApply", **body).code == 0
    assert (a.own("ownContractList").data["total"], b.own("ownContractList").data["total"]) == (1, 1)


def test_the_expected_node_has_to_be_at_the_address(two: Two) -> None:
    """8.1.1-b, 9.2-a-1: a contract is made with the node that was meant."""
    a, b = two
    wrong = a.own("ownContractApply", address=b.address, node_id="node-z")
    assert (wrong.error, wrong.data["partner"]["error"]) == ("PARTNER_REFUSED", "RESOURCE_NOT_FOUND")
    assert a.own("ownContractApply", address=b.address, node_id=a.id).error == "REQUEST_INVALID"
    assert a.own("ownPartnerQuery", address=b.address, node_id=b.id).data["node_id"] == b.id


def test_the_list_pages_filters_and_counts(two: Two) -> None:
    """8.1.1-c: newest first, a total over all pages, filters by state and partner."""
    a, b = two
    ids = []
    for day in range(1, 6):
        ids.append(apply(a, b, expired_time=a.clock.now + day * DAY_MS))
        a.clock.advance(1)
    a.own("ownContractCancel", contract_id=ids[0])
    page = a.own("ownContractList", page_num=2, page_size=2).data
    assert ([record["contract_id"] for record in page["records"]], page["total"]) == ([ids[2], ids[1]], 5)
    assert a.own("ownContractList", status="TERMINATED").data["total"] == 1
    assert a.own("ownContractList", partner_node_id="node-z").data == {"records": [], "total": 0}


def test_what_the_answer_to_node_query_was_stripped_of_the_confirmation_tells(two: Two) -> None:
    """9.2-g: nodeQuery's answer is not signed; the signature base that counts is the one of a signed message."""
    a, b = two
    told = b.raw("nodeQuery", {}, {"node_id": b.id}).data
    assert told.pop("signature_base") == 2
    stripped = json.dumps({"code": 0, "msg": "ok", "data": told}).encode()
    path = specs.operations()["nodeQuery"].path
    a.network.canned[path] = OutboundAnswer(200, {"content-type": "application/json"}, stripped)
    contract_id = apply(a, b)
    del a.network.canned[path]
    assert "signature_base" not in a.own("ownNodeQuery", node_id=b.id).data
    assert b.own("ownNodeQuery", node_id=a.id).data["signature_base"] == 2
    b.own("ownContractConfirm", contract_id=contract_id, status="APPROVED")
    assert a.own("ownNodeQuery", node_id=b.id).data["signature_base"] == 2
