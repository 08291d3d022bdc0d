"""Tasks of jobs that the target initiates and schedules: begun, looked at, stopped, reported, run again (8.5)."""

from __future__ import annotations

from conformance.harness.registry import scenario
from conformance.harness.world import World
from conformance.suites import work

OLD = {"first": {"word": "old"}}
NEW = {"common": {"first": {"word": "new"}}}
OPEN = {"first": ["word"]}  # what the job lets a run be given anew
METRIC = {"output_type": "metric", "output_content": {"intersection_size": 4102, "rate": 0.25, "口径": "信用代码"}}
DATASET = {"output_type": "dataset", "output_content": {"location": "store/joined.csv", "digest": "66c7f0f4"}}
MANY = 400


@scenario()
def test_task_started(world: World) -> None:
    """The operator begins one component of a job with parameters of its own, then one outside the DAG (8.5.1-a)."""
    partner = work.played(world)
    job_id = work.own_job(world, partner, work.chain(work.registered(world)), task_params=OLD, open_params=OPEN)
    key = {"job_id": job_id}
    asked = {**key, "task_name": "first", "task_params": NEW, "run_params": {"memory_mib": 512}, "priority": 8}
    astray = {**asked, "task_name": "third", "task_params": {"common": {}}}
    world.own("start-astray", "ownTaskStart", astray, breaks="the DAG has no such component")
    task_id = str(world.own("start", "ownTaskStart", asked).at("/task_id"))
    world.awaited("told", partner, "taskStart", {**key, "task_name": "first"})
    work.task_is(world, "runs", job_id, task_id, "RUNNING")


@scenario()
def test_task_lists(world: World) -> None:
    """The tasks of two jobs are listed and read; one is asked for under the other's job (8.5.2-a, 8.5.2-b)."""
    partner = work.played(world)
    plan = work.fork(work.registered(world))
    flow_id, me = work.own_flow(world, plan), world.profile.target.node_id
    jobs = {}
    for slug in ("one", "two"):
        body = {"flow_id": flow_id, "dag": plan, "config": work.config(me, partner.node_id, priority=7)}
        jobs[slug] = str(world.own(f"{slug}:create", "ownJobCreate", body).at("/job_id"))
        ready = work.job_is(world, f"{slug}:ready", jobs[slug], "READY")
        work.demanded(ready, "/job_status", "READY")
        world.own(f"{slug}:start", "ownJobStart", {"job_id": jobs[slug]}).at("")
        world.fact(slug, work.begun(world, f"{slug}:begun", partner, jobs[slug], "left"))
    key = {"job_id": jobs["one"]}
    world.own("list", "ownTaskList", {**key, "page_size": work.PAGE})
    for number in (1, 2):
        world.own(f"page-{number}", "ownTaskList", {**key, "page_num": number, "page_size": 2})
    work.task_is(world, "query", jobs["one"], world.facts["one"], "RUNNING")
    world.own("query-other", "ownTaskQuery", {**key, "task_id": world.facts["two"]}, breaks="it is of another job")


@scenario()
def test_task_log(world: World) -> None:
    """The log of a task that writes much and is then stopped is counted and read, by level and by time (8.5.2-d)."""
    partner = work.played(world)
    plan = work.dag(work.registered(world), first=())
    job_id = work.own_job(world, partner, plan, task_params={"first": {"lines": MANY}})
    task_id = work.started(world, partner, job_id, "first")["first"]
    asked = {"job_id": job_id, "task_id": task_id, "log_level": "DEBUG"}
    lines = {**asked, "start": 0, "length": 10000}
    work.task_is(world, "runs", job_id, task_id, "RUNNING")
    world.eventually(lambda: True if _written(world, asked) else None)
    work.fails_when_stopped(partner)
    world.own("stop", "ownJobStop", {"job_id": job_id}).at("")
    work.job_is(world, "stopped", job_id, "FINISHED")
    world.own("count", "ownTaskLogLines", asked)
    world.own("read", "ownTaskLog", lines)
    world.own("read-last", "ownTaskLog", {**lines, "order": "desc", "length": 3})
    world.own("read-first", "ownTaskLog", {**lines, "length": 3})
    warnings = {**asked, "log_level": "WARN"}
    world.own("count-warnings", "ownTaskLogLines", warnings)
    world.own("read-warnings", "ownTaskLog", {**warnings, "start": 0, "length": 10000})


def _written(world: World, asked: dict[str, str]) -> bool:
    told = world.own(f"count~{world.now_ms()}", "ownTaskLogLines", asked)
    return told.accepted and int(told.at("/num")) > MANY


