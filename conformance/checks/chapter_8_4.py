"""Checks of chapter 8.4, the target's own jobs: made, listed, looked at, started, stopped, run again.

Jobs that partners have the target take part in or schedule are judged in `chapter_8_4_joined`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from conformance.checks import calls
from conformance.checks.readings import came, exactly, given, listed
from conformance.harness import expect
from conformance.harness.records import Finding
from conformance.harness.registry import check
from conformance.harness.story import MISSING, NoTwin, Story

# --- 8.4.1-a --------------------------------------------------------------------------------------------------------


@check("8.4.1-a", "job_birth", "JOB_NOT_KEPT")
def job_is_created_and_found_under_its_id(story: Story) -> Iterator[Finding]:
    """A job is made of a flow, and a query by the id that was returned finds it."""
    if (yield from calls.done(story, "create", "query-new", code="JOB_NOT_KEPT")):
        yield from expect.shows(story, "query-new", "/job_id", story.step("create").get("/job_id"), "JOB_NOT_KEPT")


@check("8.4.1-a", "job_birth", "JOB_CONFIG_LOST")
def job_keeps_dag_and_settings_as_they_were_given(story: Story) -> Iterator[Finding]:
    """DAG, priority, time-out and parameters are read back as they were written."""
    sent = story.step("create")
    yield from expect.shows(story, "query", "/dag", sent.got("/dag"), "JOB_CONFIG_LOST")
    for part in ("job_params", "task_params", "role"):
        yield from expect.shows(story, "query", f"/config/{part}", sent.got(f"/config/{part}"), "JOB_CONFIG_LOST")


@check("8.4.1-a", "job_birth", "JOB_OFFERED_UNDER_OTHER_ID")
def job_is_offered_to_the_partner_under_its_own_id(story: Story) -> Iterator[Finding]:
    """The partner is asked to create the job, under the id that the operator got."""
    wanted = {"/job_id": story.step("create").get("/job_id")}
    yield from calls.told(story, "told", wanted, "JOB_OFFERED_UNDER_OTHER_ID")


@check("8.4.1-a", "job_birth", "JOB_OFFERED_WITHOUT_SETTINGS")
def job_is_offered_with_dag_and_settings(story: Story) -> Iterator[Finding]:
    """What the partner is asked to create has the DAG, the roles and the settings of the operator's job."""
    came(story, "told")
    sent = story.step("create")
    yield from expect.carried(story, "told", "/dag", sent.got("/dag"), "JOB_OFFERED_WITHOUT_SETTINGS")
    for part in ("role", "initiator", "job_params", "task_params"):
        wanted = sent.got(f"/config/{part}")
        yield from expect.carried(story, "told", f"/config/{part}", wanted, "JOB_OFFERED_WITHOUT_SETTINGS")


@check("8.4.1-a", "job_birth", "JOB_DAG_UNCHECKED")
def job_of_a_circular_dag_is_refused(story: Story) -> Iterator[Finding]:
    """A DAG that can never run makes no job."""
    errors = ("DAG_INVALID", "REQUEST_INVALID")
    yield from expect.refused(story, "create-circle", "JOB_DAG_UNCHECKED", *errors, twin="create-loose")


@check("8.4.1-a", "job_birth", "JOB_COMPONENT_UNCHECKED")
def job_of_a_component_that_is_not_here_is_refused(story: Story) -> Iterator[Finding]:
    """A DAG with a component that the node does not have makes no job."""
    errors = ("RESOURCE_NOT_FOUND", "DAG_INVALID")
    yield from expect.refused(story, "create-unknown", "JOB_COMPONENT_UNCHECKED", *errors, twin="create-loose")


@check("8.4.1-a", "job_birth", "JOB_PARAMS_UNCHECKED")
def job_with_a_parameter_that_does_not_fit_is_refused(story: Story) -> Iterator[Finding]:
    """A value that the component does not take is told before anything runs."""
    yield from expect.refused(story, "create-misfit", "JOB_PARAMS_UNCHECKED", "PARAMS_INVALID", twin="create-loose")


