"""Jobs (8.4): made of flows, offered to their parties, started, stopped, run again, looked at.

A node has up to three parts in a job: its operator initiates it, it schedules it, it is one of its parties. Guarantees:
a job keeps the id that its initiator gave it on every node; the same creation again makes no second job; only the
scheduler moves a party's job, only the initiator the scheduler's; to a node that has nothing to do with a job the job
does not exist.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from reference_node.domain import plan
from reference_node.domain.ids import random_id
from reference_node.domain.job import JobStatus, agree, reject, rerun, start
from reference_node.domain.task import Cause, TaskStatus
from reference_node.errors import Refusal
from reference_node.node import Node
from reference_node.runtime.contract import WarmRunner
from reference_node.schedule import approving, dispatch, local, polling, progress
from reference_node.schedule.common import cause_of, contract_needed, defect, reason_of, schedules
from reference_node.security.guards import Caller
from reference_node.services import admission, links, own_approvals
from reference_node.services.approvals import Body
from reference_node.services.job_approvals import JobSubject
from reference_node.services.lists import Listed, without_none
from reference_node.store.jobs import JobRow, current_tasks, find_job, gather, open_tasks

_LIST = Listed("job")


def create(node: Node, session: Session, body: Body, trace_id: str) -> dict[str, Any]:
    """Make a job of a flow and offer it to its parties (8.4.1-a)."""
    if body["config"]["initiator"]["node_id"] != node.node_id:
        raise Refusal("REQUEST_INVALID", pointer="/config/initiator/node_id")
    parties = admission.check_plan(node, body)
    flow = admission.check_flow(session, body)
    job = _new_row(node, {**body, "job_id": random_id("job")}, node.node_id, plan.scheduler_of(body["config"]))
    job.project_id = job.project_id if flow is None else flow.project_id
    for pointer, node_id in _places(job):
        if node_id != node.node_id:
            contract_needed(node, session, node_id, pointer)
    admission.check_parts(node, session, job, parties)
    if approving.wanted(job) and job.flow_id is None:
        raise Refusal("REQUEST_INVALID", pointer="/flow_id")
    if not defect(node, "job-not-kept"):
        session.add(job)
        session.flush()
    if approving.wanted(job):
        _apply(node, session, job)
    elif schedules(node, job):
        progress.offer(node, session, job)
        session.commit()
    else:
        session.commit()
        _offer_through(node, session, job, trace_id)
    _warm(node)
    node.driver.kick(node)
    return {"job_id": job.job_id}


def _warm(node: Node) -> None:
    """Have the runtime ready by the time the job starts, where it runs by itself."""
    if node.config.background and isinstance(node.runner, WarmRunner):
        node.runner.warm()


def _offer_through(node: Node, session: Session, job: JobRow, trace_id: str) -> None:
    """Have another node schedule the job; what it does not take is not kept here either."""
    contract = contract_needed(node, session, job.scheduler_node_id, "/config/job_params/common/scheduler")
    try:
        body = progress.creation(node, job)
        links.ask(node, session, contract.contract_id, "jobCreateAll", trace_id, body=body)
    except Refusal:
        session.expire_all()
        kept = find_job(session, job.job_id)
        if kept is not None:
            session.delete(kept)
            session.commit()
        raise


def _apply(node: Node, session: Session, job: JobRow) -> None:
    """Ask each of the other parties for its approval first."""
    session.commit()
    for node_id in progress.others(node, job):
        contract = contract_needed(node, session, node_id, "/config/role")
        asked = {"contract_id": contract.contract_id, "job_id": job.job_id}
        try:
            own_approvals.apply(node, session, JobSubject(), asked)
        except Refusal as refusal:
            found = _now(session, job.job_id)
            found.take(reject(found.course))
            found.finished_at, found.detail = node.now(), f"{node_id}: {reason_of(refusal)}"[:512]
            session.commit()
            return


def receive_all(node: Node, session: Session, caller: Caller, body: Body) -> None:
    """Schedule a job for its initiator (8.4.1-b)."""
    if plan.scheduler_of(body["config"]) != node.node_id:
        raise Refusal("TARGET_MISMATCH", pointer="/config/job_params/common/scheduler")
    if body["config"]["initiator"]["node_id"] != caller.node_id:
        raise Refusal("NOT_YOURS", pointer="/config/initiator/node_id")
    if _repeated(node, session, body, caller.node_id):
        return
    parties = admission.check_plan(node, body)
    job = _new_row(node, body, caller.node_id, node.node_id)
    for pointer, node_id in _places(job):
        if node_id != node.node_id:
            contract_needed(node, session, node_id, pointer)
    if parties:
        admission.check_approval(node, session, job)
        admission.check_parts(node, session, job, parties)
    session.add(job)
    session.flush()
    if not defect(node, "scheduled-job-not-offered"):
        progress.offer(node, session, job)
    session.commit()
    node.driver.kick(node)


def receive(node: Node, session: Session, caller: Caller, body: Body) -> None:
    """Take part in a job under the id that it has (8.4.1-b)."""
    initiator = body["config"]["initiator"]["node_id"]
    _demand_scheduler(node, body, caller.node_id)
    if initiator == node.node_id:
        _confirm_own(session, caller, body)
        return
    if _repeated(node, session, body, caller.node_id):
        return
    parties = admission.check_plan(node, body)
    if not parties:
        raise Refusal("TARGET_MISMATCH", pointer="/config/role")
    if defect(node, "job-id-replaced"):
        body = {**body, "job_id": random_id("job")}
    job = _new_row(node, body, initiator, caller.node_id)
    admission.check_approval(node, session, job)
    admission.check_parts(node, session, job, parties)
    job.take(agree(job.course))
    if not defect(node, "partner-job-not-kept"):
        session.add(job)
        session.flush()
    _warm(node)


def _demand_scheduler(node: Node, body: Body, source: str) -> None:
    """A job is created by the node that schedules it; where none is named, by the initiator or a party."""
    named = body["config"]["job_params"].get(plan.COMMON, {}).get("scheduler")
    nodes = {party.node_id for party in plan.parties(body["config"])}
    if source not in ({named} if named else nodes) and not defect(node, "job-of-stranger-taken"):
        raise Refusal("NOT_YOURS", pointer="/config/job_params/common/scheduler")


def _confirm_own(session: Session, caller: Caller, body: Body) -> None:
    """The scheduler comes back with a job that this node has initiated: now it is ready here."""
    job = find_job(session, body["job_id"])
    if job is None or job.scheduler_node_id != caller.node_id:
        raise Refusal("RESOURCE_NOT_FOUND", pointer="/job_id")
    if (job.dag, job.config) != (body["dag"], body["config"]):
        raise Refusal("ID_TAKEN", pointer="/job_id")
    job.take(agree(job.course))


def _repeated(node: Node, session: Session, body: Body, source: str) -> bool:
    """Tell whether this very job is here already; refuse another under its id."""
    known = find_job(session, body["job_id"])
    if known is None:
        return False
    if defect(node, "repeated-job-creation-refused"):
        raise Refusal("ID_TAKEN", pointer="/job_id")
    same = (known.dag, known.config, known.flow_id) == (body["dag"], body["config"], body.get("flow_id"))
    if not same or source not in (known.scheduler_node_id, known.initiator_node_id):
        raise Refusal("ID_TAKEN", pointer="/job_id")
    return True


def _new_row(node: Node, body: Body, initiator: str, scheduler: str) -> JobRow:
    settings = body["config"]["job_params"].get(plan.COMMON, {})
    return JobRow(
        job_id=body["job_id"],
        flow_id=body.get("flow_id"),
        project_id=body.get("project_id"),
        dag=body["dag"],
        config=body["config"],
        initiator_node_id=initiator,
        scheduler_node_id=scheduler,
        status=JobStatus.PENDING.value,
        run=1,
        epoch=1,
        targets=[part["name"] for part in body["dag"]["components"]],
        priority=5 if defect(node, "job-priority-lost") else settings.get("priority", 5),
        timeout=settings.get("timeout", node.config.job_seconds),
        # a scheduler that issues no token leaves it to the signatures of the nodes
        session_token=body.get("session_token") or (body["job_id"] if scheduler != node.node_id else _token()),
        component_token=_token(),
        poll_at=node.now() + node.config.poll_seconds * 1000,
        created_at=node.now(),
    )


def _token() -> str:
    return secrets.token_urlsafe(24)


def _places(job: JobRow) -> list[tuple[str, str]]:
    """Return (place in the request, node id) of every node that a job needs."""
    found = [(f"/config/role/{item.role}/{item.index}", item.node_id) for item in plan.parties(job.config)]
    return [*found, ("/config/job_params/common/scheduler", job.scheduler_node_id)]


def list_own(node: Node, session: Session, query: Mapping[str, Any]) -> dict[str, Any]:
    """List the jobs of a flow, newest first (8.4.2-a)."""
    wanted = select(JobRow).order_by(JobRow.seq.desc())
    if "flow_id" in query and not defect(node, "job-list-mixes-flows"):
        wanted = wanted.where(JobRow.flow_id == query["flow_id"])
    found = _LIST.answer(node, session, query, wanted, summary)
    return {"job_list": {row["job_id"]: row["job_status"] for row in found["records"]}, **found}


def query_own(node: Node, session: Session, job_id: str) -> dict[str, Any]:
    """Return one job with DAG, configuration and the states of its tasks (8.4.2-b)."""
    job = of_node(node, session, job_id)
    found = {**summary(job), "dag": job.dag, "config": job.config, "status": task_states(node, session, job)}
    if defect(node, "job-config-lost"):
        found["config"] = {**job.config, "job_params": {plan.COMMON: {}}}
    return found


def state_own(node: Node, session: Session, job_id: str) -> dict[str, Any]:
    """Return how a job and its tasks are; the scheduler is asked first where that is another node (8.4.2-b)."""
    job = of_node(node, session, job_id)
    if not schedules(node, job) and not job.course.over:
        session.commit()
        polling.refresh(node, job_id)
        session.expire_all()
        job = of_node(node, session, job_id)
    return state(node, session, job)


def state_for(node: Node, session: Session, caller: Caller, job_id: str) -> dict[str, Any]:
    """Tell a party how a job and its tasks are (8.4.2-b)."""
    return state(node, session, of_party(node, session, caller, job_id))


def state(node: Node, session: Session, job: JobRow) -> dict[str, Any]:
    """Return a job as `JobState`."""
    found = {"job_status": job.status, "status": task_states(node, session, job), "run": job.run}
    if defect(node, "job-status-frozen"):
        found["job_status"] = JobStatus.READY.value
    return without_none({**found, "end_reason": job.cause})


def task_states(node: Node, session: Session, job: JobRow) -> dict[str, str]:
    """Return the state of each component's current task by its name in the DAG."""
    tasks = current_tasks(session, job)
    unbegun = TaskStatus.FAILED if job.status == JobStatus.FINISHED else TaskStatus.PENDING
    found = {
        part["name"]: tasks[part["name"]].status if part["name"] in tasks else unbegun.value
        for part in job.dag["components"]
    }
    if defect(node, "task-states-all-pending"):
        return dict.fromkeys(found, TaskStatus.PENDING.value)
    return found