@scenario()
def test_task_stopped(world: World) -> None:
    """One of two running tasks is stopped, on both sides; the other runs on (8.5.3-a)."""
    partner = work.played(world)
    job_id = work.own_job(world, partner, work.fork(work.registered(world)))
    key = {"job_id": job_id}
    tasks = work.started(world, partner, job_id, "left", "right")
    work.task_is(world, "right-runs", job_id, tasks["right"], "RUNNING")
    work.task_is(world, "left-runs", job_id, tasks["left"], "RUNNING")
    work.fails_when_stopped(partner, tasks["left"])
    world.own("stop", "ownTaskStop", {**key, "task_name": "left"})
    world.awaited("stop-told", partner, "taskStop", {**key, "task_id": tasks["left"]})
    work.task_is(world, "left-stopped", job_id, tasks["left"], "FAILED")
    world.own("right-still", "ownTaskQuery", {**key, "task_id": tasks["right"]})
    world.own("job-still", "ownJobQuery", key)


@scenario()
def test_task_reported(world: World) -> None:
    """A component reports a metric and a dataset, then that it is done (8.5.6, 8.5.4-a)."""
    partner = work.played(world)
    plan = work.dag(work.registered(world), first=())
    job_id = work.own_job(world, partner, plan)
    task_id = work.started(world, partner, job_id, "first")["first"]
    key = {"job_id": job_id, "task_id": task_id}
    work.task_is(world, "runs", job_id, task_id, "RUNNING")
    astray = {**key, "job_id": world.id("job-nobody"), **METRIC}
    world.own("report-astray", "ownTaskReport", astray, breaks="the task is of another job")
    world.own("report-untyped", "ownTaskReport", {**key, **METRIC, "output_type": "rumour"}, breaks="no such type")
    world.own("report", "ownTaskReport", {**key, **METRIC})
    world.own("report-dataset", "ownTaskReport", {**key, **DATASET})
    work.ended(world, "done", partner, job_id, task_id)
    work.task_is(world, "details", job_id, task_id, "SUCCESS")


@scenario()
def test_task_own_callbacks(world: World) -> None:
    """Components of the target call it back with progress, ends, contradictions and nonsense (8.5.4-a)."""
    partner = work.played(world)
    job_id = work.own_job(world, partner, work.dag(work.registered(world), good=(), bad=()))
    tasks = work.started(world, partner, job_id, "good", "bad")
    good, bad = tasks["good"], tasks["bad"]
    said = {"job_id": job_id, "task_id": good, "status": "CANCELLED", "role": "guest"}
    world.own("callback-nonsense", "ownTaskCallback", said, breaks="no such status")
    stray = {**said, "status": "RUNNING", "job_id": world.id("job-nobody")}
    world.own("callback-astray", "ownTaskCallback", stray, breaks="the task is of another job")
    work.called_back(world, "good-there", partner, job_id, good, "SUCCESS").at("")
    work.reported(world, "good-here", job_id, good, "SUCCESS")
    work.task_is(world, "good-done", job_id, good, "SUCCESS")
    work.reported(world, "good-late", job_id, good, "FAILED")
    world.own("good-still", "ownTaskQuery", {"job_id": job_id, "task_id": good})
    work.fails_when_stopped(partner)
    work.reported(world, "bad-here", job_id, bad, "FAILED")
    work.task_is(world, "bad-failed", job_id, bad, "FAILED")
    work.job_is(world, "ended", job_id, "FINISHED")


@scenario()
def test_task_rerun(world: World) -> None:
    """The first of two tasks that are done runs again with a new parameter; the second does not (8.5.5-a)."""
    partner = work.played(world)
    job_id = work.own_job(world, partner, work.chain(work.registered(world)), task_params=OLD, open_params=OPEN)
    key = {"job_id": job_id}
    first = work.started(world, partner, job_id, "first")["first"]
    again = {**key, "task_id": first, "task_params": NEW}
    work.ended(world, "first-done", partner, job_id, first)
    second = work.begun(world, "second-begun", partner, job_id, "second")
    work.ended(world, "second-done", partner, job_id, second)
    work.demanded(work.job_is(world, "finished", job_id, "FINISHED"), "/job_status", "FINISHED")
    world.own("second-before", "ownTaskQuery", {**key, "task_id": second})
    world.own("rerun", "ownTaskRerun", again)
    world.awaited("told", partner, "taskRerun", {**key, "task_id": first})
    work.task_is(world, "first-again", job_id, first, "RUNNING", "READY")
    work.ended(world, "first-done-again", partner, job_id, first)
    work.task_is(world, "first-after", job_id, first, "SUCCESS")
    world.awaited("second-told", partner, "taskRerun", {**key, "task_id": second}, within=0.2)
    world.own("second-after", "ownTaskQuery", {**key, "task_id": second})
    world.own("list", "ownTaskList", {**key, "page_size": work.PAGE})
