"""Jobs of partners: the target takes part in them, or schedules them for their initiator (8.4)."""

from __future__ import annotations

from typing import Any

from conformance.harness.partner import Partner
from conformance.harness.registry import scenario
from conformance.harness.world import World
from conformance.suites import drafts, material, work


@scenario()
def test_job_joined(world: World) -> None:
    """A partner creates a job on the target, starts and stops it; others try to (8.4.1-b, 8.4.3-b, 8.4.4-b)."""
    partner, other, stranger = work.played(world), work.played(world, "other"), world.signed_partner("stranger")
    plan = work.chain(work.registered(world))
    project_id, _ = drafts.joined_project(world, partner, "prj-joined")
    settings: dict[str, Any] = {"arbiter": (other.node_id,), "task_params": {"first": {"word": "old"}}}
    flow_id = work.approved_flow(world, partner, project_id, "flow", plan, **settings)
    asked = work.offer(world, partner, flow_id, plan, **settings)
    key = {"job_id": asked["job_id"]}
    usurped = {**asked, "job_id": world.id("job-usurped")}
    world.call("create-by-stranger", stranger, "jobCreate", usurped, breaks="another node initiates and schedules")
    world.call("create", partner, "jobCreate", asked).at("")
    world.own("list", "ownJobList", {"flow_id": flow_id})
    world.own("query", "ownJobQuery", key)
    world.call("create-again", partner, "jobCreate", asked)
    world.own("list-again", "ownJobList", {"flow_id": flow_id})
    _refused_offers(world, partner, flow_id, plan, settings)
    world.call("start-by-party", other, "jobStart", key, breaks="another node schedules")
    world.own("query-unstarted", "ownJobQuery", key)
    world.call("start", partner, "jobStart", key)
    work.job_is(world, "running", asked["job_id"], "RUNNING")
    world.call("start-unknown", partner, "jobStart", {"job_id": world.id("job-nobody")}, breaks="nobody created it")
    task = work.given(world, "begin", partner, asked["job_id"], "first")
    work.task_is(world, "task-runs", asked["job_id"], task, "RUNNING")
    world.call("stop-by-party", other, "jobStop", key, breaks="another node schedules")
    world.own("query-unstopped", "ownJobQuery", key)
    world.call("stop", partner, "jobStop", key)
    work.job_is(world, "stopped", asked["job_id"], "FINISHED")
    world.call("task-stopped", partner, "taskQuery", {**key, "task_id": task})
    world.call("stop-again", partner, "jobStop", key)


def _refused_offers(
    world: World, partner: Partner, flow_id: str, plan: dict[str, Any], settings: dict[str, Any]
) -> None:
    longer = {**plan, "components": [*plan["components"], {**plan["components"][0], "name": "third"}]}
    replaced = work.offer(world, partner, flow_id, longer, "job-replaced", **settings)
    world.call("create-replaced", partner, "jobCreate", replaced, breaks="another DAG was approved")
    unapproved = work.offer(world, partner, f"{partner.node_id}-unknown", plan, "job-unapproved", **settings)
    world.call("create-unapproved", partner, "jobCreate", unapproved, breaks="the flow was never approved")


@scenario()
def test_job_on_data(world: World) -> None:
    """A partner's job reads a dataset of the target's, before it is granted and after (8.4.1-b)."""
    partner = work.played(world)
    dataset_id = material.own_dataset(world, "meter")
    plan = work.dag(work.registered(world), first=("store",))
    plan["components"][0]["input"] = [drafts.port("table")]
    project_id, _ = drafts.joined_project(world, partner, "prj-on-data")
    params = {"first": {"input": {"table": dataset_id}}}
    flow_id = work.approved_flow(world, partner, project_id, "flow", plan, task_params=params)
    early = work.offer(world, partner, flow_id, plan, "job-early", task_params=params)
    world.call("create-ungranted", partner, "jobCreate", early, breaks="the dataset was not granted")
    material.granted(world, partner, "meter", dataset_id)
    world.call("create", partner, "jobCreate", work.offer(world, partner, flow_id, plan, task_params=params))


@scenario()
def test_job_scheduled(world: World) -> None:
    """A partner has the target schedule its job: created, started and stopped on all parties (8.4.1-b, 8.4.4-b)."""
    partner = work.played(world)
    plan = work.dag(work.registered(world), first=())
    project_id, _ = drafts.joined_project(world, partner, "prj-scheduled")
    scheduler = world.profile.target.node_id
    flow_id = work.approved_flow(world, partner, project_id, "flow", plan, scheduler=scheduler)
    asked = work.offer(world, partner, flow_id, plan, scheduler=scheduler)
    key = {"job_id": asked["job_id"]}
    world.call("create", partner, "jobCreateAll", asked).at("")
    world.awaited("created", partner, "jobCreate", key)
    work.demanded(work.job_is(world, "ready", asked["job_id"], "READY"), "/job_status", "READY")
    world.call("start", partner, "jobStart", key).at("")
    world.awaited("started", partner, "jobStart", key)
    first = work.begun(world, "begun", partner, asked["job_id"], "first")
    world.call("running", partner, "jobStatusAll", key)
    work.fails_when_stopped(partner)
    world.call("stop", partner, "jobStopAll", key).at("")
    work.task_is(world, "task-stopped", asked["job_id"], first, "FAILED")
    work.called_back(world, "stopped-there", partner, asked["job_id"], first, "FAILED", role="guest")
    work.job_is(world, "ended", asked["job_id"], "FINISHED")
