"""Everything of jobs and tasks that is due, in turn: after every event, and at every pump.

Guarantees: one thread at a time drives a node's jobs; what happens meanwhile makes it look again before it leaves, so
that nothing waits for the next pump. A served node has a thread of its own for it, woken by events; in process, whoever
caused the event drives.
"""

from __future__ import annotations

import threading

import structlog
from sqlalchemy import select

from reference_node.domain.job import JobStatus
from reference_node.domain.task import Cause
from reference_node.node import Node
from reference_node.schedule import approving, dispatch, files, local, material, orders, polling, progress, retention
from reference_node.schedule.common import defect, schedules
from reference_node.schedule.preparing import Preparations
from reference_node.store.jobs import JobRow

log = structlog.get_logger("reference_node")
_MOST_ROUNDS = 1000
_TIDIED = 600_000


class JobDriver:
    """Drives the jobs of one node."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._again = threading.Event()
        self._woken = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._recovered = False
        self._preparing = Preparations()

    def kick(self, node: Node) -> None:
        """Something has changed: have it looked at soon (served) or now (in process)."""
        if not node.config.background:
            self._drive_quietly(node)
            return
        with self._starting:
            if self._thread is None and not self._closing.is_set():
                name = f"{node.node_id}-jobs"
                self._thread = threading.Thread(target=self._loop, args=(node,), name=name, daemon=True)
                self._thread.start()
        self._woken.set()

    def drive(self, node: Node) -> None:
        """Carry out what is due, unless another thread is at it, which then looks again, or another replica leads."""
        if not node.leadership.held():
            return
        self._again.set()
        while self._again.is_set() and self._turn.acquire(blocking=False):
            try:
                if not self._recovered:
                    self._recovered = True
                    files.recover(node, retention.named)
                for _ in range(_MOST_ROUNDS):
                    self._again.clear()
                    if not _round(node, self._preparing) and not self._again.is_set():
                        break
            finally:
                self._turn.release()

    def close(self) -> None:
        """Stop the thread, if there is one."""
        self._closing.set()
        self._woken.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout=30)
        self._preparing.close()

    def _loop(self, node: Node) -> None:
        while True:
            self._woken.wait()
            self._woken.clear()
            if self._closing.is_set():
                return
            self._drive_quietly(node)

    def _drive_quietly(self, node: Node) -> None:
        """Drive; what fails must not fail the request that has caused it, the next event tries again."""
        try:
            self.drive(node)
        except Exception:
            log.exception("jobs not driven", node_id=node.node_id)


def pump(node: Node) -> None:
    """Carry out what is due by the clock."""
    if node.config.background:
        node.driver.kick(node)
    else:
        node.driver.drive(node)


def _round(node: Node, preparing: Preparations) -> bool:
    """Do everything once; return whether anything has moved, so that there may be more to do."""
    moved = [
        dispatch.reap(node),
        dispatch.lost(node, preparing),
        _time_out(node),
        approving.proceed(node),
        orders.deliver(node, progress.settled),
        polling.poll_parts(node),
        polling.poll_jobs(node),
        dispatch.launch(node, preparing),
    ]
    node.outbox.pump()
    _tidy(node)
    return any(moved)


def _time_out(node: Node) -> bool:
    """End what runs for longer than it may, and what is being ended for longer than partners are waited for."""
    if defect(node, "timeout-ignored"):
        return False
    moved = False
    with node.store.begin() as session:
        for job in session.scalars(select(JobRow).where(JobRow.status == JobStatus.RUNNING.value)).all():
            late = job.deadline_at is not None and node.now() >= job.deadline_at
            if job.ending is not None:
                if job.ending_until is not None and node.now() >= job.ending_until:
                    progress.advance(node, session, job)
                    moved = True
            elif late:
                moved = True
                if schedules(node, job):
                    progress.end(node, session, job, Cause.TIMED_OUT)
                else:
                    local.end_here(node, session, job, Cause.TIMED_OUT)
    return moved


def _tidy(node: Node) -> None:
    """Close the sessions of jobs that ended a while ago; what they still owed has arrived, or never will."""
    aged = node.now() - node.config.session_linger_seconds * 1000
    if not node.sessions.counters()["open"] or defect(node, "session-outlives-job"):
        return
    with node.store.read() as session:
        ended = session.scalars(select(JobRow).where(JobRow.finished_at.between(aged - _TIDIED, aged))).all()
    for job in ended:
        node.sessions.close(material.session_id(job))
