"""Checks of chapter 8.5, tasks of the target's own jobs: begun, listed, read, logged, stopped, reported, run again.

Tasks that partners give the target, and what partners tell of theirs, are judged in `chapter_8_5_given`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from conformance.checks import calls, listing
from conformance.checks.readings import came, given, listed
from conformance.harness import expect
from conformance.harness.records import Finding
from conformance.harness.registry import check
from conformance.harness.story import MISSING, NoTwin, Step, Story

MIB = 1024 * 1024
SEVERE = ("WARN", "ERROR")

# --- 8.5.1-a --------------------------------------------------------------------------------------------------------


@check("8.5.1-a", "task_started", "TASK_NOT_STARTED")
def task_is_started_under_the_id_that_is_returned(story: Story) -> Iterator[Finding]:
    """The operator's start returns an id, under which the partner begins too and the task runs."""
    if (yield from calls.done(story, "start", code="TASK_NOT_STARTED")):
        wanted = {"/task_id": story.step("start").get("/task_id")}
        yield from calls.told(story, "told", wanted, "TASK_NOT_STARTED")
        yield from expect.shows(story, "runs", "/status", "RUNNING", "TASK_NOT_STARTED")


@check("8.5.1-a", "task_started", "TASK_PARAMS_DROPPED")
def task_is_started_with_parameters_and_priority(story: Story) -> Iterator[Finding]:
    """Parameters, run-time parameters and priority reach the partner as the operator gave them."""
    came(story, "told")
    for name in ("task_params", "run_params", "priority"):
        wanted = story.step("start").got(f"/{name}")
        yield from expect.carried(story, "told", f"/{name}", wanted, "TASK_PARAMS_DROPPED")


@check("8.5.1-a", "task_started", "TASK_OUTSIDE_DAG")
def task_outside_the_dag_is_refused(story: Story) -> Iterator[Finding]:
    """A component that the job's DAG does not have cannot be started in it."""
    errors = ("RESOURCE_NOT_FOUND", "DAG_INVALID", "REQUEST_INVALID")
    yield from expect.refused(story, "start-astray", "TASK_OUTSIDE_DAG", *errors, twin="start")


# --- 8.5.2-a, 8.5.2-b -----------------------------------------------------------------------------------------------


@check("8.5.2-a", "task_lists", "TASK_LIST_WRONG")
def task_list_holds_the_tasks_of_its_job_only(story: Story) -> Iterator[Finding]:
    """The tasks of a job are listed, each with its state, and none of another job."""
    step, wanted = story.step("list"), story.step("list").got("/job_id")
    found = {row.get("task_id"): row for row in listing.rows(step)}
    if story.fact("one") not in found:
        yield expect.finding("TASK_LIST_WRONG", step, pointer="/records", expected=story.fact("one"), actual="missing")
    strangers = [row.get("task_id") for row in found.values() if row.get("job_id") != wanted]
    if strangers:
        yield expect.finding("TASK_LIST_WRONG", step, pointer="/records", expected=f"of {wanted}", actual=strangers)


@check("8.5.2-a", "task_lists", "TASK_TOTAL_WRONG")
def task_list_total_counts_all_pages(story: Story) -> Iterator[Finding]:
    """The total is that of the whole list, on every page."""
    number = len(listed(story.step("list"), "task_id"))
    for name in ("list", "page-1", "page-2"):
        yield from expect.shows(story, name, "/total", number, "TASK_TOTAL_WRONG")


@check("8.5.2-b", "task_lists", "TASK_OF_OTHER_JOB_SHOWN")
def task_is_shown_under_its_own_job_only(story: Story) -> Iterator[Finding]:
    """A task is found with its details under its job, and not under another one."""
    code = "TASK_OF_OTHER_JOB_SHOWN"
    yield from calls.answer(story, "query", {"/task_id": story.fact("one"), "/task_name": "left"}, code)
    yield from expect.refused(story, "query-other", code, "RESOURCE_NOT_FOUND", twin="query")


# --- 8.5.2-d --------------------------------------------------------------------------------------------------------


def _lines(step: Step) -> list[dict[str, Any]]:
    found = step.get("/lines")
    return [line for line in found if isinstance(line, dict)] if isinstance(found, list) else []


def _times(step: Step) -> list[int]:
    return [time for line in _lines(step) if isinstance(time := line.get("time"), int)]


@check("8.5.2-d", "task_log", "LOG_OUT_OF_ORDER")
def task_log_is_in_order_of_time(story: Story) -> Iterator[Finding]:
    """Lines come oldest first, or newest first when that is asked for."""
    for name, newest_first in (("read-first", False), ("read", False), ("read-last", True)):
        step = story.step(name)
        yield from expect.accepted(story, name, "LOG_OUT_OF_ORDER")
        times = _times(step)[::-1] if newest_first else _times(step)
        if any(later < earlier for earlier, later in pairwise(times)):
            yield expect.finding("LOG_OUT_OF_ORDER", step, pointer="/lines", expected="by time", actual=times[:10])


