"""Tasks between the target and its partners: begun on it, told by it, told to it, stopped and run again on it (8.5)."""

from __future__ import annotations

from conformance.harness.partner import saying
from conformance.harness.registry import scenario
from conformance.harness.world import World
from conformance.suites import work

OLD = {"first": {"word": "old"}}
NEW = {"common": {"first": {"word": "new"}}}
OPEN = {"first": ["word"]}  # what the job lets a run be given anew
PATIENCE = 10.0  # a scheduler that has heard nothing for this long has lost a callback


@scenario()
def test_task_given(world: World) -> None:
    """A partner begins tasks on the target under its own ids and asks how they are; others try (8.5.1-b, 8.5.2-c)."""
    partner, other, stranger = work.played(world), work.played(world, "other"), world.signed_partner("stranger")
    plan = work.chain(work.registered(world))
    job_id = work.joined(world, partner, plan, arbiter=(other.node_id,), task_params=OLD, open_params=OPEN)
    key = {"job_id": job_id}
    task_id = world.id("task")
    asked = {**key, "task_id": task_id, "task_name": "first", "task_params": NEW, "priority": 8}
    usurped = {**asked, "task_id": world.id("task-usurped")}
    astray = {**asked, "task_id": world.id("task-astray"), "task_name": "third"}
    world.call("start-by-party", other, "taskStart", usurped, breaks="another node schedules")
    world.call("start-astray", partner, "taskStart", astray, breaks="the DAG has no such component")
    task = {**key, "task_id": task_id}
    world.call("start", partner, "taskStart", asked).at("")
    work.tells(world, "told", partner, task_id, "RUNNING")
    world.own("list", "ownTaskList", {**key, "page_size": work.PAGE})
    world.own("details", "ownTaskQuery", task)
    world.call("start-again", partner, "taskStart", asked)
    world.own("list-again", "ownTaskList", {**key, "page_size": work.PAGE})
    world.call("query", partner, "taskQuery", task)
    world.call("query-by-stranger", stranger, "taskQuery", task, breaks="it has nothing to do with the job")
    role = {"task_id": task_id, "role": "host"}
    world.call("poll", partner, "taskPoll", role)
    world.call("poll-by-stranger", stranger, "taskPoll", role, breaks="it has nothing to do with the job")
    work.reported(world, "done", job_id, task_id, "SUCCESS", "host")
    work.task_is(world, "details-done", job_id, task_id, "SUCCESS")
    work.tells(world, "told-done", partner, task_id, "SUCCESS")
    world.call("poll-done", partner, "taskPoll", role)
    world.call("query-done", partner, "taskQuery", task)


@scenario()
def test_task_given_stopped(world: World) -> None:
    """Of two tasks that run on the target one is stopped by the scheduler, after others have tried (8.5.3-b)."""
    partner, other, stranger = work.played(world), work.played(world, "other"), world.signed_partner("stranger")
    plan = work.fork(work.registered(world))
    job_id = work.joined(world, partner, plan, arbiter=(other.node_id,))
    left, right = (work.given(world, name, partner, job_id, name) for name in ("left", "right"))
    for name, task_id in (("left", left), ("right", right)):
        work.task_is(world, f"{name}-runs", job_id, task_id, "RUNNING")
    key = {"job_id": job_id, "task_id": left}
    world.call("stop-by-stranger", stranger, "taskStop", key, breaks="it has nothing to do with the job")
    world.call("stop-by-party", other, "taskStop", key, breaks="another node schedules")
    world.own("left-still", "ownTaskQuery", key)
    world.call("stop", partner, "taskStop", key)
    work.tells(world, "told", partner, left, "FAILED")
    work.task_is(world, "left-stopped", job_id, left, "FAILED")
    world.own("right-still", "ownTaskQuery", {"job_id": job_id, "task_id": right})


@scenario()
def test_task_given_rerun(world: World) -> None:
    """The scheduler has a task that is done run again on the target, with a new parameter (8.5.5-b)."""
    partner = work.played(world)
    job_id = work.joined(world, partner, work.chain(work.registered(world)), task_params=OLD, open_params=OPEN)
    first = work.given(world, "first", partner, job_id, "first")
    work.reported(world, "first-done", job_id, first, "SUCCESS", "host").at("")
    second = work.given(world, "second", partner, job_id, "second")
    work.reported(world, "second-done", job_id, second, "SUCCESS", "host").at("")
    work.demanded(work.task_is(world, "second-before", job_id, second, "SUCCESS"), "/status", "SUCCESS")
    again = {"job_id": job_id, "task_id": first, "task_params": NEW, "run": 2, "attempt": 2}
    world.call("rerun", partner, "taskRerun", again)
    work.task_is(world, "first-again", job_id, first, "RUNNING")
    world.own("second-after", "ownTaskQuery", {"job_id": job_id, "task_id": second})
    work.reported(world, "first-done-again", job_id, first, "SUCCESS", "host")
    work.task_is(world, "first-after", job_id, first, "SUCCESS")
    world.own("list", "ownTaskList", {"job_id": job_id, "page_size": work.PAGE})


@scenario()
def test_task_callbacks(world: World) -> None:
    """The partner calls back with nonsense and late; another node meddles; the task stays what it was (8.5.4-b)."""
    partner, stranger = work.played(world), world.signed_partner("stranger")
    job_id = work.own_job(world, partner, work.chain(work.registered(world)))
    first = work.started(world, partner, job_id, "first")["first"]
    key = {"job_id": job_id, "task_id": first}
    work.reported(world, "here", job_id, first, "SUCCESS").at("")
    world.own("before", "ownTaskQuery", key)
    said = {**key, "status": "CANCELLED", "role": "host"}
    world.call("nonsense", partner, "taskCallback", said, breaks="no such status")
    meddling = {**said, "status": "SUCCESS"}
    world.call("by-stranger", stranger, "taskCallback", meddling, breaks="another node runs this part")
    world.own("after", "ownTaskQuery", key)
    work.called_back(world, "there", partner, job_id, first, "SUCCESS")
    work.task_is(world, "done", job_id, first, "SUCCESS")
    work.called_back(world, "late", partner, job_id, first, "FAILED")
    world.own("done-still", "ownTaskQuery", key)


@scenario()
def test_task_callback_lost(world: World) -> None:
    """The partner's callback never comes; the target finds out by asking that the task is done (8.5.4-b)."""
    partner = work.played(world)
    job_id = work.own_job(world, partner, work.chain(work.registered(world)))
    first = work.started(world, partner, job_id, "first")["first"]
    work.reported(world, "here", job_id, first, "SUCCESS").at("")
    partner.answers("taskPoll", saying({"status": "SUCCESS"}))
    world.awaited("asked", partner, "taskPoll", {"task_id": first}, within=PATIENCE)
    work.task_is(world, "done", job_id, first, "SUCCESS")
    world.awaited("second-told", partner, "taskStart", {"job_id": job_id, "task_name": "second"})