@check("8.4.1-a", "job_birth", "JOB_PARAMS_ASTRAY")
def job_with_parameters_of_no_component_is_refused(story: Story) -> Iterator[Finding]:
    """Parameters for a component that the DAG does not have would silently have no effect."""
    yield from expect.refused(story, "create-astray", "JOB_PARAMS_ASTRAY", "PARAMS_INVALID", twin="create-loose")


@check("8.4.1-a", "task_lists", "JOB_PRIORITY_LOST")
def job_priority_is_that_of_its_tasks(story: Story) -> Iterator[Finding]:
    """A task of the job shows the priority that the job was given, wherever a priority is shown."""
    step = story.step("query")
    if step.reading.accepted and step.get("/priority") not in (MISSING, 7):
        yield expect.finding("JOB_PRIORITY_LOST", step, pointer="/priority", expected=7, actual=step.get("/priority"))


@check("8.4.1-a", "job_timeout", "JOB_TIMEOUT_IGNORED")
def job_ends_when_its_time_is_over(story: Story) -> Iterator[Finding]:
    """Of a job that may run for a few seconds the task is stopped soon after, and the job has finished."""
    given(story, "in-time", "/status", "RUNNING")
    yield from expect.shows(story, "stopped", "/status", "FAILED", "JOB_TIMEOUT_IGNORED")
    yield from expect.shows(story, "ended", "/job_status", "FINISHED", "JOB_TIMEOUT_IGNORED")


@check("8.4.1-a", "job_rerun", "JOB_ID_CHANGES")
def job_keeps_its_id_when_it_runs_again(story: Story) -> Iterator[Finding]:
    """A rerun answers with the id that the job had from its creation."""
    if story.step("rerun").reading.accepted:
        yield from expect.shows(story, "rerun", "/job_id", story.step("create").get("/job_id"), "JOB_ID_CHANGES")


@check("8.4.1-a", "job_refused", "JOB_REFUSAL_HIDDEN")
def job_that_a_party_refuses_is_rejected(story: Story) -> Iterator[Finding]:
    """A job that a partner does not take is shown as rejected and cannot be started."""
    yield from expect.shows(story, "rejected", "/job_status", "REJECTED", "JOB_REFUSAL_HIDDEN")
    yield from expect.refused(story, "start-refused", "JOB_REFUSAL_HIDDEN", "JOB_NOT_READY", twin="start")


@check("8.4.1-a", "job_refused", "JOB_READY_ON_NONSENSE")
def job_is_not_ready_on_an_answer_that_is_none(story: Story) -> Iterator[Finding]:
    """A partner that answers with something else than the interface's answer has not taken the job."""
    step = story.step("garbled")
    if step.get("/job_status") in ("READY", "RUNNING"):
        actual = step.get("/job_status")
        yield expect.finding("JOB_READY_ON_NONSENSE", step, pointer="/job_status", expected="PENDING", actual=actual)
    yield from expect.refused(story, "start-garbled", "JOB_READY_ON_NONSENSE", "JOB_NOT_READY", twin="start")


# --- 8.4.2 ----------------------------------------------------------------------------------------------------------


def _jobs(story: Story, *names: str) -> list[Any]:
    return [story.step(name).get("/job_id") for name in names]


@check("8.4.2-a", "job_birth", "JOB_LIST_WRONG")
def job_list_holds_the_jobs_of_its_flow_only(story: Story) -> Iterator[Finding]:
    """All jobs of a flow are listed and none of another's."""
    yield from exactly(story, "list", _jobs(story, "create", "create-second"), "JOB_LIST_WRONG", "job_id")
    yield from exactly(story, "list-other", _jobs(story, "create-other"), "JOB_LIST_WRONG", "job_id")


@check("8.4.2-a", "job_birth", "JOB_TOTAL_WRONG")
def job_list_total_counts_all_pages(story: Story) -> Iterator[Finding]:
    """The total is that of the flow, on every page."""
    if set(map(str, listed(story.step("list"), "job_id"))) != set(map(str, _jobs(story, "create", "create-second"))):
        raise NoTwin("list")
    for name in ("list", "page-1", "page-2"):
        yield from expect.shows(story, name, "/total", 2, "JOB_TOTAL_WRONG")