@check("8.5.2-d", "task_log", "LOG_TOO_LONG")
def task_log_answers_no_more_than_a_mebibyte(story: Story) -> Iterator[Finding]:
    """However many lines are asked for, one answer has at most 1 MiB of them."""
    step = story.step("read")
    content = [line.get("content") for line in _lines(step)]
    size = sum(len(text.encode()) for text in content if isinstance(text, str))
    if size > MIB:
        yield expect.finding("LOG_TOO_LONG", step, pointer="/lines", expected=f"at most {MIB} bytes", actual=size)


@check("8.5.2-d", "task_log", "LOG_LEVEL_IGNORED")
def task_log_is_filtered_by_level(story: Story) -> Iterator[Finding]:
    """From a level upwards there are no more lines than are counted from that level upwards."""
    step, number = story.step("read-warnings"), story.step("count-warnings").get("/num")
    if isinstance(number, int) and len(_lines(step)) > number:
        actual = len(_lines(step))
        yield expect.finding("LOG_LEVEL_IGNORED", step, pointer="/lines", expected=f"{number} lines", actual=actual)


@check("8.5.2-d", "task_log", "LOG_LEVELS_WRONG")
def task_log_lines_have_their_level(story: Story) -> Iterator[Finding]:
    """The lines that are told for a level and above say that they are of such a level."""
    step, number = story.step("read-warnings"), story.step("count-warnings").get("/num")
    if not isinstance(number, int) or len(_lines(step)) > number:
        raise NoTwin("read-warnings")
    levels = [line.get("level") for line in _lines(step)]
    if any(level not in SEVERE for level in levels):
        yield expect.finding("LOG_LEVELS_WRONG", step, pointer="/lines", expected=SEVERE, actual=levels)


@check("8.5.2-d", "task_log", "LOG_COUNT_WRONG")
def task_log_count_is_that_of_its_lines(story: Story) -> Iterator[Finding]:
    """As many lines are counted as are told."""
    step, number = story.step("count-warnings"), len(_lines(story.step("read-warnings")))
    counted = step.get("/num")
    if not isinstance(counted, int) or counted > number:
        yield expect.finding("LOG_COUNT_WRONG", step, pointer="/num", expected=number, actual=counted)


# --- 8.5.3-a --------------------------------------------------------------------------------------------------------


@check("8.5.3-a", "task_stopped", "TASK_NOT_STOPPED")
def task_stop_ends_the_task(story: Story) -> Iterator[Finding]:
    """The stop is accepted and the task has ended."""
    given(story, "left-runs", "/status", "RUNNING")
    yield from expect.accepted(story, "stop", "TASK_NOT_STOPPED")
    yield from expect.shows(story, "left-stopped", "/status", "FAILED", "TASK_NOT_STOPPED")


@check("8.5.3-a", "task_stopped", "TASK_STOP_STOPS_OTHERS")
def task_stop_leaves_the_other_tasks_alone(story: Story) -> Iterator[Finding]:
    """The task beside it and the job run on."""
    given(story, "right-runs", "/status", "RUNNING")
    yield from expect.shows(story, "right-still", "/status", "RUNNING", "TASK_STOP_STOPS_OTHERS")
    yield from expect.shows(story, "job-still", "/job_status", "RUNNING", "TASK_STOP_STOPS_OTHERS")


@check("8.5.3-a", "task_stopped", "TASK_STOP_NOT_TOLD")
def task_stop_is_told_to_the_partner(story: Story) -> Iterator[Finding]:
    """A task that was stopped here is stopped at the partner too."""
    given(story, "left-stopped", "/status", "FAILED")
    given(story, "right-still", "/status", "RUNNING")
    yield from expect.called(story, "stop-told", "TASK_STOP_NOT_TOLD")


# --- 8.5.4-a --------------------------------------------------------------------------------------------------------


@check("8.5.4-a", "task_own_callbacks", "OWN_CALLBACK_IGNORED")
def own_callback_brings_the_task_further(story: Story) -> Iterator[Finding]:
    """What a component tells its node of success or failure is what the task then shows."""
    yield from expect.accepted(story, "good-here", "OWN_CALLBACK_IGNORED")
    yield from expect.shows(story, "good-done", "/status", "SUCCESS", "OWN_CALLBACK_IGNORED")
    yield from expect.accepted(story, "bad-here", "OWN_CALLBACK_IGNORED")
    yield from expect.shows(story, "bad-failed", "/status", "FAILED", "OWN_CALLBACK_IGNORED")


@check("8.5.4-a", "task_own_callbacks", "OWN_CALLBACK_REOPENS")
def own_callback_changes_no_final_state(story: Story) -> Iterator[Finding]:
    """A task that has succeeded stays so, whatever its component tells afterwards."""
    given(story, "good-done", "/status", "SUCCESS")
    yield from expect.shows(story, "good-still", "/status", "SUCCESS", "OWN_CALLBACK_REOPENS")


