"""Orders of a scheduler, held against what this node has agreed to of the job (5.2-f, 8.4.3-b, 8.5.1-b, 8.5.5-b).

Guarantees: an order that goes beyond the agreement is refused with the place of the parameter and leaves a record;
nothing else is changed by it. An operator's own decision is kept before the scheduler is asked to carry it out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from reference_node.domain import plan
from reference_node.errors import Refusal
from reference_node.evidence.noting import Act, Noted, note
from reference_node.evidence.records import canonical, digest
from reference_node.node import Node
from reference_node.schedule import agreed, progress
from reference_node.schedule.agreed import Given
from reference_node.security.guards import Caller
from reference_node.services import admission, jobs
from reference_node.store.jobs import JobRow, TaskRow, find_task

_RUN_PARAMS = frozenset({"memory_mib"})
_ROOT = "/task_params"


def demand_task(node: Node, session: Session, caller: Caller, job: JobRow, task: TaskRow, given: Given) -> None:
    """Refuse an order for one task that goes beyond what is agreed; `task` may be one that is not kept yet."""
    found = agreed.stray(node, session, job, task, given)
    if found is None:
        return
    if find_task(session, task.task_id) is None and node.faults.on("refused-order-kept"):
        progress.new_task(node, session, job, task.task_name, task_id=task.task_id)
    subjects = {"job_id": job.job_id, "task_id": task.task_id}
    _refuse(
        session,
        caller,
        subjects,
        given,
        plan.place(given or {}, found.party, found.component, found.param, _ROOT),
    )


def demand_job(node: Node, session: Session, caller: Caller, job: JobRow, run: int, given: Given) -> None:
    """Refuse an order for a run of a job whose parameters go beyond what is agreed for any of its components."""
    for name in admission.named(given):
        plan.component(job.dag, name)
        found = agreed.stray(node, session, job, proposed(job, name, "", run), given)
        if found is not None:
            place = plan.place(given or {}, found.party, found.component, found.param, _ROOT)
            _refuse(session, caller, {"job_id": job.job_id}, given, place)


def proposed(job: JobRow, name: str, task_id: str, run: int | None) -> TaskRow:
    """Return a task as an order names it, which is not kept."""
    return TaskRow(job_id=job.job_id, task_name=name, task_id=task_id, run=job.run if run is None else run)


def operational(given: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return of the parameters of how a component is run those that a scheduler may give: what it may consume."""
    return None if given is None else {name: value for name, value in given.items() if name in _RUN_PARAMS}


def ask(
    node: Node,
    session: Session,
    job: JobRow,
    asked: tuple[str, str, Mapping[str, Any]],
    *,
    run: int | None = None,
    task_id: str | None = None,
    decided: Given,
) -> None:
    """Have the scheduler of an own job do something (operation, trace, body) with what the operator has decided."""
    operation, trace_id, body = asked
    kept = None
    if not node.faults.on("decision-forgotten"):
        kept = agreed.decide(session, job, decided, run=run, task_id=task_id)
    try:
        jobs.ask_scheduler(node, session, job, operation, trace_id, body)
    except Refusal as refusal:
        if kept is not None and refusal.name == "PARTNER_REFUSED":  # one that was not heard may still act
            agreed.take_back(session, kept)
            session.commit()
        raise


def _refuse(session: Session, caller: Caller, subjects: Mapping[str, str], given: Given, place: str) -> None:
    said = {"reason": "PARAMS_NOT_AGREED", "params": digest(canonical(given))}
    note(session, Noted(Act.JOB_ORDER_REFUSED, subjects, caller.node_id, said))
    session.commit()
    raise Refusal("PARAMS_NOT_AGREED", pointer=place)
