"""Approvals of every kind, both ends, driven through the operations; one machine, so one set of tests.

What becomes of them while messages get lost is in test_approvals_lost.
"""

from __future__ import annotations

import json

from reference_node.domain.approval import Kind
from reference_node.transport.outbound import OutboundAnswer
from tests.reference_node.pair import DAY_MS, Stranger, TestNode
from tests.reference_node.sharing import Scene, signed_stranger


def test_an_application_is_pending_at_both_ends(scene: Scene) -> None:
    """8.2.1-b, 8.3.3-a, 8.7.1.3-a, 8.7.2.2-a: both ends share the id, and know who asked whom for what."""
    audit_id = scene.apply(time_limit=scene.a.clock.now + DAY_MS, times_limit=3)
    for node, role, partner in ((scene.a, "APPLICANT", scene.b), (scene.b, "APPROVER", scene.a)):
        seen = scene.seen(node, audit_id)
        assert (seen["status"], seen["role"], seen["partner_node_id"]) == ("APPLIED", role, partner.id)
        assert (seen["kind"], seen["resource_id"]) == (scene.kind, scene.resource_id)
        assert (seen["content"]["times_limit"], "resource_permit" in seen) == (3, False)
    assert scene.seen(scene.a, audit_id)["content"] == scene.seen(scene.b, audit_id)["content"]


def test_an_approval_reaches_the_applicant_with_its_permit(scene: Scene) -> None:
    """8.3.3-b, 8.7.1.3-d, 8.7.2.2-b, 9.2-b-1: both hold the same permit, no larger than was asked for."""
    until = scene.a.clock.now + DAY_MS
    audit_id = scene.apply(time_limit=until, times_limit=3)
    reply = scene.decide(audit_id, times_limit=2)
    assert reply.data == {"audit_id": audit_id, "status": "APPROVED", "delivery": "DELIVERED"}
    permits = [scene.seen(node, audit_id)["resource_permit"] for node in (scene.a, scene.b)]
    assert permits[0] == permits[1]
    assert (permits[0]["time_limit"], permits[0]["times_limit"]) == (until, 2)
    assert (permits[0]["resource_type"], permits[0]["resource_id"]) == (scene.kind, scene.resource_id)
    assert (permits[0]["resource_node_id"], permits[0]["request_node_id"]) == (scene.b.id, scene.a.id)
    assert permits[0]["resource_level"] == (2 if scene.kind is Kind.PROJECT else 3)


def test_more_than_was_asked_for_is_not_granted(dataset_scene: Scene) -> None:
    """9.2-b-1: a longer period or more uses are refused and nothing is decided by it."""
    scene = dataset_scene
    until = scene.a.clock.now + DAY_MS
    audit_id = scene.apply(time_limit=until, times_limit=3)
    longer = scene.decide(audit_id, time_limit=until + 1)
    assert (longer.error, longer.data["pointer"]) == ("EXPIRY_INVALID", "/time_limit")
    more = scene.decide(audit_id, times_limit=4)
    assert (more.error, more.data["pointer"]) == ("REQUEST_INVALID", "/times_limit")
    assert scene.statuses(audit_id) == ["APPLIED", "APPLIED"]


def test_a_period_in_the_past_is_refused_at_both_doors(dataset_scene: Scene) -> None:
    """9.2-b-2: nothing is applied for that is over already."""
    scene = dataset_scene
    wanted = {"contract_id": scene.contract_id, f"{scene.kind.lower()}_id": scene.resource_id}
    refused = scene.a.own(scene.op("Apply"), **wanted, time_limit=scene.a.clock.now)
    assert (refused.error, refused.data["pointer"]) == ("EXPIRY_INVALID", "/time_limit")
    audit_id = scene.apply()
    assert scene.decide(audit_id, time_limit=1).error == "EXPIRY_INVALID"


def test_a_rejection_is_final(scene: Scene) -> None:
    """8.3.3-b, 8.7.1.3-d: the contrary decision later is refused by both ends, the same one is harmless."""
    audit_id = scene.apply()
    assert scene.decide(audit_id, "REJECTED", comment="no").data["status"] == "REJECTED"
    assert scene.decide(audit_id, "APPROVED").error == "AUDIT_NOT_PENDING"
    contrary = {"audit_id": audit_id, "status": "APPROVED"}
    assert (
        scene.a.signed(scene.op("Confirm", own=False), scene.b.as_stranger(), **contrary).error == "AUDIT_NOT_PENDING"
    )
    repeated = {**contrary, "status": "REJECTED"}
    assert scene.a.signed(scene.op("Confirm", own=False), scene.b.as_stranger(), **repeated).code == 0
    assert scene.statuses(audit_id) == ["REJECTED", "REJECTED"]
    assert scene.seen(scene.a, audit_id)["comment"] == "no"


