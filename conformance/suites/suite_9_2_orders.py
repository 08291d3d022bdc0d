"""A scheduler orders when a task runs, not with what, in own jobs and in partners' (9.2-b).

In every story the order that changes nothing is taken too, so that a target that takes no orders passes none of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import Any

from conformance.harness.partner import Partner
from conformance.harness.registry import scenario
from conformance.harness.world import World
from conformance.suites import drafts, work
from conformance.suites.material import granted, needed, own_dataset

CHANGES = ("input", "receiver", "word", "peer")
BEYOND = "the job says otherwise"
FOREIGN = "foreign-code"
_RECEIVER = {
    "name": "receiver",
    "title": "结果方",
    "type": "string",
    "optional": True,
    "validator": "in:guest.0|host.0",
}
_OTHER_COMMAND = f"python3 -c \"import time; print('{FOREIGN}', flush=True); time.sleep(600)\""


def _component(world: World, slug: str, **fields: Any) -> str:
    """Have the target's operator register a component that has an input and names who receives the result."""
    code = world.id(slug)
    body = work.component(code, 1, **fields)
    body["component_info"]["inputParam"] = [*body["component_info"]["inputParam"], _RECEIVER]
    world.own(f"register:{slug}", "ownComponentRegister", body).at("")
    return code


def _plan(code: str) -> dict[str, Any]:
    part = {"name": "first", "componentName": code, "version": work.VERSION, "provider": work.PROVIDER}
    return {"version": "1.0", "components": [{**part, "input": [drafts.port("in0")], "output": [drafts.port("out")]}]}


def _config(world: World, partner: Partner, me: str, dataset_id: str | None, **common: Any) -> dict[str, Any]:
    """Return the configuration of a job in which the target is `me` and receives the result; it may give more lines."""
    target, other = world.profile.target.node_id, _other(me)
    guest, host = (target, partner.node_id) if me == "guest" else (partner.node_id, target)
    params = {"first": {"word": "old", "receiver": f"{me}.0"}}
    found = work.config(guest, host, task_params=params, open_params={"first": ["lines"]}, **common)
    for role, fed in ((me, dataset_id), (other, world.id("ds-of-partner"))):
        found["task_params"][role] = {"0": {"first": {"input": {"in0": fed}}}}
    return found


def _other(me: str) -> str:
    return "host" if me == "guest" else "guest"


def _changed(me: str, private: str) -> dict[str, dict[str, Any]]:
    """Return what an order may not carry: another input of ours, another receiver, for all or for the partner alone."""
    receiver = {"first": {"receiver": f"{_other(me)}.0"}}
    return {
        "input": {"common": {}, me: {"0": {"first": {"input": {"in0": private}}}}},
        "receiver": {"common": receiver},
        "word": {"common": {"first": {"word": "new"}}},
        "peer": {"common": {}, _other(me): {"0": receiver}},
    }