def summary(job: JobRow) -> dict[str, Any]:
    """Return a job as `JobSummary`."""
    names = ("job_id", "flow_id", "project_id", "run", "created_at", "started_at", "finished_at", "detail")
    found = {name: getattr(job, name) for name in names}
    return without_none({**found, "job_status": job.status, "end_reason": job.cause})


def start_own(node: Node, session: Session, job_id: str, trace_id: str) -> None:
    """Start a job of this node's operator (8.4.3-a)."""
    job = initiated(node, session, job_id)
    course = start(job.course)
    if course == job.course:
        return
    if not schedules(node, job):
        ask_scheduler(node, session, job, "jobStart", trace_id, {"job_id": job_id, "run": course.run})
        return
    if not defect(node, "own-job-not-started"):
        job.take(course)
        progress.launch(node, session, job, None, _all(job))
    session.commit()
    node.driver.kick(node)


def receive_start(node: Node, session: Session, caller: Caller, body: Body) -> None:
    """Start a job: as its scheduler for the initiator, as a party for the scheduler (8.4.3-b)."""
    if find_job(session, body["job_id"]) is None and defect(node, "unknown-job-started"):
        return
    job = of_party(node, session, caller, body["job_id"])
    course = start(job.course, body.get("run"))
    if schedules(node, job):
        if caller.node_id != job.initiator_node_id:
            raise Refusal("NOT_YOURS", pointer="/job_id")
        if course == job.course:
            return
        admission.check_params(node, session, job, body.get("task_params"))
        job.take(course)
        progress.launch(node, session, job, body.get("task_params"), _all(job))
    else:
        _demand(node, caller, job, "job-started-by-stranger")
        if course == job.course or defect(node, "partner-job-not-started"):
            return
        for task in open_tasks(session, job.job_id):  # of a run whose end was never heard
            local.stop(node, session, job, task, Cause.STOPPED)
            gather(session, task, node.now())
        job.take(course)
        job.targets, job.epoch = body.get("task_names", _all(job)), course.run
        progress.clock_run(node, job)
        dispatch.open_session(node, job)
    session.commit()
    node.driver.kick(node)


