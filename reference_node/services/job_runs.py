"""Jobs started, stopped and run again (8.4.3 to 8.4.5), and ended with the contract that they rest on.

Guarantees: only the scheduler moves a party's job, only the initiator the scheduler's.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from reference_node.domain import plan
from reference_node.domain.ids import random_id
from reference_node.domain.job import JobStatus, reject, rerun, start
from reference_node.domain.task import Cause
from reference_node.errors import Refusal
from reference_node.node import Node
from reference_node.schedule import local, progress, sessions
from reference_node.schedule.common import cause_of, contract_needed, defect, schedules
from reference_node.security.guards import Caller
from reference_node.services import admission, jobs, ordered_tasks, own_approvals
from reference_node.services.approvals import Body
from reference_node.services.job_approvals import JobSubject
from reference_node.services.lists import without_none
from reference_node.store.jobs import JobRow, find_job, gather, open_tasks


def start_own(node: Node, session: Session, job_id: str, trace_id: str) -> None:
    """Start a job of this node's operator (8.4.3-a)."""
    job = jobs.initiated(node, session, job_id)
    course = start(job.course)
    if course == job.course:
        return
    if not schedules(node, job):
        jobs.ask_scheduler(node, session, job, "jobStart", trace_id, {"job_id": job_id, "run": course.run})
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
    job = jobs.of_party(node, session, caller, body["job_id"])
    if schedules(node, job) and caller.node_id == job.initiator_node_id:
        progress.taken(node, session, job, caller.node_id)
    course = start(job.course, body.get("run"))
    if schedules(node, job):
        if caller.node_id != job.initiator_node_id:
            raise Refusal("NOT_YOURS", pointer="/job_id")
        if course == job.course:
            return
        ordered_tasks.demand_job(node, session, caller, job, course.run, body.get("task_params"))
        admission.check_params(node, session, job, body.get("task_params"))
        job.take(course)
        progress.launch(node, session, job, body.get("task_params"), _all(job))
    else:
        _demand(node, caller, job, "job-started-by-stranger")
        if course == job.course or defect(node, "partner-job-not-started"):
            return
        ordered_tasks.demand_job(node, session, caller, job, course.run, body.get("task_params"))
        for name in body.get("task_names", ()):
            plan.component(job.dag, name)
        for task in open_tasks(session, job.job_id):  # of a run whose end was never heard
            local.stop(node, session, job, task, Cause.STOPPED)
            gather(session, task, node.now())
        job.take(course)
        job.targets, job.epoch = body.get("task_names", _all(job)), course.run
        progress.clock_run(node, job)
        sessions.open_job(node, job)
    session.commit()
    node.driver.kick(node)


def stop_own(node: Node, session: Session, job_id: str) -> None:
    """Stop a job on all its parties (8.4.4-a); here it stops at once, whoever schedules."""
    job = jobs.of_node(node, session, job_id)
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
    job = jobs.of_party(node, session, caller, body["job_id"])
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
    job = jobs.of_party(node, session, caller, body["job_id"])
    if not schedules(node, job):
        raise Refusal("NOT_YOURS", pointer="/job_id")
    if body.get("run", job.run) == job.run and not defect(node, "stop-all-ignored"):
        progress.end(node, session, job, Cause.STOPPED)
    session.commit()
    node.driver.kick(node)


def rerun_own(node: Node, session: Session, body: Body, trace_id: str) -> dict[str, Any]:
    """Run a job again under its id, with other parameters if they are given (8.4.5)."""
    job = jobs.initiated(node, session, body["job_id"])
    if body.get("approval"):
        return _apply_anew(node, session, job, body)
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
        asked = ("jobStart", trace_id, message)
        ordered_tasks.ask(node, session, job, asked, run=course.run, decided=given)
    return {"job_id": random_id("job") if defect(node, "rerun-under-new-id") else job.job_id}


def _apply_anew(node: Node, session: Session, job: JobRow, body: Body) -> dict[str, Any]:
    """Ask each of the other parties to approve the parameters of a further run; nothing runs by it (8.4.1-b)."""
    job_id, given = job.job_id, body.get("task_params")
    admission.check_params(node, session, job, given)
    asked = [contract_needed(node, session, node_id, "/job_id") for node_id in progress.others(node, job)]
    for contract_id in [contract.contract_id for contract in asked]:
        wanted = {"contract_id": contract_id, "job_id": job_id, "task_params": given}
        own_approvals.apply(node, session, JobSubject(), wanted)
    return {"job_id": job_id}


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


def _demand(node: Node, caller: Caller, job: JobRow, stranger: str) -> None:
    if caller.node_id != job.scheduler_node_id and not defect(node, stranger):
        raise Refusal("NOT_YOURS", pointer="/job_id")


def _all(job: JobRow) -> list[str]:
    return [part["name"] for part in job.dag["components"]]
