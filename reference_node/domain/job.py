"""Jobs: one flow on its way at all its parties, from creation to the end (8.4).

    PENDING ──agree──> READY ──start──> RUNNING ──end──> FINISHED ──rerun / resume──> RUNNING (the next run)
       └──reject──> REJECTED <──┘   PENDING, READY ──end──> FINISHED (stopped before it began)

- Every node that has to do with a job keeps its own course of it and moves it by these functions, whoever schedules.
- A message names the run it is about: one about an earlier run changes nothing, whenever it arrives, and one about a
  later run is taken even if what lay between was lost.
- Ending what has ended, and starting the run that is running, change nothing: stop and start may be repeated.

    >>> end(start(Course(JobStatus.READY)), Cause.STOPPED)
    Course(status=<JobStatus.FINISHED: 'FINISHED'>, run=1, cause=<Cause.STOPPED: 'STOPPED'>)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from reference_node.domain import RuleBroken
from reference_node.domain.task import Cause


class JobStatus(StrEnum):
    """Where a job stands."""

    PENDING = "PENDING"
    READY = "READY"
    REJECTED = "REJECTED"
    RUNNING = "RUNNING"
    FINISHED = "FINISHED"


OVER = frozenset({JobStatus.REJECTED, JobStatus.FINISHED})


@dataclass(frozen=True, slots=True)
class Course:
    """Status of a job in its present run; `cause` says why it ended, and is absent where every task succeeded."""

    status: JobStatus
    run: int = 1
    cause: Cause | None = None

    @property
    def over(self) -> bool:
        """Whether nothing but a rerun changes it any more."""
        return self.status in OVER


def agree(now: Course) -> Course:
    """All parties have taken the job."""
    return replace(now, status=JobStatus.READY) if now.status is JobStatus.PENDING else now


def reject(now: Course, cause: Cause = Cause.PARTNER_REFUSED) -> Course:
    """A party does not take the job; those that had taken it learn so before it begins."""
    return Course(JobStatus.REJECTED, now.run, cause) if now.status in (JobStatus.PENDING, JobStatus.READY) else now


def start(now: Course, run: int | None = None) -> Course:
    """Let the job run; with a number above the present one, run it again."""
    wanted = run or now.run
    if wanted < now.run or (wanted == now.run and now.status is JobStatus.RUNNING):
        return now
    if wanted == now.run and now.status is not JobStatus.READY:
        raise RuleBroken("JOB_NOT_READY", "/job_id")
    if now.status in (JobStatus.PENDING, JobStatus.REJECTED):
        raise RuleBroken("JOB_NOT_READY", "/job_id")
    return Course(JobStatus.RUNNING, wanted)


def end(now: Course, cause: Cause | None, run: int | None = None) -> Course:
    """End the job, for a cause or because everything is done; what is over, or is about an earlier run, stays."""
    wanted = run or now.run
    if wanted < now.run or (wanted == now.run and now.over):
        return now
    return Course(JobStatus.FINISHED, wanted, cause)


def rerun(now: Course) -> Course:
    """Run the job, or one task of it, once more."""
    if now.status is JobStatus.RUNNING:
        raise RuleBroken("JOB_NOT_ENDED", "/job_id")
    if now.status is not JobStatus.FINISHED:
        raise RuleBroken("JOB_NOT_READY", "/job_id")
    return Course(JobStatus.RUNNING, now.run + 1)


def resume(now: Course, run: int | None = None) -> Course:
    """Let a task run for itself: within the run that goes on, or as a run of its own after the last one has ended."""
    if now.status in (JobStatus.PENDING, JobStatus.REJECTED):
        raise RuleBroken("JOB_NOT_READY", "/job_id")
    if run is not None and run <= now.run:
        if now.status is JobStatus.RUNNING or run < now.run:
            return now
        if now.status is JobStatus.FINISHED:
            raise RuleBroken("JOB_NOT_READY", "/job_id")
        return Course(JobStatus.RUNNING, run)
    if now.status is JobStatus.RUNNING and run is None:
        return now
    return Course(JobStatus.RUNNING, run or now.run + (now.status is JobStatus.FINISHED))
