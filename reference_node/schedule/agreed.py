"""What this node has agreed to of a job: the job itself, configurations approved for it since, own decisions (5.2-f).

An operator that has another node schedule its job gives new parameters for a run or a task through that scheduler;
what it gave is kept here, and the order that comes back has to carry exactly that. Guarantees: nothing that an order
says counts for an agreement; whose approval or decision has gone covers nothing any more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from reference_node.domain import Role, ordered, plan
from reference_node.domain.approval import Kind
from reference_node.domain.consent import OPEN
from reference_node.domain.ordered import Agreement, Stray
from reference_node.node import Node
from reference_node.schedule.common import defect, schedules
from reference_node.store.approvals import ApprovalRow, PermitRow, still_good
from reference_node.store.jobs import DecisionRow, JobRow, TaskRow

Given = Mapping[str, Any] | None


def stray(node: Node, session: Session, job: JobRow, task: TaskRow, given: Given) -> Stray | None:
    """Return what a task would compute with at this node beyond what is agreed; None where it may run so.

    `task` may be one that is not kept yet. A node that both initiates and schedules asks nobody but its operator, and
    one that has no part in the job leaves it to the parties.
    """
    own = job.initiator_node_id == node.node_id
    if (own and schedules(node, job)) or not plan.of_node(job.config, node.node_id):
        return None
    agreements = [_decided(session, job, task)] if own else [Agreement(job.config), *_approved(node, session, job)]
    parties = plan.parties(job.config)
    if defect(node, "order-for-others-unchecked"):
        parties = plan.of_node(job.config, node.node_id)
    if own and agreements[0].further is not None and defect(node, "decision-not-bound"):
        return None
    if defect(node, "open-params-refused"):
        agreements = [replace(item, config=_closed(item.config)) for item in agreements]
    found = ordered.stray(agreements, job.config, task.task_name, given, parties)
    return None if found is None or _overlooked(node, found, own=own) else found


def decide(session: Session, job: JobRow, given: Given, *, run: int | None = None, task_id: str | None = None) -> int:
    """Keep what this node's operator has decided that a run, or one task, computes with; return its number.

    Of several decisions the last counts.
    """
    row = DecisionRow(job_id=job.job_id, run=run, task_id=task_id, params=None if given is None else dict(given))
    session.add(row)
    session.flush()
    return row.seq


def take_back(session: Session, seq: int) -> None:
    """Forget a decision that the scheduler has refused to carry out."""
    row = session.get(DecisionRow, seq)
    if row is not None:
        session.delete(row)


def _decided(session: Session, job: JobRow, task: TaskRow) -> Agreement:
    """Return what the operator has decided of a task, else of the run that it is for, else when it made the job."""
    of_job = select(DecisionRow).where(DecisionRow.job_id == job.job_id).order_by(DecisionRow.seq.desc()).limit(1)
    found = session.scalar(of_job.where(DecisionRow.task_id == task.task_id)) or session.scalar(
        of_job.where(DecisionRow.task_id.is_(None), DecisionRow.run <= task.run)
    )
    return Agreement(job.config, None if found is None else found.params)


def _approved(node: Node, session: Session, job: JobRow) -> Iterator[Agreement]:
    """Yield the configurations of this very job that were approved here for its initiator, and still are."""
    wanted = (
        select(ApprovalRow)
        .outerjoin(PermitRow, PermitRow.audit_id == ApprovalRow.audit_id)
        .where(
            ApprovalRow.kind == Kind.JOB.value,
            ApprovalRow.role == Role.APPROVER.value,
            ApprovalRow.resource_id == job.job_id,
            ApprovalRow.partner_node_id == job.initiator_node_id,
            still_good(node.now()),
        )
    )
    for row in session.scalars(wanted.order_by(ApprovalRow.seq.desc())):
        conf = row.content.get("conf")
        if not isinstance(conf, Mapping) or row.content.get("dag") != job.dag:
            continue
        if ordered.same_but_tasks(conf, job.config):
            yield Agreement(conf)


def _closed(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration that leaves nothing open, for the defect that closes all."""
    common = {name: value for name, value in config["job_params"].get(plan.COMMON, {}).items() if name != OPEN}
    return {**config, "job_params": {**config["job_params"], plan.COMMON: common}}


def _overlooked(node: Node, found: Stray, *, own: bool) -> bool:
    """Whether a defect lets pass what goes beyond the agreement."""
    if found.param == "input":
        mine = found.party.node_id == node.node_id
        late = mine and not own and defect(node, "late-input-opened-uncounted")
        return late or defect(node, "own-order-input-changed" if own else "order-input-changed")
    return defect(node, "own-order-params-changed" if own else "order-params-changed")
