"""Jobs that the target initiates and schedules: made, listed, started, stopped, run again, and how they fail (8.4)."""

from __future__ import annotations

import math

from conformance.harness.partner import raw, refusing, saying
from conformance.harness.registry import scenario
from conformance.harness.world import World
from conformance.suites import work

OLD = {"first": {"word": "old"}}


@scenario()
def test_job_birth(world: World) -> None:
    """Jobs are made of two flows, looked at and listed; those that cannot run are refused (8.4.1-a, 8.4.2)."""
    partner = work.played(world)
    codes = work.registered(world)
    plan, me = work.chain(codes), world.profile.target.node_id
    flow_id, other = work.own_flow(world, plan), work.own_flow(world, plan, "other")
    settings = work.config(me, partner.node_id, priority=7, task_params=OLD)
    body = {"flow_id": flow_id, "dag": plan, "config": settings}
    job_id = world.own("create", "ownJobCreate", body).at("/job_id")
    world.awaited("told", partner, "jobCreate", {"flow_id": flow_id})
    world.own("query-new", "ownJobQuery", {"job_id": job_id}).at("")
    work.job_is(world, "query", str(job_id), "READY")
    world.own("create-second", "ownJobCreate", body).at("/job_id")
    world.own("create-other", "ownJobCreate", {**body, "flow_id": other}).at("/job_id")
    world.own("list", "ownJobList", {"flow_id": flow_id, "page_size": work.PAGE})
    world.own("list-other", "ownJobList", {"flow_id": other, "page_size": work.PAGE})
    for number in (1, 2):
        world.own(f"page-{number}", "ownJobList", {"flow_id": flow_id, "page_num": number, "page_size": 1})
    world.own("query-unknown", "ownJobQuery", {"job_id": world.id("job-nobody")}, breaks="nobody made it")
    loose = {name: value for name, value in body.items() if name != "flow_id"}
    circle = work.dag(codes, first=("second",), second=("first",))
    world.own("create-loose", "ownJobCreate", loose)
    world.own("create-circle", "ownJobCreate", {**loose, "dag": circle}, breaks="DAG: circle")
    unknown = work.dag({0: world.id("nowhere")}, first=())
    world.own("create-unknown", "ownJobCreate", {**loose, "dag": unknown}, breaks="the target has no such component")
    for step, params in (("create-misfit", {"first": {"word": "purple"}}), ("create-astray", {"third": {}})):
        bent = work.config(me, partner.node_id, task_params=params)
        world.own(step, "ownJobCreate", {**loose, "config": bent}, breaks="parameters that no component takes")


@scenario()
def test_job_run(world: World) -> None:
    """A job of two tasks in a row runs to its end, looked at all the way; a stranger asks too (8.4.2-b, 8.4.3-a)."""
    partner, stranger = work.played(world), world.signed_partner("stranger")
    job_id = work.own_job(world, partner, work.chain(work.registered(world)), priority=7)
    key = {"job_id": job_id}
    world.own("start", "ownJobStart", key).at("")
    world.awaited("start-told", partner, "jobStart", key)
    first = work.begun(world, "first-told", partner, job_id, "first")
    work.task_is(world, "first-runs", job_id, first, "RUNNING")
    world.own("query-running", "ownJobQuery", key)
    world.own("states-running", "ownJobStatusAll", key)
    world.call("asked", partner, "jobStatusAll", key)
    world.call("asked-by-stranger", stranger, "jobStatusAll", key, breaks="it has nothing to do with the job")
    work.reported(world, "first-done-here", job_id, first, "SUCCESS").at("")
    world.awaited("second-early", partner, "taskStart", {**key, "task_name": "second"}, within=0.2)
    work.called_back(world, "first-done-there", partner, job_id, first, "SUCCESS").at("")
    second = work.begun(world, "second-told", partner, job_id, "second")
    world.own("states-between", "ownJobStatusAll", key)
    work.ended(world, "second-done", partner, job_id, second)
    work.job_is(world, "query-finished", job_id, "FINISHED")
    world.own("states-finished", "ownJobStatusAll", key)


@scenario()
def test_job_stopped(world: World) -> None:
    """A running job is stopped on both sides, twice; what had not begun never begins (8.4.4-a)."""
    partner = work.played(world)
    job_id = work.own_job(world, partner, work.chain(work.registered(world)))
    key = {"job_id": job_id}
    first = work.started(world, partner, job_id, "first")["first"]
    work.task_is(world, "first-runs", job_id, first, "RUNNING")
    work.fails_when_stopped(partner)
    world.own("stop", "ownJobStop", key)
    work.task_is(world, "task-stopped", job_id, first, "FAILED")
    world.awaited("stop-told", partner, "jobStop", key)
    work.called_back(world, "stopped-there", partner, job_id, first, "FAILED")
    work.job_is(world, "stopped", job_id, "FINISHED")
    world.own("stop-again", "ownJobStop", key)
    world.own("stopped-still", "ownJobQuery", key)
    world.awaited("second-told", partner, "taskStart", {**key, "task_name": "second"}, within=0.2)


