"""Checks of chapter 8.5, tasks between nodes: given to the target by partners, told by it, told to it."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.checks import listing
from conformance.checks.readings import given
from conformance.harness import expect
from conformance.harness.records import Finding
from conformance.harness.registry import check
from conformance.harness.story import MISSING, Story

ELSEWHERE = ("NOT_YOURS", "RESOURCE_NOT_FOUND")

# --- 8.5.1-b --------------------------------------------------------------------------------------------------------


@check("8.5.1-b", "task_given", "TASK_ID_REPLACED")
def task_has_the_id_that_its_initiator_gave(story: Story) -> Iterator[Finding]:
    """The task runs under exactly the id that was given, in the list, in its details and in the answer."""
    wanted = story.step("start").got("/task_id")
    yield from listing.holds(story, "list", [{"task_id": wanted, "task_name": "first"}], "TASK_ID_REPLACED")
    yield from expect.accepted(story, "details", "TASK_ID_REPLACED")
    step = story.step("start")
    if step.get("/task_id") not in (MISSING, wanted):
        actual = step.get("/task_id")
        yield expect.finding("TASK_ID_REPLACED", step, pointer="/task_id", expected=wanted, actual=actual)


@check("8.5.1-b", "task_given", "GIVEN_PARAMS_DROPPED")
def task_runs_with_the_parameters_it_was_given(story: Story) -> Iterator[Finding]:
    """The details of the task show the parameters of the start."""
    step = story.step("details")
    if step.reading.accepted:
        wanted = story.step("start").got("/task_params")
        yield from expect.shows(story, "details", "/task_params", wanted, "GIVEN_PARAMS_DROPPED")


@check("8.5.1-b", "task_given", "GIVEN_TASK_OUTSIDE_DAG")
def task_of_no_component_is_not_taken(story: Story) -> Iterator[Finding]:
    """A partner cannot start what is not in the DAG of the job."""
    errors = ("RESOURCE_NOT_FOUND", "DAG_INVALID", "REQUEST_INVALID")
    yield from expect.refused(story, "start-astray", "GIVEN_TASK_OUTSIDE_DAG", *errors, twin="start")


@check("8.5.1-b", "task_given", "GIVEN_TASK_DOUBLED")
def task_started_again_is_the_same_task(story: Story) -> Iterator[Finding]:
    """The same start again is accepted and makes no second task."""
    given(story, "details", "/status", "RUNNING")
    yield from expect.accepted(story, "start-again", "GIVEN_TASK_DOUBLED")
    yield from expect.unchanged(story, "list", "list-again", "GIVEN_TASK_DOUBLED", "/total")


@check("8.5.1-b", "task_given", "TASK_STARTED_BY_OTHERS")
def task_is_started_by_the_scheduler_only(story: Story) -> Iterator[Finding]:
    """Another party of the job starts nothing on this node."""
    yield from expect.refused(story, "start-by-party", "TASK_STARTED_BY_OTHERS", *ELSEWHERE, twin="start")


# --- 8.5.2-c --------------------------------------------------------------------------------------------------------


@check("8.5.2-c", "task_given", "TASK_STATE_TOLD_WRONG")
def task_state_is_told_to_the_partner_as_it_is(story: Story) -> Iterator[Finding]:
    """A query and a poll show the task running while it runs, and done when it is done."""
    given(story, "details", "/status", "RUNNING")
    given(story, "details-done", "/status", "SUCCESS")
    for name in ("query", "poll"):
        yield from expect.shows(story, name, "/status", "RUNNING", "TASK_STATE_TOLD_WRONG")
        yield from expect.shows(story, f"{name}-done", "/status", "SUCCESS", "TASK_STATE_TOLD_WRONG")


@check("8.5.2-c", "task_given", "TASK_OPEN_TO_STRANGERS")
def task_is_told_to_parties_of_its_job_only(story: Story) -> Iterator[Finding]:
    """A node that has nothing to do with the job learns nothing of its tasks, by query or by poll."""
    for name in ("query", "poll"):
        yield from expect.refused(story, f"{name}-by-stranger", "TASK_OPEN_TO_STRANGERS", *ELSEWHERE, twin=name)


# --- 8.5.3-b --------------------------------------------------------------------------------------------------------


@check("8.5.3-b", "task_given_stopped", "GIVEN_TASK_NOT_STOPPED")
def task_of_a_partner_ends_when_it_is_stopped(story: Story) -> Iterator[Finding]:
    """The scheduler's stop is accepted, the task has ended, and the one beside it runs on."""
    given(story, "left-runs", "/status", "RUNNING")
    yield from expect.accepted(story, "stop", "GIVEN_TASK_NOT_STOPPED")
    yield from expect.shows(story, "left-stopped", "/status", "FAILED", "GIVEN_TASK_NOT_STOPPED")
    yield from expect.shows(story, "right-still", "/status", "RUNNING", "GIVEN_TASK_NOT_STOPPED")


