"""Flows that the target submits to a partner: application, decision, the frozen DAG, and how it ends (8.3.3, 8.3.1)."""

from __future__ import annotations

from conformance.harness.partner import saying
from conformance.harness.registry import scenario
from conformance.harness.world import DAY_MS, World
from conformance.suites import drafts


@scenario()
def test_flow_offered(world: World) -> None:
    """The target submits a flow; a stranger tries to decide; the partner approves; the DAG is then frozen (8.3.3-a)."""
    partner, stranger = world.signed_partner(), world.signed_partner("stranger")
    project_id, _ = drafts.agreed_project(world, partner, "prj-flow")
    body = drafts.flow(world, project_id, host=partner.node_id)
    key = {"flow_id": str(world.own("create", "ownFlowCreate", body).at("/flow_id"))}
    world.own("query-draft", "ownFlowQuery", key)
    asked = {**key, "contract_id": partner.contract_id, "time_limit": world.now_ms() + 5 * DAY_MS}
    audit = {"audit_id": str(world.own("offer", "ownFlowAuditApply", asked).at("/audit_id"))}
    world.awaited("arrives", partner, "flowAuditApply", key)
    world.own("pending", "ownFlowAuditQuery", audit)
    world.own("query-pending", "ownFlowQuery", key)
    early, late = drafts.longer(body["dag"]), drafts.longer(body["dag"], "report_1")
    world.own("redraw-pending", "ownFlowUpdate", {**key, "dag": early}, breaks="an approval is pending")
    said = drafts.approval(world, partner, "FLOW", audit["audit_id"], key["flow_id"])
    world.call("confirm-by-stranger", stranger, "flowAuditConfirm", said, breaks="another node was asked")
    world.own("still-pending", "ownFlowAuditQuery", audit)
    world.answers(partner, "flowAuditQuery", drafts.SILENT)
    world.call("confirm", partner, "flowAuditConfirm", said)
    world.own("approved", "ownFlowAuditQuery", audit)
    world.own("query-approved", "ownFlowQuery", key)
    world.own("redraw-approved", "ownFlowUpdate", {**key, "dag": late}, breaks="the flow has been approved")
    world.own("query-frozen", "ownFlowQuery", key)
    world.own("rename", "ownFlowUpdate", {**key, "name": f"批准之后改名 {key['flow_id']}"})
    world.own("query-renamed", "ownFlowQuery", key)
    world.call("confirm-again", partner, "flowAuditConfirm", said)
    turned = drafts.rejection(audit["audit_id"])
    world.call("contradict", partner, "flowAuditConfirm", turned, breaks="the flow has been approved")
    world.own("after-contradict", "ownFlowAuditQuery", audit)


@scenario()
def test_flow_offer_without_project(world: World) -> None:
    """A flow is submitted to a partner whose part in the project is not approved, then once it is (8.3.3-a)."""
    partner = world.signed_partner()
    project_id, audit_id = drafts.offer_project(world, partner, "prj-late")
    flow_id = str(world.own("create", "ownFlowCreate", drafts.flow(world, project_id)).at("/flow_id"))
    asked = {"contract_id": partner.contract_id, "flow_id": flow_id}
    world.own("offer-early", "ownFlowAuditApply", asked, breaks="the partner has not approved the project")
    world.awaited("arrives-early", partner, "flowAuditApply", {"flow_id": flow_id}, within=0.2)
    said = drafts.approval(world, partner, "PROJECT", audit_id, project_id)
    world.call("confirm-project", partner, "projectAuditConfirm", said).at("")
    world.own("offer", "ownFlowAuditApply", asked)


@scenario()
def test_flow_offer_ended(world: World) -> None:
    """One flow is rejected, one withdrawn, one ended by each side once approved (8.3.3-a, 8.3.3-b)."""
    partner = world.signed_partner()
    project_id, _ = drafts.agreed_project(world, partner, "prj-ends")
    world.answers(partner, "flowAuditQuery", drafts.SILENT)
    no_flow, no = drafts.offer_flow(world, partner, project_id, "flow-no")
    world.call("reject", partner, "flowAuditConfirm", drafts.rejection(no))
    world.own("rejected", "ownFlowAuditQuery", {"audit_id": no})
    world.own("query-rejected", "ownFlowQuery", {"flow_id": no_flow})
    back_flow, back = drafts.offer_flow(world, partner, project_id, "flow-back")
    world.own("cancel", "ownFlowAuditCancel", {"audit_id": back})
    world.awaited("cancel-arrives", partner, "flowAuditCancel", {"audit_id": back})
    world.own("cancelled", "ownFlowAuditQuery", {"audit_id": back})
    late = drafts.approval(world, partner, "FLOW", back, back_flow)
    world.call("confirm-late", partner, "flowAuditConfirm", late, breaks="the application has been withdrawn")
    world.own("cancelled-still", "ownFlowAuditQuery", {"audit_id": back})
    ours = {"audit_id": drafts.agreed_flow(world, partner, project_id, "flow-ours")[1]}
    theirs = {"audit_id": drafts.agreed_flow(world, partner, project_id, "flow-theirs")[1]}
    world.own("cancel-late", "ownFlowAuditCancel", ours, breaks="the application has been decided")
    world.own("approved-still", "ownFlowAuditQuery", ours)
    world.own("terminate", "ownFlowAuditTerminate", ours)
    world.awaited("terminate-arrives", partner, "flowAuditTerminate", ours)
    world.own("terminated", "ownFlowAuditQuery", ours)
    world.call("terminate-by-partner", partner, "flowAuditTerminate", theirs)
    world.own("terminated-by-partner", "ownFlowAuditQuery", theirs)


@scenario()
def test_flow_offer_callback_lost(world: World) -> None:
    """The partner's decisions on two flows never arrive; the target finds them out by asking (8.3.3-c)."""
    partner = world.signed_partner()
    project_id, _ = drafts.agreed_project(world, partner, "prj-deaf")
    flow_id, yes = drafts.offer_flow(world, partner, project_id, "flow-granted")
    known = drafts.approval(world, partner, "FLOW", yes, flow_id)
    world.fact("token", known["resource_permit"]["token"])
    world.answers(partner, "flowAuditQuery", saying(known))
    world.own("ask-approved", "ownFlowAuditQuery", {"audit_id": yes})
    world.awaited("asked", partner, "flowAuditQuery", {"audit_id": yes})
    world.own("query-approved", "ownFlowQuery", {"flow_id": flow_id})
    world.answers(partner, "flowAuditQuery", saying({"audit_id": yes, "status": "APPLIED"}))
    _, no = drafts.offer_flow(world, partner, project_id, "flow-denied")
    world.answers(partner, "flowAuditQuery", saying({"audit_id": no, "status": "REJECTED"}))
    world.own("ask-rejected", "ownFlowAuditQuery", {"audit_id": no})
    world.own("list", "ownFlowAuditList", {"contract_id": partner.contract_id, "role": "APPLICANT"})
    world.own("list-approved", "ownFlowAuditList", {"contract_id": partner.contract_id, "status": "APPROVED"})
    world.fact("audits", [no, yes])
