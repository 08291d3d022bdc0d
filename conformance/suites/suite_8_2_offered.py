"""Projects that the target offers its partners: application, decision, what follows, and how it ends (8.2.1-b)."""

from __future__ import annotations

from conformance.harness.partner import refusing, saying
from conformance.harness.registry import scenario
from conformance.harness.world import DAY_MS, World
from conformance.suites import drafts


@scenario()
def test_project_offered(world: World) -> None:
    """The target asks a partner to take part; a stranger tries to decide; the partner approves (8.2.1-b)."""
    partner, stranger = world.signed_partner(), world.signed_partner("stranger")
    body = drafts.project(world, "prj-offer")
    project_id = body["project_id"]
    world.own("create", "ownProjectCreate", body).at("/project_id")
    asked = {"contract_id": partner.contract_id, "project_id": project_id, "time_limit": world.now_ms() + 5 * DAY_MS}
    audit_id = str(world.own("offer", "ownProjectAuditApply", asked).at("/audit_id"))
    world.awaited("arrives", partner, "projectAuditApply", {"project_id": project_id})
    world.own("pending", "ownProjectAuditQuery", {"audit_id": audit_id})
    said = drafts.approval(world, partner, "PROJECT", audit_id, project_id)
    world.call("confirm-by-stranger", stranger, "projectAuditConfirm", said, breaks="another node was asked")
    world.own("still-pending", "ownProjectAuditQuery", {"audit_id": audit_id})
    world.answers(partner, "projectAuditQuery", drafts.SILENT)
    world.call("confirm", partner, "projectAuditConfirm", said)
    world.own("approved", "ownProjectAuditQuery", {"audit_id": audit_id})
    world.own("query", "ownProjectQuery", {"project_id": project_id})
    world.call("confirm-again", partner, "projectAuditConfirm", said)
    world.own("after-again", "ownProjectAuditQuery", {"audit_id": audit_id})
    turned = drafts.rejection(audit_id)
    world.call("contradict", partner, "projectAuditConfirm", turned, breaks="the application has been approved")
    world.own("after-contradict", "ownProjectAuditQuery", {"audit_id": audit_id})
    world.own("cancel-late", "ownProjectAuditCancel", {"audit_id": audit_id}, breaks="the application has been decided")
    world.own("after-cancel-late", "ownProjectAuditQuery", {"audit_id": audit_id})


@scenario()
def test_project_offer_shared(world: World) -> None:
    """The partner that approved reads the target's project and hears of its changes; a stranger does not (8.2.3-b)."""
    partner, stranger = world.signed_partner(), world.signed_partner("stranger")
    project_id, _ = drafts.agreed_project(world, partner, "prj-shared")
    key = {"contract_id": partner.contract_id, "project_id": project_id}
    foreign = {"contract_id": stranger.contract_id, "project_id": project_id}
    world.call("read", partner, "projectQuery", key)
    world.call("read-by-stranger", stranger, "projectQuery", foreign, breaks="the caller has no part in the project")
    changed = {"project_id": project_id, "name": f"排放监测（二期） {project_id}", "description": "并入碳能耗数据"}
    world.own("change", "ownProjectUpdate", changed)
    world.awaited("change-arrives", partner, "projectUpdate", {"project_id": project_id})
    world.awaited("stranger-told", stranger, "projectUpdate", {"project_id": project_id}, within=0.2)
    world.call("read-changed", partner, "projectQuery", key)
    world.own("query", "ownProjectQuery", {"project_id": project_id})
    world.call("change-by-stranger", stranger, "projectUpdate", {**foreign, "name": "改写"}, breaks="a stranger writes")
    world.own("query-after-stranger", "ownProjectQuery", {"project_id": project_id})


