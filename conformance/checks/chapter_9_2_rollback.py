"""An operation that breaks off at its last effect has had none (9.2-e-5).

That it is refused is asked by the clause of the operation; here it counts what a refused one leaves behind.
"""

from __future__ import annotations

from collections.abc import Iterator

from conformance.harness import expect
from conformance.harness.records import Finding
from conformance.harness.registry import check
from conformance.harness.story import NoTwin, Story


def _as_before(story: Story, broken: str, twin: str, what: str, code: str) -> Iterator[Finding]:
    """A refused operation has changed nothing of what it is about, and the same without its flaw is accepted."""
    if story.step(broken).reading.accepted:
        return
    yield from expect.unchanged(story, f"{what}-before", f"{what}-after", code)
    if not story.step(twin).reading.accepted:
        raise NoTwin(twin)


@check("9.2-e-5", "broken_off_projects", "BROKEN_OFF_PROJECT_KEPT")
def project_whose_creation_breaks_off_is_not_there(story: Story) -> Iterator[Finding]:
    """A project that was refused for one of its datasets does not exist."""
    if not story.step("create-broken").reading.accepted:
        yield from expect.refused(story, "created-broken", "BROKEN_OFF_PROJECT_KEPT", twin="project-before")


@check("9.2-e-5", "broken_off_projects", "BROKEN_OFF_PROJECT_CHANGE_KEPT")
def project_whose_change_breaks_off_is_as_before(story: Story) -> Iterator[Finding]:
    """A change that was refused for one of its datasets leaves name, description and datasets of a project alone."""
    yield from _as_before(story, "change-broken", "change", "project", "BROKEN_OFF_PROJECT_CHANGE_KEPT")


@check("9.2-e-5", "broken_off_flow", "BROKEN_OFF_FLOW_CHANGE_KEPT")
def flow_whose_change_breaks_off_is_as_before(story: Story) -> Iterator[Finding]:
    """A change that was refused for its DAG leaves name and description of a flow alone."""
    yield from _as_before(story, "change-broken", "change", "flow", "BROKEN_OFF_FLOW_CHANGE_KEPT")


@check("9.2-e-5", "broken_off_decision", "BROKEN_OFF_DECISION_KEPT")
def decision_that_breaks_off_leaves_the_application_pending(story: Story) -> Iterator[Finding]:
    """An approval that was refused for its permit leaves the application pending, without a permit."""
    yield from _as_before(story, "decide-broken", "decide", "audit", "BROKEN_OFF_DECISION_KEPT")
