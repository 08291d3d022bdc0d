"""Projects that partners offer the target: it takes the application, decides, tells, and keeps the project alike."""

from __future__ import annotations

from conformance.harness.partner import refusing
from conformance.harness.registry import scenario
from conformance.harness.world import World
from conformance.suites import drafts


@scenario()
def test_project_received(world: World) -> None:
    """A partner applies, a stranger meddles, the target's operator approves (8.2.1-b)."""
    partner, stranger = world.signed_partner(), world.signed_partner("stranger")
    asked = drafts.project_application(world, partner, "prj-take")
    key = {"audit_id": asked["audit_id"]}
    world.call("apply", partner, "projectAuditApply", asked).at("")
    world.call("apply-again", partner, "projectAuditApply", asked)
    world.own("received", "ownProjectAuditQuery", key)
    world.own("inbox", "ownProjectAuditList", {"contract_id": partner.contract_id, "role": "APPROVER"})
    world.call("state", partner, "projectAuditQuery", key)
    world.call("state-by-stranger", stranger, "projectAuditQuery", key, breaks="another node applied")
    twice = {**drafts.project_application(world, stranger, "prj-twice"), "audit_id": asked["audit_id"]}
    world.call("audit-id-taken", stranger, "projectAuditApply", twice, breaks="another node uses this audit id")
    world.call("own-audit-id", stranger, "projectAuditApply", {**twice, "audit_id": world.id("audit-of-its-own")})
    world.own("approve", "ownProjectAuditConfirm", {**key, "status": "APPROVED"})
    world.awaited("told", partner, "projectAuditConfirm", key)
    world.own("held", "ownProjectQuery", {"project_id": asked["project_id"]})
    world.call("decided", partner, "projectAuditQuery", key)
    world.own("turn-round", "ownProjectAuditConfirm", {**key, "status": "REJECTED"}, breaks="it has been approved")
    world.call("cancel-late", partner, "projectAuditCancel", key, breaks="the application has been decided")
    world.call("decided-still", partner, "projectAuditQuery", key)
    early = drafts.project_application(world, partner, "prj-early")
    world.call("apply-early", partner, "projectAuditApply", early).at("")
    audit = {"audit_id": early["audit_id"]}
    world.call("state-early", partner, "projectAuditQuery", audit)
    world.call("cancel-by-stranger", stranger, "projectAuditCancel", audit, breaks="another node applied")
    world.call("state-after-stranger", partner, "projectAuditQuery", audit)
    world.call("cancel-early", partner, "projectAuditCancel", audit)


@scenario()
def test_project_received_declined(world: World) -> None:
    """One application is rejected, one withdrawn: the target holds neither project (8.2.1-b)."""
    partner = world.signed_partner()
    bad = drafts.project_application(world, partner, "prj-no")
    world.call("apply", partner, "projectAuditApply", bad).at("")
    world.own("reject", "ownProjectAuditConfirm", drafts.rejection(bad["audit_id"]))
    world.awaited("told", partner, "projectAuditConfirm", {"audit_id": bad["audit_id"]})
    world.call("state", partner, "projectAuditQuery", {"audit_id": bad["audit_id"]})
    good, _ = drafts.joined_project(world, partner, "prj-yes")
    world.own("held-approved", "ownProjectQuery", {"project_id": good})
    world.own("held-rejected", "ownProjectQuery", {"project_id": bad["project_id"]}, breaks="it was rejected")
    key = {"contract_id": partner.contract_id}
    world.call("read-approved", partner, "projectQuery", {**key, "project_id": good})
    world.call("read-rejected", partner, "projectQuery", {**key, "project_id": bad["project_id"]}, breaks="rejected")
    back = drafts.project_application(world, partner, "prj-back")
    audit = {"audit_id": back["audit_id"]}
    world.call("apply-back", partner, "projectAuditApply", back).at("")
    world.call("cancel", partner, "projectAuditCancel", audit)
    world.own("cancelled", "ownProjectAuditQuery", audit)
    world.own("approve-late", "ownProjectAuditConfirm", {**audit, "status": "APPROVED"}, breaks="it was withdrawn")
    world.own("cancelled-still", "ownProjectAuditQuery", audit)