@scenario()
def test_job_rerun(world: World) -> None:
    """A job that has ended runs again under its id with a new setting for one component (8.4.5, 8.4.1-a)."""
    partner = work.played(world)
    plan = work.dag(work.registered(world), first=())
    given = {"first": {"word": "old", "lines": 1}}
    job_id = work.own_job(world, partner, plan, task_params=given, open_params={"first": ["word"]})
    key = {"job_id": job_id}
    old = work.started(world, partner, job_id, "first")["first"]
    work.ended(world, "done", partner, job_id, old)
    work.demanded(work.job_is(world, "finished", job_id, "FINISHED"), "/job_status", "FINISHED")
    params = {"common": {"first": {"word": "new"}}}
    world.own("rerun", "ownJobRerun", {**key, "task_params": params})
    world.awaited("start-told", partner, "jobStart", {**key, "run": 2})
    work.job_is(world, "running", job_id, "RUNNING")
    new = work.begun(world, "begin-new", partner, job_id, "first", run=2)
    work.ended(world, "done-again", partner, job_id, new)
    work.job_is(world, "finished-again", job_id, "FINISHED")


@scenario()
def test_job_refused(world: World) -> None:
    """One partner does not take the job, another answers nonsense, a third will not begin a task (8.4.1-a, 8.4.3-a)."""
    partner = work.played(world)
    plan = work.chain(work.registered(world))
    me, flow_id = world.profile.target.node_id, work.own_flow(world, plan)
    body = {"flow_id": flow_id, "dag": plan, "config": work.config(me, partner.node_id)}
    partner.answers("jobCreate", refusing(403, "RESOURCE_NOT_APPROVED", 40303))
    refused = str(world.own("create-refused", "ownJobCreate", body).at("/job_id"))
    work.job_is(world, "rejected", refused, "REJECTED")
    world.own("start-refused", "ownJobStart", {"job_id": refused}, breaks="a party does not take the job")
    partner.answers("jobCreate", raw(200, b"<html>maintenance</html>"))
    garbled = str(world.own("create-garbled", "ownJobCreate", body).at("/job_id"))
    world.awaited("garbled-told", partner, "jobCreate", {"job_id": garbled})
    world.own("garbled", "ownJobQuery", {"job_id": garbled})
    world.own("start-garbled", "ownJobStart", {"job_id": garbled}, breaks="a party has not taken the job")
    partner.answers("jobCreate", saying({}))
    taken = str(world.own("create", "ownJobCreate", body).at("/job_id"))
    work.demanded(work.job_is(world, "ready", taken, "READY"), "/job_status", "READY")
    partner.answers("taskStart", refusing(409, "JOB_NOT_READY", 40901))
    world.own("start", "ownJobStart", {"job_id": taken}).at("")
    first = work.begun(world, "begin-refused", partner, taken, "first")
    work.task_is(world, "first-failed", taken, first, "FAILED")
    work.job_is(world, "ended", taken, "FINISHED")


@scenario()
def test_job_failure(world: World) -> None:
    """One of two tasks fails at the partner: the other is stopped here, the last never begins (8.4.3-a)."""
    partner = work.played(world)
    job_id = work.own_job(world, partner, work.fork(work.registered(world)))
    key = {"job_id": job_id}
    tasks = work.started(world, partner, job_id, "left", "right")
    work.task_is(world, "right-runs", job_id, tasks["right"], "RUNNING")
    partner.answers("taskPoll", saying({"status": "SUCCESS"}))
    work.called_back(world, "left-failed", partner, job_id, tasks["left"], "FAILED").at("")
    work.called_back(world, "right-done-there", partner, job_id, tasks["right"], "SUCCESS")
    work.job_is(world, "ended", job_id, "FINISHED")
    work.task_is(world, "right-after", job_id, tasks["right"], "FAILED")
    world.awaited("last-told", partner, "taskStart", {**key, "task_name": "last"}, within=0.2)


@scenario()
def test_job_timeout(world: World) -> None:
    """A job that may run for three seconds, or for more where the target is slow, ends by itself (8.4.1-a)."""
    partner = work.played(world)
    plan = work.dag(work.registered(world), first=())
    seconds = math.ceil(world.brief(3))
    job_id = work.own_job(world, partner, plan, timeout=seconds)
    first = work.started(world, partner, job_id, "first")["first"]
    work.task_is(world, "in-time", job_id, first, "RUNNING")
    work.fails_when_stopped(partner)
    world.elapse(seconds + 0.2)
    work.task_is(world, "stopped", job_id, first, "FAILED")
    work.called_back(world, "stopped-there", partner, job_id, first, "FAILED")
    work.job_is(world, "ended", job_id, "FINISHED")
