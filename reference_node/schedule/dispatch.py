"""Parts of this node handed to the runtime, and how they have ended (5.3-c, 8.5.1, 8.5.4-a).

Guarantees: of the parts that may run, those of higher priority begin first; a part is written as running before its
component begins, so that after a crash of the node it is found, and ended as NODE_RESTARTED, and not run twice; which
data it gets is evidence before it does (9.2-d).
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from reference_node.domain import plan
from reference_node.domain.job import JobStatus
from reference_node.domain.task import Cause, Standing, TaskStatus
from reference_node.evidence.noting import Act, Noted, note
from reference_node.evidence.records import GENESIS
from reference_node.node import Node
from reference_node.runtime.contract import Exit, Key, LaunchFailed, Work
from reference_node.schedule import files, loading, local, material, outputs, permitted, progress, sessions
from reference_node.schedule.common import defect
from reference_node.schedule.preparing import Preparations
from reference_node.store.jobs import JobRow, PartRow, TaskRow, find_job, find_task, gather


def launch(node: Node, preparing: Preparations) -> bool:
    """Begin what may run while there is room; return whether anything began."""
    began = False
    while _launch_next(node, preparing):
        began = True
    return began


def _launch_next(node: Node, preparing: Preparations) -> bool:
    with node.store.begin() as session:
        running = session.scalars(_own(node, TaskStatus.RUNNING)).all()
        if len(running) >= node.config.task_slots:
            return False
        part = session.scalar(_own(node, TaskStatus.READY).limit(1))
        if part is None:
            return False
        task, job = _owners(session, part)
        if job.status != JobStatus.RUNNING:  # ended meanwhile
            local.stop(node, session, job, task, Cause.STOPPED)
            gather(session, task, node.now())
            return True
        if permitted.stopped(node, session, job, task, part):
            return True
        _advance(node, session, part, Standing(TaskStatus.RUNNING, part.attempt))
        try:
            work = material.work(node, session, job, task, part)
        except LaunchFailed as failure:
            _fail(node, session, part, failure)
            return True
        sessions.open_job(node, job)
        sessions.open_task(node, session, job, task, part.attempt)
    preparing.begin(node, work, _prepare)
    return True


def _prepare(node: Node, work: Work) -> None:
    """Make an attempt ready and begin it, unless it was ended meanwhile; what was loaded is on record before."""
    try:
        opened = files.opened(node, work)
        loaded = loading.check(node, opened)
        if _overtaken(node, work.key):
            files.forget(node, work.key)
            return
        _keep(node, opened, loaded)
        node.runner.start(opened)
        if _overtaken(node, work.key):
            node.runner.stop(work.key)
        _note(node, work, "INFO", f"{work.me} started, attempt {work.key.attempt}")
    except LaunchFailed as failure:
        files.forget(node, work.key)
        with node.store.begin() as session:
            part = _part(session, node, work.key)
            if part is not None and part.attempt == work.key.attempt:
                _fail(node, session, part, failure)


def _overtaken(node: Node, key: Key) -> bool:
    """Tell whether a part was ended, or begun anew, while it was being made ready."""
    with node.store.read() as session:
        part = _part(session, node, key)
        return part is None or part.standing.final or part.attempt != key.attempt


def _keep(node: Node, work: Work, loaded: Mapping[str, Mapping[str, str]]) -> None:
    """Keep as evidence which data a part is about to use (9.2-d)."""
    if not loaded or defect(node, "task-inputs-leave-no-evidence"):
        return
    if defect(node, "task-inputs-of-another-digest"):
        loaded = {port: {**said, "digest": f"sm3:{GENESIS}"} for port, said in loaded.items()}
    subjects = {"task_id": work.key.task_id, "job_id": work.job_id}
    said = {"party": work.me, "attempt": work.key.attempt, "inputs": loaded}
    if defect(node, "evidence-keeps-loaded-data"):
        said["data"] = [path.read_text("utf-8")[:200] for path in work.inputs.values()]
    with node.store.begin() as session:
        note(session, Noted(Act.TASK_LOADED, subjects, None, said))


def reap(node: Node) -> bool:
    """Take in which components have ended; return whether any has."""
    exits = node.runner.exits()
    for item in exits:
        read = outputs.digests(item)
        left = files.ended(node, item)
        with node.store.begin() as session:
            _ended(node, session, left, read)
    return bool(exits)


def _ended(node: Node, session: Session, item: Exit, read: outputs.Digests) -> None:
    part = _part(session, node, item.key)
    if part is None or part.attempt != item.key.attempt:
        return
    status = TaskStatus.SUCCESS if item.cause is None else TaskStatus.FAILED
    words = "succeeded" if item.cause is None else f"failed: {item.cause.lower()} {item.detail or ''}".strip()
    node.journal.write(
        part.task_id, "INFO" if item.cause is None else "ERROR", f"{part.party.name} {words}", node.now()
    )
    for form, count in node.sessions.spoken(material.task_session_id(part.task_id, part.attempt)).items():
        said = f"{part.party.name} called the data plane {count} x {form}"
        node.journal.write(part.task_id, "INFO", said, node.now())
    if local.move(session, part, Standing(status, part.attempt, item.cause), item.detail, item.files):
        if status is TaskStatus.SUCCESS:
            _put_out(node, session, part, item, read)
        changed(node, session, part)
    elif part.status == TaskStatus.SUCCESS:  # the callback came before the exit
        part.files = dict(item.files)
        if status is TaskStatus.SUCCESS:
            _put_out(node, session, part, item, read)


def _put_out(node: Node, session: Session, part: PartRow, item: Exit, read: outputs.Digests) -> None:
    """Keep what a task has put out, for this node's operator."""
    task, job = _owners(session, part)
    described = material.description(node, session, plan.component(job.dag, task.task_name))
    task.outputs = [*task.outputs, *outputs.told(item, part.party.name, described, read)]