def stop_own(node: Node, session: Session, job_id: str) -> None:
    """Stop a job on all its parties (8.4.4-a); here it stops at once, whoever schedules."""
    job = of_node(node, session, job_id)
    if defect(node, "own-job-not-stopped"):
        return
    if job.course.over and defect(node, "second-stop-refused"):
        raise Refusal("JOB_NOT_READY", pointer="/job_id")
    if schedules(node, job):
        progress.end(node, session, job, Cause.STOPPED)
    elif not job.course.over:
        contract = contract_needed(node, session, job.scheduler_node_id, "/job_id")
        node.outbox.put(session, contract.contract_id, "jobStopAll", {"job_id": job_id, "run": job.run})
        local.end_here(node, session, job, Cause.STOPPED)
    session.commit()
    node.driver.kick(node)


def receive_stop(node: Node, session: Session, caller: Caller, body: Body) -> None:
    """Stop a job on this node because its scheduler, or its initiator, says so (8.4.4-b)."""
    job = of_party(node, session, caller, body["job_id"])
    masters = (job.scheduler_node_id, job.initiator_node_id)
    if caller.node_id not in masters and not defect(node, "job-stopped-by-party"):
        raise Refusal("NOT_YOURS", pointer="/job_id")
    if defect(node, "partner-job-not-stopped"):
        return
    cause = cause_of(body.get("end_reason")) or Cause.STOPPED
    if schedules(node, job):
        progress.end(node, session, job, cause)
    elif cause is Cause.PARTNER_REFUSED and job.status in (JobStatus.PENDING, JobStatus.READY):
        job.take(reject(job.course, cause))
        job.finished_at = node.now()
    else:
        local.end_here(node, session, job, cause, body.get("run"))
    session.commit()
    node.driver.kick(node)


