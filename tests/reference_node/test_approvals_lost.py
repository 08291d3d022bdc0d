"""Approvals while messages get lost: partners that are away, answers that never came, restarts in between."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import delete, select

from reference_node.domain.approval import Kind
from reference_node.store.approvals import ApprovalRow
from reference_node.store.outbox import OutboxRow
from tests.reference_node.pair import TestNode, nodes
from tests.reference_node.sharing import Scene


def test_a_revocation_holds_while_the_partner_is_away(dataset_scene: Scene) -> None:
    """9.2-b-3: it counts here at once, and the partner is told when it is back."""
    scene = dataset_scene
    audit_id = scene.apply()
    scene.decide(audit_id)
    scene.a.network.down.add("node-a.test")
    assert scene.b.own(scene.op("Terminate"), audit_id=audit_id).data == {
        "audit_id": audit_id,
        "status": "TERMINATED",
        "delivery": "PENDING",
    }
    assert scene.statuses(audit_id) == ["APPROVED", "TERMINATED"]
    scene.a.network.down.clear()
    scene.b.clock.advance(120)
    scene.b.node.pump()
    assert scene.statuses(audit_id) == ["TERMINATED", "TERMINATED"]


@pytest.mark.parametrize("decision", ["APPROVED", "REJECTED"])
def test_a_lost_confirmation_is_found_out_by_asking(scene: Scene, decision: str) -> None:
    """8.3.3-c, 8.7.1.3-e, 8.7.2.2-c: the operator's query asks the partner and adopts decision and permit."""
    _lose_and_find(scene, decision, "asked")


@pytest.mark.parametrize("how", ["polled", "retried"])
@pytest.mark.parametrize("decision", ["APPROVED", "REJECTED"])
def test_a_lost_confirmation_is_made_good_in_the_background(dataset_scene: Scene, decision: str, how: str) -> None:
    """8.7.1.3-e: the applicant asks by itself after a while, and the approver tries again."""
    _lose_and_find(dataset_scene, decision, how)


def _lose_and_find(scene: Scene, decision: str, how: str) -> None:
    audit_id = scene.apply()
    scene.a.network.down.add("node-a.test")
    assert scene.decide(audit_id, decision).data["delivery"] == "PENDING"
    assert scene.statuses(audit_id) == ["APPLIED", decision]
    if how == "retried":
        scene.a.network.down.clear()
    scene.a.clock.advance(3600)
    if how == "asked":
        assert scene.a.own(scene.op("Query"), audit_id=audit_id).data["status"] == decision
    elif how == "polled":
        scene.a.node.pump()
    else:
        scene.b.node.pump()
    assert scene.statuses(audit_id) == [decision, decision]
    permits = [scene.seen(node, audit_id).get("resource_permit") for node in (scene.a, scene.b)]
    assert permits[0] == permits[1]
    scene.a.network.down.clear()
    scene.b.clock.advance(3600)
    scene.b.node.pump()
    assert scene.statuses(audit_id) == [decision, decision]


def test_an_application_waits_for_an_absent_partner(dataset_scene: Scene) -> None:
    """8.7.1.3-a: it is recorded, told later, and cannot be withdrawn before the partner is reached."""
    scene = dataset_scene
    scene.a.network.down.add("node-b.test")
    wanted = {"contract_id": scene.contract_id, f"{scene.kind.lower()}_id": scene.resource_id}
    reply = scene.a.own(scene.op("Apply"), **wanted)
    assert reply.data["delivery"] == "PENDING"
    audit_id = reply.data["audit_id"]
    assert scene.a.own(scene.op("Cancel"), audit_id=audit_id).error == "PARTNER_UNREACHABLE"
    assert scene.a.own(scene.op("Query"), audit_id=audit_id).data["status"] == "APPLIED"
    scene.a.network.down.clear()
    scene.a.clock.advance(120)
    scene.a.node.pump()
    assert scene.statuses(audit_id) == ["APPLIED", "APPLIED"]