@scenario()
def test_project_received_updates(world: World) -> None:
    """The owner changes a project that the target takes part in; others try the same (8.2.3-b)."""
    partner, stranger = world.signed_partner(), world.signed_partner("stranger")
    asked = drafts.project_application(world, partner, "prj-open")
    world.call("apply-open", partner, "projectAuditApply", asked).at("")
    early = {"contract_id": partner.contract_id, "project_id": asked["project_id"], "name": "尚未获批"}
    world.call("change-unapproved", partner, "projectUpdate", early, breaks="the project is not approved")
    project_id, _ = drafts.joined_project(world, partner, "prj-kept")
    own = {"project_id": project_id}
    key = {"contract_id": partner.contract_id, "project_id": project_id}
    world.own("held", "ownProjectQuery", own)
    world.call("change", partner, "projectUpdate", {**key, "name": f"排放监测（二期） {project_id}"})
    world.own("held-changed", "ownProjectQuery", own)
    dataset = {"dataset_id": world.id("ds-new"), "name": "企业排放 2026", "owner": partner.node_id}
    world.call("change-datasets", partner, "projectUpdate", {**key, "datasets": [dataset]})
    world.own("held-datasets", "ownProjectQuery", own)
    world.call("read-datasets", partner, "projectQuery", key)
    world.fact("partner", partner.node_id)
    world.fact("datasets", [dataset["dataset_id"]])
    foreign = {"contract_id": stranger.contract_id, "project_id": project_id, "name": "改写"}
    world.call("change-by-stranger", stranger, "projectUpdate", foreign, breaks="the caller has no part in it")
    world.own("held-after-stranger", "ownProjectQuery", own)


@scenario()
def test_project_received_ended(world: World) -> None:
    """Two projects of a partner's end, one by the partner, one by the target (8.2.1-b)."""
    partner = world.signed_partner()
    theirs, their_audit = drafts.joined_project(world, partner, "prj-theirs")
    ours, our_audit = drafts.joined_project(world, partner, "prj-ours")
    key = {"contract_id": partner.contract_id}
    world.call("read-theirs", partner, "projectQuery", {**key, "project_id": theirs})
    world.call("change-theirs", partner, "projectUpdate", {**key, "project_id": theirs, "name": "终止之前"})
    world.call("read-ours", partner, "projectQuery", {**key, "project_id": ours})
    world.call("terminate-by-partner", partner, "projectAuditTerminate", {"audit_id": their_audit})
    world.own("terminated-by-partner", "ownProjectAuditQuery", {"audit_id": their_audit})
    world.call("read-theirs-after", partner, "projectQuery", {**key, "project_id": theirs}, breaks="ended")
    late = {**key, "project_id": theirs, "name": "终止之后"}
    world.call("change-theirs-after", partner, "projectUpdate", late, breaks="the approval has ended")
    world.own("terminate", "ownProjectAuditTerminate", {"audit_id": our_audit})
    world.awaited("terminate-arrives", partner, "projectAuditTerminate", {"audit_id": our_audit})
    world.call("state-ours", partner, "projectAuditQuery", {"audit_id": our_audit})
    world.call("read-ours-after", partner, "projectQuery", {**key, "project_id": ours}, breaks="ended")
    world.own("terminate-again", "ownProjectAuditTerminate", {"audit_id": our_audit}, breaks="it has ended")


@scenario()
def test_project_received_callback_lost(world: World) -> None:
    """The applicant cannot take the confirmation; it learns the decision, with the permit, by asking (8.2.1-b)."""
    partner = world.signed_partner()
    asked = drafts.project_application(world, partner, "prj-deaf")
    key = {"audit_id": asked["audit_id"]}
    world.call("apply", partner, "projectAuditApply", asked).at("")
    world.answers(partner, "projectAuditConfirm", refusing(503, "STORE_UNAVAILABLE", 50301))
    world.own("approve", "ownProjectAuditConfirm", {**key, "status": "APPROVED"}).at("")
    world.call("ask", partner, "projectAuditQuery", key)
    world.fact("project", asked["project_id"])