def test_a_pending_application_is_withdrawn_and_a_decided_one_is_not(scene: Scene) -> None:
    """8.7.1.3-b: withdrawal is for pending applications; the approver cannot decide what was withdrawn."""
    first, second = scene.apply(), scene.apply()
    assert scene.a.own(scene.op("Cancel"), audit_id=first).data["status"] == "TERMINATED"
    assert scene.statuses(first) == ["TERMINATED", "TERMINATED"]
    assert scene.seen(scene.b, first)["end_reason"] == "CANCELLED"
    assert scene.decide(first).error == "AUDIT_NOT_PENDING"
    scene.decide(second)
    assert scene.a.own(scene.op("Cancel"), audit_id=second).error == "AUDIT_NOT_PENDING"
    direct = scene.b.signed(scene.op("Cancel", own=False), scene.a.as_stranger(), audit_id=second)
    assert (direct.status, direct.error) == (409, "AUDIT_NOT_PENDING")
    assert scene.statuses(second) == ["APPROVED", "APPROVED"]


def test_each_end_keeps_to_its_role(scene: Scene) -> None:
    """8.7.1.3-d: the applicant does not decide, the approver does not withdraw, on either door."""
    audit_id = scene.apply()
    a, b = scene.a.as_stranger(), scene.b.as_stranger()
    approved = {"audit_id": audit_id, "status": "APPROVED"}
    assert scene.a.own(scene.op("Confirm"), **approved).error == "NOT_YOURS"
    assert scene.b.signed(scene.op("Confirm", own=False), a, **approved).error == "NOT_YOURS"
    assert scene.b.own(scene.op("Cancel"), audit_id=audit_id).error == "NOT_YOURS"
    assert scene.a.signed(scene.op("Cancel", own=False), b, audit_id=audit_id).error == "NOT_YOURS"
    assert scene.a.signed(scene.op("Query", own=False), b, audit_id=audit_id).error == "AUDIT_NOT_FOUND"
    assert scene.statuses(audit_id) == ["APPLIED", "APPLIED"]


def test_strangers_neither_see_nor_move_an_approval(scene: Scene, stranger: Stranger) -> None:
    """9.2-b: to a third node with a contract of its own the approval does not exist."""
    audit_id = scene.apply()
    for node in (scene.a, scene.b):
        signed_stranger(node, stranger)
        for step, more in (("Confirm", {"status": "APPROVED"}), ("Cancel", {}), ("Terminate", {}), ("Query", {})):
            reply = node.signed(scene.op(step, own=False), stranger, audit_id=audit_id, **more)
            assert reply.error == "AUDIT_NOT_FOUND", step
    assert scene.statuses(audit_id) == ["APPLIED", "APPLIED"]


def test_the_approver_revokes_and_the_applicant_gives_back(scene: Scene) -> None:
    """8.7.1.4, 9.2-b-3: either end ends what is in force, once; who did it can be told apart."""
    revoked, returned, pending = scene.apply(), scene.apply(), scene.apply()
    scene.decide(revoked)
    scene.decide(returned)
    assert scene.b.own(scene.op("Terminate"), audit_id=revoked).data["delivery"] == "DELIVERED"
    assert scene.a.own(scene.op("Terminate"), audit_id=returned).data["delivery"] == "DELIVERED"
    for audit_id, reason in ((revoked, "REVOKED"), (returned, "TERMINATED")):
        assert [scene.seen(node, audit_id)["end_reason"] for node in (scene.a, scene.b)] == [reason, reason]
        assert scene.b.own(scene.op("Terminate"), audit_id=audit_id).error == "AUDIT_NOT_APPROVED"
    assert scene.b.own(scene.op("Terminate"), audit_id=pending).error == "AUDIT_NOT_APPROVED"
    state = scene.b.signed(scene.op("Query", own=False), scene.a.as_stranger(), audit_id=revoked).data
    assert state == {"audit_id": revoked, "status": "TERMINATED", "end_reason": "REVOKED"}


def test_an_audit_id_is_one_approval(scene: Scene, stranger: Stranger) -> None:
    """8.3.3-a: other content, or another node, cannot use an id that is taken."""
    audit_id = scene.apply()
    sent = next(
        sent for sent in scene.a.network.sent if sent.path.endswith("/audit/apply") and audit_id in str(sent.body)
    )
    message = json.loads(sent.body)
    operation = scene.op("Apply", own=False)
    assert scene.b.signed(operation, scene.a.as_stranger(), **message).code == 0
    changed = scene.b.signed(operation, scene.a.as_stranger(), **{**message, "times_limit": 9})
    assert (changed.status, changed.error, changed.data["pointer"]) == (409, "ID_TAKEN", "/audit_id")
    contract_id = signed_stranger(scene.b, stranger)
    stolen = scene.b.signed(operation, stranger, **{**message, "contract_id": contract_id})
    assert stolen.error == "ID_TAKEN"
    foreign = {**message, "audit_id": "audit-new"}
    assert scene.b.signed(operation, stranger, **foreign).error == "CONTRACT_NOT_FOUND"


