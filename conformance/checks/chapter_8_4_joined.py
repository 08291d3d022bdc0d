"""Checks of chapter 8.4, partners' jobs: the target takes part in them, or schedules them for their initiator."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.checks import calls
from conformance.checks.readings import given, listed
from conformance.harness import expect
from conformance.harness.records import Finding
from conformance.harness.registry import check
from conformance.harness.story import NoTwin, Story

ELSEWHERE = ("NOT_YOURS", "RESOURCE_NOT_FOUND")

# --- 8.4.1-b --------------------------------------------------------------------------------------------------------


@check("8.4.1-b", "job_joined", "JOB_NOT_JOINED")
def job_of_a_partner_is_created_here(story: Story) -> Iterator[Finding]:
    """A partner's job on an approved flow is created under its id, with DAG and settings, and is ready."""
    if not (yield from calls.done(story, "create", "query", code="JOB_NOT_JOINED")):
        return
    sent = story.step("create")
    wanted = {"/job_id": sent.got("/job_id"), "/job_status": "READY", "/dag": sent.got("/dag")}
    wanted |= {"/config/role": sent.got("/config/role"), "/config/task_params": sent.got("/config/task_params")}
    yield from calls.answer(story, "query", wanted, "JOB_NOT_JOINED")


@check("8.4.1-b", "job_joined", "JOB_ID_REPLACED")
def job_of_a_partner_keeps_the_id_it_was_given(story: Story) -> Iterator[Finding]:
    """Where the flow's jobs are listed, the list has the id that the initiator gave."""
    step, wanted = story.step("list"), story.step("create").got("/job_id")
    actual = listed(step, "job_id")
    if actual and wanted not in actual:
        yield expect.finding("JOB_ID_REPLACED", step, pointer="/records", expected=[wanted], actual=actual)


@check("8.4.1-b", "job_joined", "JOB_DOUBLED")
def job_created_again_is_the_same_job(story: Story) -> Iterator[Finding]:
    """The same creation again is accepted and makes no second job."""
    if listed(story.step("list"), "job_id") != [story.step("create").got("/job_id")]:
        raise NoTwin("list")
    yield from expect.accepted(story, "create-again", "JOB_DOUBLED")
    step = story.step("list-again")
    if len(listed(step, "job_id")) != 1:
        yield expect.finding("JOB_DOUBLED", step, pointer="/records", expected="one job", actual=step.get("/records"))


@check("8.4.1-b", "job_joined", "JOB_DAG_REPLACED")
def job_with_another_dag_than_was_approved_is_refused(story: Story) -> Iterator[Finding]:
    """What runs here is what was approved here."""
    errors = ("DAG_FROZEN", "RESOURCE_NOT_APPROVED")
    yield from expect.refused(story, "create-replaced", "JOB_DAG_REPLACED", *errors, twin="create")


@check("8.4.1-b", "job_joined", "JOB_WITHOUT_APPROVAL")
def job_of_a_flow_that_was_never_approved_is_refused(story: Story) -> Iterator[Finding]:
    """A partner's job needs a flow that this node has agreed to."""
    errors = ("RESOURCE_NOT_APPROVED", "RESOURCE_NOT_FOUND")
    yield from expect.refused(story, "create-unapproved", "JOB_WITHOUT_APPROVAL", *errors, twin="create")


@check("8.4.1-b", "job_joined", "JOB_OF_STRANGER_TAKEN")
def job_is_created_by_the_node_that_schedules_it(story: Story) -> Iterator[Finding]:
    """A node that is no party of a job cannot create it in another's name."""
    errors = (*ELSEWHERE, "RESOURCE_NOT_APPROVED")
    yield from expect.refused(story, "create-by-stranger", "JOB_OF_STRANGER_TAKEN", *errors, twin="create")


@check("8.4.1-b", "job_on_data", "JOB_ON_UNGRANTED_DATA")
def job_on_data_that_was_not_granted_is_refused(story: Story) -> Iterator[Finding]:
    """A partner's job reads a dataset of this node only after it was granted."""
    errors = ("RESOURCE_NOT_FOUND", "RESOURCE_NOT_APPROVED", "PERMIT_MISSING", "NOT_YOURS")
    yield from expect.refused(story, "create-ungranted", "JOB_ON_UNGRANTED_DATA", *errors, twin="create")


