"""Asking for what a callback would have told: the scheduler asks the parties, everybody else asks the scheduler.

Guarantees: whatever messages were lost, doubled or overtaken, both ends come to the same state once they reach each
other again; a partner that is silent, or answers with anything but an answer, is waited for a bounded time only.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from reference_node.domain.job import OVER, JobStatus, agree, reject, start
from reference_node.domain.task import FINAL, Cause, Standing, TaskStatus
from reference_node.errors import Refusal
from reference_node.node import Node
from reference_node.schedule import local, progress
from reference_node.schedule.common import cause_of, defect, peer_of, reason_of
from reference_node.store.jobs import JobRow, PartRow, find_job, find_task


def poll_parts(node: Node) -> bool:
    """Ask the parties how their parts are; return whether anything was learnt."""
    open_ = [status.value for status in TaskStatus if status not in FINAL]
    due = (PartRow.node_id != node.node_id, PartRow.status.in_(open_), PartRow.poll_at <= node.now())
    with node.store.read() as session:
        rows = session.execute(select(PartRow.seq, PartRow.node_id).where(*due).order_by(PartRow.seq)).all()
    if not rows or defect(node, "tasks-not-polled"):
        return False
    learnt, silent = False, set()
    for seq, node_id in rows:
        if node_id not in silent:
            heard = _poll_part(node, seq)
            learnt = learnt or heard
            if not heard:
                silent.add(node_id)
    return learnt


def _poll_part(node: Node, seq: int) -> bool:
    with node.store.begin() as session:
        part = session.get(PartRow, seq)
        if part is None or part.standing.final:
            return True
        part.poll_at = node.now() + node.config.task_poll_seconds * 1000
        body = {"task_id": part.task_id, "role": part.role}
        peer = peer_of(node, session, part.node_id)
    news: Standing | None = None
    try:
        if peer is None:
            raise Refusal("CONTRACT_NOT_ACTIVE")
        answer = node.partner.call("taskPoll", peer, body=body)
        news = Standing(
            TaskStatus(answer["status"]), answer.get("attempt", part.attempt), cause_of(answer.get("end_reason"))
        )
    except Refusal as refusal:
        reason, gone = reason_of(refusal), _is_gone(refusal)
        with node.store.begin() as session:
            _unheard(node, session, seq, reason, gone=gone)
        return gone
    with node.store.begin() as session:
        part = session.get(PartRow, seq)
        task = None if part is None else find_task(session, part.task_id)
        job = None if task is None else find_job(session, task.job_id)
        if part is not None and task is not None and job is not None:
            progress.told(node, session, job, task, part, news)
    return news.final


def _unheard(node: Node, session: Session, seq: int, reason: str, *, gone: bool) -> None:
    """Give a part up once its node has been silent for too long, or says that it has no such task."""
    part = session.get(PartRow, seq)
    task = None if part is None else find_task(session, part.task_id)
    job = None if task is None else find_job(session, task.job_id)
    if part is None or task is None or job is None:
        return
    part.unheard_since = part.unheard_since or node.now()
    part.detail = reason
    if not gone and node.now() - part.unheard_since < node.config.order_seconds * 1000:
        return
    job.detail = f"{part.node_id}: {reason}"[:512]
    cause = Cause.PARTNER_ENDED if gone else Cause.PARTNER_UNREACHABLE
    progress.told(node, session, job, task, part, Standing(TaskStatus.FAILED, part.attempt, cause))


def _is_gone(refusal: Refusal) -> bool:
    """Whether a refusal says for good that there is no such task, or that nothing will be answered any more."""
    told = refusal.extra.get("partner", {})
    return refusal.name == "CONTRACT_NOT_ACTIVE" or (refusal.name == "PARTNER_REFUSED" and told.get("status") == 404)


def poll_jobs(node: Node) -> bool:
    """Ask the schedulers how the jobs stand that they schedule; return whether anything was learnt."""
    over = [status.value for status in OVER]
    due = (
        JobRow.scheduler_node_id != node.node_id,
        JobRow.status.not_in(over),
        JobRow.poll_at <= node.now(),
    )
    with node.store.read() as session:
        rows = session.scalars(select(JobRow.job_id).where(*due).order_by(JobRow.seq)).all()
    silent: set[str] = set()
    heard = [_poll_job(node, job_id, silent) for job_id in rows]
    return any(heard)


def _poll_job(node: Node, job_id: str, silent: set[str]) -> bool:
    with node.store.begin() as session:
        job = find_job(session, job_id)
        if job is None or job.scheduler_node_id in silent:
            return False
        job.poll_at = node.now() + node.config.poll_seconds * 1000
        scheduler = job.scheduler_node_id
    heard = refresh(node, job_id)
    if not heard:
        silent.add(scheduler)
    return heard


def refresh(node: Node, job_id: str) -> bool:
    """Ask the scheduler how a job stands and adopt it; return whether it answered."""
    with node.store.read() as session:
        job = find_job(session, job_id)
        peer = None if job is None else peer_of(node, session, job.scheduler_node_id)
    if peer is None:
        return False
    try:
        answer: dict[str, Any] | None = node.partner.call("jobStatusAll", peer, body={"job_id": job_id})
    except Refusal as refusal:
        if not _is_gone(refusal):
            return False
        answer = None
    with node.store.begin() as session:
        job = find_job(session, job_id)
        if job is not None and not job.course.over:
            _adopt(node, session, job, answer)
    return True


def _adopt(node: Node, session: Session, job: JobRow, answer: dict[str, Any] | None) -> None:
    """Bring a job to where its scheduler says that it stands, None meaning that it has no such job."""
    if answer is None:
        if job.status != JobStatus.PENDING:  # a scheduler may ask this node before it has written the job itself
            local.end_here(node, session, job, Cause.PARTNER_ENDED)
        return
    status, run = JobStatus(answer["job_status"]), answer.get("run", job.run)
    if run < job.run:
        return
    if status is JobStatus.REJECTED and job.status in (JobStatus.PENDING, JobStatus.READY):
        job.take(reject(job.course))
        job.finished_at = node.now()
    elif status in OVER:
        local.end_here(node, session, job, cause_of(answer.get("end_reason")) or Cause.PARTNER_ENDED, run)
    elif status is JobStatus.READY:
        job.take(agree(job.course))
    elif status is JobStatus.RUNNING and run == job.run and job.status == JobStatus.READY:
        job.take(start(job.course))
        progress.clock_run(node, job)
