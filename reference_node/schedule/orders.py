"""Orders: what the scheduler tells the parties of a job, one after the other and for a bounded time (8.4, 8.5).

Guarantees: an order is committed together with the change that it reports; those of a job to one node leave in the
order in which they were written, each once the one before is settled; one that is not heard, or is answered with
something that is no answer, is tried again after a growing interval until its time is over, across restarts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from reference_node.errors import Refusal
from reference_node.evidence.noting import Act, Noted, note
from reference_node.node import Node
from reference_node.schedule.common import peer_of, reason_of
from reference_node.store.jobs import JobRow, OrderRow, OrderState, Step

_OPERATIONS = {
    Step.CREATE_ALL: "jobCreateAll",
    Step.CREATE: "jobCreate",
    Step.START: "jobStart",
    Step.TASK_START: "taskStart",
    Step.TASK_RERUN: "taskRerun",
    Step.TASK_STOP: "taskStop",
    Step.STOP: "jobStop",
}
_NOT_ALLOWED = "ADDRESS_NOT_ALLOWED"
_PASSING = frozenset({401, 408, 425, 429})  # refusals that may pass by themselves

Settled = Callable[[Node, Session, OrderRow], None]


def put(
    node: Node,
    session: Session,
    job: JobRow,
    node_id: str,
    step: Step,
    body: dict[str, Any],
    task_id: str | None = None,
) -> OrderRow:
    """Owe a party a message; it counts when the session commits."""
    patience = node.config.abandon_seconds if step is Step.STOP else node.config.order_seconds
    now = node.now()
    row = OrderRow(
        job_id=job.job_id,
        node_id=node_id,
        task_id=task_id,
        step=step.value,
        operation=_OPERATIONS[step],
        body=body,
        state=OrderState.WAITING.value,
        due_at=now,
        give_up_at=now + patience * 1000,
    )
    session.add(row)
    session.flush()
    return row


def withdraw(session: Session, job_id: str, task_id: str | None = None) -> list[OrderRow]:
    """Take back what waits of a job, or of one task of it, except for the news that it is to end; return that."""
    wanted = select(OrderRow).where(
        OrderRow.job_id == job_id, OrderRow.state == OrderState.WAITING.value, OrderRow.step != Step.STOP.value
    )
    if task_id is not None:
        wanted = wanted.where(OrderRow.task_id == task_id, OrderRow.step != Step.TASK_STOP.value)
    rows = list(session.scalars(wanted))
    for row in rows:
        row.state = OrderState.WITHDRAWN.value
    return rows


def of_job(session: Session, job_id: str, *steps: Step) -> list[OrderRow]:
    """Return the orders of a job of some kinds."""
    kinds = [step.value for step in steps]
    return list(session.scalars(select(OrderRow).where(OrderRow.job_id == job_id, OrderRow.step.in_(kinds))))


def deliver(node: Node, settled: Settled) -> bool:
    """Try what is due; return whether anything was settled."""
    with node.store.read() as session:
        due = session.execute(
            select(OrderRow.node_id, OrderRow.job_id)
            .where(OrderRow.state == OrderState.WAITING.value, OrderRow.due_at <= node.now())
            .distinct()
        ).all()
    moved, silent = False, set()
    for node_id, job_id in due:
        while node_id not in silent:  # a node that does not answer costs one wait in a round, not one for each job
            heard = _try_next(node, node_id, job_id, settled)
            if heard is None:
                break
            moved = moved or heard
            if not heard:
                silent.add(node_id)
    return moved


def _try_next(node: Node, node_id: str, job_id: str, settled: Settled) -> bool | None:
    """Try the oldest order of a job to a node: True if it was settled, False if not, None if none is due."""
    with node.store.begin() as session:
        row = session.scalar(
            select(OrderRow)
            .where(OrderRow.job_id == job_id, OrderRow.node_id == node_id, OrderRow.state == OrderState.WAITING.value)
            .order_by(OrderRow.id)
            .limit(1)
        )
        if row is None or row.due_at > node.now():
            return None
        row.tried += 1
        peer = peer_of(node, session, node_id)
    refusal = Refusal("CONTRACT_NOT_ACTIVE") if peer is None else None
    if peer is not None:
        try:
            node.partner.call(row.operation, peer, body=row.body)
        except Refusal as failure:
            refusal = failure
    return _settle(node, row, refusal, settled)


def _settle(node: Node, row: OrderRow, refusal: Refusal | None, settled: Settled) -> bool:
    state, detail = OrderState.DONE, None
    garbled = refusal is not None and refusal.name == "PARTNER_ANSWER_INVALID"
    if garbled and node.faults.on("nonsense-taken-for-agreement"):
        refusal = None
    if refusal is not None:
        detail = f"{row.node_id}: {reason_of(refusal)}"[:512]
        status = refusal.extra.get("partner", {}).get("status", 500)
        refused = refusal.name == "PARTNER_REFUSED" and status < 500 and status not in _PASSING
        if refused or refusal.name in ("CONTRACT_NOT_ACTIVE", _NOT_ALLOWED):
            state = OrderState.REFUSED
        elif node.now() >= row.give_up_at:
            state = OrderState.GIVEN_UP
        else:
            _put_off(node, row, detail)
            return False
    with node.store.begin() as session:
        kept = session.get(OrderRow, row.id)
        if kept is not None and kept.state == OrderState.WAITING.value:
            kept.state, kept.detail = state.value, detail
            if refusal is not None and refusal.name == _NOT_ALLOWED:
                said = {"reason": refusal.extra["reason"], "operation": row.operation}
                note(session, Noted(Act.ADDRESS_REFUSED, {"job_id": row.job_id}, row.node_id, said))
            session.flush()
            settled(node, session, kept)
    return True


def _put_off(node: Node, row: OrderRow, detail: str) -> None:
    wait = min(node.config.retry_limit_seconds, node.config.retry_seconds * 2 ** min(row.tried - 1, 20))
    due = min(node.now() + wait * 1000, max(row.give_up_at, node.now() + 1000))
    with node.store.begin() as session:
        session.execute(update(OrderRow).where(OrderRow.id == row.id).values(due_at=due, detail=detail))
