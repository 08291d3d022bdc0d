"""Stories about models (8.7.2): recorded and found, agreed with a partner before they are used."""

from __future__ import annotations

from typing import Any

from conformance.harness.partner import saying
from conformance.harness.profile_model import Protocol
from conformance.harness.registry import scenario
from conformance.harness.world import World
from conformance.suites.material import (
    heard,
    model,
    needed,
    permit,
    project_of_partner,
    project_of_target,
    stands,
    turned_down,
)

PAGE = 500
# Mixed case and a named algorithm: whoever parses and prints it again is found out.
NAMED_DIGEST = "sha3-256:A7FFC6F8BF1ED76651C14756A061D662F580FF4DE43B49FA82D80A4B80F8434a"


@scenario()
def test_model_own(world: World) -> None:
    """The operator records models and finds them by project and by id (8.7.2.1-a, 8.7.2.1-b)."""
    here, there = world.fact("here", world.id("here")), world.fact("there", world.id("there"))
    if Protocol.PROJECT in world.profile.capabilities.protocols:
        for project_id in (here, there):
            needed(world.own(f"project:{project_id}", "ownProjectCreate", {"project_id": project_id, "name": "模型"}))
    world.fact("from", world.now_ms())
    first = world.fact("first", model(world, "first", here))
    world.own("create", "ownModelCreate", first)
    world.fact("until", world.now_ms())
    named = {"model_id": first["model_id"]}
    needed(world.own("query", "ownModelQuery", named))
    second = world.fact("second", model(world, "second", here, algorithm="secure_boost", digest=NAMED_DIGEST))
    needed(world.own("create-second", "ownModelCreate", second))
    taken = {**second, **named}
    again = world.own("create-taken", "ownModelCreate", taken, breaks="a model id names one model of a node")
    world.own("query-after", "ownModelQuery", named)
    turned_down(again)
    unnamed = model(world, "unnamed", here)
    del unnamed["model_id"]
    removed = world.fact("removed", world.own("create-unnamed", "ownModelCreate", unnamed).at("/model_id"))
    other = world.fact("other", model(world, "other", there))
    needed(world.own("create-other", "ownModelCreate", other))
    world.own("query-second", "ownModelQuery", {"model_id": second["model_id"]})
    world.own("query-unknown", "ownModelQuery", {"model_id": world.id("nobody")}, breaks="there is none")
    world.own("list", "ownModelList", {"project_id": here, "page_size": PAGE})
    for number in (1, 2):
        world.own(f"page-{number}", "ownModelList", {"project_id": here, "page_num": number, "page_size": 2})
    world.own("delete", "ownModelDelete", {"model_id": removed})
    world.own("list-after", "ownModelList", {"project_id": here, "page_size": PAGE})


@scenario()
def test_model_application(world: World) -> None:
    """A partner applies for its model; the target decides and tells it (8.7.2.2-a, 8.7.2.2-b, 8.7.2.2-c)."""
    partner, stranger = world.signed_partner(), world.signed_partner("stranger")
    world.fact("partner", partner.node_id)
    project_id = project_of_partner(world, partner, "project")
    audits = {slug: world.fact(slug, world.id(slug)) for slug in ("yes", "no", "withdrawn", "late", "foreign")}
    for slug, audit_id in audits.items():
        body = {"audit_id": audit_id, "contract_id": partner.contract_id, "apply_project_id": project_id}
        body |= {"model_id": world.id(f"model-{slug}"), "job_id": world.id("job"), "task_id": world.id("task")}
        body["digest"] = NAMED_DIGEST
        world.fact(f"applied-{slug}", body)
        needed(world.call(f"apply-{slug}", partner, "modelAuditApply", body))
    yes, no, withdrawn, late, foreign = ({"audit_id": audit_id} for audit_id in audits.values())
    world.call("pending", partner, "modelAuditQuery", yes)
    stands(world.own("held", "ownModelAuditQuery", yes), "/status", "APPLIED")
    world.call("query-stranger", stranger, "modelAuditQuery", yes, breaks="not its application")
    world.own("foreign-before", "ownModelAuditQuery", foreign)
    world.call("cancel-stranger", stranger, "modelAuditCancel", foreign, breaks="not its application")
    world.own("foreign-after", "ownModelAuditQuery", foreign)
    world.own("approve", "ownModelAuditConfirm", {**yes, "status": "APPROVED"})
    world.awaited("confirmed", partner, "modelAuditConfirm", yes)
    world.call("approved", partner, "modelAuditQuery", yes)
    world.own("reject", "ownModelAuditConfirm", {**no, "status": "REJECTED"})
    world.awaited("refused", partner, "modelAuditConfirm", no)
    world.call("rejected", partner, "modelAuditQuery", no)
    world.own("reject-late", "ownModelAuditConfirm", {**yes, "status": "REJECTED"}, breaks="it was decided")
    world.call("approved-after", partner, "modelAuditQuery", yes)
    needed(world.call("cancel", partner, "modelAuditCancel", withdrawn))
    world.own("cancelled", "ownModelAuditQuery", withdrawn)
    needed(world.own("approve-second", "ownModelAuditConfirm", {**late, "status": "APPROVED"}))
    turned_down(world.call("cancel-late", partner, "modelAuditCancel", late, breaks="it was decided"))
    needed(world.own("terminate", "ownModelAuditTerminate", late))
    world.awaited("terminate-told", partner, "modelAuditTerminate", late)
    world.call("terminated", partner, "modelAuditQuery", late)


