"""Flows that partners submit to the target: it shows them whole, decides, tells, and answers for it (8.3.3)."""

from __future__ import annotations

from conformance.harness.partner import refusing
from conformance.harness.registry import scenario
from conformance.harness.world import World
from conformance.suites import drafts


@scenario()
def test_flow_received(world: World) -> None:
    """A partner submits a flow of a common project, a stranger meddles, the target's operator approves (8.3.3-b)."""
    partner, stranger = world.signed_partner(), world.signed_partner("stranger")
    project_id, _ = drafts.joined_project(world, partner, "prj-flow")
    asked = drafts.flow_application(world, partner, project_id, "flow-take")
    key = {"audit_id": asked["audit_id"]}
    world.call("apply", partner, "flowAuditApply", asked).at("")
    world.call("apply-again", partner, "flowAuditApply", asked)
    world.own("received", "ownFlowAuditQuery", key)
    world.own("inbox", "ownFlowAuditList", {"contract_id": partner.contract_id, "role": "APPROVER"})
    world.call("state", partner, "flowAuditQuery", key)
    world.call("state-by-stranger", stranger, "flowAuditQuery", key, breaks="another node applied")
    world.own("approve", "ownFlowAuditConfirm", {**key, "status": "APPROVED"})
    world.awaited("told", partner, "flowAuditConfirm", key)
    world.call("decided", partner, "flowAuditQuery", key)
    world.own("turn-round", "ownFlowAuditConfirm", {**key, "status": "REJECTED"}, breaks="it has been approved")
    world.call("cancel-late", partner, "flowAuditCancel", key, breaks="the application has been decided")
    world.call("decided-still", partner, "flowAuditQuery", key)
    early = drafts.flow_application(world, partner, project_id, "flow-early")
    world.call("apply-early", partner, "flowAuditApply", early).at("")
    audit = {"audit_id": early["audit_id"]}
    world.call("state-early", partner, "flowAuditQuery", audit)
    world.call("cancel-by-stranger", stranger, "flowAuditCancel", audit, breaks="another node applied")
    world.call("state-after-stranger", partner, "flowAuditQuery", audit)
    world.call("cancel-early", partner, "flowAuditCancel", audit)
    world.own("cancelled-early", "ownFlowAuditQuery", audit)


@scenario()
def test_flow_received_wrong(world: World) -> None:
    """A partner submits a flow of a project that is not common yet, and one whose DAG cannot run (8.3.3-a)."""
    partner = world.signed_partner()
    project = drafts.project_application(world, partner, "prj-undecided")
    world.call("apply-project", partner, "projectAuditApply", project).at("")
    asked = drafts.flow_application(world, partner, project["project_id"], "flow-early")
    world.call("apply-early", partner, "flowAuditApply", asked, breaks="the project is not approved")
    world.own("approve-project", "ownProjectAuditConfirm", {"audit_id": project["audit_id"], "status": "APPROVED"})
    world.call("apply", partner, "flowAuditApply", {**asked, "audit_id": world.id("audit-in-time")})
    join, *others = asked["dag"]["components"]
    circle = {**join, "input": [drafts.port("split_0.train", "training_set")]}
    bent = {**asked, "dag": {**asked["dag"], "components": [circle, *others]}, "audit_id": world.id("audit-circle")}
    world.call("apply-circle", partner, "flowAuditApply", bent, breaks="DAG: circle")
    world.own("inbox", "ownFlowAuditList", {"contract_id": partner.contract_id, "role": "APPROVER"})


@scenario()
def test_flow_received_ended(world: World) -> None:
    """One flow is rejected; two are approved, one ended by the partner, one by the target (8.3.3-b)."""
    partner = world.signed_partner()
    project_id, _ = drafts.joined_project(world, partner, "prj-ends")
    bad = drafts.flow_application(world, partner, project_id, "flow-no")
    world.call("apply", partner, "flowAuditApply", bad).at("")
    world.own("reject", "ownFlowAuditConfirm", drafts.rejection(bad["audit_id"]))
    world.awaited("told", partner, "flowAuditConfirm", {"audit_id": bad["audit_id"]})
    world.call("state-rejected", partner, "flowAuditQuery", {"audit_id": bad["audit_id"]})
    audits = []
    for slug in ("flow-theirs", "flow-ours"):
        asked = drafts.flow_application(world, partner, project_id, slug)
        audits.append({"audit_id": asked["audit_id"]})
        world.call(f"{slug}:apply", partner, "flowAuditApply", asked).at("")
        world.own(f"{slug}:approve", "ownFlowAuditConfirm", {**audits[-1], "status": "APPROVED"}).at("")
    theirs, ours = audits
    world.call("terminate-by-partner", partner, "flowAuditTerminate", theirs)
    world.own("terminated-by-partner", "ownFlowAuditQuery", theirs)
    world.own("terminate", "ownFlowAuditTerminate", ours)
    world.awaited("terminate-arrives", partner, "flowAuditTerminate", ours)
    world.call("state-terminated", partner, "flowAuditQuery", ours)
    world.own("terminate-again", "ownFlowAuditTerminate", ours, breaks="it has ended")


@scenario()
def test_flow_received_callback_lost(world: World) -> None:
    """The applicant cannot take the confirmation; it learns the decision, with the permit, by asking (8.3.3-c)."""
    partner = world.signed_partner()
    project_id, _ = drafts.joined_project(world, partner, "prj-deaf")
    asked = drafts.flow_application(world, partner, project_id, "flow-deaf")
    key = {"audit_id": asked["audit_id"]}
    world.call("apply", partner, "flowAuditApply", asked).at("")
    world.answers(partner, "flowAuditConfirm", refusing(503, "STORE_UNAVAILABLE", 50301))
    world.own("approve", "ownFlowAuditConfirm", {**key, "status": "APPROVED"}).at("")
    world.call("ask", partner, "flowAuditQuery", key)
    world.fact("flow", asked["flow_id"])