def test_an_application_whose_answer_was_lost_is_one_application(dataset_scene: Scene) -> None:
    """8.3.3-a: the repeated message is answered as before and does not make a second approval."""
    scene = dataset_scene
    scene.a.network.answers_lost.add("node-b.test")
    wanted = {"contract_id": scene.contract_id, f"{scene.kind.lower()}_id": scene.resource_id}
    audit_id = scene.a.own(scene.op("Apply"), **wanted).data["audit_id"]
    scene.a.network.answers_lost.clear()
    scene.a.clock.advance(120)
    scene.a.node.pump()
    records = scene.b.own(scene.op("List"), status="APPLIED").data
    assert [record["audit_id"] for record in records["records"]] == [audit_id]


def test_a_withdrawal_whose_answer_was_lost_is_found_out(dataset_scene: Scene) -> None:
    """8.7.1.3-b: trying again ends the application here too."""
    scene = dataset_scene
    audit_id = scene.apply()
    scene.a.network.answers_lost.add("node-b.test")
    assert scene.a.own(scene.op("Cancel"), audit_id=audit_id).error == "PARTNER_UNREACHABLE"
    assert scene.statuses(audit_id) == ["APPLIED", "TERMINATED"]
    scene.a.network.answers_lost.clear()
    assert scene.a.own(scene.op("Cancel"), audit_id=audit_id).data["status"] == "TERMINATED"
    assert scene.statuses(audit_id) == ["TERMINATED", "TERMINATED"]


def test_an_application_that_was_kept_but_not_sent_is_sent_later(dataset_scene: Scene) -> None:
    """9.2-e-5: a node that stopped between keeping and sending its application makes up for it when it asks."""
    scene = dataset_scene
    scene.a.network.down.add("node-b.test")
    wanted = {"contract_id": scene.contract_id, f"{scene.kind.lower()}_id": scene.resource_id}
    audit_id = scene.a.own(scene.op("Apply"), **wanted).data["audit_id"]
    with scene.a.node.store.begin() as session:
        session.scalars(select(ApprovalRow).where(ApprovalRow.audit_id == audit_id)).one().apply_delivery = None
        session.execute(delete(OutboxRow).where(OutboxRow.state == "PENDING"))
    scene.a.network.down.clear()
    for _ in range(2):
        scene.a.clock.advance(120)
        scene.a.node.pump()
    assert scene.statuses(audit_id) == ["APPLIED", "APPLIED"]


def test_what_the_partner_refuses_later_is_rejected(two: tuple[TestNode, TestNode]) -> None:
    """8.7.1.3-e: an application that was refused in the background does not stay pending for ever."""
    scene = Scene(Kind.DATASET, *two)
    scene.a.network.down.add("node-b.test")
    reply = scene.a.own("ownDatasetAuditApply", contract_id=scene.contract_id, dataset_id="ds-none")
    assert reply.data["delivery"] == "PENDING"
    scene.a.network.down.clear()
    for _ in range(5):
        scene.a.clock.advance(120)
        scene.a.node.pump()
    seen = scene.a.own("ownDatasetAuditQuery", audit_id=reply.data["audit_id"]).data
    assert (seen["status"], seen["comment"]) == ("REJECTED", "RESOURCE_NOT_FOUND")


def test_approvals_survive_a_restart(tmp_path: Any) -> None:
    """9.2-e-5: what was owed and agreed before a restart is there after it."""
    data = {name: tmp_path / name for name in ("node-a", "node-b")}
    with nodes("node-a", "node-b", data=data) as (a, b):
        scene = Scene(Kind.DATASET, a, b)
        audit_id = scene.apply()
        a.network.down.add("node-a.test")
        assert scene.decide(audit_id).data["delivery"] == "PENDING"
    with nodes("node-a", "node-b", data=data) as (a, b):
        a.clock.advance(3600)
        b.node.pump()
        records = a.own("ownDatasetAuditList").data["records"]
        assert [(record["audit_id"], record["status"]) for record in records] == [(audit_id, "APPROVED")]