@check("8.5.4-a", "task_own_callbacks", "OWN_CALLBACK_UNCHECKED")
def own_callback_with_an_unknown_status_is_refused(story: Story) -> Iterator[Finding]:
    """A status that the interface does not know is refused."""
    code = "OWN_CALLBACK_UNCHECKED"
    yield from expect.refused(story, "callback-nonsense", code, "REQUEST_INVALID", twin="good-here")


@check("8.5.4-a", "task_own_callbacks", "OWN_CALLBACK_ASTRAY")
def own_callback_for_another_job_is_refused(story: Story) -> Iterator[Finding]:
    """A callback that names a job that the task is not of is refused."""
    yield from expect.refused(story, "callback-astray", "OWN_CALLBACK_ASTRAY", "RESOURCE_NOT_FOUND", twin="good-here")


# --- 8.5.5-a --------------------------------------------------------------------------------------------------------


@check("8.5.5-a", "task_rerun", "TASK_NOT_RERUN")
def task_that_has_ended_runs_again(story: Story) -> Iterator[Finding]:
    """A rerun is accepted, told to the partner, and the task runs under its id once more."""
    given(story, "finished", "/job_status", "FINISHED")
    yield from expect.accepted(story, "rerun", "TASK_NOT_RERUN")
    yield from expect.called(story, "told", "TASK_NOT_RERUN")
    step = story.step("first-again")
    if step.get("/status") not in ("READY", "RUNNING"):
        actual = step.get("/status")
        yield expect.finding("TASK_NOT_RERUN", step, pointer="/status", expected="RUNNING", actual=actual)


@check("8.5.5-a", "task_rerun", "TASK_RERUN_PARAMS_IGNORED")
def task_runs_again_with_the_new_parameters(story: Story) -> Iterator[Finding]:
    """The partner is told of the parameters that were given for the rerun, and the task shows them."""
    came(story, "told")
    wanted = story.step("rerun").got("/task_params")
    yield from expect.carried(story, "told", "/task_params", wanted, "TASK_RERUN_PARAMS_IGNORED")
    step = story.step("first-again")
    if step.get("/task_params") not in (MISSING, wanted):
        actual = step.get("/task_params")
        code = "TASK_RERUN_PARAMS_IGNORED"
        yield expect.finding(code, step, pointer="/task_params", expected=wanted, actual=actual)


@check("8.5.5-a", "task_rerun", "RERUN_PULLS_DOWNSTREAM")
def task_rerun_leaves_what_follows_alone(story: Story) -> Iterator[Finding]:
    """The task that follows is not begun again and shows what it showed before."""
    code = "RERUN_PULLS_DOWNSTREAM"
    given(story, "first-after", "/status", "SUCCESS")
    yield from expect.not_called(story, "second-told", code)
    for name in ("status", "attempt", "started_at", "finished_at"):
        yield from expect.unchanged(story, "second-before", "second-after", code, f"/{name}")


# --- 8.5.6 ----------------------------------------------------------------------------------------------------------


def _outputs(step: Step) -> list[dict[str, Any]]:
    found = step.get("/outputs")
    return [output for output in found if isinstance(output, dict)] if isinstance(found, list) else []


@check("8.5.6", "task_reported", "OUTPUT_NOT_SHOWN")
def task_shows_the_content_that_was_reported(story: Story) -> Iterator[Finding]:
    """Every content that a component has reported is in the details of its task, unaltered."""
    given(story, "details", "/status", "SUCCESS")
    step = story.step("details")
    for name in ("report", "report-dataset"):
        yield from expect.accepted(story, name, "OUTPUT_NOT_SHOWN")
        wanted = story.step(name).got("/output_content")
        if all(output.get("output_content") != wanted for output in _outputs(step)):
            actual = step.get("/outputs")
            yield expect.finding("OUTPUT_NOT_SHOWN", step, pointer="/outputs", expected=wanted, actual=actual)


@check("8.5.6", "task_reported", "OUTPUT_TYPE_WRONG")
def task_shows_the_type_that_was_reported(story: Story) -> Iterator[Finding]:
    """A content that is shown is shown with the type that it was reported with."""
    step = story.step("details")
    for name in ("report", "report-dataset"):
        content, kind = story.step(name).got("/output_content"), story.step(name).got("/output_type")
        kinds = [row.get("output_type") for row in _outputs(step) if row.get("output_content") == content]
        if kinds and kind not in kinds:
            yield expect.finding("OUTPUT_TYPE_WRONG", step, pointer="/outputs", expected=kind, actual=kinds)


@check("8.5.6", "task_reported", "REPORT_ASTRAY")
def task_report_for_another_job_is_refused(story: Story) -> Iterator[Finding]:
    """A report that names a job that the task is not of is refused."""
    yield from expect.refused(story, "report-astray", "REPORT_ASTRAY", "RESOURCE_NOT_FOUND", twin="report")


@check("8.5.6", "task_reported", "REPORT_UNTYPED")
def task_report_of_an_unknown_type_is_refused(story: Story) -> Iterator[Finding]:
    """A type of output that the interface does not know is refused."""
    yield from expect.refused(story, "report-untyped", "REPORT_UNTYPED", "REQUEST_INVALID", twin="report")