@check("8.5.3-b", "task_given_stopped", "TASK_STOPPED_BY_OTHERS")
def task_is_stopped_by_its_scheduler_only(story: Story) -> Iterator[Finding]:
    """A node outside the job, or another party of it, is refused, and the task runs on."""
    given(story, "left-runs", "/status", "RUNNING")
    for name in ("stop-by-stranger", "stop-by-party"):
        yield from expect.refused(story, name, "TASK_STOPPED_BY_OTHERS", *ELSEWHERE, twin="stop")
    yield from expect.shows(story, "left-still", "/status", "RUNNING", "TASK_STOPPED_BY_OTHERS")


# --- 8.5.4-b --------------------------------------------------------------------------------------------------------


@check("8.5.4-b", "task_given", "CALLBACK_NOT_SENT")
def task_end_is_told_to_the_scheduler(story: Story) -> Iterator[Finding]:
    """When the target's part has succeeded, the node that schedules is called back."""
    given(story, "details-done", "/status", "SUCCESS")
    yield from expect.called(story, "told-done", "CALLBACK_NOT_SENT")


@check("8.5.4-b", "task_callbacks", "CALLBACK_IGNORED")
def callback_of_the_partner_brings_the_task_further(story: Story) -> Iterator[Finding]:
    """Once the partner has called back too, the task is done."""
    given(story, "before", "/status", "RUNNING")
    yield from expect.accepted(story, "there", "CALLBACK_IGNORED")
    yield from expect.shows(story, "done", "/status", "SUCCESS", "CALLBACK_IGNORED")


@check("8.5.4-b", "task_callbacks", "CALLBACK_REOPENS")
def callback_changes_no_final_state(story: Story) -> Iterator[Finding]:
    """A task that is done stays so when a callback to the contrary arrives late."""
    given(story, "done", "/status", "SUCCESS")
    yield from expect.shows(story, "done-still", "/status", "SUCCESS", "CALLBACK_REOPENS")


@check("8.5.4-b", "task_callbacks", "CALLBACK_UNCHECKED")
def callback_with_an_unknown_status_is_refused(story: Story) -> Iterator[Finding]:
    """A status that the interface does not know is refused."""
    yield from expect.refused(story, "nonsense", "CALLBACK_UNCHECKED", "REQUEST_INVALID", twin="there")


@check("8.5.4-b", "task_callbacks", "CALLBACK_OF_STRANGER_TAKEN")
def callback_of_another_node_is_refused(story: Story) -> Iterator[Finding]:
    """A node that has no part in the task cannot report its end."""
    code = "CALLBACK_OF_STRANGER_TAKEN"
    yield from expect.refused(story, "by-stranger", code, *ELSEWHERE, twin="there")
    yield from expect.unchanged(story, "before", "after", code, "/status")


@check("8.5.4-b", "task_callback_lost", "LOST_CALLBACK_NOT_MADE_GOOD")
def callback_that_was_lost_is_made_good_by_asking(story: Story) -> Iterator[Finding]:
    """The target asks a partner that it has heard nothing of, learns that its part is done, and goes on."""
    code = "LOST_CALLBACK_NOT_MADE_GOOD"
    yield from expect.accepted(story, "here", code)
    yield from expect.called(story, "asked", code)
    yield from expect.shows(story, "done", "/status", "SUCCESS", code)
    yield from expect.called(story, "second-told", code)


# --- 8.5.5-b --------------------------------------------------------------------------------------------------------


@check("8.5.5-b", "task_given_rerun", "GIVEN_TASK_NOT_RERUN")
def task_of_a_partner_runs_again(story: Story) -> Iterator[Finding]:
    """The scheduler's rerun is accepted, and the task runs again under its id, to its end."""
    yield from expect.accepted(story, "rerun", "GIVEN_TASK_NOT_RERUN")
    yield from expect.shows(story, "first-again", "/status", "RUNNING", "GIVEN_TASK_NOT_RERUN")
    yield from expect.shows(story, "first-after", "/status", "SUCCESS", "GIVEN_TASK_NOT_RERUN")


@check("8.5.5-b", "task_given_rerun", "GIVEN_RERUN_PARAMS_IGNORED")
def task_of_a_partner_runs_again_with_the_new_parameters(story: Story) -> Iterator[Finding]:
    """The task that runs again shows the parameters that the rerun gave."""
    given(story, "first-again", "/status", "RUNNING")
    wanted = story.step("rerun").got("/task_params")
    yield from expect.shows(story, "first-again", "/task_params", wanted, "GIVEN_RERUN_PARAMS_IGNORED")


@check("8.5.5-b", "task_given_rerun", "GIVEN_RERUN_PULLS_DOWNSTREAM")
def task_of_a_partner_that_follows_is_left_alone(story: Story) -> Iterator[Finding]:
    """The task that follows the one that runs again shows what it showed before."""
    given(story, "first-again", "/status", "RUNNING")
    for name in ("status", "attempt", "started_at", "finished_at"):
        code = "GIVEN_RERUN_PULLS_DOWNSTREAM"
        yield from expect.unchanged(story, "second-before", "second-after", code, f"/{name}")