def test_approvals_end_with_their_contract(scene: Scene) -> None:
    """9.2-b-2: a terminated contract ends what is pending and what is in force under it, at both ends."""
    pending, agreed = scene.apply(), scene.apply()
    scene.decide(agreed)
    scene.a.own("ownContractTerminate", contract_id=scene.contract_id)
    for audit_id in (pending, agreed):
        assert scene.statuses(audit_id) == ["TERMINATED", "TERMINATED"]
    assert scene.decide(pending).error == "AUDIT_NOT_PENDING"
    again = scene.a.own(scene.op("Apply"), contract_id=scene.contract_id, **{f"{scene.kind.lower()}_id": "x"})
    assert again.error == "CONTRACT_NOT_ACTIVE"


def test_an_approval_ends_with_its_period(dataset_scene: Scene) -> None:
    """9.2-b-2: after the last millisecond of the period both ends know that it is over."""
    scene = dataset_scene
    audit_id = scene.apply(time_limit=scene.a.clock.now + 1000)
    scene.decide(audit_id)
    scene.a.clock.advance(1)
    assert scene.statuses(audit_id) == ["APPROVED", "APPROVED"]
    scene.a.clock.advance(0.001)
    assert scene.statuses(audit_id) == ["TERMINATED", "TERMINATED"]
    assert scene.seen(scene.a, audit_id)["end_reason"] == "EXPIRED"
    assert scene.b.own(scene.op("Terminate"), audit_id=audit_id).error == "AUDIT_NOT_APPROVED"


def test_a_permit_for_something_else_is_not_taken(dataset_scene: Scene) -> None:
    """8.7.1.3-d: a confirmation whose permit names another resource or node changes nothing."""
    scene = dataset_scene
    audit_id = scene.apply()
    scene.a.network.down.add("node-a.test")
    scene.decide(audit_id)
    permit = scene.seen(scene.b, audit_id)["resource_permit"]
    for name, value in (("resource_id", "other"), ("request_node_id", "node-x"), ("resource_type", "JOB")):
        body = {"audit_id": audit_id, "status": "APPROVED", "resource_permit": {**permit, name: value}}
        refused = scene.a.signed(scene.op("Confirm", own=False), scene.b.as_stranger(), **body)
        assert (refused.error, refused.data["pointer"]) == ("REQUEST_INVALID", f"/resource_permit/{name}")
    assert scene.seen(scene.a, audit_id)["status"] == "APPLIED"


def test_lists_select_and_unknown_ids_are_refused(scene: Scene) -> None:
    """8.3.3-c: lists select by state, role and contract; an id that is none is refused everywhere."""
    pending, agreed = scene.apply(), scene.apply()
    scene.decide(agreed)
    for status, expected in (("APPLIED", [pending]), ("REJECTED", [])):
        found = scene.a.own(scene.op("List"), status=status, contract_id=scene.contract_id).data
        assert ([record["audit_id"] for record in found["records"]], found["total"]) == (expected, len(expected))
    assert scene.a.own(scene.op("List"), role="APPROVER").data["total"] == 0
    assert scene.a.own(scene.op("List"), contract_id="contract-none").data["total"] == 0
    for step, more in (("Confirm", {"status": "APPROVED"}), ("Cancel", {}), ("Terminate", {}), ("Query", {})):
        assert scene.b.own(scene.op(step), audit_id="audit-none", **more).error == "AUDIT_NOT_FOUND"
    other = next(kind for kind in Kind if kind is not scene.kind)
    assert scene.b.own(f"own{other.capitalize()}AuditQuery", audit_id=agreed).error == "AUDIT_NOT_FOUND"


def test_what_the_partner_refuses_is_not_kept(two: tuple[TestNode, TestNode]) -> None:
    """8.7.1.3-a: an application for nothing is refused by the partner, the operator learns why, nothing stays."""
    scene = Scene(Kind.DATASET, *two)
    reply = scene.a.own("ownDatasetAuditApply", contract_id=scene.contract_id, dataset_id="ds-none")
    assert (reply.error, reply.data["partner"]["error"]) == ("PARTNER_REFUSED", "RESOURCE_NOT_FOUND")
    assert scene.a.own("ownDatasetAuditList").data["total"] == 0


def test_a_partner_that_tells_nonsense_changes_nothing(two: tuple[TestNode, TestNode]) -> None:
    """8.7.1.3-e: an approval with a permit for something else is not adopted when asking either."""
    scene = Scene(Kind.DATASET, *two)
    audit_id = scene.apply()
    body = b'{"code": 0, "msg": "ok", "data": {"audit_id": "' + audit_id.encode() + b'", "status": "GRANTED"}}'
    scene.a.network.canned["/v1/interconn/dataset/audit/query"] = OutboundAnswer(200, {}, body)
    assert scene.a.own("ownDatasetAuditQuery", audit_id=audit_id).data["status"] == "APPLIED"
