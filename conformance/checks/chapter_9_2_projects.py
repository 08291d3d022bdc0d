"""The project in which a partner's job runs (9.2-b-2): the approved one, and no data of another."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.harness import expect
from conformance.harness.records import Finding
from conformance.harness.registry import check
from conformance.harness.story import Story

CLOSED = ("PERMIT_OUT_OF_SCOPE", "RESOURCE_NOT_APPROVED", "RESOURCE_NOT_FOUND", "PERMIT_MISSING")


@check("9.2-b-2", "job_in_another_project", "JOB_MOVED_TO_ANOTHER_PROJECT")
def a_job_runs_in_the_project_of_its_approval(story: Story) -> Iterator[Finding]:
    """A job that names another project than its flow was approved in is refused, and is not there afterwards."""
    code = "JOB_MOVED_TO_ANOTHER_PROJECT"
    yield from expect.refused(story, "moved", code, "CONFIG_NOT_APPROVED", *CLOSED, twin="inside")
    yield from _not_kept(story, "moved", code)


@check("9.2-b-2", "job_in_another_project", "JOB_ON_DATA_OF_ANOTHER_PROJECT")
def a_job_gets_no_data_of_another_project(story: Story) -> Iterator[Finding]:
    """A job whose dataset was granted for another project is refused, and is not there afterwards."""
    code = "JOB_ON_DATA_OF_ANOTHER_PROJECT"
    yield from expect.refused(story, "elsewhere", code, *CLOSED, twin="inside")
    yield from _not_kept(story, "elsewhere", code)


def _not_kept(story: Story, name: str, code: str) -> Iterator[Finding]:
    """What was refused has left no job behind."""
    state = story.step(f"{name}:state")
    if not story.step(name).reading.accepted and state.reading.accepted:
        yield expect.finding(code, state, expected="no such job", actual=state.get("/job_status"))