@scenario()
def test_model_asks(world: World) -> None:
    """The target applies to a partner for its model; the partner decides (8.7.2.2-a, 8.7.2.2-b, 8.7.2.2-c)."""
    partner, stranger = world.signed_partner(), world.signed_partner("stranger")
    project_id = project_of_target(world, partner, "project")
    own = world.fact("model", model(world, "ours", project_id, digest=NAMED_DIGEST))
    needed(world.own("create", "ownModelCreate", own))
    asked = {"contract_id": partner.contract_id, "model_id": own["model_id"]}
    audit_id = world.fact("audit", world.own("apply", "ownModelAuditApply", asked).at("/audit_id"))
    one = {"audit_id": audit_id}
    heard(world.awaited("asked", partner, "modelAuditApply", one))
    stands(world.own("pending", "ownModelAuditQuery", one), "/status", "APPLIED")
    issued = world.fact("permit", permit(world, partner, "MODEL", str(own["model_id"])))
    yes = {**one, "status": "APPROVED", "resource_permit": issued}
    world.call("confirm-stranger", stranger, "modelAuditConfirm", yes, breaks="it was not asked")
    world.own("pending-after", "ownModelAuditQuery", one)
    world.call("confirm", partner, "modelAuditConfirm", yes)
    stands(world.own("approved", "ownModelAuditQuery", one), "/status", "APPROVED")
    world.call("confirm-contrary", partner, "modelAuditConfirm", {**one, "status": "REJECTED"}, breaks="decided")
    stands(world.own("approved-after", "ownModelAuditQuery", one), "/status", "APPROVED")
    world.call("terminate", partner, "modelAuditTerminate", one)
    world.own("terminated", "ownModelAuditQuery", one)


@scenario()
def test_model_asks_otherwise(world: World) -> None:
    """The target's applications are rejected, withdrawn, or decided without a word (8.7.2.2-a, -b, -c)."""
    partner = world.signed_partner()
    project_id = project_of_target(world, partner, "project")
    audits: dict[str, dict[str, Any]] = {}
    for slug in ("rejected", "lost", "withdrawn"):
        own = model(world, slug, project_id)
        needed(world.own(f"create:{slug}", "ownModelCreate", own))
        asked = {"contract_id": partner.contract_id, "model_id": own["model_id"]}
        audits[slug] = {"audit_id": world.own(f"apply:{slug}", "ownModelAuditApply", asked).at("/audit_id")}
    stands(world.own("pending", "ownModelAuditQuery", audits["rejected"]), "/status", "APPLIED")
    world.call("confirm-no", partner, "modelAuditConfirm", {**audits["rejected"], "status": "REJECTED"})
    world.own("rejected", "ownModelAuditQuery", audits["rejected"])
    world.own("cancel", "ownModelAuditCancel", audits["withdrawn"])
    world.awaited("cancel-told", partner, "modelAuditCancel", audits["withdrawn"])
    world.own("cancelled", "ownModelAuditQuery", audits["withdrawn"])
    issued = permit(world, partner, "MODEL", world.id("lost"))
    world.answers(
        partner, "modelAuditQuery", saying({**audits["lost"], "status": "APPROVED", "resource_permit": issued})
    )
    world.own("recovered", "ownModelAuditQuery", audits["lost"])
    world.awaited("asked-state", partner, "modelAuditQuery", audits["lost"])
