"""Jobs made of flows and offered to their parties (8.4.1).

A node has up to three parts in a job: its operator initiates it, it schedules it, it is one of its parties. Guarantees:
a job keeps the id that its initiator gave it on every node; the same creation again makes no second job.
"""

from __future__ import annotations

import secrets
from typing import Any

from sqlalchemy.orm import Session

from reference_node.domain import consent, plan
from reference_node.domain.ids import random_id
from reference_node.domain.job import JobStatus, agree, reject
from reference_node.errors import Refusal
from reference_node.node import Node
from reference_node.runtime.contract import WarmRunner
from reference_node.schedule import approving, material, progress, sessions
from reference_node.schedule.common import contract_needed, defect, reason_of, schedules
from reference_node.security.guards import Caller
from reference_node.services import admission, consents, job_addresses, links, own_approvals
from reference_node.services.approvals import Body
from reference_node.services.job_approvals import JobSubject
from reference_node.store.jobs import COMPONENT_TOKEN, JobRow, find_job


def create(node: Node, session: Session, body: Body, trace_id: str) -> dict[str, Any]:
    """Make a job of a flow and offer it to its parties (8.4.1-a)."""
    if body["config"]["initiator"]["node_id"] != node.node_id:
        raise Refusal("REQUEST_INVALID", pointer="/config/initiator/node_id")
    parties = admission.check_plan(node, body)
    job_addresses.check(node, session, "", body["config"])
    flow = admission.check_flow(session, body)
    job = _new_row(node, {**body, "job_id": random_id("job")}, node.node_id, plan.scheduler_of(body["config"]))
    job.project_id = job.project_id if flow is None else flow.project_id
    for pointer, node_id in _places(job):
        if node_id != node.node_id:
            contract_needed(node, session, node_id, pointer)
    admission.check_parts(node, session, job, parties)
    job.components = material.fingerprints(session, job.dag)
    if approving.wanted(job) and job.flow_id is None:
        raise Refusal("REQUEST_INVALID", pointer="/flow_id")
    if not approving.wanted(job):
        consents.check_own(node, session, job)
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
    job_addresses.check(node, session, body["job_id"], body["config"], caller.node_id)
    job = _new_row(node, body, caller.node_id, node.node_id)
    for pointer, node_id in _places(job):
        if node_id != node.node_id:
            contract_needed(node, session, node_id, pointer)
    if parties:
        admission.check_approval(node, session, job)
        admission.check_parts(node, session, job, parties)
        job.components = material.fingerprints(session, job.dag)
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
    job_addresses.check(node, session, body["job_id"], body["config"], caller.node_id)
    if defect(node, "job-id-replaced"):
        body = {**body, "job_id": random_id("job")}
    job = _new_row(node, body, initiator, caller.node_id)
    job.session_token = _told_token(body)
    admission.check_approval(node, session, job)
    admission.check_parts(node, session, job, parties)
    job.components = material.fingerprints(session, job.dag)
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


def _told_token(body: Body) -> str:
    """Return the token that a scheduler has told every party; where it has told none, what stands for none."""
    return str(body.get("session_token") or sessions.unproved(body["job_id"]))


def _confirm_own(session: Session, caller: Caller, body: Body) -> None:
    """The scheduler comes back with a job that this node has initiated: now it is ready here."""
    job = find_job(session, body["job_id"])
    if job is None or job.scheduler_node_id != caller.node_id:
        raise Refusal("RESOURCE_NOT_FOUND", pointer="/job_id")
    if not _same(job, {"flow_id": job.flow_id, **body}):
        raise Refusal("ID_TAKEN", pointer="/job_id")
    if job.status == JobStatus.PENDING:  # what the other parties were told, though this node had proposed one
        job.session_token = _told_token(body)
    job.take(agree(job.course))


def _repeated(node: Node, session: Session, body: Body, source: str) -> bool:
    """Tell whether this very job is here already; refuse another under its id."""
    known = find_job(session, body["job_id"])
    if known is None:
        return False
    if defect(node, "repeated-job-creation-refused"):
        raise Refusal("ID_TAKEN", pointer="/job_id")
    if not _same(known, body) or source not in (known.scheduler_node_id, known.initiator_node_id):
        raise Refusal("ID_TAKEN", pointer="/job_id")
    return True


def _same(job: JobRow, body: Body) -> bool:
    """Tell whether a creation says of a job what is kept of it, in every field that it rests on."""
    known = {"dag": job.dag, "config": job.config, "flow_id": job.flow_id}
    elsewhere = body.get("project_id", job.project_id) != job.project_id
    return not elsewhere and consent.same(known, {name: body.get(name) for name in known})


def _new_row(node: Node, body: Body, initiator: str, scheduler: str) -> JobRow:
    settings = body["config"]["job_params"].get(plan.COMMON, {})
    component_token = _token()
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
        session_token=body.get("session_token") or _session_token(node, body["job_id"]),
        component_token=component_token,
        component_digest=node.vault.digest(component_token.encode(), COMPONENT_TOKEN),
        poll_at=node.now() + node.config.poll_seconds * 1000,
        created_at=node.now(),
    )


def _session_token(node: Node, job_id: str) -> str:
    """Draw the token that the nodes of a job share."""
    if defect(node, "session-token-is-job-id"):
        return job_id
    return "the-token-of-every-job" if defect(node, "session-token-repeats") else _token()


def _token() -> str:
    return secrets.token_urlsafe(24)


def _places(job: JobRow) -> list[tuple[str, str]]:
    """Return (place in the request, node id) of every node that a job needs."""
    found = [(f"/config/role/{item.role}/{item.index}", item.node_id) for item in plan.parties(job.config)]
    return [*found, ("/config/job_params/common/scheduler", job.scheduler_node_id)]


def _now(session: Session, job_id: str) -> JobRow:
    session.expire_all()
    job = find_job(session, job_id)
    if job is None:
        raise Refusal("RESOURCE_NOT_FOUND", pointer="/job_id")
    return job
