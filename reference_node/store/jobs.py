"""Tables of jobs, tasks, the parties' parts in tasks, and what the scheduler still has to tell the parties (8.4, 8.5).

A node keeps a job as the scheduler, as the initiator or as a party; as the scheduler it keeps the parts of all parties,
otherwise its own. The current task of a component is the latest with a run of at least the job's `epoch`.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, String, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from reference_node.domain import task as rules
from reference_node.domain.job import Course, JobStatus
from reference_node.domain.plan import Party, PartyRole
from reference_node.domain.task import FINAL, Cause, Standing, TaskStatus
from reference_node.store.base import Base
from reference_node.store.sealed import Protected, Sealed

COMPONENT_TOKEN = b"jobs.component_token"  # what its digest is bound to


class JobRow(Protected):
    """One job as this node knows it."""

    __tablename__ = "jobs"
    later = frozenset({"components"})

    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    job_id: Mapped[str] = mapped_column(String(128), unique=True)
    flow_id: Mapped[str | None] = mapped_column(String(128), index=True)
    project_id: Mapped[str | None] = mapped_column(String(128))
    dag: Mapped[dict[str, Any]] = mapped_column(Sealed("jobs.dag"))
    config: Mapped[dict[str, Any]] = mapped_column(Sealed("jobs.config"))
    initiator_node_id: Mapped[str] = mapped_column(String(128))
    scheduler_node_id: Mapped[str] = mapped_column(String(128))
    status: Mapped[str] = mapped_column(String(16))
    run: Mapped[int] = mapped_column(default=1)
    epoch: Mapped[int] = mapped_column(default=1)
    cause: Mapped[str | None] = mapped_column(String(32))
    detail: Mapped[str | None] = mapped_column(String(512))
    targets: Mapped[list[str]] = mapped_column(Sealed("jobs.targets"))
    ending: Mapped[str | None] = mapped_column(String(32))
    ending_until: Mapped[int | None] = mapped_column(BigInteger)
    priority: Mapped[int]
    timeout: Mapped[int]
    deadline_at: Mapped[int | None] = mapped_column(BigInteger)
    session_token: Mapped[str] = mapped_column(Sealed("jobs.session_token"))
    component_token: Mapped[str] = mapped_column(Sealed("jobs.component_token"))
    component_digest: Mapped[str] = mapped_column(String(64), index=True)
    components: Mapped[dict[str, str] | None] = mapped_column(Sealed("jobs.components"))
    poll_at: Mapped[int] = mapped_column(BigInteger, default=0)
    created_at: Mapped[int] = mapped_column(BigInteger)
    started_at: Mapped[int | None] = mapped_column(BigInteger)
    finished_at: Mapped[int | None] = mapped_column(BigInteger)

    __table_args__ = (Index("jobs_by_status", "status", "poll_at"),)

    @property
    def course(self) -> Course:
        """The row as the state machine sees it."""
        return Course(JobStatus(self.status), self.run, None if self.cause is None else Cause(self.cause))

    def take(self, course: Course) -> None:
        """Write where the state machine has come to."""
        self.status, self.run = course.status.value, course.run
        self.cause = None if course.cause is None else course.cause.value


class TaskRow(Protected):
    """One run of a component of a job."""

    __tablename__ = "tasks"

    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    task_id: Mapped[str] = mapped_column(String(128), unique=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.job_id"), index=True)
    task_name: Mapped[str] = mapped_column(String(128))
    run: Mapped[int]
    status: Mapped[str] = mapped_column(String(16))
    attempt: Mapped[int] = mapped_column(default=1)
    cause: Mapped[str | None] = mapped_column(String(32))
    task_params: Mapped[dict[str, Any] | None] = mapped_column(Sealed("tasks.task_params"))
    run_params: Mapped[dict[str, Any] | None] = mapped_column(Sealed("tasks.run_params"))
    priority: Mapped[int]
    outputs: Mapped[list[dict[str, Any]]] = mapped_column(Sealed("tasks.outputs"), default=list)
    created_at: Mapped[int] = mapped_column(BigInteger)
    started_at: Mapped[int | None] = mapped_column(BigInteger)
    finished_at: Mapped[int | None] = mapped_column(BigInteger)

    @property
    def standing(self) -> Standing:
        """The row as the rules see it."""
        return _standing(self)


class PartRow(Protected):
    """What one party does of a task; `files` are the outputs of a part of this node, by key."""

    __tablename__ = "task_parts"

    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    task_id: Mapped[str] = mapped_column(ForeignKey("tasks.task_id"))
    node_id: Mapped[str] = mapped_column(String(128))
    role: Mapped[str] = mapped_column(String(16))
    position: Mapped[int]
    status: Mapped[str] = mapped_column(String(16))
    attempt: Mapped[int] = mapped_column(default=1)
    cause: Mapped[str | None] = mapped_column(String(32))
    detail: Mapped[str | None] = mapped_column(String(512))
    files: Mapped[dict[str, str]] = mapped_column(Sealed("task_parts.files"), default=dict)
    poll_at: Mapped[int | None] = mapped_column(BigInteger)
    unheard_since: Mapped[int | None] = mapped_column(BigInteger)

    __table_args__ = (
        Index("task_parts_by_task", "task_id", "node_id", "role", unique=True),
        Index("task_parts_by_state", "node_id", "status"),
    )

    @property
    def standing(self) -> Standing:
        """The row as the rules see it."""
        return _standing(self)

    @property
    def party(self) -> Party:
        """Whose part it is."""
        return Party(PartyRole(self.role), self.position, self.node_id)

    def take(self, standing: Standing) -> None:
        """Write where the rules have come to."""
        self.status, self.attempt = standing.status.value, standing.attempt
        self.cause = None if standing.cause is None else standing.cause.value


class DecisionRow(Protected):
    """What this node's operator decided that a run, or one task, of its own job computes with.

    Kept where another node schedules: the orders that come back are held against it. `params` is None for what the
    configuration says.
    """

    __tablename__ = "job_decisions"

    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.job_id"), index=True)
    run: Mapped[int | None]
    task_id: Mapped[str | None] = mapped_column(String(128))
    params: Mapped[dict[str, Any] | None] = mapped_column(Sealed("job_decisions.params"))


class Step(StrEnum):
    """What an order tells a party to do."""

    CREATE_ALL = "CREATE_ALL"
    CREATE = "CREATE"
    START = "START"
    TASK_START = "TASK_START"
    TASK_RERUN = "TASK_RERUN"
    TASK_STOP = "TASK_STOP"
    STOP = "STOP"


class OrderState(StrEnum):
    """How far an order has come."""

    WAITING = "WAITING"
    DONE = "DONE"
    REFUSED = "REFUSED"
    GIVEN_UP = "GIVEN_UP"
    WITHDRAWN = "WITHDRAWN"


class OrderRow(Base):
    """One message to a party of a job; those to one party leave in the order of `id`, each once the one before is done.

    `tried` counts the attempts: an order that was never tried is certainly unknown at the other end.
    """

    __tablename__ = "job_orders"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.job_id"))
    node_id: Mapped[str] = mapped_column(String(128))
    task_id: Mapped[str | None] = mapped_column(String(128))
    step: Mapped[str] = mapped_column(String(16))
    operation: Mapped[str] = mapped_column(String(32))
    body: Mapped[dict[str, Any]] = mapped_column(Sealed("job_orders.body"))
    state: Mapped[str] = mapped_column(String(16))
    tried: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[int] = mapped_column(BigInteger)
    give_up_at: Mapped[int] = mapped_column(BigInteger)
    detail: Mapped[str | None] = mapped_column(String(512))

    __table_args__ = (Index("job_orders_by_state", "state", "node_id", "job_id", "id"),)


def find_job(session: Session, job_id: str) -> JobRow | None:
    """Return a job by its id."""
    return session.scalar(select(JobRow).where(JobRow.job_id == job_id))


def find_task(session: Session, task_id: str) -> TaskRow | None:
    """Return a task by its id."""
    return session.scalar(select(TaskRow).where(TaskRow.task_id == task_id))


def current_tasks(session: Session, job: JobRow) -> dict[str, TaskRow]:
    """Return the current task of each component, by name; components that have none yet are left out."""
    wanted = select(TaskRow).where(TaskRow.job_id == job.job_id, TaskRow.run >= job.epoch).order_by(TaskRow.seq)
    return {row.task_name: row for row in session.scalars(wanted)}


def open_tasks(session: Session, job_id: str) -> Sequence[TaskRow]:
    """Return the tasks of a job, of whichever run, of which a part has not ended."""
    ended = [status.value for status in FINAL]
    open_ = select(PartRow.task_id).where(PartRow.status.not_in(ended))
    wanted = select(TaskRow).where(TaskRow.job_id == job_id, TaskRow.task_id.in_(open_))
    return session.scalars(wanted.order_by(TaskRow.seq)).all()


def parts_of(session: Session, task_id: str, node_id: str | None = None) -> Sequence[PartRow]:
    """Return the parts of a task, of one node if it is given."""
    wanted = select(PartRow).where(PartRow.task_id == task_id).order_by(PartRow.seq)
    return session.scalars(wanted if node_id is None else wanted.where(PartRow.node_id == node_id)).all()


def gather(session: Session, task: TaskRow, now: int) -> None:
    """Bring a task to where its parts stand; what is final stays, except for a further attempt."""
    told = rules.together(part.standing for part in parts_of(session, task.task_id))
    if told.attempt == task.attempt and task.status in FINAL:
        return
    if told.attempt > task.attempt:
        task.started_at, task.finished_at = None, None
    if told.status is not TaskStatus.PENDING or told.attempt > task.attempt:
        task.status, task.attempt = told.status.value, told.attempt
        task.cause = None if told.cause is None else told.cause.value
    if told.status in (TaskStatus.RUNNING, TaskStatus.SUCCESS):
        task.started_at = task.started_at or now
    if told.final:
        task.finished_at = now


def _standing(row: TaskRow | PartRow) -> Standing:
    return Standing(TaskStatus(row.status), row.attempt, None if row.cause is None else Cause(row.cause))