def _joined(world: World, partner: Partner, plan: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """Have the target approve a flow of the partner's, and a job of it running there; return the job's id."""
    project_id, _ = drafts.joined_project(world, partner, "prj-orders")
    asked = drafts.flow_application(world, partner, project_id, "flow")
    asked = {**asked, "dag": dict(plan), "config": dict(config)}
    needed(world.call("flow:apply", partner, "flowAuditApply", asked))
    decision = {"audit_id": asked["audit_id"], "status": "APPROVED"}
    needed(world.own("flow:approve", "ownFlowAuditConfirm", decision))
    offer = {"job_id": world.id("job"), "flow_id": asked["flow_id"], "dag": dict(plan), "config": dict(config)}
    world.fact("offer", offer)
    needed(world.call("create", partner, "jobCreate", offer))
    needed(world.call("start", partner, "jobStart", {"job_id": offer["job_id"]}))
    return str(offer["job_id"])


def _scheduled(world: World, partner: Partner, plan: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """Have the target make a job that the partner schedules, and start it; return its id."""
    body = {"flow_id": work.own_flow(world, plan), "dag": dict(plan), "config": dict(config)}
    job_id = str(world.own("create", "ownJobCreate", body).at("/job_id"))
    key = {"job_id": job_id}
    told = world.awaited("told", partner, "jobCreateAll", key)
    world.call("confirm", partner, "jobCreate", {**told.sent, **key}).at("")
    work.demanded(work.job_is(world, "ready", job_id, "READY"), "/job_status", "READY")
    world.own("start", "ownJobStart", key).at("")
    world.awaited("start-told", partner, "jobStart", key)
    needed(world.call("start-order", partner, "jobStart", key))
    return job_id


def _orders(world: World, partner: Partner, job_id: str, me: str) -> None:
    """Give the orders: each that changes something, then the one that does not; the same again for a rerun."""
    changes = _changed(me, world.facts["private"])
    listing = {"job_id": job_id, "page_size": work.PAGE}
    world.own("list-before", "ownTaskList", listing)
    for slug in CHANGES:
        order = {"task_id": world.id(f"task-{slug}"), "job_id": job_id, "task_name": "first"}
        world.call(f"begin-{slug}", partner, "taskStart", {**order, "task_params": changes[slug]}, breaks=BEYOND)
    world.own("list-after", "ownTaskList", listing)
    task_id = world.id("task")
    same = {"common": {"first": {"word": "old", "receiver": f"{me}.0"}}}
    order = {"task_id": task_id, "job_id": job_id, "task_name": "first"}
    world.call("begin", partner, "taskStart", {**order, "task_params": same})
    work.demanded(work.task_is(world, "runs", job_id, task_id, "RUNNING"), "/status", "RUNNING")
    work.reported(world, "reported", job_id, task_id, "SUCCESS", me).at("")
    work.demanded(work.task_is(world, "done", job_id, task_id, "SUCCESS"), "/status", "SUCCESS")
    again = {"job_id": job_id, "task_id": task_id, "run": 2, "attempt": 2}
    for slug in CHANGES:
        world.call(f"again-{slug}", partner, "taskRerun", {**again, "task_params": changes[slug]}, breaks=BEYOND)
    world.own("details-after", "ownTaskQuery", {"job_id": job_id, "task_id": task_id})
    more = {"common": {"first": {"lines": 1}}}
    world.call("again", partner, "taskRerun", {**again, "task_params": more})
    work.task_is(world, "runs-again", job_id, task_id, "RUNNING")


@scenario()
def test_orders_to_party(world: World) -> None:
    """The scheduler of a job that the target takes part in changes what its orders carry (9.2-b-1)."""
    partner = work.played(world)
    plan = _plan(_component(world, "orders"))
    public, _ = own_dataset(world, "public", "PUBLIC"), own_dataset(world, "private", "PRIVATE")
    job_id = _joined(world, partner, plan, _config(world, partner, "host", public))
    _orders(world, partner, job_id, "host")


@scenario()
def test_orders_to_initiator(world: World) -> None:
    """The partner that schedules a job of the target's changes what its orders carry (9.2-b-1)."""
    partner = work.played(world)
    plan = _plan(_component(world, "orders"))
    public, _ = own_dataset(world, "public", "PUBLIC"), own_dataset(world, "private", "PRIVATE")
    config = _config(world, partner, "guest", public, scheduler=partner.node_id)
    _orders(world, partner, _scheduled(world, partner, plan, config), "guest")


@scenario()
def test_orders_decided(world: World) -> None:
    """The target's operator decides with what a task runs; the scheduler comes back with other things (9.2-b)."""
    partner = work.played(world)
    plan = _plan(_component(world, "orders"))
    public = own_dataset(world, "public", "PUBLIC")
    config = _config(world, partner, "guest", public, scheduler=partner.node_id)
    job_id = _scheduled(world, partner, plan, config)
    asked = {"job_id": job_id, "task_name": "first", "task_params": {"common": {"first": {"word": "new"}}}}
    task_id = str(world.own("decide", "ownTaskStart", asked).at("/task_id"))
    world.awaited("decide-told", partner, "taskStart", {"task_id": task_id})
    order = {**asked, "task_id": task_id}
    other = {**order, "task_params": {"common": {"first": {"word": "new", "receiver": "host.0"}}}}
    world.call("begin-other", partner, "taskStart", other, breaks="the operator decided otherwise")
    world.call("begin", partner, "taskStart", order)
    work.task_is(world, "runs", job_id, task_id, "RUNNING")


@scenario()
def test_orders_with_code(world: World) -> None:
    """An order names another component and another DAG than the job has (9.2-b-1)."""
    partner = work.played(world)
    code, foreign = _component(world, "orders"), _component(world, "foreign", address=_OTHER_COMMAND)
    config = _config(world, partner, "host", own_dataset(world, "public", "PUBLIC"))
    config["task_params"]["common"]["first"]["lines"] = 1
    job_id = _joined(world, partner, _plan(code), config)
    order = {"job_id": job_id, "task_name": "first"}
    named = {"componentName": foreign, "version": work.VERSION, "provider": work.PROVIDER, "address": _OTHER_COMMAND}
    strange = world.id("task-strange")
    said = {**order, **named, "task_id": strange, "dag": _plan(foreign), "config": config}
    world.call("begin-strange", partner, "taskStart", said)
    plain = work.given(world, "begin", partner, job_id, "first")
    work.task_is(world, "runs", job_id, plain, "RUNNING")
    for slug, task_id in (("log-strange", strange), ("log", plain)):
        _read_log(world, slug, job_id, task_id)


def _read_log(world: World, step: str, job_id: str, task_id: str) -> None:
    """Read what a task has written, once its component has said something, or the time is over."""
    asked = {"job_id": job_id, "task_id": task_id, "log_level": "DEBUG", "start": 0, "length": 100}
    numbers = count()

    def probe() -> bool | None:
        told = world.own(f"{step}~{next(numbers)}", "ownTaskLog", asked)
        words = str(told.at("/data")) if told.accepted else ""
        return True if FOREIGN in words or "x" * 100 in words else None

    world.eventually(probe)
    world.own(step, "ownTaskLog", asked)


@scenario()
def test_orders_counted(world: World) -> None:
    """A dataset is granted for one use, and two jobs open it, naming it in their orders too (9.2-b-2)."""
    partner = work.played(world)
    lent = own_dataset(world, "lent")
    granted(world, partner, "lent", lent, times_limit=1)
    config = _config(world, partner, "host", lent)
    first = _joined(world, partner, _plan(_component(world, "orders")), config)
    _opening(world, partner, "first", first, lent, "RUNNING", "FAILED")
    offer = {**world.facts["offer"], "job_id": world.id("job-second")}
    world.fact("second:came-to", "REFUSED")
    if world.call("create-second", partner, "jobCreate", offer).accepted:
        needed(world.call("start-second", partner, "jobStart", {"job_id": offer["job_id"]}))
        _opening(world, partner, "second", offer["job_id"], lent, "FAILED")


@scenario()
def test_orders_counted_late(world: World) -> None:
    """A dataset is granted for one use; no job names it, and the orders of two jobs do (9.2-b-2)."""
    partner = work.played(world)
    lent = own_dataset(world, "lent")
    granted(world, partner, "lent", lent, times_limit=1)
    first = _joined(world, partner, _plan(_component(world, "orders")), _config(world, partner, "host", None))
    offer = {**world.facts["offer"], "job_id": world.id("job-second")}
    needed(world.call("create-second", partner, "jobCreate", offer))
    needed(world.call("start-second", partner, "jobStart", {"job_id": offer["job_id"]}))
    _opening(world, partner, "first", first, lent, "RUNNING", "FAILED")
    _opening(world, partner, "second", offer["job_id"], lent, "FAILED")


def _opening(world: World, partner: Partner, slug: str, job_id: str, dataset_id: str, *statuses: str) -> None:
    """Order a task that opens a dataset; where the order is taken, wait for what the task comes to."""
    order = {"task_id": world.id(f"task-{slug}"), "job_id": job_id, "task_name": "first"}
    named = {"common": {}, "host": {"0": {"first": {"input": {"in0": dataset_id}}}}}
    taken = world.call(f"begin-{slug}", partner, "taskStart", {**order, "task_params": named}).accepted
    told = work.task_is(world, f"after-{slug}", job_id, order["task_id"], *statuses) if taken else None
    world.fact(f"{slug}:came-to", "REFUSED" if told is None else str(told.at("/status")))


@scenario()
def test_orders_replaced(world: World) -> None:
    """A component is taken away after a job was made of it, and another put under its name (9.2-c)."""
    partner = work.played(world)
    code = world.id("replaced")
    plan = work.dag({0: code}, first=())
    world.own("register", "ownComponentRegister", work.component(code)).at("")
    old = work.own_job(world, partner, plan, task_params={"first": {"lines": 1}})
    gone = world.own("deregister", "ownComponentDeregister", {"code": code, "version": work.VERSION})
    if not gone.accepted:  # it is in use: nothing can take its place
        return
    world.own("register-other", "ownComponentRegister", work.component(code, address=_OTHER_COMMAND)).at("")
    task_id = work.started(world, partner, old, "first")["first"]
    work.task_is(world, "old", old, task_id, "FAILED", "RUNNING")
    _read_log(world, "log-old", old, task_id)
    body = {"flow_id": work.own_flow(world, plan, "flow-new"), "dag": plan}
    body["config"] = work.config(world.profile.target.node_id, partner.node_id)
    new = str(world.own("create-new", "ownJobCreate", body).at("/job_id"))
    work.demanded(work.job_is(world, "ready-new", new, "READY"), "/job_status", "READY")
    world.own("start-new", "ownJobStart", {"job_id": new}).at("")
    begun = work.begun(world, "begun-new", partner, new, "first")
    work.task_is(world, "new", new, begun, "RUNNING")
    _read_log(world, "log-new", new, begun)