@check("8.4.2-b", "job_birth", "JOB_UNKNOWN_ANSWERED")
def job_that_does_not_exist_is_not_found(story: Story) -> Iterator[Finding]:
    """A query for an id that nobody made is refused."""
    yield from expect.refused(story, "query-unknown", "JOB_UNKNOWN_ANSWERED", "RESOURCE_NOT_FOUND", twin="query")


@check("8.4.2-b", "job_run", "JOB_STATE_WRONG")
def job_state_is_that_of_its_progress(story: Story) -> Iterator[Finding]:
    """While its tasks run a job is running, to the operator and to the partner; when all are done it has finished."""
    given(story, "first-runs", "/status", "RUNNING")
    for name in ("query-running", "states-running", "asked"):
        yield from expect.shows(story, name, "/job_status", "RUNNING", "JOB_STATE_WRONG")
    for name in ("query-finished", "states-finished"):
        yield from expect.shows(story, name, "/job_status", "FINISHED", "JOB_STATE_WRONG")


@check("8.4.2-b", "job_run", "JOB_TASK_STATES_WRONG")
def job_shows_the_states_of_its_tasks(story: Story) -> Iterator[Finding]:
    """Beside its own state a job shows that of each component of the DAG."""
    given(story, "first-runs", "/status", "RUNNING")
    if story.happened("second-early"):
        raise NoTwin("second-early")
    for name in ("query-running", "states-running", "asked"):
        yield from expect.shows(story, name, "/status/first", "RUNNING", "JOB_TASK_STATES_WRONG")
        yield from expect.shows(story, name, "/status/second", "PENDING", "JOB_TASK_STATES_WRONG")
    yield from expect.shows(story, "states-between", "/status/first", "SUCCESS", "JOB_TASK_STATES_WRONG")


@check("8.4.2-b", "job_run", "JOB_OPEN_TO_STRANGERS")
def job_state_is_told_to_its_parties_only(story: Story) -> Iterator[Finding]:
    """A node that has nothing to do with a job learns nothing of it."""
    errors = ("RESOURCE_NOT_FOUND", "NOT_YOURS")
    yield from expect.refused(story, "asked-by-stranger", "JOB_OPEN_TO_STRANGERS", *errors, twin="asked")


# --- 8.4.3-a --------------------------------------------------------------------------------------------------------


@check("8.4.3-a", "job_run", "JOB_NOT_STARTED")
def job_start_begins_the_tasks_that_wait_for_nothing(story: Story) -> Iterator[Finding]:
    """The start is accepted, and the partner is told to begin the first task."""
    yield from expect.accepted(story, "start", "JOB_NOT_STARTED")
    yield from expect.called(story, "first-told", "JOB_NOT_STARTED")


@check("8.4.3-a", "job_run", "JOB_START_NOT_TOLD")
def job_start_is_told_to_the_partner(story: Story) -> Iterator[Finding]:
    """A job whose tasks begin has been started at the partner too."""
    came(story, "first-told")
    yield from expect.called(story, "start-told", "JOB_START_NOT_TOLD")


@check("8.4.3-a", "job_run", "TASK_BEFORE_ITS_FEEDERS")
def task_waits_for_what_feeds_it(story: Story) -> Iterator[Finding]:
    """The second task does not begin while the first still runs at the partner, and begins when it is done."""
    yield from expect.not_called(story, "second-early", "TASK_BEFORE_ITS_FEEDERS")


@check("8.4.3-a", "job_run", "TASK_NEVER_FOLLOWS")
def task_begins_when_what_feeds_it_is_done(story: Story) -> Iterator[Finding]:
    """Once the first task is done at both parties, the second begins."""
    yield from expect.accepted(story, "first-done-there", "TASK_NEVER_FOLLOWS")
    yield from expect.called(story, "second-told", "TASK_NEVER_FOLLOWS")