def receive_stop_all(node: Node, session: Session, caller: Caller, body: Body) -> None:
    """Stop a job everywhere because one of its parties says so (8.4.4-b)."""
    job = of_party(node, session, caller, body["job_id"])
    if not schedules(node, job):
        raise Refusal("NOT_YOURS", pointer="/job_id")
    if body.get("run", job.run) == job.run and not defect(node, "stop-all-ignored"):
        progress.end(node, session, job, Cause.STOPPED)
    session.commit()
    node.driver.kick(node)


def rerun_own(node: Node, session: Session, body: Body, trace_id: str) -> dict[str, Any]:
    """Run a job again under its id, with other parameters if they are given (8.4.5)."""
    job = initiated(node, session, body["job_id"])
    course = rerun(job.course)
    given = None if defect(node, "rerun-params-ignored") else body.get("task_params")
    admission.check_params(node, session, job, given)
    if schedules(node, job):
        if not defect(node, "job-not-rerun"):
            job.take(course)
            progress.launch(node, session, job, given, _all(job))
        session.commit()
        node.driver.kick(node)
    else:
        message = without_none({"job_id": job.job_id, "run": course.run, "task_params": given})
        ask_scheduler(node, session, job, "jobStart", trace_id, message)
    return {"job_id": random_id("job") if defect(node, "rerun-under-new-id") else job.job_id}


