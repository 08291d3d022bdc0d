"""What an approval binds: the content that was shown to whoever approved, whole and to the letter (9.2-b, 8.4.1-b).

Guarantees: an approval is known by a digest of all that its approver is shown, the same at both ends; a partner's job
is let in only with the DAG, the configuration, the flow and the project of an approval in force; a flow that was
approved without a configuration opens no job, for nobody has agreed to one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from reference_node.domain import Role, consent, plan
from reference_node.domain.approval import Kind
from reference_node.errors import Refusal
from reference_node.evidence.noting import Act, Noted, note
from reference_node.evidence.records import canonical, digest
from reference_node.node import Node
from reference_node.store.approvals import ApprovalRow, all_in_force
from reference_node.store.jobs import JobRow

APPLY_AGAIN = (
    "The configuration differs from the one that {partner} has approved. Apply for the approval of the flow again with "
    "this configuration, or set job_params.common.approval to have this job approved by itself."
)


def content_digest(row: ApprovalRow) -> str:
    """Return the SM3 digest, in hex, of all that is shown of an application, in canonical JSON."""
    shown = {"audit_id": row.audit_id, "contract_id": row.contract_id, "kind": row.kind, "content": row.content}
    return digest(canonical(shown))


def check_seen(node: Node, row: ApprovalRow, body: Mapping[str, Any]) -> None:
    """Refuse a decision on another content than this application has."""
    seen = body.get("content_digest")
    if seen is not None and seen != content_digest(row) and not node.faults.on("decision-on-other-content-taken"):
        raise Refusal("CONTENT_NOT_SEEN", pointer="/content_digest")


def same_content(node: Node, row: ApprovalRow, content: Mapping[str, Any]) -> bool:
    """Tell whether an application that arrives again says what it said before, in every field."""
    known = row.content
    if node.faults.on("repeated-application-may-change-description"):
        known, content = ({**each, "description": ""} for each in (known, content))
    return consent.same(known, content)


def resting_on(node: Node, session: Session, job: JobRow) -> ApprovalRow:
    """Return the approval that a partner's job rests on; refuse a job that goes beyond every one of them.

    A job that names no project runs in that of its approval, by which permits of data are judged (9.2-b-2).
    """
    refused: Refusal | None = None
    for row in _candidates(node, session, job):
        place = _beyond(node, row, job)
        if place is None:
            job.project_id = job.project_id or row.content.get("project_id")
            return row
        refused = refused or Refusal(_code(place), pointer=place)
    if refused is None and node.faults.on("flow-approved-for-another-runs"):
        others = (ApprovalRow.resource_id == job.flow_id, ApprovalRow.partner_node_id != job.initiator_node_id)
        other = session.scalar(select(ApprovalRow).where(ApprovalRow.kind == Kind.FLOW.value, *others))
        if other is not None:
            return other
    raise refused or Refusal("RESOURCE_NOT_APPROVED", pointer="/flow_id")


def record_refusal(session: Session, job: JobRow, refusal: Refusal) -> None:
    """Keep as evidence that a job beyond what was approved was asked for, by digests of what it was (9.2-d).

    Whatever else the transaction has done is undone.
    """
    session.rollback()
    asked = {"dag": digest(canonical(job.dag)), "config": digest(canonical(job.config))}
    said = {"error": refusal.name, "pointer": refusal.pointer or "", **asked}
    subjects = {"job_id": job.job_id} | ({} if job.flow_id is None else {"flow_id": job.flow_id})
    note(session, Noted(Act.JOB_REFUSED, subjects, job.initiator_node_id, said))
    session.commit()


def check_own(node: Node, session: Session, job: JobRow) -> None:
    """Tell this node's operator at once which configuration a partner has not approved, before the partner does."""
    if job.flow_id is None:
        return
    for partner in dict.fromkeys(party.node_id for party in plan.parties(job.config)):
        if partner == node.node_id:
            continue
        agreed = [row.content for row in all_in_force(session, Kind.FLOW, job.flow_id, partner, node.now())]
        places = [consent.difference(content["config"], job.config) for content in agreed if content.get("config")]
        if places and all(places):
            raise Refusal(
                "CONFIG_NOT_APPROVED", pointer=f"/config{places[0]}", hint=APPLY_AGAIN.format(partner=partner)
            )


def _candidates(node: Node, session: Session, job: JobRow) -> Iterator[ApprovalRow]:
    """Every approval by which the initiator may have this job: of the job itself first, then of its flow."""
    initiator = job.initiator_node_id
    yield from all_in_force(session, Kind.JOB, job.job_id, initiator, node.now(), Role.APPROVER)
    if node.config.job_approval != "flow" or job.flow_id is None:
        return
    yield from all_in_force(session, Kind.FLOW, job.flow_id, initiator, node.now())


def _beyond(node: Node, row: ApprovalRow, job: JobRow) -> str | None:
    """Return where a job goes beyond what was approved, as a pointer into the request that creates it, or None."""
    if not consent.same(row.content["dag"], job.dag) and not node.faults.on("job-dag-replaced"):
        return "/dag"
    agreed = row.content.get("conf" if row.kind == Kind.JOB else "config")
    if agreed is None:
        return "/config"
    place = consent.difference(agreed, job.config)
    if place is None and agreed != job.config and node.faults.on("agreed-job-bound-too-tightly"):
        place = "/job_params"
    dag_only = row.kind == Kind.JOB and node.faults.on("job-approval-compares-dag-only")
    if place is not None and not dag_only and not _overlooked(node, agreed, job.config, place):
        return f"/config{place}"
    return _misplaced(node, row, job)


def _misplaced(node: Node, row: ApprovalRow, job: JobRow) -> str | None:
    """Return which of flow and project of a job is not the one that was approved."""
    if row.kind == Kind.JOB and job.flow_id not in (None, row.content["flow_id"]):
        return "/flow_id"
    elsewhere = job.project_id is not None and job.project_id != row.content.get("project_id")
    return "/project_id" if elsewhere and not node.faults.on("project-of-job-not-compared") else None


def _overlooked(node: Node, agreed: Mapping[str, Any], asked: Mapping[str, Any], place: str) -> bool:
    """Whether a defect lets pass where a configuration goes beyond the one that was approved."""
    part = place.split("/")[1]
    if node.faults.on("job-config-replaced"):
        return True
    if part in ("task_params", "job_params") and node.faults.on("job-parameters-replaced"):
        return True
    if part in ("role", "initiator", "version") and node.faults.on("job-parties-replaced"):
        return consent.difference({**agreed, part: asked[part]}, asked) is None
    if node.faults.on("open-params-of-the-job-believed"):
        stated = asked["job_params"].get(plan.COMMON, {}).get(consent.OPEN, {})
        common = {**agreed["job_params"].get(plan.COMMON, {}), consent.OPEN: stated}
        opened = {**agreed, "job_params": {**agreed["job_params"], plan.COMMON: common}}
        return consent.difference(opened, asked) is None
    return False


def _code(place: str) -> str:
    return "DAG_FROZEN" if place == "/dag" else "CONFIG_NOT_APPROVED"
