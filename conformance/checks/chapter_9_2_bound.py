"""Checks that an approval binds all that was shown to whoever approved (9.2-b-1, 8.4.1-b)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from conformance.checks.readings import listed
from conformance.harness import expect
from conformance.harness.records import Finding
from conformance.harness.registry import check
from conformance.harness.story import Story

_FLOW, _JOB = "flow_binds_job", "job_approval_binds_job"
_OTHER = (
    *("CONFIG_NOT_APPROVED", "RESOURCE_NOT_APPROVED", "DAG_FROZEN", "DAG_INVALID", "PARAMS_INVALID", "NOT_YOURS"),
    *("TARGET_MISMATCH", "REQUEST_INVALID", "RESOURCE_NOT_FOUND", "CONTRACT_NOT_ACTIVE", "STRENGTH_INSUFFICIENT"),
)
_TAKEN = (
    "ID_TAKEN",
    "REQUEST_INVALID",
    "DAG_FROZEN",
    "RESOURCE_NOT_APPROVED",
    "RESOURCE_NOT_FOUND",
    "AUDIT_NOT_PENDING",
)


def _unbound(story: Story, code: str, errors: tuple[str, ...], twin: str) -> Iterator[Finding]:
    """Every change was refused; a finding points at the place that was changed."""
    changes: dict[str, str] = story.fact("changes")
    taken = {step: place for step, place in changes.items() if story.step(step).reading.accepted}
    for step, pointer in (taken or changes).items():  # after a wrong yes the twin proves nothing
        for found in expect.refused(story, step, code, *errors, twin=twin):
            yield replace(found, pointer=pointer) if found.code == code else found


def _none_kept(story: Story, code: str) -> Iterator[Finding]:
    step = story.step("none")
    if listed(step, "job_id"):
        yield expect.finding(code, step, pointer="/records", expected=[], actual=listed(step, "job_id"))


@check("9.2-b-1", _FLOW, "FLOW_APPROVAL_NOT_BINDING")
def flow_approval_binds_every_field_of_a_job(story: Story) -> Iterator[Finding]:
    """A job of an approved flow that differs in one place is refused and not kept; the one that was agreed is taken."""
    code = "FLOW_APPROVAL_NOT_BINDING"
    yield from _unbound(story, code, _OTHER, "create")
    yield from expect.refused(story, "widened", code, *_OTHER, twin="create")
    yield from _none_kept(story, code)


@check("8.4.1-b", _FLOW, "AGREED_JOB_REFUSED")
def what_was_left_open_may_differ(story: Story) -> Iterator[Finding]:
    """A job as it was approved is taken, also where it differs in when it runs or in a parameter that was left open."""
    for name in ("create", "create-sooner", "create-open"):
        yield from expect.accepted(story, name, "AGREED_JOB_REFUSED")


@check("9.2-b-1", _JOB, "JOB_APPROVAL_NOT_BINDING")
def job_approval_binds_every_field_of_a_job(story: Story) -> Iterator[Finding]:
    """A job that was approved by itself is refused with any place changed, and taken as it was approved."""
    code = "JOB_APPROVAL_NOT_BINDING"
    yield from _unbound(story, code, (*_OTHER, "ID_TAKEN"), "create")
    yield from _none_kept(story, code)
    yield from expect.accepted(story, "create", code)


def _stands(story: Story) -> Iterator[Finding]:
    """Another content under a known id is refused, the same is taken, and what is shown stays as it was."""
    code = "APPLICATION_CONTENT_REPLACED"
    yield from _unbound(story, code, _TAKEN, "again")
    yield from expect.unchanged(story, "before", "after", code, "/content")


@check("9.2-b-1", "project_application_stands", "APPLICATION_CONTENT_REPLACED")
def application_for_a_project_keeps_its_content(story: Story) -> Iterator[Finding]:
    """No later message changes what was applied for."""
    yield from _stands(story)


@check("9.2-b-1", "flow_application_stands", "APPLICATION_CONTENT_REPLACED")
def application_for_a_flow_keeps_its_content(story: Story) -> Iterator[Finding]:
    """No later message changes what was applied for."""
    yield from _stands(story)


@check("9.2-b-1", "dataset_application_stands", "APPLICATION_CONTENT_REPLACED")
def application_for_a_dataset_keeps_its_content(story: Story) -> Iterator[Finding]:
    """No later message changes what was applied for."""
    yield from _stands(story)


@check("9.2-b-1", "model_application_stands", "APPLICATION_CONTENT_REPLACED")
def application_for_a_model_keeps_its_content(story: Story) -> Iterator[Finding]:
    """No later message changes what was applied for."""
    yield from _stands(story)


@check("9.2-b-1", "job_application_stands", "APPLICATION_CONTENT_REPLACED")
def application_for_a_job_keeps_its_content(story: Story) -> Iterator[Finding]:
    """No later message changes what was applied for."""
    yield from _stands(story)


@check("9.2-b-1", "decision_names_content", "DECISION_ON_OTHER_CONTENT_TAKEN")
def decision_is_on_the_content_that_was_seen(story: Story) -> Iterator[Finding]:
    """A decision with the digest of another content decides nothing; with that of the one shown it counts."""
    code = "DECISION_ON_OTHER_CONTENT_TAKEN"
    yield from expect.refused(story, "decide-other", code, "CONTENT_NOT_SEEN", twin="decide")
    yield from expect.shows(story, "undecided", "/status", "APPLIED", code)
    yield from expect.shows(story, "decided", "/status", "APPROVED", code)