def lost(node: Node, preparing: Preparations) -> bool:
    """End the parts that were running when the node last stopped; return whether there were any."""
    found = False
    with node.store.begin() as session:
        for part in session.scalars(_own(node, TaskStatus.RUNNING)).all():
            key = Key(part.task_id, part.role, part.attempt)
            if key not in preparing and not node.runner.alive(key):
                found = True
                node.journal.write(part.task_id, "ERROR", f"{part.party.name} was lost with its node", node.now())
                files.forget(node, key)
                _advance(node, session, part, Standing(TaskStatus.FAILED, part.attempt, Cause.NODE_RESTARTED))
    return found


def changed(node: Node, session: Session, part: PartRow) -> None:
    """Tell of a part of this node that has come further, and do what follows."""
    task, job = _owners(session, part)
    gather(session, task, node.now())
    local.report(node, session, job, task, part)
    progress.advance(node, session, job)


def _advance(node: Node, session: Session, part: PartRow, to: Standing) -> None:
    if local.move(session, part, to):
        changed(node, session, part)


def _fail(node: Node, session: Session, part: PartRow, why: LaunchFailed) -> None:
    node.journal.write(part.task_id, "ERROR", f"{part.party.name} not launched: {why}", node.now())
    if local.move(session, part, Standing(TaskStatus.FAILED, part.attempt, why.cause), str(why)[:512]):
        changed(node, session, part)


def _note(node: Node, work: Work, level: str, words: str) -> None:
    node.journal.write(work.key.task_id, level, words, node.now())


def _own(node: Node, status: TaskStatus) -> Select[PartRow]:
    """Select this node's parts in a state, the most urgent first."""
    found = select(PartRow).join(TaskRow, TaskRow.task_id == PartRow.task_id)
    found = found.where(PartRow.node_id == node.node_id, PartRow.status == status.value)
    return found.order_by(TaskRow.priority.desc(), PartRow.seq)


def _part(session: Session, node: Node, key: Key) -> PartRow | None:
    mine = (PartRow.task_id == key.task_id, PartRow.node_id == node.node_id, PartRow.role == key.role)
    return session.scalar(select(PartRow).where(*mine))


def _owners(session: Session, part: PartRow) -> tuple[TaskRow, JobRow]:
    task = find_task(session, part.task_id)
    job = None if task is None else find_job(session, task.job_id)
    if task is None or job is None:
        raise AssertionError("a part belongs to a task and a task to a job")
    return task, job