@check("8.4.3-a", "job_failure", "TASK_RUNS_AFTER_FAILURE")
def task_that_fails_stops_the_rest(story: Story) -> Iterator[Finding]:
    """When one task fails, the job ends: the task beside it is stopped, the one that waits for it never begins."""
    given(story, "right-runs", "/status", "RUNNING")
    code = "TASK_RUNS_AFTER_FAILURE"
    yield from expect.shows(story, "ended", "/job_status", "FINISHED", code)
    yield from expect.shows(story, "right-after", "/status", "FAILED", code)
    yield from expect.not_called(story, "last-told", code)


@check("8.4.3-a", "job_refused", "TASK_REFUSAL_HIDDEN")
def task_that_a_party_refuses_ends_the_job(story: Story) -> Iterator[Finding]:
    """When a partner will not begin a task, the task has failed and the job is over."""
    yield from expect.shows(story, "ended", "/job_status", "FINISHED", "TASK_REFUSAL_HIDDEN")
    yield from expect.shows(story, "first-failed", "/status", "FAILED", "TASK_REFUSAL_HIDDEN")


# --- 8.4.4-a --------------------------------------------------------------------------------------------------------


@check("8.4.4-a", "job_stopped", "JOB_NOT_STOPPED")
def job_stop_ends_what_runs(story: Story) -> Iterator[Finding]:
    """The stop is accepted; the task that ran has ended, the job has finished, the next task never begins."""
    yield from expect.accepted(story, "stop", "JOB_NOT_STOPPED")
    yield from expect.shows(story, "task-stopped", "/status", "FAILED", "JOB_NOT_STOPPED")
    yield from expect.shows(story, "stopped", "/job_status", "FINISHED", "JOB_NOT_STOPPED")
    yield from expect.not_called(story, "second-told", "JOB_NOT_STOPPED")


@check("8.4.4-a", "job_stopped", "JOB_STOP_NOT_TOLD")
def job_stop_is_told_to_the_partner(story: Story) -> Iterator[Finding]:
    """A job that was stopped here is stopped at the partner too."""
    given(story, "task-stopped", "/status", "FAILED")
    yield from expect.called(story, "stop-told", "JOB_STOP_NOT_TOLD")


@check("8.4.4-a", "job_stopped", "JOB_STOP_NOT_REPEATABLE")
def job_stop_may_be_repeated(story: Story) -> Iterator[Finding]:
    """Stopping what has been stopped is accepted and changes nothing."""
    given(story, "stopped", "/job_status", "FINISHED")
    yield from expect.accepted(story, "stop-again", "JOB_STOP_NOT_REPEATABLE")
    yield from expect.unchanged(story, "stopped", "stopped-still", "JOB_STOP_NOT_REPEATABLE", "/job_status")


# --- 8.4.5 ----------------------------------------------------------------------------------------------------------


@check("8.4.5", "job_rerun", "JOB_NOT_RERUN")
def job_that_has_ended_runs_again(story: Story) -> Iterator[Finding]:
    """A rerun is accepted, told to the partner, and the job runs and ends once more."""
    given(story, "finished", "/job_status", "FINISHED")
    yield from expect.accepted(story, "rerun", "JOB_NOT_RERUN")
    yield from expect.called(story, "begin-new", "JOB_NOT_RERUN")
    yield from expect.shows(story, "running", "/job_status", "RUNNING", "JOB_NOT_RERUN")
    yield from expect.shows(story, "finished-again", "/job_status", "FINISHED", "JOB_NOT_RERUN")


@check("8.4.5", "job_rerun", "JOB_RERUN_PARAMS_IGNORED")
def job_runs_again_with_the_new_settings(story: Story) -> Iterator[Finding]:
    """The tasks of the further run are begun with the settings that were given for it."""
    came(story, "begin-new")
    wanted = story.step("rerun").got("/task_params")
    yield from expect.carried(story, "begin-new", "/task_params", wanted, "JOB_RERUN_PARAMS_IGNORED")