def ask_scheduler(
    node: Node, session: Session, job: JobRow, operation: str, trace_id: str, body: Mapping[str, Any]
) -> None:
    """Have the scheduler of an own job do something; its refusal is the operator's to see."""
    contract = contract_needed(node, session, job.scheduler_node_id, "/job_id")
    links.ask(node, session, contract.contract_id, operation, trace_id, body=dict(body))
    node.driver.kick(node)


def of_node(node: Node, session: Session, job_id: str) -> JobRow:
    """Return a job that this node has to do with."""
    job = find_job(session, job_id)
    if job is None:
        other = session.scalar(select(JobRow).limit(1)) if defect(node, "unknown-job-answered") else None
        if other is None:
            raise Refusal("RESOURCE_NOT_FOUND", pointer="/job_id")
        return other
    return job


def initiated(node: Node, session: Session, job_id: str) -> JobRow:
    """Return a job that this node's operator may drive: one it has initiated."""
    job = of_node(node, session, job_id)
    if job.initiator_node_id != node.node_id:
        raise Refusal("NOT_YOURS", pointer="/job_id")
    return job


def of_party(node: Node, session: Session, caller: Caller, job_id: str) -> JobRow:
    """Return a job that the calling node has to do with; to all others it does not exist."""
    job = find_job(session, job_id)
    if job is None:
        raise Refusal("RESOURCE_NOT_FOUND", pointer="/job_id")
    nodes = {job.scheduler_node_id, job.initiator_node_id, *(item.node_id for item in plan.parties(job.config))}
    if caller.node_id not in nodes and not defect(node, "jobs-open-to-strangers"):
        raise Refusal("RESOURCE_NOT_FOUND", pointer="/job_id")
    return job


def _demand(node: Node, caller: Caller, job: JobRow, stranger: str) -> None:
    if caller.node_id != job.scheduler_node_id and not defect(node, stranger):
        raise Refusal("NOT_YOURS", pointer="/job_id")


def _all(job: JobRow) -> list[str]:
    return [part["name"] for part in job.dag["components"]]


def _now(session: Session, job_id: str) -> JobRow:
    session.expire_all()
    job = find_job(session, job_id)
    if job is None:
        raise Refusal("RESOURCE_NOT_FOUND", pointer="/job_id")
    return job


def end_with_contract(node: Node, session: Session, contract: Any) -> None:
    """End the jobs that rest on a contract that has ended."""
    partner = contract.partner_node_id
    open_ = select(JobRow).where(JobRow.status.not_in((JobStatus.REJECTED.value, JobStatus.FINISHED.value)))
    for job in session.scalars(open_).all():
        if schedules(node, job):
            if partner in progress.others(node, job):
                progress.end(node, session, job, Cause.CONTRACT_ENDED)
        elif partner in (job.scheduler_node_id, job.initiator_node_id):
            local.end_here(node, session, job, Cause.CONTRACT_ENDED)