@scenario()
def test_project_offer_declined(world: World) -> None:
    """One offer is approved, one rejected, one withdrawn: only the first makes the partner a part (8.2.1-b)."""
    partner = world.signed_partner()
    shared, _ = drafts.agreed_project(world, partner, "prj-yes")
    world.call("read-approved", partner, "projectQuery", {"contract_id": partner.contract_id, "project_id": shared})
    refused, audit_id = drafts.offer_project(world, partner, "prj-no")
    world.answers(partner, "projectAuditQuery", drafts.SILENT)
    world.call("reject", partner, "projectAuditConfirm", drafts.rejection(audit_id))
    world.own("rejected", "ownProjectAuditQuery", {"audit_id": audit_id})
    key = {"contract_id": partner.contract_id, "project_id": refused}
    world.call("read-rejected", partner, "projectQuery", key, breaks="the partner has rejected the project")
    withdrawn, audit_id = drafts.offer_project(world, partner, "prj-back")
    world.own("cancel", "ownProjectAuditCancel", {"audit_id": audit_id})
    world.awaited("cancel-arrives", partner, "projectAuditCancel", {"audit_id": audit_id})
    world.own("cancelled", "ownProjectAuditQuery", {"audit_id": audit_id})
    late = drafts.approval(world, partner, "PROJECT", audit_id, withdrawn)
    world.call("confirm-late", partner, "projectAuditConfirm", late, breaks="the application has been withdrawn")
    world.own("after-confirm-late", "ownProjectAuditQuery", {"audit_id": audit_id})


@scenario()
def test_project_offer_ended(world: World) -> None:
    """Three agreed projects end: by the target, by the partner, and by deletion (8.2.1-b, 8.2.4-a)."""
    partner = world.signed_partner()
    ours, our_audit = drafts.agreed_project(world, partner, "prj-ours")
    theirs, their_audit = drafts.agreed_project(world, partner, "prj-theirs")
    gone, _ = drafts.agreed_project(world, partner, "prj-gone")
    for slug, project_id in (("ours", ours), ("theirs", theirs), ("gone", gone)):
        key = {"contract_id": partner.contract_id, "project_id": project_id}
        world.call(f"read-{slug}", partner, "projectQuery", key)
    world.own("terminate", "ownProjectAuditTerminate", {"audit_id": our_audit})
    world.awaited("terminate-arrives", partner, "projectAuditTerminate", {"audit_id": our_audit})
    world.own("terminated", "ownProjectAuditQuery", {"audit_id": our_audit})
    world.call("terminate-by-partner", partner, "projectAuditTerminate", {"audit_id": their_audit})
    world.own("terminated-by-partner", "ownProjectAuditQuery", {"audit_id": their_audit})
    world.own("delete", "ownProjectDelete", {"project_id": gone})
    for slug, project_id in (("ours", ours), ("theirs", theirs), ("gone", gone)):
        key = {"contract_id": partner.contract_id, "project_id": project_id}
        world.call(f"read-{slug}-after", partner, "projectQuery", key, breaks="the approval has ended")
    world.own("change-ended", "ownProjectUpdate", {"project_id": ours, "name": f"终止之后 {ours}"})
    world.awaited("told-after-end", partner, "projectUpdate", {"project_id": ours}, within=0.2)


@scenario()
def test_project_offer_callback_lost(world: World) -> None:
    """The partner's decisions never arrive; the target finds them out by asking (8.2.1-b)."""
    partner = world.signed_partner()
    granted, yes = drafts.offer_project(world, partner, "prj-granted")
    known = drafts.approval(world, partner, "PROJECT", yes, granted)
    world.answers(partner, "projectAuditQuery", saying(known))
    world.own("ask-approved", "ownProjectAuditQuery", {"audit_id": yes})
    world.awaited("asked", partner, "projectAuditQuery", {"audit_id": yes})
    world.fact("token", known["resource_permit"]["token"])
    world.answers(partner, "projectAuditQuery", saying({"audit_id": yes, "status": "APPLIED"}))
    _, no = drafts.offer_project(world, partner, "prj-denied")
    world.answers(partner, "projectAuditQuery", saying({"audit_id": no, "status": "REJECTED"}))
    world.own("ask-rejected", "ownProjectAuditQuery", {"audit_id": no})


@scenario()
def test_project_offer_refused(world: World) -> None:
    """A partner turns an application away at once; the target says so and holds nothing as applied (8.2.1-b)."""
    partner = world.signed_partner()
    body = drafts.project(world, "prj-away")
    world.own("create", "ownProjectCreate", body).at("/project_id")
    asked = {"contract_id": partner.contract_id, "project_id": body["project_id"]}
    world.answers(partner, "projectAuditApply", refusing(409, "ID_TAKEN", 40904))
    world.own("offer-refused", "ownProjectAuditApply", asked, breaks="the partner turns the application away")
    world.own("applied-after", "ownProjectAuditList", {"contract_id": partner.contract_id, "status": "APPLIED"})
    world.answers(partner, "projectAuditApply", saying({}))
    world.own("offer", "ownProjectAuditApply", asked)
