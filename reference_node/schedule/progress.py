"""The scheduler's view of a job: what starts next, what has ended, what is told to whom (8.4.3, 8.4.4, 8.5.4).

Guarantees: a task starts once all that feed it have succeeded, and not before; a task that fails ends the run, one that
was stopped on demand takes along only what follows from it (8.5.3-a); a job ends once the fate of every part is
known or its partner has been silent for too long; the parties of a job that ends before all is done are told.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from reference_node.domain import plan
from reference_node.domain import task as rules
from reference_node.domain.ids import random_id
from reference_node.domain.job import JobStatus, agree, reject
from reference_node.domain.job import end as ended
from reference_node.domain.task import Cause, Standing, TaskStatus
from reference_node.node import Node
from reference_node.schedule import local, orders
from reference_node.schedule.common import defect, schedules
from reference_node.store.jobs import (
    JobRow,
    OrderRow,
    OrderState,
    PartRow,
    Step,
    TaskRow,
    current_tasks,
    find_job,
    find_task,
    gather,
    open_tasks,
    parts_of,
)


def others(node: Node, job: JobRow) -> list[str]:
    """Return the nodes that a scheduler has to tell of a job, each once."""
    return list(dict.fromkeys(item.node_id for item in plan.parties(job.config) if item.node_id != node.node_id))


def offer(node: Node, session: Session, job: JobRow) -> None:
    """Owe every party the creation of the job (8.4.1-b); where there is none to tell, all agree.

    Another node that has initiated the job is told last: it may start what it knows to be ready.
    """
    told = others(node, job)
    for node_id in [found for found in told if found != job.initiator_node_id] or told:
        orders.put(node, session, job, node_id, Step.CREATE, creation(node, job))
    if not told:
        job.take(agree(job.course))


def creation(node: Node, job: JobRow) -> dict[str, Any]:
    """Return what a party, or the scheduler, is told of a new job."""
    optional = {"flow_id": job.flow_id, "project_id": job.project_id}
    body: dict[str, Any] = {
        "job_id": job.job_id,
        "dag": job.dag,
        "config": job.config,
        "session_token": job.job_id if defect(node, "other-session-token-told") else job.session_token,
    }
    if defect(node, "job-offer-without-settings"):
        body["config"] = {**job.config, "job_params": {plan.COMMON: {}}}
    if defect(node, "job-create-with-other-id"):
        body["job_id"] = random_id("job")
    return body | {name: value for name, value in optional.items() if value is not None}


def launch(node: Node, session: Session, job: JobRow, params: dict[str, Any] | None, targets: list[str]) -> None:
    """Begin a run for which `job.course` has been moved: its tasks, the deadline, the news to the parties."""
    job.targets, job.epoch = targets, job.run
    clock_run(node, job)
    for part in job.dag["components"]:
        new_task(node, session, job, part["name"], params=params)
    for node_id in others(node, job):
        if not defect(node, "partners-not-started"):
            orders.put(node, session, job, node_id, Step.START, {"job_id": job.job_id, "run": job.run})
    session.flush()
    advance(node, session, job)


def clock_run(node: Node, job: JobRow) -> None:
    """Set when a run began and when it must have ended (8.4.1-a: time-out in seconds)."""
    job.started_at, job.finished_at, job.cause, job.detail = node.now(), None, None, None
    job.ending = job.ending_until = None
    job.deadline_at = node.now() + job.timeout * 1000


def new_task(
    node: Node,
    session: Session,
    job: JobRow,
    name: str,
    *,
    task_id: str | None = None,
    attempt: int = 1,
    params: dict[str, Any] | None = None,
    run_params: dict[str, Any] | None = None,
    priority: int | None = None,
) -> TaskRow:
    """Write a task that has not begun, with the parts of those that this node keeps parts of."""
    if task_id is None:
        task_id = random_id("task").replace("-", "_", 1)
    task = TaskRow(
        task_id=task_id,
        job_id=job.job_id,
        task_name=name,
        run=job.run,
        attempt=attempt,
        status=TaskStatus.PENDING.value,
        task_params=params,
        run_params=run_params,
        priority=job.priority if priority is None else priority,
        outputs=[],
        created_at=node.now(),
    )
    session.add(task)
    session.flush()
    kept = plan.parties(job.config) if schedules(node, job) else plan.of_node(job.config, node.node_id)
    local.new_parts(session, task, kept, Standing(TaskStatus.PENDING, attempt))
    return task


def advance(node: Node, session: Session, job: JobRow) -> None:
    """Do what follows from where the tasks of a job stand by now."""
    if not schedules(node, job):
        local.finish(node, session, job)
        return
    if job.status != JobStatus.RUNNING:
        return
    if job.ending is not None:
        _end_when_known(node, session, job)
        return
    while True:  # a task that is done at once may let the next one start
        tasks = current_tasks(session, job)
        _stop_failed(node, session, job, tasks)
        before = plan.feeders(job.dag)
        if defect(node, "dependencies-ignored"):
            before = dict.fromkeys(before, ())
        step = plan.step(before, job.targets, {name: row.standing for name, row in tasks.items()})
        if step.failed is not None and not defect(node, "failed-task-stops-nothing"):
            end(node, session, job, tasks[step.failed].standing.cause or Cause.COMPONENT_FAILED)
            return
        for name in step.skip:
            _skip(node, session, tasks[name])
        for name in step.start:
            start_task(node, session, job, tasks[name])
        if step.over or step.failed is not None:
            failed = [tasks[name] for name in job.targets if tasks[name].status == TaskStatus.FAILED]
            _conclude(node, session, job, failed[0].standing.cause if failed else None)
            return
        if not any(tasks[name].standing.final for name in step.start):
            return


def _stop_failed(node: Node, session: Session, job: JobRow, tasks: Mapping[str, TaskRow]) -> None:
    """Of a task that has failed at one party, stop the other parts: they wait for messages that will not come."""
    for task in tasks.values():
        if task.status == TaskStatus.FAILED:
            _stop_parts(node, session, job, task)


def start_task(node: Node, session: Session, job: JobRow, task: TaskRow) -> None:
    """Begin a task at all parties, under one id (8.5.1)."""
    task.status = TaskStatus.READY.value
    told: set[str] = set()
    for part in parts_of(session, task.task_id):
        if part.node_id == node.node_id:
            continue
        part.take(Standing(TaskStatus.READY, part.attempt))
        if part.node_id not in told:
            told.add(part.node_id)
            orders.put(node, session, job, part.node_id, Step.TASK_START, start_body(job, task), task.task_id)
    session.flush()
    local.begin(node, session, job, task)


def start_body(job: JobRow, task: TaskRow) -> dict[str, Any]:
    """Return what a party is told of a task that it is to begin."""
    body: dict[str, Any] = {"task_id": task.task_id, "job_id": job.job_id, "task_name": task.task_name}
    body |= {"priority": task.priority, "run": job.run, "attempt": task.attempt}
    optional = {"task_params": task.task_params, "run_params": task.run_params}
    return body | {name: value for name, value in optional.items() if value is not None}


def told(node: Node, session: Session, job: JobRow, task: TaskRow, part: PartRow, news: Standing) -> None:
    """Take in how a part of another node stands."""
    part.unheard_since = None
    after = rules.adopt(part.standing, news)
    if after != part.standing:
        part.take(after)
        session.flush()
        gather(session, task, node.now())
    advance(node, session, job)


def settled(node: Node, session: Session, order: OrderRow) -> None:
    """Draw the consequences of an order that was carried out, refused or given up."""
    job = find_job(session, order.job_id)
    if job is None:
        return
    job_detail = order.detail if order.state != OrderState.DONE else None
    step, done = Step(order.step), order.state == OrderState.DONE
    cause = Cause.PARTNER_REFUSED if order.state == OrderState.REFUSED else Cause.PARTNER_UNREACHABLE
    if step in (Step.CREATE, Step.CREATE_ALL):
        _settled_creation(node, session, job, cause, step, done=done)
    elif step is Step.STOP:
        if order.body["run"] != job.run:  # the news of an earlier run's end, heard after the next has begun
            return
        _ask_again(node, session, job, order.node_id, None if done else cause)
    elif done or (step is Step.TASK_START and defect(node, "task-refusal-ignored")):
        _poll_from_now(node, session, order)
    elif step is Step.START:
        end(node, session, job, cause)
    elif step is Step.TASK_STOP and cause is Cause.PARTNER_REFUSED:  # it never began there
        _fail_parts(node, session, job, order, Cause.STOPPED)
    else:
        _fail_parts(node, session, job, order, cause)
    if job_detail is not None and step is not Step.STOP:
        job.detail = job_detail


def _settled_creation(node: Node, session: Session, job: JobRow, cause: Cause, step: Step, *, done: bool) -> None:
    if job.status != JobStatus.PENDING:
        return
    if done or (cause is Cause.PARTNER_REFUSED and defect(node, "partner-refusal-ignored")):
        asked = orders.of_job(session, job.job_id, Step.CREATE)
        if step is Step.CREATE and not any(row.state == OrderState.WAITING for row in asked):
            if {row.node_id for row in asked} == set(others(node, job)):
                job.take(agree(job.course))
            else:
                orders.put(node, session, job, job.initiator_node_id, Step.CREATE, creation(node, job))
        return
    if step is Step.CREATE_ALL:
        job.take(reject(job.course, cause))
        job.finished_at = node.now()
        return
    end(node, session, job, cause, rejected=cause is Cause.PARTNER_REFUSED)


def taken(node: Node, session: Session, job: JobRow, node_id: str) -> None:
    """Count a node that was told of a job and acts on it among those that have taken it: its answer may be late."""
    for row in orders.of_job(session, job.job_id, Step.CREATE):
        if row.node_id == node_id and row.state == OrderState.WAITING and row.tried:
            row.state = OrderState.DONE.value
            session.flush()
            settled(node, session, row)


def _ask_again(node: Node, session: Session, job: JobRow, node_id: str, cause: Cause | None) -> None:
    """After the news of the end has arrived: ask a party at once how its parts have ended, or give them up."""
    for task in open_tasks(session, job.job_id):
        for part in parts_of(session, task.task_id, node_id):
            if part.standing.final:
                continue
            if cause is None:
                part.poll_at = node.now()
            else:
                part.take(rules.stop(part.standing, Cause.STOPPED if cause is Cause.PARTNER_REFUSED else cause))
        session.flush()
        gather(session, task, node.now())
    advance(node, session, job)


def _poll_from_now(node: Node, session: Session, order: OrderRow) -> None:
    if order.task_id is None:
        return
    wait = 0 if order.step == Step.TASK_STOP else node.config.task_poll_seconds * 1000
    for part in parts_of(session, order.task_id, order.node_id):
        part.poll_at = node.now() + wait


def _fail_parts(node: Node, session: Session, job: JobRow, order: OrderRow, cause: Cause) -> None:
    task = None if order.task_id is None else find_task(session, order.task_id)
    if task is None:
        return
    for part in parts_of(session, task.task_id, order.node_id):
        part.take(rules.stop(part.standing, cause))
    session.flush()
    gather(session, task, node.now())
    advance(node, session, job)


def stop_task(node: Node, session: Session, job: JobRow, task: TaskRow) -> None:
    """Stop one task at all parties (8.5.3); what has ended stays as it is."""
    if task.status == TaskStatus.PENDING:
        task.status, task.cause, task.finished_at = TaskStatus.FAILED.value, Cause.STOPPED.value, node.now()
        for part in parts_of(session, task.task_id):
            part.take(rules.stop(part.standing))
        advance(node, session, job)
        return
    _stop_parts(node, session, job, task)
    advance(node, session, job)


def _stop_parts(node: Node, session: Session, job: JobRow, task: TaskRow) -> None:
    """Stop what still runs of a task, here at once and elsewhere by an order, of which one is enough."""
    if all(part.standing.final for part in parts_of(session, task.task_id)):
        return
    untold = {row.node_id for row in orders.withdraw(session, job.job_id, task.task_id) if row.tried == 0}
    for part in parts_of(session, task.task_id):
        if part.node_id in untold:
            part.take(rules.stop(part.standing))
    session.flush()
    local.stop(node, session, job, task, Cause.STOPPED)
    told = {
        row.node_id
        for row in orders.of_job(session, job.job_id, Step.TASK_STOP)
        if row.task_id == task.task_id and row.body["attempt"] == task.attempt and row.state != OrderState.WITHDRAWN
    }
    running = [part for part in parts_of(session, task.task_id) if not part.standing.final and part.node_id not in told]
    for node_id in dict.fromkeys(part.node_id for part in running):
        if defect(node, "task-stop-not-told"):
            break
        body = {"job_id": job.job_id, "task_id": task.task_id, "attempt": task.attempt}
        orders.put(node, session, job, node_id, Step.TASK_STOP, body, task.task_id)
    gather(session, task, node.now())


def end(node: Node, session: Session, job: JobRow, cause: Cause, *, rejected: bool = False) -> None:
    """End a run before everything is done: what runs is stopped everywhere, what has not begun never begins."""
    if job.course.over or job.ending is not None:
        return
    untold = {(row.task_id, row.node_id) for row in orders.withdraw(session, job.job_id) if row.tried == 0}
    _tell_of_end(node, session, job, cause)
    if job.status != JobStatus.RUNNING:
        job.take(reject(job.course, cause) if rejected else ended(job.course, cause))
        job.finished_at = node.now()
        return
    job.ending, job.ending_until = cause.value, node.now() + node.config.order_seconds * 1000
    for task in open_tasks(session, job.job_id):
        if task.status == TaskStatus.PENDING:
            _skip(node, session, task)
            continue
        for part in parts_of(session, task.task_id):
            if (task.task_id, part.node_id) in untold:
                part.take(rules.stop(part.standing, Cause.NOT_STARTED))
        session.flush()
        local.stop(node, session, job, task, cause if cause is Cause.TIMED_OUT else Cause.STOPPED)
        gather(session, task, node.now())
    _end_when_known(node, session, job)


def _tell_of_end(node: Node, session: Session, job: JobRow, cause: Cause) -> None:
    if defect(node, "partners-not-stopped"):
        return
    aware = {row.node_id for row in orders.of_job(session, job.job_id, Step.CREATE) if row.tried}
    aware.add(job.initiator_node_id)
    for node_id in others(node, job):
        if node_id in aware:
            body = {"job_id": job.job_id, "run": job.run, "end_reason": cause.value}
            orders.put(node, session, job, node_id, Step.STOP, body)


def _end_when_known(node: Node, session: Session, job: JobRow) -> None:
    """End a run that is being ended once no part runs any more, or its node has been silent for too long."""
    late = job.ending_until is not None and node.now() >= job.ending_until
    open_parts = False
    for task in open_tasks(session, job.job_id):
        for part in parts_of(session, task.task_id):
            if late:
                part.take(rules.stop(part.standing, Cause.PARTNER_UNREACHABLE))
            open_parts = open_parts or not part.standing.final
        session.flush()
        gather(session, task, node.now())
    if not open_parts:
        local.over(node, job, Cause(job.ending) if job.ending else None)


def _conclude(node: Node, session: Session, job: JobRow, cause: Cause | None) -> None:
    if cause is not None:
        _tell_of_end(node, session, job, cause)
    local.over(node, job, cause)


def _skip(node: Node, session: Session, task: TaskRow) -> None:
    """Mark a task that will not begin in this run."""
    task.status, task.cause, task.finished_at = TaskStatus.FAILED.value, Cause.NOT_STARTED.value, node.now()
    for part in parts_of(session, task.task_id):
        part.take(rules.stop(part.standing, Cause.NOT_STARTED))
    session.flush()
