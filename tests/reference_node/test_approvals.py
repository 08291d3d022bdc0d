"""Approvals of every kind, both ends, driven through the operations; one machine, so one set of tests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import delete, select

from reference_node.domain.approval import Kind
from reference_node.store.approvals import ApprovalRow
from reference_node.store.outbox import OutboxRow
from reference_node.transport.outbound import OutboundAnswer
from tests.reference_node.pair import DAY_MS, Stranger, TestNode, nodes
from tests.reference_node.sharing import agree_project, signed_stranger

DAG = {
    "version": "1.0",
    "components": [
        {
            "name": "psi_0",
            "componentName": "psi",
            "version": "1.0.0",
            "provider": "hutong",
            "input": [{"key": "table", "type": "dataset"}],
            "output": [{"key": "joined", "type": "dataset"}],
        }
    ],
}


class Scene:
    """Nodes a and b under contract with a common project; a applies to b for something of one kind."""

    def __init__(self, kind: Kind, a: TestNode, b: TestNode) -> None:
        self.kind, self.a, self.b = kind, a, b
        self.contract_id = agree_project(a, b, "prj-1")
        self.resource_id = getattr(self, f"_make_{kind.lower()}")()

    def _make_project(self) -> str:
        self.a.own("ownProjectCreate", project_id="prj-2", name="another")
        return "prj-2"

    def _make_flow(self) -> str:
        return str(self.a.own("ownFlowCreate", project_id="prj-1", name="f", dag=DAG).data["flow_id"])

    def _make_dataset(self) -> str:
        self.b.own("ownDatasetCreate", dataset_id="ds-1", name="d", visibility="PROTECTED")
        return "ds-1"

    def _make_model(self) -> str:
        record = {"name": "m", "project_id": "prj-1", "algorithm": "lr", "location": "m.bin", "digest": "0" * 64}
        self.a.own("ownModelCreate", model_id="model-1", **record)
        return "model-1"

    def op(self, step: str, *, own: bool = True) -> str:
        """Name of an operation of this kind."""
        return f"own{self.kind.capitalize()}Audit{step}" if own else f"{self.kind.lower()}Audit{step}"

    def apply(self, **limits: Any) -> str:
        """Have a apply; return the audit id."""
        wanted = {"contract_id": self.contract_id, f"{self.kind.lower()}_id": self.resource_id}
        reply = self.a.own(self.op("Apply"), **wanted, **limits)
        assert (reply.code, reply.data.get("status")) == (0, "APPLIED"), reply
        return str(reply.data["audit_id"])

    def decide(self, audit_id: str, status: str = "APPROVED", **more: Any) -> Any:
        """Have b's operator decide."""
        return self.b.own(self.op("Confirm"), audit_id=audit_id, status=status, **more)

    def seen(self, node: TestNode, audit_id: str) -> dict[str, Any]:
        """The approval as an operator sees it in the list, without asking the partner."""
        records = node.own(self.op("List"), page_size=500).data["records"]
        return next(record for record in records if record["audit_id"] == audit_id)

    def statuses(self, audit_id: str) -> list[str]:
        """Where the approval stands at both ends."""
        return [self.seen(node, audit_id)["status"] for node in (self.a, self.b)]


# a job is applied for as it is created, see test_job_approvals
@pytest.fixture(params=[kind for kind in Kind if kind is not Kind.JOB])
def scene(request: pytest.FixtureRequest, two: tuple[TestNode, TestNode]) -> Iterator[Scene]:
    """A scene of each kind."""
    return Scene(request.param, *two)


@pytest.fixture
def dataset_scene(two: tuple[TestNode, TestNode]) -> Scene:
    """A scene of one kind, for what all kinds share line by line."""
    return Scene(Kind.DATASET, *two)


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


def test_a_partner_that_tells_nonsense_changes_nothing(two: tuple[TestNode, TestNode]) -> None:
    """8.7.1.3-e: an approval with a permit for something else is not adopted when asking either."""
    scene = Scene(Kind.DATASET, *two)
    audit_id = scene.apply()
    body = b'{"code": 0, "msg": "ok", "data": {"audit_id": "' + audit_id.encode() + b'", "status": "GRANTED"}}'
    scene.a.network.canned["/v1/interconn/dataset/audit/query"] = OutboundAnswer(200, {}, body)
    assert scene.a.own("ownDatasetAuditQuery", audit_id=audit_id).data["status"] == "APPLIED"


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