@check("8.4.1-b", "job_scheduled", "JOB_NOT_SCHEDULED")
def job_is_created_on_all_parties_for_its_initiator(story: Story) -> Iterator[Finding]:
    """A node that is asked to schedule a job creates it on the parties, under the id that the initiator gave."""
    yield from expect.accepted(story, "create", "JOB_NOT_SCHEDULED")
    yield from calls.told(story, "created", {"/dag": story.step("create").got("/dag")}, "JOB_NOT_SCHEDULED")


# --- 8.4.3-b --------------------------------------------------------------------------------------------------------


@check("8.4.3-b", "job_joined", "PARTNER_JOB_NOT_STARTED")
def job_of_a_partner_runs_once_it_is_started(story: Story) -> Iterator[Finding]:
    """The scheduler's start is accepted and the job is shown as running."""
    given(story, "query", "/job_status", "READY")
    yield from expect.accepted(story, "start", "PARTNER_JOB_NOT_STARTED")
    yield from expect.shows(story, "running", "/job_status", "RUNNING", "PARTNER_JOB_NOT_STARTED")


@check("8.4.3-b", "job_joined", "JOB_STARTED_BY_OTHERS")
def job_is_started_by_its_scheduler_only(story: Story) -> Iterator[Finding]:
    """Another party's start is refused and starts nothing."""
    yield from expect.refused(story, "start-by-party", "JOB_STARTED_BY_OTHERS", *ELSEWHERE, twin="start")
    yield from expect.unchanged(story, "query", "query-unstarted", "JOB_STARTED_BY_OTHERS", "/job_status")


@check("8.4.3-b", "job_joined", "JOB_UNKNOWN_STARTED")
def job_that_was_never_created_cannot_be_started(story: Story) -> Iterator[Finding]:
    """A start for an unknown id is answered with an error."""
    yield from expect.refused(story, "start-unknown", "JOB_UNKNOWN_STARTED", "RESOURCE_NOT_FOUND", twin="start")


# --- 8.4.4-b --------------------------------------------------------------------------------------------------------


@check("8.4.4-b", "job_joined", "PARTNER_JOB_NOT_STOPPED")
def job_of_a_partner_ends_when_it_is_stopped(story: Story) -> Iterator[Finding]:
    """The scheduler's stop, also a second one, is accepted; job and task have ended and say so."""
    given(story, "task-runs", "/status", "RUNNING")
    yield from expect.accepted(story, "stop", "PARTNER_JOB_NOT_STOPPED")
    yield from expect.shows(story, "stopped", "/job_status", "FINISHED", "PARTNER_JOB_NOT_STOPPED")
    yield from expect.shows(story, "task-stopped", "/status", "FAILED", "PARTNER_JOB_NOT_STOPPED")
    yield from expect.accepted(story, "stop-again", "PARTNER_JOB_NOT_STOPPED")


@check("8.4.4-b", "job_joined", "JOB_STOPPED_BY_OTHERS")
def job_is_stopped_on_one_node_by_its_scheduler_only(story: Story) -> Iterator[Finding]:
    """Another party's stop of this node's side is refused and stops nothing."""
    given(story, "task-runs", "/status", "RUNNING")
    yield from expect.refused(story, "stop-by-party", "JOB_STOPPED_BY_OTHERS", *ELSEWHERE, twin="stop")
    yield from expect.shows(story, "query-unstopped", "/job_status", "RUNNING", "JOB_STOPPED_BY_OTHERS")


@check("8.4.4-b", "job_scheduled", "JOB_STOP_ALL_IGNORED")
def job_is_stopped_on_all_parties_for_its_initiator(story: Story) -> Iterator[Finding]:
    """The scheduler, told to stop a job that runs, stops its task, and the job has finished."""
    given(story, "running", "/job_status", "RUNNING")
    yield from expect.accepted(story, "stop", "JOB_STOP_ALL_IGNORED")
    yield from expect.shows(story, "task-stopped", "/status", "FAILED", "JOB_STOP_ALL_IGNORED")
    yield from expect.shows(story, "ended", "/job_status", "FINISHED", "JOB_STOP_ALL_IGNORED")
