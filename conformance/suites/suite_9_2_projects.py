"""Stories about the project in which a partner's job runs (9.2-b-2): whose word it is, and what it opens."""

from __future__ import annotations

from typing import Any

from conformance.harness.errors import NotOffered
from conformance.harness.partner import Partner
from conformance.harness.profile_model import Protocol
from conformance.harness.registry import scenario
from conformance.harness.world import World
from conformance.suites import drafts, work
from conformance.suites.material import granted, own_dataset


def _approved(world: World, partner: Partner, project_id: str, slug: str, offered: dict[str, Any]) -> str:
    """Have the target approve a flow of the partner's in a project, with the very DAG and configuration of a job."""
    asked = drafts.flow_application(world, partner, project_id, slug)
    asked |= {"dag": offered["dag"], "config": offered["config"]}
    world.call(f"{slug}:apply", partner, "flowAuditApply", asked).at("")
    decision = {"audit_id": asked["audit_id"], "status": "APPROVED"}
    world.own(f"{slug}:approve", "ownFlowAuditConfirm", decision).at("")
    return str(asked["flow_id"])


@scenario()
def test_job_in_another_project(world: World) -> None:
    """A job of one project wants a dataset granted for another, and says that it is of that one (9.2-b-2)."""
    if Protocol.PROJECT not in world.profile.capabilities.protocols:
        raise NotOffered("profile: capabilities.protocols does not list project, so nothing can be scoped to one")
    partner = work.played(world)
    here, _ = drafts.joined_project(world, partner, "prj-here")
    there, _ = drafts.joined_project(world, partner, "prj-there")
    lent = own_dataset(world, "lent")
    granted(world, partner, "lent", lent, auth_scope={"type": "PROJECT", "project_id": here})
    plan = work.dag(work.registered(world), first=("store",))
    plan["components"][0]["input"] = [drafts.port("table")]

    def offer(flow_id: str, slug: str) -> dict[str, Any]:
        return work.offer(world, partner, flow_id, plan, slug, task_params={"first": {"input": {"table": lent}}})

    flow_here = _approved(world, partner, here, "flow-here", offer("", "here"))
    flow_there = _approved(world, partner, there, "flow-there", offer("", "there"))
    world.call("inside", partner, "jobCreate", {**offer(flow_here, "job-inside"), "project_id": here})
    elsewhere = {**offer(flow_there, "job-elsewhere"), "project_id": there}
    world.call("elsewhere", partner, "jobCreate", elsewhere, breaks="the dataset was granted for another project")
    moved = {**offer(flow_there, "job-moved"), "project_id": here}
    world.call("moved", partner, "jobCreate", moved, breaks="its flow was approved in another project")
    for slug in ("elsewhere", "moved"):
        world.own(f"{slug}:state", "ownJobQuery", {"job_id": world.id(f"job-{slug}")})
