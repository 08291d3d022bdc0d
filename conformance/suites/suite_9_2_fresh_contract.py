"""A node that has just signed a contract and was granted nothing tries what others were granted (9.2-b)."""

from __future__ import annotations

from typing import Any

from conformance.harness.partner import Partner
from conformance.harness.registry import scenario
from conformance.harness.world import World
from conformance.suites import drafts, work
from conformance.suites.material import dataset, granted, needed, own_dataset, shown, use

UNGRANTED = "nothing of it was granted under this contract"


def _offered(world: World, partner: Partner, slug: str, flow: tuple[str, dict[str, Any]], **named: str) -> None:
    flow_id, plan = flow
    asked = {**work.offer(world, partner, flow_id, plan, f"job-{slug}"), **named}
    breaks = "" if slug == "granted" else UNGRANTED
    world.call(f"job:{slug}", partner, "jobCreate", asked, breaks=breaks)


@scenario()
def test_fresh_contract(world: World) -> None:
    """One partner is granted data, a project and a flow; another then signs and tries all of that (9.2-b)."""
    partner = work.played(world)
    lent, closed = own_dataset(world, "lent"), own_dataset(world, "closed", "PRIVATE")
    permit = shown(granted(world, partner, "lent", lent))
    plan = work.dag(work.registered(world), first=())
    project_id, project_audit = drafts.joined_project(world, partner, "prj-granted")
    flow_id = work.approved_flow(world, partner, project_id, "flow-granted", plan)
    fresh = work.played(world, "fresh")
    asked = {"contract_id": fresh.contract_id, "page_size": 500}
    use(world, "use:granted", partner, lent, permit)
    use(world, "use:fresh", fresh, lent, breaks=UNGRANTED)
    use(world, "use:fresh-closed", fresh, closed, breaks=UNGRANTED)
    world.call("granted-list", fresh, "datasetAuthList", asked)
    world.call("public-list", fresh, "datasetPubList", asked)
    _offered(world, partner, "granted", (flow_id, plan))
    _offered(world, fresh, "fresh", (flow_id, plan))
    _offered(world, fresh, "fresh-of-none", (world.id("flow-of-none"), plan))
    job_id = world.id("job-granted")
    world.call("start:fresh", fresh, "jobStart", {"job_id": job_id}, breaks=UNGRANTED)
    world.call("start:granted", partner, "jobStart", {"job_id": job_id})
    flow = drafts.flow_application(world, fresh, project_id, "flow-fresh")
    world.call("flow:fresh", fresh, "flowAuditApply", flow, breaks=UNGRANTED)
    for kind, audit_id in (("project", project_audit), ("dataset", str(world.facts["lent:audit"]))):
        audit = {"audit_id": audit_id}
        world.call(f"audit:{kind}", partner, f"{kind}AuditQuery", audit)
        world.call(f"audit:{kind}:fresh", fresh, f"{kind}AuditQuery", audit, breaks=UNGRANTED)
        world.call(f"end:{kind}:fresh", fresh, f"{kind}AuditTerminate", audit, breaks=UNGRANTED)
    use(world, "use:still", partner, lent, permit)


@scenario()
def test_signed_again(world: World) -> None:
    """A node ends its contract and signs another: what was granted under the first is not under the second (9.2-b)."""
    partner = work.played(world)
    needed(world.own("create", "ownDatasetCreate", dataset(world, "lent", "PROTECTED")))
    lent = world.id("lent")
    permit = shown(granted(world, partner, "lent", lent))
    plan = work.dag(work.registered(world), first=())
    project_id, _ = drafts.joined_project(world, partner, "prj-first")
    flow_id = work.approved_flow(world, partner, project_id, "flow-first", plan)
    use(world, "use:granted", partner, lent, permit)
    _offered(world, partner, "granted", (flow_id, plan))
    needed(world.call("end", partner, "contractTerminate", {"contract_id": partner.contract_id}))
    partner.open_contract = False
    applied = world.call("again:apply", partner, "contractApply", partner.application(world.now_ms() + 86_400_000))
    partner.contract_id = str(applied.at("/contract_id"))
    partner.claims.add(partner.contract_id)
    decision = {"contract_id": partner.contract_id, "status": "APPROVED"}
    needed(world.own("again:approve", "ownContractConfirm", decision))
    world.awaited("again:confirmed", partner, "contractConfirm", decision)
    partner.open_contract = True
    _offered(world, partner, "again", (flow_id, plan))
    flow = drafts.flow_application(world, partner, project_id, "flow-again")
    world.call("flow:again", partner, "flowAuditApply", flow, breaks=UNGRANTED)
